//! Denoising diffusion implicit models (Song et al. 2021, equation 12), over A1111's list of training times.

use crate::noise::ImageNoise;
use crate::schedule::NoiseLevels;

/// Training times a model knows.
const TIMES: usize = 1000;

/// The training times for `steps` steps asked for, highest first. A1111 spaces them by whole numbers, so that 20 steps
/// are 20 times and 19 transitions, and 30 steps are 31 times. The last is 1, not 0.
pub(super) fn timesteps(steps: u32) -> Vec<usize> {
    let spacing = (TIMES / (steps as usize).max(1)).max(1);
    let mut times: Vec<usize> = (0..TIMES).step_by(spacing).map(|time| (time + 1).min(TIMES - 1)).collect();
    times.reverse();
    times
}

/// A transition between two training times.
pub(super) struct Step {
    alpha: f32,
    alpha_next: f32,
    /// Standard deviation of the noise added.
    sigma: f32,
}

impl Step {
    pub(super) fn new(levels: &NoiseLevels, from: usize, to: usize, eta: f64) -> Self {
        let (alpha, alpha_next) = (levels.alpha_cumprod(from), levels.alpha_cumprod(to));
        let (a, b) = (f64::from(alpha), f64::from(alpha_next));
        let variance = (1.0 - b) / f64::from(1.0 - alpha) * (1.0 - a / b);
        Self { alpha, alpha_next, sigma: (eta * libm::sqrt(variance)) as f32 }
    }

    /// Moves `latent`, given the noise estimated in it; `estimate` becomes the clean latent estimated. Noise beyond what
    /// the next level holds leaves nothing of the direction, where A1111 would take the root of a negative.
    pub(super) fn apply(&self, latent: &mut [f32], estimate: &mut [f32], noise: &mut ImageNoise) {
        let (root, root_next) = (self.alpha.sqrt(), self.alpha_next.sqrt());
        let root_noise = (1.0 - self.alpha).sqrt();
        let direction = (1.0 - self.alpha_next - self.sigma * self.sigma).max(0.0).sqrt();
        for (value, estimate) in latent.iter_mut().zip(estimate.iter_mut()) {
            let epsilon = *estimate;
            *estimate = (*value - root_noise * epsilon) / root;
            *value = root_next * *estimate + direction * epsilon;
        }
        if self.sigma != 0.0 {
            for (value, noise) in latent.iter_mut().zip(noise.ancestral()) {
                *value += self.sigma * noise;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_a1111_does() {
        for (steps, count, highest) in
            [(1, 1, 1), (2, 2, 501), (3, 4, 1000 - 1), (20, 20, 951), (30, 31, 991), (1000, 1000, 999)]
        {
            let times = timesteps(steps);
            assert_eq!((times.len(), times[0], times[count - 1]), (count, highest, 1), "{steps}");
        }
    }
}
