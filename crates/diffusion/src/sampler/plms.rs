//! The pseudo linear multistep method (Liu et al. 2022, section 3.3), over DDIM's transitions. The first step asks twice.

use super::Told;
use super::ddim::Transition;
use super::math::History;
use super::times::Stop;
use crate::denoiser::Level;
use serde::{Deserialize, Serialize};

/// Weights of the newest estimates of the noise, newest first, by how many there are (Adams and Bashforth).
const WEIGHTS: [&[f32]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

/// A walk over training times; the last is where the latent ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plms {
    stops: Vec<Stop>,
    index: usize,
    /// The newest estimates of the noise.
    epsilons: History,
    /// The latent that the first step began with, while it is asked about its end.
    start: Option<Vec<f32>>,
}

impl Plms {
    pub(super) fn new(stops: Vec<Stop>) -> Self {
        Self { stops, index: 0, epsilons: History::default(), start: None }
    }

    fn transition(&self) -> Option<Transition> {
        Some(Transition::new(*self.stops.get(self.index)?, *self.stops.get(self.index + 1)?, 0.0))
    }

    pub(super) fn level(&self) -> Option<Level> {
        self.transition()?;
        Some(Level::Timestep(self.stops[self.index + usize::from(self.start.is_some())].time))
    }

    /// Steps done and in all.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.index, self.stops.len().saturating_sub(1))
    }

    /// Estimates needed from the first step to the last.
    pub(super) fn calls(&self) -> usize {
        let steps = self.progress().1;
        steps + usize::from(steps > 0)
    }

    pub(super) fn advance(&mut self, latent: &mut [f32], told: &mut Told<'_>) {
        let Some(transition) = self.transition() else { return };
        let estimate = &mut *told.estimate;
        match self.start.take() {
            None if self.index == 0 => {
                self.start = Some(latent.to_vec());
                self.epsilons.push(estimate, WEIGHTS.len());
                transition.apply(latent, estimate, None);
                return;
            }
            Some(start) => {
                latent.copy_from_slice(&start);
                for (value, first) in estimate.iter_mut().zip(&self.epsilons.newest_first()[0]) {
                    *value = f32::midpoint(*first, *value);
                }
            }
            None => {
                self.epsilons.push(estimate, WEIGHTS.len());
                let known = self.epsilons.newest_first();
                estimate.fill(0.0);
                for (epsilon, weight) in known.iter().zip(WEIGHTS[known.len() - 1]) {
                    estimate.iter_mut().zip(epsilon).for_each(|(sum, value)| *sum += weight * value);
                }
            }
        }
        transition.apply(latent, estimate, None);
        self.index += 1;
    }
}
