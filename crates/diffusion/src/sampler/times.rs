//! The training times that DDIM and its kin walk.

use crate::schedule::NoiseLevels;
use serde::{Deserialize, Serialize};

/// Training times a model knows.
const TIMES: usize = 1000;

/// Where a walk over training times halts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Stop {
    pub(super) time: f32,
    /// The share of the clean latent's variance there.
    pub(super) alpha: f32,
}

/// The training times for `steps` steps asked for, highest first. A1111 spaces them by whole numbers, so that 20 steps
/// are 20 times and 19 transitions, and 30 steps are 31 times. The last is 1, not 0.
pub(super) fn stops(steps: usize, levels: &NoiseLevels) -> Vec<Stop> {
    let spacing = (TIMES / steps.max(1)).max(1);
    let times = (0..TIMES).step_by(spacing).map(|time| (time + 1).min(TIMES - 1) as f32);
    let mut stops: Vec<Stop> = times.map(|time| Stop { time, alpha: levels.alpha_cumprod(time) }).collect();
    stops.reverse();
    stops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_a1111_does() {
        let levels = NoiseLevels::scaled_linear((0.00085, 0.012));
        for (steps, count, highest) in
            [(1, 1, 1.0), (2, 2, 501.0), (3, 4, 999.0), (20, 20, 951.0), (30, 31, 991.0), (5000, 1000, 999.0)]
        {
            let stops = stops(steps, &levels);
            assert_eq!((stops.len(), stops[0].time, stops[count - 1].time), (count, highest, 1.0), "{steps}");
        }
    }
}
