//! Denoising diffusion implicit models (Song et al. 2021, equation 12), and with CFG++ (Chung et al. 2024).

use super::Told;
use super::math::add;
use super::times::Stop;
use crate::denoiser::Level;
use crate::noise::ImageNoise;
use serde::{Deserialize, Serialize};

/// A walk over training times; the last is where the latent ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ddim {
    stops: Vec<Stop>,
    eta: f64,
    /// CFG++: whether the way on goes by the estimate without the prompt.
    unconditional_direction: bool,
    index: usize,
}

impl Ddim {
    pub(super) fn new(stops: Vec<Stop>, eta: f64, unconditional_direction: bool) -> Self {
        Self { stops, eta, unconditional_direction, index: 0 }
    }

    fn transition(&self) -> Option<Transition> {
        Some(Transition::new(*self.stops.get(self.index)?, *self.stops.get(self.index + 1)?, self.eta))
    }

    pub(super) fn level(&self) -> Option<Level> {
        self.transition().map(|_| Level::Timestep(self.stops[self.index].time))
    }

    /// Steps done and in all.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.index, self.stops.len().saturating_sub(1))
    }

    pub(super) fn advance(&mut self, latent: &mut [f32], told: &mut Told<'_>, noise: &mut ImageNoise) {
        if let Some(transition) = self.transition() {
            let direction = told.unconditional.filter(|_| self.unconditional_direction);
            transition.apply(latent, told.estimate, direction);
            transition.renoise(latent, noise);
            self.index += 1;
        }
    }
}

/// A transition between two training times.
pub(super) struct Transition {
    alpha: f32,
    alpha_next: f32,
    /// Standard deviation of the noise added.
    sigma: f32,
}

impl Transition {
    pub(super) fn new(from: Stop, to: Stop, eta: f64) -> Self {
        let (a, b) = (f64::from(from.alpha), f64::from(to.alpha));
        let variance = (1.0 - b) / f64::from(1.0 - from.alpha) * (1.0 - a / b);
        Self { alpha: from.alpha, alpha_next: to.alpha, sigma: (eta * libm::sqrt(variance)) as f32 }
    }

    /// Moves `latent`, given the noise estimated in it, along that or another `direction`; `estimate` becomes the clean
    /// latent estimated. Noise beyond what the next level holds leaves nothing of the direction, where A1111 would
    /// take the root of a negative.
    pub(super) fn apply(&self, latent: &mut [f32], estimate: &mut [f32], direction: Option<&[f32]>) {
        let (root, root_next) = (self.alpha.sqrt(), self.alpha_next.sqrt());
        let root_noise = (1.0 - self.alpha).sqrt();
        let share = (1.0 - self.alpha_next - self.sigma * self.sigma).max(0.0).sqrt();
        for (index, (value, estimate)) in latent.iter_mut().zip(estimate.iter_mut()).enumerate() {
            let epsilon = *estimate;
            *estimate = (*value - root_noise * epsilon) / root;
            *value = root_next * *estimate + share * direction.map_or(epsilon, |other| other[index]);
        }
    }

    fn renoise(&self, latent: &mut [f32], noise: &mut ImageNoise) {
        if self.sigma != 0.0 {
            add(latent, self.sigma, &noise.ancestral());
        }
    }
}
