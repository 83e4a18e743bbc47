//! Samplers that ask at the middle of each step: DPM-Solver-2 (Lu et al. 2022a) in Karras's terms, with ancestral noise or
//! without; DPM-Solver++(2S) (Lu et al. 2022b) with ancestral noise, and on the stochastic equation.
//!
//! `t` is -ln sigma.

use super::math::{add, ancestral, blend, log_middle, move_to};
use super::walk::{Draw, Half, SigmaRule, Span};
use crate::schedule::{exp, expm1, ln};
use serde::{Deserialize, Serialize};

/// DPM-Solver-2: the slope at the middle leads over the whole step. Without `eta` there is no noise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Dpm2 {
    pub(super) eta: f32,
    pub(super) s_noise: f32,
}

impl SigmaRule for Dpm2 {
    fn middle(&self, span: &Span<'_>) -> Option<f32> {
        let (down, _) = ancestral(span.from, span.to, self.eta);
        (down > 0.0).then(|| log_middle(span.from, down))
    }

    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], _: &mut Draw<'_>) {
        move_to(latent, denoised, span.from, self.middle(span).unwrap_or(0.0));
    }

    fn finish(
        &self,
        span: &Span<'_>,
        half: &Half,
        denoised: &[f32],
        latent: &mut [f32],
        draw: &mut Draw<'_>,
    ) {
        let (down, up) = ancestral(span.from, span.to, self.eta);
        for ((value, denoised), start) in latent.iter_mut().zip(denoised).zip(&half.start) {
            *value = start + (*value - denoised) / half.sigma * (down - span.from);
        }
        if up > 0.0 {
            add(latent, self.s_noise * up, &draw(span.from, span.to));
        }
    }
}

/// DPM-Solver++(2S) with ancestral noise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DpmPp2s {
    pub(super) eta: f32,
    pub(super) s_noise: f32,
}

impl DpmPp2s {
    fn renoise(&self, span: &Span<'_>, up: f32, latent: &mut [f32], draw: &mut Draw<'_>) {
        if up > 0.0 {
            add(latent, self.s_noise * up, &draw(span.from, span.to));
        }
    }
}

impl SigmaRule for DpmPp2s {
    fn middle(&self, span: &Span<'_>) -> Option<f32> {
        let (down, _) = ancestral(span.from, span.to, self.eta);
        (down > 0.0).then(|| {
            let (t, t_next) = (-ln(span.from), -ln(down));
            exp(-(t + 0.5 * (t_next - t)))
        })
    }

    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], draw: &mut Draw<'_>) {
        let (down, up) = ancestral(span.from, span.to, self.eta);
        let Some(middle) = self.middle(span) else {
            move_to(latent, denoised, span.from, down);
            return self.renoise(span, up, latent, draw);
        };
        let (t, t_next) = (-ln(span.from), -ln(down));
        blend(latent, middle / exp(-t), expm1(-(t_next - t) * 0.5), denoised);
    }

    fn finish(
        &self,
        span: &Span<'_>,
        half: &Half,
        denoised: &[f32],
        latent: &mut [f32],
        draw: &mut Draw<'_>,
    ) {
        let (down, up) = ancestral(span.from, span.to, self.eta);
        let (t, t_next) = (-ln(span.from), -ln(down));
        latent.copy_from_slice(&half.start);
        blend(latent, exp(-t_next) / exp(-t), expm1(-(t_next - t)), denoised);
        self.renoise(span, up, latent, draw);
    }
}

/// DPM-Solver++(2S) on the stochastic equation: both the step to the middle and the whole one go lower and come up by noise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DpmPpSde {
    pub(super) eta: f32,
    pub(super) s_noise: f32,
}

impl DpmPpSde {
    /// From the sigma at `t` to `to`, led by `denoised`.
    fn go(&self, t: f32, to: f32, denoised: &[f32], latent: &mut [f32], draw: &mut Draw<'_>) {
        let from = exp(-t);
        let (down, up) = ancestral(from, to, self.eta);
        let t_down = -ln(down);
        blend(latent, exp(-t_down) / from, expm1(t - t_down), denoised);
        if up > 0.0 {
            add(latent, self.s_noise * up, &draw(from, to));
        }
    }
}

impl SigmaRule for DpmPpSde {
    fn middle(&self, span: &Span<'_>) -> Option<f32> {
        let (t, t_next) = (-ln(span.from), -ln(span.to));
        (span.to > 0.0).then(|| exp(-(t + (t_next - t) * 0.5)))
    }

    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], draw: &mut Draw<'_>) {
        match self.middle(span) {
            None => move_to(latent, denoised, span.from, span.to),
            Some(middle) => self.go(-ln(span.from), middle, denoised, latent, draw),
        }
    }

    fn finish(
        &self,
        span: &Span<'_>,
        half: &Half,
        denoised: &[f32],
        latent: &mut [f32],
        draw: &mut Draw<'_>,
    ) {
        latent.copy_from_slice(&half.start);
        self.go(-ln(span.from), exp(ln(span.to)), denoised, latent, draw);
    }
}
