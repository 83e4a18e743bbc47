//! One step of each sampler that walks sigmas, in k-diffusion's form and order of operations.
//!
//! `latent` is moved from `sigmas[index]` to `sigmas[index + 1]`, given the clean latent estimated there.

use crate::noise::ImageNoise;
use crate::schedule::{exp, ln};

/// Karras et al. 2022, algorithm 2 without churn.
pub(super) fn euler(latent: &mut [f32], denoised: &[f32], sigmas: &[f32], index: usize) {
    move_to(latent, denoised, sigmas[index], sigmas[index + 1]);
}

/// Euler's method to a lower sigma than the next, and noise on top to reach it.
pub(super) fn euler_ancestral(
    latent: &mut [f32],
    denoised: &[f32],
    sigmas: &[f32],
    index: usize,
    eta: f32,
    noise: &mut ImageNoise,
) {
    let (from, to) = (sigmas[index], sigmas[index + 1]);
    let up = to.min(eta * (to * to * (from * from - to * to) / (from * from)).sqrt());
    let down = (to * to - up * up).sqrt();
    move_to(latent, denoised, from, if eta == 0.0 { to } else { down });
    if to > 0.0 && eta != 0.0 {
        for (value, noise) in latent.iter_mut().zip(noise.ancestral()) {
            *value += noise * up;
        }
    }
}

/// Along the straight line through the estimate, from one sigma to another.
fn move_to(latent: &mut [f32], denoised: &[f32], from: f32, to: f32) {
    for (value, denoised) in latent.iter_mut().zip(denoised) {
        *value += (*value - denoised) / from * (to - from);
    }
}

/// DPM-Solver++(2M): Lu et al. 2022, algorithm 2, with t = -ln sigma. `old` is the estimate before this one.
pub(super) fn dpmpp_2m(
    latent: &mut [f32],
    denoised: &[f32],
    old: Option<&[f32]>,
    sigmas: &[f32],
    index: usize,
) {
    let (t, t_next) = (-ln(sigmas[index]), -ln(sigmas[index + 1]));
    let h = t_next - t;
    let keep = exp(-t_next) / exp(-t);
    let gain = libm::expm1(f64::from(-h)) as f32;
    let before = index.checked_sub(1).zip(old).filter(|_| sigmas[index + 1] != 0.0);
    let Some((last, old)) = before else {
        for (value, denoised) in latent.iter_mut().zip(denoised) {
            *value = keep * *value - gain * denoised;
        }
        return;
    };
    let r = (t + ln(sigmas[last])) / h;
    let (of_new, of_old) = (1.0 + 1.0 / (2.0 * r), 1.0 / (2.0 * r));
    for ((value, denoised), old) in latent.iter_mut().zip(denoised).zip(old) {
        *value = keep * *value - gain * (of_new * denoised - of_old * old);
    }
}
