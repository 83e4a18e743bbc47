//! Noise levels: those a model was trained on, and those a sampler walks.
//!
//! Sigma is the noise's standard deviation beside a clean latent of unit scale (Karras et al. 2022); training time t
//! counts the levels, 0 to 999. Between two levels, the logarithm of sigma is linear in t. Values are computed as
//! k-diffusion does, in `f32`, with logarithms and powers from `libm` so that every machine has the same.

use impasto_domain::{Sampler, Schedule};
use serde::{Deserialize, Serialize};

/// Levels a model is trained on.
const LEVELS: usize = 1000;

/// The rho of Karras et al. 2022, equation 5.
const KARRAS_RHO: f64 = 7.0;

/// The noise levels that a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, f64)", into = "(f64, f64)")]
pub struct NoiseLevels {
    betas: (f64, f64),
    alphas_cumprod: Vec<f32>,
    sigmas: Vec<f32>,
    log_sigmas: Vec<f32>,
}

impl From<(f64, f64)> for NoiseLevels {
    fn from(betas: (f64, f64)) -> Self {
        Self::scaled_linear(betas)
    }
}

impl From<NoiseLevels> for (f64, f64) {
    fn from(levels: NoiseLevels) -> Self {
        levels.betas
    }
}

impl NoiseLevels {
    /// A thousand levels whose betas grow linearly in their square roots (Rombach et al. 2022) between the two given.
    pub fn scaled_linear(betas: (f64, f64)) -> Self {
        let (first, last) = (libm::sqrt(betas.0), libm::sqrt(betas.1));
        let mut product = 1.0;
        let alphas_cumprod: Vec<f32> = (0..LEVELS)
            .map(|level| {
                let root = first + (last - first) * level as f64 / (LEVELS - 1) as f64;
                product *= 1.0 - root * root;
                product as f32
            })
            .collect();
        let sigmas: Vec<f32> = alphas_cumprod.iter().map(|&alpha| ((1.0 - alpha) / alpha).sqrt()).collect();
        let log_sigmas = sigmas.iter().map(|&sigma| ln(sigma)).collect();
        Self { betas, alphas_cumprod, sigmas, log_sigmas }
    }

    /// The share of the clean latent's variance at training time `timestep`; the last level's beyond it.
    pub fn alpha_cumprod(&self, timestep: usize) -> f32 {
        self.alphas_cumprod[timestep.min(LEVELS - 1)]
    }

    /// The lowest and the highest sigma.
    pub fn sigma_range(&self) -> (f32, f32) {
        (self.sigmas[0], self.sigmas[LEVELS - 1])
    }

    /// Training time of a sigma, 0 to 999; may lie between two.
    pub fn timestep_of(&self, sigma: f32) -> f32 {
        let log_sigma = ln(sigma);
        let above = self.log_sigmas.partition_point(|&level| level <= log_sigma);
        let low = above.saturating_sub(1).min(LEVELS - 2);
        let (low_log, high_log) = (self.log_sigmas[low], self.log_sigmas[low + 1]);
        let weight = ((low_log - log_sigma) / (low_log - high_log)).clamp(0.0, 1.0);
        (1.0 - weight) * low as f32 + weight * (low + 1) as f32
    }

    /// Sigma at a training time.
    pub fn sigma_at(&self, timestep: f32) -> f32 {
        let timestep = timestep.clamp(0.0, (LEVELS - 1) as f32);
        let (low, high) = (timestep.floor(), timestep.ceil());
        let weight = timestep - low;
        let log_sigma =
            (1.0 - weight) * self.log_sigmas[low as usize] + weight * self.log_sigmas[high as usize];
        exp(log_sigma)
    }

    /// The sigmas that `steps` steps of a sampler go through, highest first, and the 0 that they end at.
    pub fn sigmas(&self, sampler: Sampler, schedule: Schedule, steps: u32) -> Vec<f32> {
        let schedule = match schedule {
            Schedule::Automatic => sampler.default_schedule().unwrap_or(Schedule::Uniform),
            named => named,
        };
        let steps = steps as usize;
        let (low, high) = self.sigma_range();
        let last_timestep = (LEVELS - 1) as f32;
        let mut sigmas: Vec<f32> = match schedule {
            Schedule::Automatic | Schedule::Uniform => {
                linspace(last_timestep, 0.0, steps).map(|timestep| self.sigma_at(timestep)).collect()
            }
            Schedule::Karras => karras(low, high, steps),
            Schedule::Exponential => {
                let (low, high) = (libm::log(f64::from(low)), libm::log(f64::from(high)));
                linspace(high as f32, low as f32, steps).map(exp).collect()
            }
            Schedule::SgmUniform => linspace(last_timestep, 0.0, steps + 1)
                .take(steps)
                .map(|timestep| self.sigma_at(timestep))
                .collect(),
        };
        sigmas.push(0.0);
        sigmas
    }
}

/// Karras et al. 2022, equation 5.
fn karras(low: f32, high: f32, steps: usize) -> Vec<f32> {
    let root = |sigma: f32| libm::pow(f64::from(sigma), 1.0 / KARRAS_RHO);
    let (low, high) = (root(low), root(high));
    linspace(0.0, 1.0, steps)
        .map(|ramp| {
            let base = high as f32 + ramp * (low - high) as f32;
            libm::pow(f64::from(base), KARRAS_RHO) as f32
        })
        .collect()
}

/// `count` values from `start` to `end`, each half counted from its own end, as `torch.linspace` does.
fn linspace(start: f32, end: f32, count: usize) -> impl Iterator<Item = f32> {
    let step = if count > 1 { (end - start) / (count - 1) as f32 } else { 0.0 };
    (0..count).map(move |index| {
        if index < count / 2 || count == 1 {
            start + step * index as f32
        } else {
            end - step * (count - 1 - index) as f32
        }
    })
}

/// The natural logarithm, the same on every machine.
pub(crate) fn ln(x: f32) -> f32 {
    libm::log(f64::from(x)) as f32
}

/// The exponential, the same on every machine.
pub(crate) fn exp(x: f32) -> f32 {
    libm::exp(f64::from(x)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> NoiseLevels {
        NoiseLevels::scaled_linear((0.00085, 0.012))
    }

    #[test]
    fn stable_diffusion_has_its_known_range() {
        let (low, high) = levels().sigma_range();
        assert!((low - 0.0292).abs() < 1e-4, "{low}");
        assert!((high - 14.6146).abs() < 1e-4, "{high}");
    }

    #[test]
    fn sigma_and_timestep_are_inverse() {
        let levels = levels();
        for timestep in [0.0, 0.25, 1.0, 500.5, 998.75, 999.0] {
            let back = levels.timestep_of(levels.sigma_at(timestep));
            assert!((back - timestep).abs() < 1e-3, "{timestep} {back}");
        }
        assert_eq!(levels.timestep_of(0.001), 0.0);
        assert_eq!(levels.timestep_of(100.0), 999.0);
    }

    #[test]
    fn every_schedule_falls_to_zero() {
        for schedule in Schedule::all() {
            for steps in [1, 2, 20, 1000] {
                let sigmas = levels().sigmas(Sampler::Euler, schedule, steps);
                assert_eq!(sigmas.len(), steps as usize + 1);
                assert!(sigmas.windows(2).all(|pair| pair[0] > pair[1]), "{schedule:?} {steps} {sigmas:?}");
                assert_eq!(sigmas[steps as usize], 0.0);
            }
        }
    }

    #[test]
    fn automatic_is_what_the_sampler_does_best_with() {
        let levels = levels();
        let of = |sampler, schedule| levels.sigmas(sampler, schedule, 12);
        assert_eq!(of(Sampler::Euler, Schedule::Automatic), of(Sampler::Euler, Schedule::Uniform));
        assert_eq!(of(Sampler::DpmPp2m, Schedule::Automatic), of(Sampler::DpmPp2m, Schedule::Karras));
    }
}
