//! DPM-Solver-fast (Lu et al. 2022a, appendix D.3): steps of order 3, and at the end lower ones, for so many model calls.

use super::dpm_solver::SolverStep;
use super::math::{add, ancestral};
use crate::denoiser::Level;
use crate::noise::ImageNoise;
use crate::schedule::{exp, linspace, ln};
use serde::{Deserialize, Serialize};

/// A walk from one sigma to another, neither of which is 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DpmFast {
    /// -ln sigma between the steps.
    ts: Vec<f32>,
    calls: usize,
    eta: f32,
    s_noise: f32,
    index: usize,
    step: Option<SolverStep>,
}

impl DpmFast {
    /// A walk of `latent` from the sigma `high` to `low` with so many model calls.
    pub(super) fn new(latent: &[f32], (high, low): (f32, f32), calls: usize, eta: f32, s_noise: f32) -> Self {
        let steps = if calls == 0 { 0 } else { calls / 3 + 1 };
        let ts = linspace(-ln(high), -ln(low), steps + 1).collect();
        let mut walk = Self { ts, calls, eta, s_noise, index: 0, step: None };
        walk.begin(latent);
        walk
    }

    /// The order of the step of this index: 3, but the last makes up the number of calls, and if that is a multiple of 3,
    /// so do the last two.
    fn order(&self, index: usize) -> usize {
        let left = self.ts.len() - 1 - index;
        match (self.calls % 3, left) {
            (0, 1 | 2) => left,
            (rest, 1) => rest,
            _ => 3,
        }
    }

    fn begin(&mut self, latent: &[f32]) {
        self.step =
            self.ends().map(|(t, t_down, _)| SolverStep::new(latent, t, t_down, self.order(self.index)));
    }

    /// The present step's begin, the end that it solves for, and the noise that lifts it to the end that it has.
    fn ends(&self) -> Option<(f32, f32, f32)> {
        let (&t, &t_next) = (self.ts.get(self.index)?, self.ts.get(self.index + 1)?);
        let (down, _) = ancestral(exp(-t), exp(-t_next), self.eta);
        if self.eta == 0.0 {
            return Some((t, t_next, 0.0));
        }
        let t_down = self.ts[self.ts.len() - 1].min(-ln(down));
        let (sigma, lower) = (exp(-t_next), exp(-t_down));
        Some((t, t_down, (sigma * sigma - lower * lower).max(0.0).sqrt()))
    }

    pub(super) fn level(&self) -> Option<Level> {
        self.step.as_ref().map(|step| Level::Sigma(step.sigma()))
    }

    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    pub(super) fn advance(&mut self, latent: &mut [f32], denoised: &[f32], noise: &mut ImageNoise) {
        let (Some(mut step), Some((_, _, up))) = (self.step.take(), self.ends()) else { return };
        if !step.take(latent, denoised) {
            self.step = Some(step);
            return;
        }
        if self.eta != 0.0 {
            add(latent, up * self.s_noise, &noise.ancestral());
        }
        self.index += 1;
        self.begin(latent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_add_up_to_the_calls() {
        for calls in 1..40 {
            let walk = DpmFast::new(&[0.0], (14.6, 0.03), calls, 1.0, 1.0);
            let orders = (0..walk.ts.len() - 1).map(|index| walk.order(index));
            assert_eq!(orders.sum::<usize>(), calls, "{calls}");
        }
    }
}
