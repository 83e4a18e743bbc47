//! Formulas that several samplers share, in k-diffusion's order of operations.

use crate::schedule::{exp, ln};
use serde::{Deserialize, Serialize};

/// Along the straight line through the estimate, from one sigma to another.
pub(super) fn move_to(latent: &mut [f32], denoised: &[f32], from: f32, to: f32) {
    for (value, denoised) in latent.iter_mut().zip(denoised) {
        *value += (*value - denoised) / from * (to - from);
    }
}

/// `keep * latent - gain * estimate`, which is how exponential integrators step.
pub(super) fn blend(latent: &mut [f32], keep: f32, gain: f32, estimate: &[f32]) {
    for (value, estimate) in latent.iter_mut().zip(estimate) {
        *value = keep * *value - gain * estimate;
    }
}

/// Adds `scale` times each value.
pub(super) fn add(latent: &mut [f32], scale: f32, values: &[f32]) {
    for (value, added) in latent.iter_mut().zip(values) {
        *value += added * scale;
    }
}

/// Adds `scale` times the difference of two estimates.
pub(super) fn add_difference(latent: &mut [f32], scale: f32, new: &[f32], old: &[f32]) {
    for ((value, new), old) in latent.iter_mut().zip(new).zip(old) {
        *value += scale * (new - old);
    }
}

/// A step from one sigma to another made of a step to a lower one, and noise to come up again: that sigma, and the noise's
/// standard deviation. In double precision, since the difference of their squares is all that the first is made of.
pub(super) fn ancestral(from: f32, to: f32, eta: f32) -> (f32, f32) {
    if eta == 0.0 {
        return (to, 0.0);
    }
    let (from, to) = (f64::from(from), f64::from(to));
    let squares = to * to * (from * from - to * to) / (from * from);
    let up = to.min(f64::from(eta) * libm::sqrt(squares.max(0.0)));
    (libm::sqrt(to * to - up * up) as f32, up as f32)
}

/// The sigma whose logarithm is halfway between two.
pub(super) fn log_middle(from: f32, to: f32) -> f32 {
    let (from, to) = (ln(from), ln(to));
    exp(to - (to - from) * 0.5)
}

/// The newest estimates, newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct History(Vec<Vec<f32>>);

impl History {
    /// Puts `estimate` first, and forgets all but `most`.
    pub(super) fn push(&mut self, estimate: &[f32], most: usize) {
        self.0.truncate(most.saturating_sub(1));
        self.0.insert(0, estimate.to_vec());
    }

    /// The estimates there are.
    pub(super) fn newest_first(&self) -> &[Vec<f32>] {
        &self.0
    }
}
