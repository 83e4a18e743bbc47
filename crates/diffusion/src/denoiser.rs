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
    Timestep(f32),
}

/// What turns latents into a UNet's input and its output into an estimate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Denoiser {
    levels: NoiseLevels,
    /// Whether the output is velocity; otherwise it is the noise.
    predicts_velocity: bool,
    /// Whether the UNet is told whole training times only.
    quantized: bool,
    /// Whether the model is one of latent consistency.
    consistency: bool,
}

/// Of latent consistency models (Luo et al. 2023): the scale of data, and of training times.
const CONSISTENCY_DATA: f32 = 0.5;
const CONSISTENCY_TIME: f32 = 10.0;

impl Denoiser {
    /// The denoiser of a model trained on `levels`.
    pub fn new(levels: NoiseLevels, prediction: Prediction) -> Self {
        let predicts_velocity = prediction == Prediction::Velocity;
        Self { levels, predicts_velocity, quantized: false, consistency: false }
    }

    /// The same, telling the UNet whole training times only, if `quantized`.
    #[must_use]
    pub fn quantized(self, quantized: bool) -> Self {
        Self { quantized, ..self }
    }

    /// The same for a latent consistency model, whose estimates lean towards the latent at low training times.
    #[must_use]
    pub fn of_consistency_model(self) -> Self {
        Self { consistency: true, ..self }
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
                (input, self.timestep_of(sigma))
            }
            Level::Timestep(timestep) => (input, timestep),
        }
    }

    fn timestep_of(&self, sigma: f32) -> f32 {
        if self.quantized { self.levels.nearest_timestep(sigma) } else { self.levels.timestep_of(sigma) }
    }

    /// What a raw `output` of the UNet says of `latent`: at a sigma the clean latent, at a timestep the noise.
    pub fn estimate(&self, latent: &[f32], output: &[f32], level: Level) -> Vec<f32> {
        let (of_latent, of_output) = match level {
            Level::Sigma(sigma) if self.consistency => self.consistency_weights(sigma),
            level => self.weights(level),
        };
        latent.iter().zip(output).map(|(x, out)| out * of_output + x * of_latent).collect()
    }

    /// The weights of latent and output in a consistency model's estimate (Luo et al. 2023, equation 9).
    fn consistency_weights(&self, sigma: f32) -> (f32, f32) {
        let time = self.timestep_of(sigma) * CONSISTENCY_TIME;
        let variance = time * time + CONSISTENCY_DATA * CONSISTENCY_DATA;
        let (skip, out) = (CONSISTENCY_DATA * CONSISTENCY_DATA / variance, time / variance.sqrt());
        let (of_latent, of_output) = self.weights(Level::Sigma(sigma));
        (out * of_latent + skip, out * of_output)
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
        for timestep in [1.0, 500.0, 999.0] {
            let alpha = levels.alpha_cumprod(timestep);
            let sigma = levels.sigma_at(timestep);
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
    fn consistency_models_lean_towards_the_latent() {
        let levels = NoiseLevels::scaled_linear((0.00085, 0.012)).of_consistency_models();
        let lowest = Level::Sigma(levels.sigma_range().0);
        let plain = Denoiser::new(levels, Prediction::Epsilon);
        let [estimate] = plain.estimate(&[1.0], &[2.0], lowest)[..] else { panic!("one in, one out") };
        let [leaning] = plain.of_consistency_model().estimate(&[1.0], &[2.0], lowest)[..] else {
            panic!("one in, one out")
        };
        let skip = 0.25 / (190.0f32 * 190.0 + 0.25);
        assert!((leaning - (estimate * (1.0 - skip).sqrt() + skip)).abs() < 1e-7, "{leaning} {estimate}");
    }

    #[test]
    fn inputs_have_unit_variance_and_the_time_of_their_sigma() {
        let denoiser = Denoiser::new(NoiseLevels::scaled_linear((0.00085, 0.012)), Prediction::Epsilon);
        let latent = Array::new([1, 1, 1], vec![10.0]).unwrap();
        let (input, timestep) = denoiser.input(&latent, Level::Sigma(denoiser.levels().sigma_at(999.0)));
        assert!((input.data()[0] - 10.0 / 14.6488).abs() < 1e-4, "{input:?}");
        assert_eq!(timestep, 999.0);
        assert_eq!(denoiser.input(&latent, Level::Timestep(41.0)), (latent.clone(), 41.0));
        let between = Level::Sigma(denoiser.levels().sigma_at(40.4));
        assert!((denoiser.input(&latent, between).1 - 40.4).abs() < 1e-3);
        assert_eq!(denoiser.quantized(true).input(&latent, between).1, 40.0);
    }
}
