//! Samplers, schedules and noise sources by the names that AUTOMATIC1111 gave them.

use serde::{Deserialize, Serialize};

/// A sampler: the rule that turns denoiser outputs into the next latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// DPM-Solver++(2M), Lu et al. 2022.
    DpmPp2m,
    /// Euler's method with ancestral noise, Karras et al. 2022.
    EulerAncestral,
    /// Euler's method, Karras et al. 2022.
    Euler,
    /// Denoising diffusion implicit models, Song et al. 2021.
    Ddim,
}

struct SamplerRow {
    sampler: Sampler,
    name: &'static str,
    aliases: &'static [&'static str],
    options: &'static [(&'static str, &'static str)],
    default_schedule: Option<Schedule>,
}

/// In the order in which they are listed. The first is what an unknown name falls back to.
const SAMPLERS: &[SamplerRow] = &[
    SamplerRow {
        sampler: Sampler::DpmPp2m,
        name: "DPM++ 2M",
        aliases: &["k_dpmpp_2m"],
        options: &[("scheduler", "karras")],
        default_schedule: Some(Schedule::Karras),
    },
    SamplerRow {
        sampler: Sampler::EulerAncestral,
        name: "Euler a",
        aliases: &["k_euler_a", "k_euler_ancestral"],
        options: &[("uses_ensd", "True")],
        default_schedule: None,
    },
    SamplerRow {
        sampler: Sampler::Euler,
        name: "Euler",
        aliases: &["k_euler"],
        options: &[],
        default_schedule: None,
    },
    SamplerRow {
        sampler: Sampler::Ddim,
        name: "DDIM",
        aliases: &["ddim"],
        options: &[],
        default_schedule: None,
    },
];

impl Sampler {
    /// Every sampler, in listing order.
    pub fn all() -> impl Iterator<Item = Self> {
        SAMPLERS.iter().map(|row| row.sampler)
    }

    fn row(self) -> &'static SamplerRow {
        // Every variant has a row (tested); the first stands in so that this cannot panic.
        SAMPLERS.iter().find(|row| row.sampler == self).unwrap_or(&SAMPLERS[0])
    }

    /// The name users see, such as `DPM++ 2M`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Other names clients may know it by. They are listed, not resolved.
    pub fn aliases(self) -> &'static [&'static str] {
        self.row().aliases
    }

    /// Options as `/sdapi/v1/samplers` lists them.
    pub fn options(self) -> &'static [(&'static str, &'static str)] {
        self.row().options
    }

    /// The schedule that `Automatic` means for this sampler, where that is not [`Schedule::Uniform`].
    pub fn default_schedule(self) -> Option<Schedule> {
        self.row().default_schedule
    }

    /// Whether the sampler draws noise at each step, from the seed plus the noise seed delta.
    pub fn is_ancestral(self) -> bool {
        self == Self::EulerAncestral
    }

    /// Whether the sampler walks integer timesteps and knows no schedule.
    pub fn is_timestep_based(self) -> bool {
        self == Self::Ddim
    }

    /// The sampler of exactly this name.
    pub fn from_exact_name(name: &str) -> Option<Self> {
        SAMPLERS.iter().find(|row| row.name == name).map(|row| row.sampler)
    }

    /// The sampler and the schedule a client means by a sampler name and an optional schedule name.
    ///
    /// A schedule's name or label may end the sampler's name (`DPM++ 2M Karras`); the longest such suffix counts, and
    /// only if `schedule` is absent. An unknown sampler is [`Sampler::DpmPp2m`], an unknown schedule
    /// [`Schedule::Automatic`]: clients rely on both.
    pub fn resolve(name: &str, schedule: Option<&str>) -> (Self, Schedule) {
        let suffix = Schedule::suffix_of(name);
        let base = suffix.map_or(name, |(_, base)| base);
        let sampler = Self::from_exact_name(base).unwrap_or(SAMPLERS[0].sampler);
        let schedule = match schedule {
            Some(asked) => Schedule::from_exact_name(asked).unwrap_or_default(),
            None => suffix.map(|(schedule, _)| schedule).unwrap_or_default(),
        };
        let schedule =
            if sampler.default_schedule() == Some(schedule) { Schedule::Automatic } else { schedule };
        (sampler, schedule)
    }
}

/// How noise levels are spread over the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// What the sampler does best with.
    #[default]
    Automatic,
    /// Even steps in training time.
    Uniform,
    /// Karras et al. 2022, equation 5, with rho 7.
    Karras,
    /// Even steps in the logarithm of sigma.
    Exponential,
    /// Even steps in training time that stop short of zero.
    SgmUniform,
}

struct ScheduleRow {
    schedule: Schedule,
    name: &'static str,
    label: &'static str,
    aliases: &'static [&'static str],
    default_rho: f64,
    need_inner_model: bool,
}

const SCHEDULES: &[ScheduleRow] = &[
    ScheduleRow {
        schedule: Schedule::Automatic,
        name: "automatic",
        label: "Automatic",
        aliases: &[],
        default_rho: -1.0,
        need_inner_model: false,
    },
    ScheduleRow {
        schedule: Schedule::Uniform,
        name: "uniform",
        label: "Uniform",
        aliases: &[],
        default_rho: -1.0,
        need_inner_model: true,
    },
    ScheduleRow {
        schedule: Schedule::Karras,
        name: "karras",
        label: "Karras",
        aliases: &[],
        default_rho: 7.0,
        need_inner_model: false,
    },
    ScheduleRow {
        schedule: Schedule::Exponential,
        name: "exponential",
        label: "Exponential",
        aliases: &[],
        default_rho: -1.0,
        need_inner_model: false,
    },
    ScheduleRow {
        schedule: Schedule::SgmUniform,
        name: "sgm_uniform",
        label: "SGM Uniform",
        aliases: &["SGMUniform"],
        default_rho: -1.0,
        need_inner_model: true,
    },
];

impl Schedule {
    /// Every schedule, in listing order.
    pub fn all() -> impl Iterator<Item = Self> {
        SCHEDULES.iter().map(|row| row.schedule)
    }

    fn row(self) -> &'static ScheduleRow {
        SCHEDULES.iter().find(|row| row.schedule == self).unwrap_or(&SCHEDULES[0])
    }

    /// The name in requests, such as `sgm_uniform`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The name users see, such as `SGM Uniform`.
    pub fn label(self) -> &'static str {
        self.row().label
    }

    /// Older names, which may end a sampler's name.
    pub fn aliases(self) -> &'static [&'static str] {
        self.row().aliases
    }

    /// The rho that `/sdapi/v1/schedulers` lists; -1 where there is none.
    pub fn default_rho(self) -> f64 {
        self.row().default_rho
    }

    /// Whether `/sdapi/v1/schedulers` says that it asks the model for its noise levels.
    pub fn need_inner_model(self) -> bool {
        self.row().need_inner_model
    }

    /// The schedule of exactly this name or label.
    pub fn from_exact_name(name: &str) -> Option<Self> {
        SCHEDULES.iter().find(|row| row.name == name || row.label == name).map(|row| row.schedule)
    }

    /// The schedule whose label, name or alias ends `sampler_name` after a space, and what is left before it.
    fn suffix_of(sampler_name: &str) -> Option<(Self, &str)> {
        SCHEDULES
            .iter()
            .flat_map(|row| {
                [row.label, row.name]
                    .into_iter()
                    .chain(row.aliases.iter().copied())
                    .map(|text| (row.schedule, text))
            })
            .filter_map(|(schedule, text)| {
                let base = sampler_name.strip_suffix(text)?.strip_suffix(' ')?;
                Some((schedule, base))
            })
            .min_by_key(|(_, base)| base.len())
    }
}

/// Whose random numbers the noise repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum NoiseSource {
    /// PyTorch's on a CUDA device.
    #[default]
    #[serde(rename = "GPU")]
    Gpu,
    /// PyTorch's on the CPU: Mersenne Twister.
    #[serde(rename = "CPU")]
    Cpu,
    /// CUDA's philox, as software. Gives what [`NoiseSource::Gpu`] gives.
    #[serde(rename = "NV")]
    Nv,
}

impl NoiseSource {
    /// The name in options and infotexts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpu => "GPU",
            Self::Cpu => "CPU",
            Self::Nv => "NV",
        }
    }

    /// The source of exactly this name.
    pub fn from_exact_name(name: &str) -> Option<Self> {
        [Self::Gpu, Self::Cpu, Self::Nv].into_iter().find(|source| source.name() == name)
    }
}

/// How the denoising network of a job is held and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Precision {
    /// Single precision.
    #[default]
    #[serde(rename = "f32")]
    F32,
    /// Weights and activations in 8 bits.
    #[serde(rename = "int8")]
    Int8,
}

impl Precision {
    /// The name in options and infotexts.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
    }

    /// The precision of exactly this name.
    pub fn from_exact_name(name: &str) -> Option<Self> {
        [Self::F32, Self::Int8].into_iter().find(|precision| precision.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_itself() {
        for sampler in Sampler::all() {
            assert_eq!(Sampler::from_exact_name(sampler.name()), Some(sampler));
        }
        for schedule in Schedule::all() {
            assert_eq!(Schedule::from_exact_name(schedule.label()), Some(schedule));
            assert_eq!(Schedule::from_exact_name(schedule.name()), Some(schedule));
        }
    }

    #[test]
    fn resolves_as_clients_expect() {
        use Schedule::{Automatic, Exponential, Karras, SgmUniform, Uniform};
        for (name, schedule, wanted) in [
            ("Euler a", None, (Sampler::EulerAncestral, Automatic)),
            ("Euler Karras", None, (Sampler::Euler, Karras)),
            ("Euler karras", None, (Sampler::Euler, Karras)),
            // Karras is what DPM++ 2M does by itself, so it is reported as Automatic.
            ("DPM++ 2M Karras", None, (Sampler::DpmPp2m, Automatic)),
            ("DPM++ 2M", Some("Uniform"), (Sampler::DpmPp2m, Uniform)),
            // The longest suffix counts: not "Euler a SGM" with Uniform.
            ("Euler a SGM Uniform", None, (Sampler::EulerAncestral, SgmUniform)),
            ("Euler a SGMUniform", None, (Sampler::EulerAncestral, SgmUniform)),
            ("Euler Karras", Some("exponential"), (Sampler::Euler, Exponential)),
            ("Euler", Some("nonsense"), (Sampler::Euler, Automatic)),
            ("k_euler_a", None, (Sampler::DpmPp2m, Automatic)),
            ("euler a", None, (Sampler::DpmPp2m, Automatic)),
            ("", None, (Sampler::DpmPp2m, Automatic)),
        ] {
            assert_eq!(Sampler::resolve(name, schedule), wanted, "{name:?} {schedule:?}");
        }
    }
}
