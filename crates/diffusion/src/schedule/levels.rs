//! Noise levels: those a model was trained on.
//!
//! Sigma is the noise's standard deviation beside a clean latent of unit scale (Karras et al. 2022); training time t
//! counts the levels, 0 to 999. Between two levels, the logarithm of sigma is linear in t. Values are computed as
//! k-diffusion does, in `f32`, with logarithms and powers from `libm` so that every machine has the same.

use half::f16;
use serde::{Deserialize, Serialize};

/// Levels a model is trained on.
const LEVELS: usize = 1000;

/// Levels from one that a latent consistency model was distilled on to the next (Luo et al. 2023).
const CONSISTENCY_STRIDE: usize = 20;

/// What is left of the picture's variance at a last level that ought to have nothing: A1111's number, which keeps sigma
/// finite.
const ALMOST_NOTHING: f32 = 4.897_345_4e-8;

/// The noise levels that a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Origin", into = "Origin")]
pub struct NoiseLevels {
    origin: Origin,
    /// All thousand.
    alphas_cumprod: Vec<f32>,
    /// Every `stride`-th, the last among them, lowest first.
    sigmas: Vec<f32>,
    log_sigmas: Vec<f32>,
}

/// What levels follow from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Origin {
    betas: (f64, f64),
    /// Whether levels and what follows from them are rounded to half precision.
    #[serde(default)]
    halved: bool,
    zero_terminal_snr: bool,
    stride: usize,
}

impl From<Origin> for NoiseLevels {
    fn from(origin: Origin) -> Self {
        let (first, last) = (libm::sqrt(origin.betas.0), libm::sqrt(origin.betas.1));
        let step = (last - first) / (LEVELS - 1) as f64;
        let mut product = 1.0;
        let mut alphas_cumprod: Vec<f32> = (0..LEVELS)
            .map(|level| {
                // Each half counted from its own end, as torch does.
                let root = if level < LEVELS / 2 {
                    first + step * level as f64
                } else {
                    last - step * (LEVELS - 1 - level) as f64
                };
                product *= 1.0 - root * root;
                product as f32
            })
            .collect();
        let rounded = |value: f32| if origin.halved { f16::from_f32(value).to_f32() } else { value };
        for alpha in &mut alphas_cumprod {
            *alpha = rounded(*alpha);
        }
        if origin.zero_terminal_snr {
            rescale(&mut alphas_cumprod);
        }
        let stride = origin.stride.clamp(1, LEVELS / 2);
        let sigma = |&alpha: &f32| rounded(rounded(rounded(1.0 - alpha) / alpha).sqrt());
        let sigmas: Vec<f32> = alphas_cumprod.iter().skip(stride - 1).step_by(stride).map(sigma).collect();
        let log_sigmas = sigmas.iter().map(|&sigma| rounded(ln(sigma))).collect();
        Self { origin: Origin { stride, ..origin }, alphas_cumprod, sigmas, log_sigmas }
    }
}

impl From<NoiseLevels> for Origin {
    fn from(levels: NoiseLevels) -> Self {
        levels.origin
    }
}

/// Shifts and scales the roots so that the last is 0 and the first stays: Lin et al. 2023, algorithm 1.
fn rescale(alphas_cumprod: &mut [f32]) {
    let (first, last) = (alphas_cumprod[0].sqrt(), alphas_cumprod[LEVELS - 1].sqrt());
    let scale = first / (first - last);
    for alpha in alphas_cumprod.iter_mut() {
        let root = (alpha.sqrt() - last) * scale;
        *alpha = root * root;
    }
    alphas_cumprod[LEVELS - 1] = ALMOST_NOTHING;
}

impl NoiseLevels {
    /// A thousand levels whose betas grow linearly in their square roots (Rombach et al. 2022) between the two given.
    pub fn scaled_linear(betas: (f64, f64)) -> Self {
        Origin { betas, halved: false, zero_terminal_snr: false, stride: 1 }.into()
    }

    /// The same as they are in half precision, in which versions of A1111 before 1.8 had them.
    #[must_use]
    pub fn in_half_precision(self) -> Self {
        Origin { halved: true, ..self.origin }.into()
    }

    /// The same, rescaled so that the last leaves nothing of the picture (Lin et al. 2023).
    #[must_use]
    pub fn zero_terminal_snr(self) -> Self {
        Origin { zero_terminal_snr: true, ..self.origin }.into()
    }

    /// The fifty of them that latent consistency models are distilled on. Times between them count as the nearest.
    #[must_use]
    pub fn of_consistency_models(self) -> Self {
        Origin { stride: CONSISTENCY_STRIDE, ..self.origin }.into()
    }

    /// The share of the clean latent's variance at training time `timestep`, whose logarithm is linear between levels.
    pub fn alpha_cumprod(&self, timestep: f32) -> f32 {
        let level = timestep.clamp(0.0, (LEVELS - 1) as f32);
        if level.fract() == 0.0 {
            return self.alphas_cumprod[level as usize];
        }
        libm::exp(self.log_alpha_cumprod(level.into())) as f32
    }

    /// The logarithm of that, in double precision.
    pub fn log_alpha_cumprod(&self, timestep: f64) -> f64 {
        let timestep = timestep.clamp(0.0, (LEVELS - 1) as f64);
        let low = (timestep as usize).min(LEVELS - 2);
        let log = |level: usize| libm::log(self.alphas_cumprod[level].into());
        let weight = timestep - low as f64;
        (1.0 - weight) * log(low) + weight * log(low + 1)
    }

    /// The training time at which [`NoiseLevels::log_alpha_cumprod`] is this.
    pub fn time_of_log_alpha(&self, log_alpha: f64) -> f64 {
        let log = |level: usize| libm::log(self.alphas_cumprod[level].into());
        let above = self.alphas_cumprod.partition_point(|&alpha| libm::log(alpha.into()) >= log_alpha);
        let low = above.saturating_sub(1).min(LEVELS - 2);
        low as f64 + ((log(low) - log_alpha) / (log(low) - log(low + 1))).clamp(0.0, 1.0)
    }

    /// The sigmas of the levels, lowest first.
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// The lowest and the highest sigma.
    pub fn sigma_range(&self) -> (f32, f32) {
        (self.sigmas[0], self.sigmas[self.sigmas.len() - 1])
    }

    /// The training times of the lowest and the highest sigma.
    pub fn timestep_range(&self) -> (f32, f32) {
        (self.timestep(0.0), self.timestep((self.sigmas.len() - 1) as f32))
    }

    /// The training time of a level by its place; may lie between two.
    fn timestep(&self, place: f32) -> f32 {
        place * self.origin.stride as f32 + (self.origin.stride - 1) as f32
    }

    /// Training time of a sigma, 0 to 999; may lie between two levels, but for those of consistency models.
    pub fn timestep_of(&self, sigma: f32) -> f32 {
        if self.origin.stride > 1 {
            return self.nearest_timestep(sigma);
        }
        let log_sigma = ln(sigma);
        let above = self.log_sigmas.partition_point(|&level| level <= log_sigma);
        let low = above.saturating_sub(1).min(self.log_sigmas.len() - 2);
        let (low_log, high_log) = (self.log_sigmas[low], self.log_sigmas[low + 1]);
        let weight = ((low_log - log_sigma) / (low_log - high_log)).clamp(0.0, 1.0);
        (1.0 - weight) * low as f32 + weight * (low + 1) as f32
    }

    /// Training time of the level nearest to a sigma, by their logarithms; of two, the lower.
    pub fn nearest_timestep(&self, sigma: f32) -> f32 {
        let log_sigma = ln(sigma);
        let distance = |&(_, &level): &(usize, &f32)| (log_sigma - level).abs();
        let nearest = (self.log_sigmas.iter().enumerate())
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .map_or(0, |(place, _)| place);
        self.timestep(nearest as f32)
    }

    /// Sigma at a training time.
    pub fn sigma_at(&self, timestep: f32) -> f32 {
        let stride = self.origin.stride as f32;
        let place = ((timestep - (stride - 1.0)) / stride).clamp(0.0, (self.sigmas.len() - 1) as f32);
        let (low, high) = (place.floor(), place.ceil());
        let weight = place - low;
        let log_sigma =
            (1.0 - weight) * self.log_sigmas[low as usize] + weight * self.log_sigmas[high as usize];
        exp(log_sigma)
    }
}

/// `count` values from `start` to `end`, each half counted from its own end, as `torch.linspace` does.
pub(crate) fn linspace(start: f32, end: f32, count: usize) -> impl Iterator<Item = f32> {
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

/// The exponential less one, the same on every machine.
pub(crate) fn expm1(x: f32) -> f32 {
    libm::expm1(f64::from(x)) as f32
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
        for (timestep, nearest) in [(0.4, 0.0), (7.0, 7.0), (500.7, 501.0), (998.9, 999.0)] {
            assert_eq!(levels.nearest_timestep(levels.sigma_at(timestep)), nearest, "{timestep}");
        }
    }

    #[test]
    fn alphas_and_sigmas_tell_the_same() {
        let levels = levels();
        for timestep in [0.0, 17.0, 500.25, 999.0] {
            let alpha = levels.alpha_cumprod(timestep);
            let sigma = ((1.0 - alpha) / alpha).sqrt();
            assert!((sigma / levels.sigma_at(timestep) - 1.0).abs() < 1e-5, "{timestep}");
        }
    }

    #[test]
    fn consistency_models_know_every_twentieth_level() {
        let all = levels();
        let some = levels().of_consistency_models();
        assert_eq!((some.sigmas().len(), some.timestep_range()), (50, (19.0, 999.0)));
        assert_eq!(some.sigma_range().1, all.sigma_range().1);
        for (sigma, timestep) in [(all.sigma_at(30.0), 39.0), (all.sigma_at(25.0), 19.0), (0.001, 19.0)] {
            assert_eq!(some.timestep_of(sigma), timestep);
        }
        assert_eq!(some.sigma_at(39.0), some.sigmas()[1]);
    }

    #[test]
    fn rescaled_levels_end_in_noise_alone() {
        let (before, after) = (levels(), levels().zero_terminal_snr());
        assert!((after.sigma_range().1 - 4518.77).abs() < 0.1, "{:?}", after.sigma_range());
        assert!((after.alpha_cumprod(0.0) - before.alpha_cumprod(0.0)).abs() < 1e-6);
        assert!((1..1000).all(|time| after.alpha_cumprod(time as f32) < before.alpha_cumprod(time as f32)));
        let stored = serde_json::to_string(&after).unwrap();
        assert_eq!(serde_json::from_str::<NoiseLevels>(&stored).unwrap(), after);
        assert!(stored.len() < 120, "{stored}");
    }

    #[test]
    fn levels_of_half_precision_are_rounded_at_every_step() {
        // By numpy's float16: alphas, sigmas and their logarithms.
        let levels = levels().in_half_precision();
        assert_eq!(
            [0, 500, 999].map(|level| (levels.sigmas()[level], levels.log_sigmas[level])),
            [(0.03125, -3.464_843_8), (1.618_164_1, 0.481_201_17), (14.609_375, 2.681_640_6)]
        );
    }
}
