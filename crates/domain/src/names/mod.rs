//! Samplers, schedules and noise sources by the names that AUTOMATIC1111 gave them.

mod sampler;
mod schedule;

pub use sampler::Sampler;
pub use schedule::Schedule;

use serde::{Deserialize, Serialize};

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
    fn all_of_a1111s_are_there_in_its_order() {
        let samplers: Vec<&str> = Sampler::all().map(Sampler::name).collect();
        let wanted = "DPM++ 2M, DPM++ SDE, DPM++ 2M SDE, DPM++ 2M SDE Heun, DPM++ 2S a, DPM++ 3M SDE, Euler a, Euler, LMS, \
                      Heun, DPM2, DPM2 a, DPM fast, DPM adaptive, Restart, DDIM, DDIM CFG++, PLMS, UniPC, LCM";
        assert_eq!(samplers.join(", "), wanted);
        let schedules: Vec<&str> = Schedule::all().map(Schedule::label).collect();
        let wanted = "Automatic, Uniform, Karras, Exponential, Polyexponential, SGM Uniform, KL Optimal, Align Your Steps, \
                      Simple, Normal, DDIM, Beta";
        assert_eq!(schedules.join(", "), wanted);
    }

    /// Facts that the table of options does not tell.
    #[test]
    fn eta_and_noise_options_are_heeded_where_a1111_heeds_them() {
        let those = |takes: fn(Sampler) -> bool| -> String {
            let names: Vec<&str> =
                Sampler::all().filter(|&sampler| takes(sampler)).map(Sampler::name).collect();
            names.join(", ")
        };
        assert_eq!(
            those(|sampler| sampler.default_eta() == Some(1.0)),
            "DPM++ SDE, DPM++ 2M SDE, DPM++ 2M SDE Heun, DPM++ 2S a, DPM++ 3M SDE, Euler a, DPM2 a, DPM fast, DPM adaptive"
        );
        assert_eq!(those(|sampler| sampler.default_eta() == Some(0.0)), "DDIM, DDIM CFG++");
        assert_eq!(those(Sampler::takes_s_churn), "Euler, Heun, DPM2");
        assert_eq!(
            those(|sampler| sampler.takes_s_noise() && !sampler.takes_s_churn()),
            "DPM++ SDE, DPM++ 2M SDE, DPM++ 2M SDE Heun, DPM++ 2S a, DPM++ 3M SDE, DPM2 a, DPM fast"
        );
        assert_eq!(those(Sampler::is_second_order), "DPM++ SDE, DPM++ 2S a, Heun, DPM2, DPM2 a, Restart");
        assert_eq!(those(Sampler::is_timestep_based), "DDIM, DDIM CFG++, PLMS, UniPC");
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
            ("DPM++ 2M SDE Heun Exponential", None, (Sampler::DpmPp2mSdeHeun, Automatic)),
            ("DPM++ 2M SDE Karras", None, (Sampler::DpmPp2mSde, Karras)),
            ("DDIM CFG++ DDIM", None, (Sampler::DdimCfgPp, Schedule::Ddim)),
            ("DPM adaptive KL Optimal", None, (Sampler::DpmAdaptive, Schedule::KlOptimal)),
            ("LCM align_your_steps", None, (Sampler::Lcm, Schedule::AlignYourSteps)),
            ("DPM2 a Polyexponential", None, (Sampler::Dpm2Ancestral, Schedule::Polyexponential)),
        ] {
            assert_eq!(Sampler::resolve(name, schedule), wanted, "{name:?} {schedule:?}");
        }
    }
}
