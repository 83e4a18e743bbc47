//! Samplers: how a latent is moved from noise to a picture, one answer at a time.
//!
//! A sampler says at which level it must know an estimate ([`SamplerState::level`]) and moves on when it is told
//! ([`SamplerState::advance`]). It never calls a model, so it can be stored between any two steps.

mod ddim;
mod sigma;

use crate::denoiser::Level;
use crate::noise::ImageNoise;
use crate::schedule::NoiseLevels;
use impasto_domain::{Sampler, Schedule};
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};

/// A latent on its way, and the rule that moves it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SamplerState {
    rule: Rule,
    /// Steps done.
    index: usize,
    latent: Array,
    /// The newest estimate of the clean latent.
    denoised: Option<Array>,
}

/// What tells samplers apart.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Rule {
    /// Sigmas, of which the last is 0.
    Euler {
        sigmas: Vec<f32>,
    },
    EulerAncestral {
        sigmas: Vec<f32>,
        eta: f32,
    },
    DpmPp2m {
        sigmas: Vec<f32>,
    },
    /// Training times, highest first; the last is where the latent ends.
    Ddim {
        timesteps: Vec<usize>,
        eta: f64,
    },
}

impl SamplerState {
    /// A sampler about to make its first step from `noise`, which has unit variance.
    ///
    /// `steps` is what was asked for. [`Sampler::Ddim`] makes as many steps as A1111's, which is often one less, or one
    /// more; at `steps` of 1 it makes none. It has no schedule.
    pub fn new(
        sampler: Sampler,
        schedule: Schedule,
        steps: u32,
        eta: Option<f64>,
        levels: &NoiseLevels,
        mut noise: Array,
    ) -> Self {
        let sigmas = || levels.sigmas(sampler, schedule, steps);
        let rule = match sampler {
            Sampler::Euler => Rule::Euler { sigmas: sigmas() },
            Sampler::EulerAncestral => {
                Rule::EulerAncestral { sigmas: sigmas(), eta: eta.unwrap_or(1.0) as f32 }
            }
            Sampler::DpmPp2m => Rule::DpmPp2m { sigmas: sigmas() },
            Sampler::Ddim => Rule::Ddim { timesteps: ddim::timesteps(steps), eta: eta.unwrap_or(0.0) },
        };
        if let Some(first) = rule.sigmas().and_then(|sigmas| sigmas.first()) {
            noise.data_mut().iter_mut().for_each(|value| *value *= first);
        }
        Self { rule, index: 0, latent: noise, denoised: None }
    }

    /// Where an estimate is needed next; `None` once the latent has arrived.
    pub fn level(&self) -> Option<Level> {
        if self.steps_done() == self.steps() {
            return None;
        }
        match &self.rule {
            Rule::Ddim { timesteps, .. } => {
                timesteps.get(self.index).map(|&timestep| Level::Timestep(timestep))
            }
            rule => rule.sigmas()?.get(self.index).map(|&sigma| Level::Sigma(sigma)),
        }
    }

    /// Takes the `estimate` at [`SamplerState::level`], as [`crate::Denoiser::estimate`] gives it, and makes a step.
    /// Does nothing once the latent has arrived, or if the estimate has another size.
    pub fn advance(&mut self, mut estimate: Array, levels: &NoiseLevels, noise: &mut ImageNoise) {
        if self.level().is_none() || estimate.shape() != self.latent.shape() {
            return;
        }
        let latent = self.latent.data_mut();
        match &self.rule {
            Rule::Euler { sigmas } => sigma::euler(latent, estimate.data(), sigmas, self.index),
            Rule::EulerAncestral { sigmas, eta } => {
                sigma::euler_ancestral(latent, estimate.data(), sigmas, self.index, *eta, noise);
            }
            Rule::DpmPp2m { sigmas } => {
                let old = self.denoised.as_ref().map(Array::data);
                sigma::dpmpp_2m(latent, estimate.data(), old, sigmas, self.index);
            }
            Rule::Ddim { timesteps, eta } => {
                let step = ddim::Step::new(levels, timesteps[self.index], timesteps[self.index + 1], *eta);
                step.apply(latent, estimate.data_mut(), noise);
            }
        }
        self.denoised = Some(estimate);
        self.index += 1;
    }

    /// The latent as it is.
    pub fn latent(&self) -> &Array {
        &self.latent
    }

    /// The newest estimate of the clean latent.
    pub fn denoised(&self) -> Option<&Array> {
        self.denoised.as_ref()
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.index
    }

    /// Steps in all.
    pub fn steps(&self) -> usize {
        let points = match &self.rule {
            Rule::Ddim { timesteps, .. } => timesteps.len(),
            rule => rule.sigmas().map_or(0, <[f32]>::len),
        };
        points.saturating_sub(1)
    }
}

impl Rule {
    fn sigmas(&self) -> Option<&[f32]> {
        match self {
            Self::Euler { sigmas } | Self::EulerAncestral { sigmas, .. } | Self::DpmPp2m { sigmas } => {
                Some(sigmas)
            }
            Self::Ddim { .. } => None,
        }
    }
}
