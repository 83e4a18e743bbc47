//! Euler's method (Karras et al. 2022, algorithm 2), and with ancestral noise.

use super::math::{add, ancestral, move_to};
use super::walk::{Draw, SigmaRule, Span};
use serde::{Deserialize, Serialize};

/// Straight through the estimate to the next sigma.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Euler;

impl SigmaRule for Euler {
    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], _: &mut Draw<'_>) {
        move_to(latent, denoised, span.from, span.to);
    }
}

/// The same to a lower sigma than the next, and noise on top to reach it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EulerAncestral {
    pub(super) eta: f32,
}

impl SigmaRule for EulerAncestral {
    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], draw: &mut Draw<'_>) {
        let (down, up) = ancestral(span.from, span.to, self.eta);
        move_to(latent, denoised, span.from, down);
        if up > 0.0 {
            add(latent, up, &draw(span.from, span.to));
        }
    }
}
