//! The samplers by name, and what clients are told of each.

use super::Schedule;
use serde::{Deserialize, Serialize};

/// A sampler: the rule that turns denoiser outputs into the next latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// DPM-Solver++(2M), Lu et al. 2022b.
    DpmPp2m,
    /// DPM-Solver++(2S) on the stochastic equation.
    DpmPpSde,
    /// DPM-Solver++(2M) on the stochastic equation, midpoint form.
    DpmPp2mSde,
    /// DPM-Solver++(2M) on the stochastic equation, Heun's form.
    DpmPp2mSdeHeun,
    /// DPM-Solver++(2S) with ancestral noise.
    DpmPp2sAncestral,
    /// DPM-Solver++(3M) on the stochastic equation.
    DpmPp3mSde,
    /// Euler's method with ancestral noise, Karras et al. 2022.
    EulerAncestral,
    /// Euler's method, Karras et al. 2022.
    Euler,
    /// Linear multistep method of order 4.
    Lms,
    /// Heun's method, Karras et al. 2022.
    Heun,
    /// DPM-Solver-2, Lu et al. 2022a, with Karras's noise.
    Dpm2,
    /// DPM-Solver-2 with ancestral noise.
    Dpm2Ancestral,
    /// DPM-Solver of orders 3, 2 and 1 for a number of model calls.
    DpmFast,
    /// DPM-Solver-23 that chooses its steps.
    DpmAdaptive,
    /// Heun's method that goes back up now and then, Xu et al. 2023.
    Restart,
    /// Denoising diffusion implicit models, Song et al. 2021.
    Ddim,
    /// DDIM that renoises with the unconditional estimate, Chung et al. 2024.
    DdimCfgPp,
    /// Pseudo linear multistep method, Liu et al. 2022.
    Plms,
    /// Unified predictor-corrector, Zhao et al. 2023.
    UniPc,
    /// Latent consistency models, Luo et al. 2023.
    Lcm,
}

struct SamplerRow {
    sampler: Sampler,
    name: &'static str,
    aliases: &'static [&'static str],
    options: &'static [(&'static str, &'static str)],
    /// The noise multiplier where none is asked for; `None` for samplers that have none.
    eta: Option<f64>,
    added_noise: AddedNoise,
}

/// Which of A1111's options on added noise a sampler heeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddedNoise {
    Nothing,
    /// `s_noise`.
    Strength,
    /// `s_churn`, `s_tmin`, `s_tmax`, `s_noise`.
    Churn,
}

const KARRAS: (&str, &str) = ("scheduler", "karras");
const EXPONENTIAL: (&str, &str) = ("scheduler", "exponential");
const SECOND_ORDER: (&str, &str) = ("second_order", "True");
const BROWNIAN: (&str, &str) = ("brownian_noise", "True");
const ENSD: (&str, &str) = ("uses_ensd", "True");
const DISCARD: (&str, &str) = ("discard_next_to_last_sigma", "True");
const HEUN: (&str, &str) = ("solver_type", "heun");

const fn row(
    sampler: Sampler,
    name: &'static str,
    aliases: &'static [&'static str],
    options: &'static [(&'static str, &'static str)],
    eta: Option<f64>,
    added_noise: AddedNoise,
) -> SamplerRow {
    SamplerRow { sampler, name, aliases, options, eta, added_noise }
}

/// In the order in which they are listed. The first is what an unknown name falls back to.
#[rustfmt::skip]
const SAMPLERS: &[SamplerRow] = {
    use AddedNoise::{Churn, Nothing, Strength};
    const ONE: Option<f64> = Some(1.0);
    const ZERO: Option<f64> = Some(0.0);
    &[
        row(Sampler::DpmPp2m, "DPM++ 2M", &["k_dpmpp_2m"], &[KARRAS], None, Nothing),
        row(Sampler::DpmPpSde, "DPM++ SDE", &["k_dpmpp_sde"], &[KARRAS, SECOND_ORDER, BROWNIAN], ONE, Strength),
        row(Sampler::DpmPp2mSde, "DPM++ 2M SDE", &["k_dpmpp_2m_sde"], &[EXPONENTIAL, BROWNIAN], ONE, Strength),
        row(Sampler::DpmPp2mSdeHeun, "DPM++ 2M SDE Heun", &["k_dpmpp_2m_sde_heun"], &[EXPONENTIAL, BROWNIAN, HEUN], ONE, Strength),
        row(Sampler::DpmPp2sAncestral, "DPM++ 2S a", &["k_dpmpp_2s_a"], &[KARRAS, ENSD, SECOND_ORDER], ONE, Strength),
        row(Sampler::DpmPp3mSde, "DPM++ 3M SDE", &["k_dpmpp_3m_sde"], &[EXPONENTIAL, DISCARD, BROWNIAN], ONE, Strength),
        row(Sampler::EulerAncestral, "Euler a", &["k_euler_a", "k_euler_ancestral"], &[ENSD], ONE, Nothing),
        row(Sampler::Euler, "Euler", &["k_euler"], &[], None, Churn),
        row(Sampler::Lms, "LMS", &["k_lms"], &[], None, Nothing),
        row(Sampler::Heun, "Heun", &["k_heun"], &[SECOND_ORDER], None, Churn),
        row(Sampler::Dpm2, "DPM2", &["k_dpm_2"], &[KARRAS, DISCARD, SECOND_ORDER], None, Churn),
        row(Sampler::Dpm2Ancestral, "DPM2 a", &["k_dpm_2_a"], &[KARRAS, DISCARD, ENSD, SECOND_ORDER], ONE, Strength),
        row(Sampler::DpmFast, "DPM fast", &["k_dpm_fast"], &[ENSD], ONE, Strength),
        row(Sampler::DpmAdaptive, "DPM adaptive", &["k_dpm_ad"], &[ENSD], ONE, Nothing),
        row(Sampler::Restart, "Restart", &["restart"], &[KARRAS, SECOND_ORDER], None, Nothing),
        row(Sampler::Ddim, "DDIM", &["ddim"], &[], ZERO, Nothing),
        row(Sampler::DdimCfgPp, "DDIM CFG++", &["ddim_cfgpp"], &[], ZERO, Nothing),
        row(Sampler::Plms, "PLMS", &["plms"], &[], None, Nothing),
        row(Sampler::UniPc, "UniPC", &["unipc"], &[], None, Nothing),
        row(Sampler::Lcm, "LCM", &["k_lcm"], &[], None, Nothing),
    ]
};

impl Sampler {
    /// Every sampler, in listing order.
    pub fn all() -> impl Iterator<Item = Self> {
        SAMPLERS.iter().map(|row| row.sampler)
    }

    fn row(self) -> &'static SamplerRow {
        // Every variant has a row (tested); the first stands in so that this cannot panic.
        SAMPLERS.iter().find(|row| row.sampler == self).unwrap_or(&SAMPLERS[0])
    }

    fn has(self, option: (&str, &str)) -> bool {
        self.row().options.contains(&option)
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
        let schedule = self.row().options.iter().find(|(option, _)| *option == KARRAS.0);
        schedule.and_then(|(_, name)| Schedule::from_exact_name(name))
    }

    /// The noise multiplier where none is asked for; `None` for a sampler that takes none.
    pub fn default_eta(self) -> Option<f64> {
        self.row().eta
    }

    /// Whether its infotexts tell the noise seed delta, since noise drawn at its steps goes by that. Of the samplers that
    /// draw such noise, A1111 leaves out those where an option has to ask for it, and LCM and Restart.
    pub fn uses_ensd(self) -> bool {
        self.has(ENSD)
    }

    /// Whether each step takes two model calls, so that twice the steps are counted.
    pub fn is_second_order(self) -> bool {
        self.has(SECOND_ORDER)
    }

    /// Whether the noise it adds depends on the sigmas between which it is added: increments of Brownian motion.
    pub fn draws_brownian_noise(self) -> bool {
        self.has(BROWNIAN)
    }

    /// Whether it leaves the last sigma above 0 out.
    pub fn discards_next_to_last_sigma(self) -> bool {
        self.has(DISCARD)
    }

    /// Whether it heeds `s_noise`.
    pub fn takes_s_noise(self) -> bool {
        self.row().added_noise != AddedNoise::Nothing
    }

    /// Whether it heeds `s_churn`, `s_tmin` and `s_tmax`.
    pub fn takes_s_churn(self) -> bool {
        self.row().added_noise == AddedNoise::Churn
    }

    /// What guidance is multiplied with: CFG++ counts from 0 to 1 what others count from 0 to 12.5.
    pub fn guidance_factor(self) -> f64 {
        if self == Self::DdimCfgPp { 1.0 / 12.5 } else { 1.0 }
    }

    /// Whether the sampler walks training times and knows no schedule.
    pub fn is_timestep_based(self) -> bool {
        matches!(self, Self::Ddim | Self::DdimCfgPp | Self::Plms | Self::UniPc)
    }

    /// The sampler of a name or an alias, in capitals or not.
    pub fn from_any_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let is_it = |known: &str| known.to_lowercase() == name;
        Self::all()
            .find(|sampler| is_it(sampler.name()) || sampler.aliases().iter().any(|alias| is_it(alias)))
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
