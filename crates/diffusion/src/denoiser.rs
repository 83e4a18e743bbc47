//! The parameterisation: what to feed a UNet at a noise level, and what its raw output says there. Knows no guidance.
//!
//! k-diffusion's discrete denoisers (Karras et al. 2022, table 1) at a sigma; Song et al. 2021 at a timestep.

use crate::schedule::NoiseLevels;
use impasto_tensor::Array;
use impasto_weights::Prediction;
use serde::{Deserialize, Serialize};

/// Where between noise and picture a latent is, in the measure that its sampler uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Level {
    /// The latent is the picture plus noise of this standard deviation.
    Sigma(f32),
    /// The latent has unit variance and the noise of this training time.
    Timestep(usize),
}

/// What turns latents into a UNet's input and its output into an estimate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Denoiser {
    levels: NoiseLevels,
    /// Whether the output is velocity; otherwise it is the noise.
    predicts_velocity: bool,
}

impl Denoiser {
    /// The denoiser of a model trained on `levels`.
    pub fn new(levels: NoiseLevels, prediction: Prediction) -> Self {
        Self { levels, predicts_velocity: prediction == Prediction::Velocity }
    }

    /// The noise levels of the model.
    pub fn levels(&self) -> &NoiseLevels {
        &self.levels
    }

    /// The UNet's input latent and timestep.
    pub fn input(&self, latent: &Array, level: Level) -> (Array, f32) {
        let mut input = latent.clone();
        match level {
            Level::Sigma(sigma) => {
                let scale = 1.0 / (sigma * sigma + 1.0).sqrt();
                input.data_mut().iter_mut().for_each(|value| *value *= scale);
                (input, self.levels.timestep_of(sigma))
            }
            Level::Timestep(timestep) => (input, timestep as f32),
        }
    }

    /// What a raw `output` of the UNet says of `latent`: at a sigma the clean latent, at a timestep the noise.
    pub fn estimate(&self, latent: &[f32], output: &[f32], level: Level) -> Vec<f32> {
        let (of_latent, of_output) = self.weights(level);
        latent.iter().zip(output).map(|(x, out)| out * of_output + x * of_latent).collect()
    }

    /// The weights of latent and output in the estimate.
    fn weights(&self, level: Level) -> (f32, f32) {
        match (level, self.predicts_velocity) {
            (Level::Sigma(sigma), false) => (1.0, -sigma),
            (Level::Sigma(sigma), true) => {
                let variance = sigma * sigma + 1.0;
                (1.0 / variance, -sigma / variance.sqrt())
            }
            (Level::Timestep(_), false) => (0.0, 1.0),
            (Level::Timestep(timestep), true) => {
                let alpha = self.levels.alpha_cumprod(timestep);
                ((1.0 - alpha).sqrt(), alpha.sqrt())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A latent made of a known picture and known noise gives them back, whichever way the model tells them.
    #[test]
    fn perfect_outputs_give_the_picture_back() {
        let levels = NoiseLevels::scaled_linear((0.00085, 0.012));
        let (picture, noise) = (0.7f32, -1.3f32);
        for timestep in [1usize, 500, 999] {
            let alpha = levels.alpha_cumprod(timestep);
            let sigma = levels.sigma_at(timestep as f32);
            let velocity = alpha.sqrt() * noise - (1.0 - alpha).sqrt() * picture;
            for (prediction, output) in [(Prediction::Epsilon, noise), (Prediction::Velocity, velocity)] {
                let denoiser = Denoiser::new(levels.clone(), prediction);
                let [clean] =
                    denoiser.estimate(&[picture + sigma * noise], &[output], Level::Sigma(sigma))[..]
                else {
                    panic!("one value in, one out")
                };
                assert!((clean - picture).abs() < 1e-5, "{prediction:?} {timestep}: {clean}");
                let mixed = alpha.sqrt() * picture + (1.0 - alpha).sqrt() * noise;
                let [epsilon] = denoiser.estimate(&[mixed], &[output], Level::Timestep(timestep))[..] else {
                    panic!("one value in, one out")
                };
                assert!((epsilon - noise).abs() < 1e-5, "{prediction:?} {timestep}: {epsilon}");
            }
        }
    }

    #[test]
    fn inputs_have_unit_variance_and_the_time_of_their_sigma() {
        let denoiser = Denoiser::new(NoiseLevels::scaled_linear((0.00085, 0.012)), Prediction::Epsilon);
        let latent = Array::new([1, 1, 1], vec![10.0]).unwrap();
        let (input, timestep) = denoiser.input(&latent, Level::Sigma(denoiser.levels().sigma_at(999.0)));
        assert!((input.data()[0] - 10.0 / 14.6488).abs() < 1e-4, "{input:?}");
        assert_eq!(timestep, 999.0);
        assert_eq!(denoiser.input(&latent, Level::Timestep(41)), (latent, 41.0));
    }
}
