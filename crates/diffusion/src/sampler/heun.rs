//! Heun's method (Karras et al. 2022, algorithm 2), and the way down that goes up again now and then (Xu et al. 2023).

use super::math::move_to;
use super::walk::{Draw, Half, SigmaRule, Span};
use crate::schedule::karras;
use serde::{Deserialize, Serialize};

/// Euler's step, and the mean of the slopes at its two ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Heun;

impl SigmaRule for Heun {
    fn middle(&self, span: &Span<'_>) -> Option<f32> {
        (span.to > 0.0).then_some(span.to)
    }

    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], _: &mut Draw<'_>) {
        move_to(latent, denoised, span.from, span.to);
    }

    fn finish(&self, span: &Span<'_>, half: &Half, denoised: &[f32], latent: &mut [f32], _: &mut Draw<'_>) {
        for (index, value) in latent.iter_mut().enumerate() {
            let first = (half.start[index] - half.denoised[index]) / span.from;
            let second = (*value - denoised[index]) / span.to;
            *value = half.start[index] + f32::midpoint(first, second) * (span.to - span.from);
        }
    }
}

/// Steps from which on the way goes up again.
const LEAST_STEPS: usize = 20;
/// Steps from which on it does so twice, each time for a quarter of the steps.
const STEPS_FOR_TWO: usize = 36;
/// Steps of the one time.
const STEPS_OF_ONE: usize = 9;
/// Between which sigmas it is, as near as there are.
const SPAN: (f32, f32) = (0.1, 2.0);
/// The spread of the steps: Karras et al. 2022, equation 5.
const RHO: f64 = 7.0;

/// The sigmas of Restart for a schedule's: as many steps, but from 20 on spread by Karras and, where they come down to 0.1,
/// up to 2 again once or twice. Where the values rise, noise is to be added.
pub(super) fn restarting(sigmas: Vec<f32>) -> Vec<f32> {
    let steps = sigmas.len().saturating_sub(1);
    if steps < LEAST_STEPS {
        return sigmas;
    }
    let (again, times) = if steps >= STEPS_FOR_TWO { (steps / 4, 2) } else { (STEPS_OF_ONE, 1) };
    let mut main = karras(sigmas[steps - 1].into(), sigmas[0].into(), RHO, steps - again * times);
    main.push(0.0);
    let nearest = |wanted: f32| {
        let distance = |&(_, &sigma): &(usize, &f32)| (sigma - wanted).abs();
        main.iter().enumerate().min_by(|a, b| distance(a).total_cmp(&distance(b))).map_or(0, |(at, _)| at)
    };
    let (bottom, top) = (nearest(SPAN.0), nearest(SPAN.1));
    if top >= bottom {
        return main;
    }
    let mut descent = karras(main[bottom].into(), main[top].into(), RHO, again + 1);
    // Rounding must not make the way up again end a hair from where it goes on.
    descent[again] = main[bottom];
    [&main[..=bottom], &descent.repeat(times), &main[bottom + 1..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn falls(sigmas: &[f32]) -> usize {
        sigmas.windows(2).filter(|pair| pair[0] > pair[1]).count()
    }

    #[test]
    fn as_many_steps_are_made_as_were_asked_for() {
        for (steps, rises) in [(1, 0), (19, 0), (20, 1), (35, 1), (36, 2), (50, 2)] {
            let mut sigmas = karras(0.03, 14.6, RHO, steps);
            sigmas.push(0.0);
            let way = restarting(sigmas);
            assert_eq!((falls(&way), way.len() - 1 - falls(&way)), (steps, rises), "{steps} {way:?}");
            assert!((way[0] - 14.6).abs() < 1e-4);
        }
    }

    #[test]
    fn a_way_that_stays_below_never_goes_up() {
        let mut sigmas = karras(0.01, 0.09, RHO, 24);
        sigmas.push(0.0);
        let way = restarting(sigmas);
        assert_eq!((falls(&way), way.len()), (15, 16));
    }
}
