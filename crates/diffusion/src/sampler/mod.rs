//! Samplers: how a latent is moved from noise to a picture, one answer at a time.
//!
//! A sampler says of which latent, and at which level, it must know an estimate ([`SamplerState::latent`],
//! [`SamplerState::level`]) and moves on when it is told ([`SamplerState::advance`]). It never calls a model, so it can be
//! stored between any two calls.

mod ddim;
mod dpm_adaptive;
mod dpm_fast;
mod dpm_solver;
mod euler;
mod heun;
mod lcm;
mod lms;
mod math;
mod multistep;
mod plms;
mod start;
mod times;
mod two_stage;
mod unipc;
mod walk;

pub use start::{InitialLatent, Sampling};

use crate::denoiser::Level;
use crate::noise::ImageNoise;
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};

/// A latent on its way, and what moves it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SamplerState {
    path: Path,
    /// Steps asked for.
    asked: usize,
    /// Estimates told so far.
    calls: usize,
    latent: Array,
    /// The newest estimate of the clean latent.
    denoised: Option<Array>,
}

/// The kinds of ways down.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Path {
    Sigmas(walk::SigmaWalk),
    Fast(dpm_fast::DpmFast),
    Adaptive(dpm_adaptive::DpmAdaptive),
    Ddim(ddim::Ddim),
    Plms(plms::Plms),
    UniPc(unipc::UniPc),
}

/// What a sampler is told.
struct Told<'a> {
    /// The estimate after guidance, as [`crate::Denoiser::estimate`] gives it. Where it is of the noise, it becomes one of the
    /// clean latent.
    estimate: &'a mut [f32],
    /// The estimate without the prompt, if there is guidance.
    unconditional: Option<&'a [f32]>,
}

impl SamplerState {
    /// Where an estimate is needed next; `None` once the latent has arrived.
    pub fn level(&self) -> Option<Level> {
        match &self.path {
            Path::Sigmas(walk) => walk.level(),
            Path::Fast(walk) => walk.level(),
            Path::Adaptive(walk) => walk.level(),
            Path::Ddim(walk) => walk.level(),
            Path::Plms(walk) => walk.level(),
            Path::UniPc(walk) => walk.level(),
        }
    }

    /// Takes the `estimate` of [`SamplerState::latent`] at [`SamplerState::level`] after guidance, as
    /// [`crate::Denoiser::estimate`] gives it, and that without the prompt, if there is guidance. Does nothing once the
    /// latent has arrived, or if an estimate has another size.
    pub fn advance(&mut self, mut estimate: Array, unconditional: Option<&[f32]>, noise: &mut ImageNoise) {
        let fits = unconditional.is_none_or(|values| values.len() == estimate.data().len());
        if self.level().is_none() || estimate.shape() != self.latent.shape() || !fits {
            return;
        }
        let latent = self.latent.data_mut();
        let mut told = Told { estimate: estimate.data_mut(), unconditional };
        match &mut self.path {
            Path::Sigmas(walk) => walk.advance(latent, &told, noise),
            Path::Fast(walk) => walk.advance(latent, told.estimate, noise),
            Path::Adaptive(walk) => walk.advance(latent, told.estimate, noise),
            Path::Ddim(walk) => walk.advance(latent, &mut told, noise),
            Path::Plms(walk) => walk.advance(latent, &mut told),
            Path::UniPc(walk) => walk.advance(latent, &mut told),
        }
        self.denoised = Some(estimate);
        self.calls += 1;
    }

    /// The latent that an estimate is needed of, or, once there is no more to ask, the one arrived at.
    pub fn latent(&self) -> &Array {
        &self.latent
    }

    /// The newest estimate of the clean latent.
    pub fn denoised(&self) -> Option<&Array> {
        self.denoised.as_ref()
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.progress().0
    }

    /// Steps in all.
    pub fn steps(&self) -> usize {
        self.progress().1
    }

    /// Estimates told so far.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// Estimates needed from the first step to the last; `None` where that will show.
    pub fn calls_needed(&self) -> Option<usize> {
        match &self.path {
            Path::Sigmas(walk) => Some(walk.calls()),
            Path::Fast(walk) => Some(walk.calls()),
            Path::Adaptive(_) => None,
            Path::Plms(walk) => Some(walk.calls()),
            Path::Ddim(_) | Path::UniPc(_) => Some(self.steps()),
        }
    }

    /// Steps done and in all. DPM fast's are its model calls; DPM adaptive, which makes as many as it needs, counts the way
    /// it has come in the steps asked for.
    fn progress(&self) -> (usize, usize) {
        match &self.path {
            Path::Sigmas(walk) => walk.progress(),
            Path::Fast(walk) => (self.calls, walk.calls()),
            Path::Adaptive(walk) => ((walk.done() * self.asked as f32) as usize, self.asked),
            Path::Ddim(walk) => walk.progress(),
            Path::Plms(walk) => walk.progress(),
            Path::UniPc(walk) => walk.progress(),
        }
    }
}
