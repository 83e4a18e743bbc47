//! The schedules by name, and what clients are told of each.

use serde::{Deserialize, Serialize};

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
    /// Even steps in a power of the logarithm of sigma.
    Polyexponential,
    /// Even steps in training time that stop short of zero.
    SgmUniform,
    /// Even steps in the angle whose tangent is sigma. Ends at the model's lowest sigma, not at 0.
    KlOptimal,
    /// Levels found by optimisation, Sabour et al. 2024.
    AlignYourSteps,
    /// The model's own levels, evenly picked from the top.
    Simple,
    /// Even steps in training time, down to the lowest.
    Normal,
    /// The model's own levels, picked as DDIM does.
    Ddim,
    /// Spread by a beta distribution, Lee et al. 2024.
    Beta,
}

struct ScheduleRow {
    schedule: Schedule,
    name: &'static str,
    label: &'static str,
    aliases: &'static [&'static str],
    default_rho: f64,
    need_inner_model: bool,
}

const fn row(
    schedule: Schedule,
    name: &'static str,
    label: &'static str,
    default_rho: f64,
    need_inner_model: bool,
) -> ScheduleRow {
    ScheduleRow { schedule, name, label, aliases: &[], default_rho, need_inner_model }
}

const SCHEDULES: &[ScheduleRow] = &[
    row(Schedule::Automatic, "automatic", "Automatic", -1.0, false),
    row(Schedule::Uniform, "uniform", "Uniform", -1.0, true),
    row(Schedule::Karras, "karras", "Karras", 7.0, false),
    row(Schedule::Exponential, "exponential", "Exponential", -1.0, false),
    row(Schedule::Polyexponential, "polyexponential", "Polyexponential", 1.0, false),
    ScheduleRow {
        aliases: &["SGMUniform"],
        ..row(Schedule::SgmUniform, "sgm_uniform", "SGM Uniform", -1.0, true)
    },
    row(Schedule::KlOptimal, "kl_optimal", "KL Optimal", -1.0, false),
    row(Schedule::AlignYourSteps, "align_your_steps", "Align Your Steps", -1.0, false),
    row(Schedule::Simple, "simple", "Simple", -1.0, true),
    row(Schedule::Normal, "normal", "Normal", -1.0, true),
    row(Schedule::Ddim, "ddim", "DDIM", -1.0, true),
    row(Schedule::Beta, "beta", "Beta", -1.0, true),
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
    pub(super) fn suffix_of(sampler_name: &str) -> Option<(Self, &str)> {
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
