//! Sampling from latent consistency models (Luo et al. 2023): the estimate itself, with new noise for the next sigma.

use super::math::add;
use super::walk::{Draw, SigmaRule, Span};
use serde::{Deserialize, Serialize};

/// Takes the estimate and renoises it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Lcm;

impl SigmaRule for Lcm {
    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], draw: &mut Draw<'_>) {
        latent.copy_from_slice(denoised);
        if span.to > 0.0 {
            add(latent, span.to, &draw(span.from, span.to));
        }
    }
}
