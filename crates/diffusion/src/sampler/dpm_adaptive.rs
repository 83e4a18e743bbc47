//! DPM-Solver-23 (Lu et al. 2022a, section 4.4), which takes steps as long as their error allows.
//!
//! The error is how far the solutions of second and third order differ; a controller makes the next step's length of
//! it. k-diffusion's controller has proportional and derivative parts too, which nobody sets.

use super::dpm_solver::SolverStep;
use super::math::{add, ancestral};
use crate::denoiser::Level;
use crate::noise::ImageNoise;
use crate::schedule::{exp, ln};
use serde::{Deserialize, Serialize};

const ORDER: usize = 3;
/// The length of the first step.
const FIRST_LENGTH: f64 = 0.05;
/// The error allowed, as a share of a value, and for small values.
const RELATIVE: f32 = 0.05;
const ABSOLUTE: f32 = 0.0078;
/// Steps are repeated if their length would have to be multiplied by less.
const ACCEPTED: f64 = 0.81;
/// With noise, the error counts as one of this order.
const NOISY_ORDER: f64 = 1.5;
/// A step of this length is accepted whatever its error, so that every walk ends.
const SHORTEST: f64 = 1e-3;
/// How near the end counts as there.
const NEAR: f32 = 1e-5;

/// A walk from one sigma to another, neither of which is 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DpmAdaptive {
    t_start: f32,
    t: f32,
    t_end: f32,
    eta: f32,
    /// Length of the next step.
    length: f64,
    /// The second-order solution of the last step that was accepted.
    low: Vec<f32>,
    step: Option<SolverStep>,
}

impl DpmAdaptive {
    /// A walk of `latent` from the sigma `high` to `low`.
    pub(super) fn new(latent: &[f32], (high, low): (f32, f32), eta: f32) -> Self {
        let (t, t_end) = (-ln(high), -ln(low));
        let mut walk =
            Self { t_start: t, t, t_end, eta, length: FIRST_LENGTH, low: latent.to_vec(), step: None };
        walk.begin(latent);
        walk
    }

    fn begin(&mut self, latent: &[f32]) {
        let more = self.t < self.t_end - NEAR;
        self.step = more.then(|| SolverStep::new(latent, self.t, self.ends().1, ORDER));
    }

    /// The present step's end, the end that it solves for, and the noise that lifts it from there.
    fn ends(&self) -> (f32, f32, f32) {
        let t_next = self.t_end.min(self.t + self.length as f32);
        if self.eta == 0.0 {
            return (t_next, t_next, 0.0);
        }
        let (down, _) = ancestral(exp(-self.t), exp(-t_next), self.eta);
        let t_down = self.t_end.min(-ln(down));
        let (sigma, lower) = (exp(-t_next), exp(-t_down));
        (t_next, t_down, (sigma * sigma - lower * lower).max(0.0).sqrt())
    }

    pub(super) fn level(&self) -> Option<Level> {
        self.step.as_ref().map(|step| Level::Sigma(step.sigma()))
    }

    /// The share of the way that is done.
    pub(super) fn done(&self) -> f32 {
        if self.step.is_none() { 1.0 } else { (self.t - self.t_start) / (self.t_end - self.t_start) }
    }

    pub(super) fn advance(&mut self, latent: &mut [f32], denoised: &[f32], noise: &mut ImageNoise) {
        let Some(mut step) = self.step.take() else { return };
        if !step.take(latent, denoised) {
            self.step = Some(step);
            return;
        }
        let (t_next, _, up) = self.ends();
        let low = step.lower_order_end();
        let order = if self.eta == 0.0 { ORDER as f64 } else { NOISY_ORDER };
        let factor = factor(self.error(&low, latent), order);
        if factor >= ACCEPTED || self.length <= SHORTEST {
            self.low = low;
            self.t = t_next;
            if self.eta != 0.0 {
                add(latent, up, &noise.ancestral());
            }
        } else {
            latent.copy_from_slice(step.start());
        }
        self.length = (self.length * factor).max(SHORTEST);
        self.begin(latent);
    }

    /// The root of the mean square of how far two solutions differ, in units of what is allowed.
    fn error(&self, low: &[f32], high: &[f32]) -> f64 {
        let squares = low.iter().zip(high).zip(&self.low).map(|((low, high), before)| {
            let allowed = ABSOLUTE.max(RELATIVE * low.abs().max(before.abs()));
            let error = f64::from((low - high) / allowed);
            error * error
        });
        libm::sqrt(squares.sum::<f64>() / low.len().max(1) as f64)
    }
}

/// What the length of a step of this error is to be multiplied with for the next.
fn factor(error: f64, order: f64) -> f64 {
    let error = if error.is_nan() { f64::INFINITY } else { error };
    let wanted = libm::pow(1.0 / (error + 1e-8), 1.0 / order);
    1.0 + libm::atan(wanted - 1.0)
}
