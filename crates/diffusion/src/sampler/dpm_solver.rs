//! One step of DPM-Solver (Lu et al. 2022a, algorithms 1, 2 and 3), asked estimate by estimate. `t` is -ln sigma.

use crate::schedule::{exp, expm1};
use serde::{Deserialize, Serialize};

/// A step of order 1, 2 or 3, which takes as many estimates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SolverStep {
    start: Vec<f32>,
    t: f32,
    h: f32,
    order: usize,
    /// The noise estimated so far.
    epsilons: Vec<Vec<f32>>,
}

impl SolverStep {
    /// A step of `latent` from `t` to `t_next`.
    pub(super) fn new(latent: &[f32], t: f32, t_next: f32, order: usize) -> Self {
        Self { start: latent.to_vec(), t, h: t_next - t, order, epsilons: Vec::new() }
    }

    /// The latent that the step began with.
    pub(super) fn start(&self) -> &[f32] {
        &self.start
    }

    /// Where within the step, as a share of it, the second and third estimates are needed.
    fn places(&self) -> [f32; 2] {
        if self.order == 2 { [1.0 / 2.0, 1.0] } else { [1.0 / 3.0, 2.0 / 3.0] }
    }

    fn sigma_after(&self, share: f32) -> f32 {
        exp(-(self.t + share * self.h))
    }

    /// The sigma at which the next estimate is needed.
    pub(super) fn sigma(&self) -> f32 {
        let share = self.epsilons.len().checked_sub(1).map_or(0.0, |at| self.places()[at.min(1)]);
        self.sigma_after(share)
    }

    /// Takes the estimate at the latent asked about, and replaces that by the next to ask about or, when nothing is left
    /// to ask, by the end of the step. Whether that is so.
    pub(super) fn take(&mut self, latent: &mut [f32], denoised: &[f32]) -> bool {
        let sigma = self.sigma();
        self.epsilons.push(latent.iter().zip(denoised).map(|(x, clean)| (x - clean) / sigma).collect());
        let [r_1, r_2] = self.places();
        let done = self.epsilons.len() == self.order;
        let next = match (self.epsilons.len(), done) {
            (1, true) => self.to(1.0, None),
            (1, false) => self.to(r_1, None),
            (2, true) => self.second(r_1),
            (2, false) => {
                let growth = expm1(r_2 * self.h) / (r_2 * self.h) - 1.0;
                self.to(r_2, Some((r_2 / r_1 * growth, 1)))
            }
            _ => self.to(1.0, Some(((expm1(self.h) / self.h - 1.0) / r_2, 2))),
        };
        latent.copy_from_slice(&next);
        done
    }

    /// The end of the step, to second order by the estimates at its beginning and at the share `r` of it.
    fn second(&self, r: f32) -> Vec<f32> {
        self.to(1.0, Some((expm1(self.h) / (2.0 * r), 1)))
    }

    /// The end of the step of order 3, to second order.
    pub(super) fn lower_order_end(&self) -> Vec<f32> {
        self.second(self.places()[0])
    }

    /// The latent after a share of the step, by the first estimate and, with a weight, how far another differs from it.
    fn to(&self, share: f32, bend: Option<(f32, usize)>) -> Vec<f32> {
        let sigma = self.sigma_after(share);
        let gain = sigma * expm1(share * self.h);
        let (weight, other) = bend.map_or((0.0, 0), |(weight, other)| (sigma * weight, other));
        let (first, other) = (&self.epsilons[0], &self.epsilons[other]);
        let bent = self.start.iter().zip(first).zip(other);
        bent.map(|((x, first), other)| x - gain * first - weight * (other - first)).collect()
    }
}
