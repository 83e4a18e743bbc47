//! Samplers that remember earlier estimates instead of asking twice: DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2), and
//! on the stochastic equation, of second and third order.
//!
//! `t` is -ln sigma, `h` its growth over a step.

use super::math::{History, add, add_difference, blend};
use super::walk::{Draw, SigmaRule, Span};
use crate::schedule::{exp, expm1, ln};
use serde::{Deserialize, Serialize};

/// Growth of t over the step, then over the steps before it, newest first.
fn growths(span: &Span<'_>) -> impl Iterator<Item = f32> {
    let sigmas = [span.to, span.from].into_iter().chain(span.passed.iter().rev().copied());
    let t: Vec<f32> = sigmas.take(4).map(|sigma| -ln(sigma)).collect();
    (1..t.len()).map(move |at| t[at - 1] - t[at])
}

/// DPM-Solver++(2M).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct DpmPp2m {
    old: History,
}

impl SigmaRule for DpmPp2m {
    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], _: &mut Draw<'_>) {
        let (t, t_next) = (-ln(span.from), -ln(span.to));
        let h = t_next - t;
        let (keep, gain) = (exp(-t_next) / exp(-t), expm1(-h));
        match (self.old.newest_first(), growths(span).nth(1)) {
            ([old, ..], Some(h_last)) if span.to > 0.0 => {
                let r = h_last / h;
                let (of_new, of_old) = (1.0 + 1.0 / (2.0 * r), 1.0 / (2.0 * r));
                for ((value, denoised), old) in latent.iter_mut().zip(denoised).zip(old) {
                    *value = keep * *value - gain * (of_new * denoised - of_old * old);
                }
            }
            _ => blend(latent, keep, gain, denoised),
        }
        self.old.push(denoised, 1);
    }
}

/// DPM-Solver++(2M) on the stochastic equation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DpmPp2mSde {
    pub(super) eta: f32,
    pub(super) s_noise: f32,
    /// Whether Heun's form corrects rather than the midpoint's.
    pub(super) heun: bool,
    pub(super) old: History,
}

impl SigmaRule for DpmPp2mSde {
    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], draw: &mut Draw<'_>) {
        if span.to == 0.0 {
            return latent.copy_from_slice(denoised);
        }
        let mut growths = growths(span);
        let h = growths.next().unwrap_or_default();
        let eta_h = self.eta * h;
        let gain = expm1(-h - eta_h);
        blend(latent, span.to / span.from * exp(-eta_h), gain, denoised);
        if let ([old, ..], Some(h_last)) = (self.old.newest_first(), growths.next()) {
            let r = h_last / h;
            let part = if self.heun { -gain / (-h - eta_h) + 1.0 } else { 0.5 * -gain };
            add_difference(latent, part * (1.0 / r), denoised, old);
        }
        renoise(span, eta_h, self.s_noise, latent, draw);
        self.old.push(denoised, 1);
    }
}

/// DPM-Solver++(3M) on the stochastic equation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DpmPp3mSde {
    pub(super) eta: f32,
    pub(super) s_noise: f32,
    pub(super) old: History,
}

impl SigmaRule for DpmPp3mSde {
    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], draw: &mut Draw<'_>) {
        if span.to == 0.0 {
            return latent.copy_from_slice(denoised);
        }
        let growths: Vec<f32> = growths(span).collect();
        let h = growths[0];
        let h_eta = h * (self.eta + 1.0);
        blend(latent, exp(-h_eta), expm1(-h_eta), denoised);
        let phi_2 = expm1(-h_eta) / h_eta + 1.0;
        match (self.old.newest_first(), &growths[1..]) {
            ([first, second, ..], [h_1, h_2, ..]) => {
                let (r_0, r_1) = (h_1 / h, h_2 / h);
                let phi_3 = phi_2 / h_eta - 0.5;
                for (index, value) in latent.iter_mut().enumerate() {
                    let new = (denoised[index] - first[index]) / r_0;
                    let old = (first[index] - second[index]) / r_1;
                    let slope = new + (new - old) * r_0 / (r_0 + r_1);
                    let curve = (new - old) / (r_0 + r_1);
                    *value = *value + phi_2 * slope - phi_3 * curve;
                }
            }
            ([first, ..], [h_1, ..]) => add_difference(latent, phi_2 / (h_1 / h), denoised, first),
            _ => {}
        }
        renoise(span, h * self.eta, self.s_noise, latent, draw);
        self.old.push(denoised, 2);
    }
}

/// Adds the noise of a step over which t grows by `eta_h` in the stochastic part.
fn renoise(span: &Span<'_>, eta_h: f32, s_noise: f32, latent: &mut [f32], draw: &mut Draw<'_>) {
    if eta_h != 0.0 {
        let scale = span.to * (-expm1(-2.0 * eta_h)).sqrt() * s_noise;
        add(latent, scale, &draw(span.from, span.to));
    }
}
