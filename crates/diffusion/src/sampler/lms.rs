//! The linear multistep method of order 4 (Adams and Bashforth), for steps of any lengths.

use super::math::{History, add};
use super::walk::{Draw, SigmaRule, Span};
use serde::{Deserialize, Serialize};

/// Slopes that are remembered, the newest among them.
const ORDER: usize = 4;

/// Follows the polynomial through the slopes at the last sigmas.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Lms {
    slopes: History,
}

impl SigmaRule for Lms {
    fn step(&mut self, span: &Span<'_>, denoised: &[f32], latent: &mut [f32], _: &mut Draw<'_>) {
        let slope: Vec<f32> =
            latent.iter().zip(denoised).map(|(value, denoised)| (value - denoised) / span.from).collect();
        self.slopes.push(&slope, ORDER);
        let known = [span.from].into_iter().chain(span.passed.iter().rev().copied());
        let known: Vec<f64> = known.take(self.slopes.newest_first().len()).map(f64::from).collect();
        for (which, slope) in self.slopes.newest_first().iter().enumerate() {
            add(latent, integral(&known, which, span.to.into()) as f32, slope);
        }
    }
}

/// The integral, from the first of `known` to `to`, of the polynomial that is 1 at the one of index `which` and 0 at the
/// others: of degree 3 at most, for which Gauss's formula with two points is exact.
fn integral(known: &[f64], which: usize, to: f64) -> f64 {
    let polynomial = |at: f64| -> f64 {
        let others = known.iter().enumerate().filter(|&(other, _)| other != which);
        others.map(|(_, other)| (at - other) / (known[which] - other)).product()
    };
    let (middle, half) = (f64::midpoint(known[0], to), (to - known[0]) / 2.0);
    let offset = half / libm::sqrt(3.0);
    half * (polynomial(middle - offset) + polynomial(middle + offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_steps_give_the_textbooks_weights() {
        let known = [0.0, -1.0, -2.0, -3.0];
        for (which, wanted) in [55.0, -59.0, 37.0, -9.0].into_iter().enumerate() {
            assert!((integral(&known, which, 1.0) - wanted / 24.0).abs() < 1e-12, "{which}");
        }
        assert_eq!(integral(&known[..1], 0, 1.0), 1.0);
    }
}
