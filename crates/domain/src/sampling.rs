//! Options on sampling that few requests touch, with A1111's names and defaults.

use crate::infotext::python_float;
use serde::{Deserialize, Serialize};

/// How sampling is to differ from what samplers and schedules do by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplerOptions {
    /// Noise that is added before each step and taken away again, spread over the steps (Karras et al. 2022).
    pub s_churn: f64,
    /// Lowest sigma at which that is done.
    pub s_tmin: f64,
    /// Highest sigma at which that is done; 0 is no bound.
    pub s_tmax: f64,
    /// What added noise is multiplied with, in the samplers that heed it.
    pub s_noise: f64,
    /// Lowest sigma of a schedule; 0 is the model's own.
    pub sigma_min: f64,
    /// Highest sigma of a schedule; 0 is the model's own.
    pub sigma_max: f64,
    /// Curvature of the schedules that have one; 0 is the schedule's own.
    pub rho: f64,
    /// Schedules go from sigma 10 to 0.1, as they once did.
    pub use_old_karras_scheduler_sigmas: bool,
    /// First parameter of the beta schedule.
    pub beta_dist_alpha: f64,
    /// Second parameter of the beta schedule.
    pub beta_dist_beta: f64,
    /// Every sampler leaves the last sigma above 0 out, not just those that do it by themselves.
    pub always_discard_next_to_last_sigma: bool,
    /// The first latent's variance counts the picture's own.
    pub sgm_noise_multiplier: bool,
    /// The UNet is told whole training times only.
    pub enable_quantization: bool,
    /// Levels are rounded to half precision, as versions of A1111 before 1.8 had them.
    pub use_downcasted_alpha_bar: bool,
    /// The levels that the model counts with.
    pub sd_noise_schedule: NoiseSchedule,
    /// Which step width `UniPC` corrects with.
    pub uni_pc_variant: UniPcVariant,
    /// How `UniPC` spreads its steps.
    pub uni_pc_skip_type: UniPcSkip,
    /// Most earlier estimates that `UniPC` uses.
    pub uni_pc_order: u32,
    /// Whether `UniPC` uses fewer of them at the end.
    pub uni_pc_lower_order_final: bool,
}

/// The noise levels that a model counts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum NoiseSchedule {
    /// Those it was trained on.
    #[default]
    Default,
    /// Rescaled so that at the last nothing is left of the picture (Lin et al. 2023).
    #[serde(rename = "Zero Terminal SNR")]
    ZeroTerminalSnr,
}

/// B(h) of `UniPC` (Zhao et al. 2023): what its coefficients are simplified for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniPcVariant {
    /// h
    #[default]
    Bh1,
    /// e^h - 1
    Bh2,
    /// Nothing is simplified.
    VaryCoeff,
}

/// In what `UniPC`'s steps are even.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum UniPcSkip {
    /// Training time.
    #[default]
    #[serde(rename = "time_uniform")]
    TimeUniform,
    /// The root of training time.
    #[serde(rename = "time_quadratic")]
    TimeQuadratic,
    /// The logarithm of the signal-to-noise ratio.
    #[serde(rename = "logSNR")]
    LogSnr,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            s_churn: 0.0,
            s_tmin: 0.0,
            s_tmax: 0.0,
            s_noise: 1.0,
            sigma_min: 0.0,
            sigma_max: 0.0,
            rho: 0.0,
            use_old_karras_scheduler_sigmas: false,
            beta_dist_alpha: 0.6,
            beta_dist_beta: 0.6,
            always_discard_next_to_last_sigma: false,
            sgm_noise_multiplier: false,
            enable_quantization: false,
            use_downcasted_alpha_bar: false,
            sd_noise_schedule: NoiseSchedule::Default,
            uni_pc_variant: UniPcVariant::Bh1,
            uni_pc_skip_type: UniPcSkip::TimeUniform,
            uni_pc_order: 3,
            uni_pc_lower_order_final: true,
        }
    }
}

impl SamplerOptions {
    /// What stands before eta in an infotext, and after it: what is not usual.
    pub(crate) fn infotext(&self) -> [Vec<(&'static str, Option<String>)>; 2] {
        let usual = Self::default();
        let number = |value: f64, usual: f64| (value != usual).then(|| python_float(value));
        let flag = |value: bool, usual: bool| {
            (value != usual).then(|| if value { "True" } else { "False" }.to_owned())
        };
        let named =
            |value: Option<serde_json::Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        let schedule = (self.sd_noise_schedule != usual.sd_noise_schedule)
            .then(|| serde_json::to_value(self.sd_noise_schedule).ok())
            .flatten();
        let variant = (self.uni_pc_variant != usual.uni_pc_variant)
            .then(|| serde_json::to_value(self.uni_pc_variant).ok())
            .flatten();
        let skip = (self.uni_pc_skip_type != usual.uni_pc_skip_type)
            .then(|| serde_json::to_value(self.uni_pc_skip_type).ok())
            .flatten();
        let order = (self.uni_pc_order != usual.uni_pc_order).then(|| self.uni_pc_order.to_string());
        let final_order = flag(self.uni_pc_lower_order_final, usual.uni_pc_lower_order_final);
        let before = vec![
            ("Downcast alphas_cumprod", flag(self.use_downcasted_alpha_bar, usual.use_downcasted_alpha_bar)),
            ("Noise Schedule", named(schedule)),
            ("SGM noise multiplier", flag(self.sgm_noise_multiplier, usual.sgm_noise_multiplier)),
            (
                "Discard penultimate sigma",
                flag(self.always_discard_next_to_last_sigma, usual.always_discard_next_to_last_sigma),
            ),
            ("Schedule min sigma", number(self.sigma_min, usual.sigma_min)),
            ("Schedule max sigma", number(self.sigma_max, usual.sigma_max)),
            ("Schedule rho", number(self.rho, usual.rho)),
            ("Beta schedule alpha", number(self.beta_dist_alpha, usual.beta_dist_alpha)),
            ("Beta schedule beta", number(self.beta_dist_beta, usual.beta_dist_beta)),
        ];
        let after = vec![
            ("Sigma churn", number(self.s_churn, usual.s_churn)),
            ("Sigma tmin", number(self.s_tmin, usual.s_tmin)),
            ("Sigma tmax", number(self.s_tmax, usual.s_tmax)),
            ("Sigma noise", number(self.s_noise, usual.s_noise)),
            ("UniPC variant", named(variant)),
            ("UniPC skip type", named(skip)),
            ("UniPC order", order),
            ("UniPC lower order final", final_order),
        ];
        [before, after]
    }

    /// Name, value and range of each number.
    pub(crate) fn ranges(&self) -> [(&'static str, f64, [f64; 2]); 10] {
        [
            ("s_churn", self.s_churn, [0.0, 1000.0]),
            ("s_tmin", self.s_tmin, [0.0, MOST_SIGMA]),
            ("s_tmax", self.s_tmax, [0.0, MOST_SIGMA]),
            ("s_noise", self.s_noise, [0.0, 100.0]),
            ("sigma_min", self.sigma_min, [0.0, MOST_SIGMA]),
            ("sigma_max", self.sigma_max, [0.0, MOST_SIGMA]),
            ("rho", self.rho, [0.0, 1000.0]),
            ("beta_dist_alpha", self.beta_dist_alpha, [0.01, 10.0]),
            ("beta_dist_beta", self.beta_dist_beta, [0.01, 10.0]),
            ("uni_pc_order", self.uni_pc_order.into(), [1.0, 50.0]),
        ]
    }
}

/// Beyond every level of any model.
const MOST_SIGMA: f64 = 1e6;
