//! The running softmax of a panel's queries: scores to bytes of weights, and a block's sums to results.

use super::{ROUNDING, WEIGHT_LEVELS};
use crate::int8::dot::{PANEL, STEP};
use crate::math;
use crate::simd::{Kernel, Simd};

/// What belongs to each query of a panel.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    /// The step of its bytes, times what makes scores logarithms to base 2.
    pub(super) step: [f32; PANEL],
    /// The sum of its bytes.
    pub(super) sum: [f32; PANEL],
    /// Its largest score so far.
    largest: [f32; PANEL],
    /// What the results so far are to be multiplied with.
    fade: [f32; PANEL],
    /// What the results of the block at hand are to be multiplied with.
    share: [f32; PANEL],
    /// The sum of its weights in the block at hand.
    total: [f32; PANEL],
}

impl Panel {
    pub(super) const NEW: Self = Self {
        step: [0.0; PANEL],
        sum: [0.0; PANEL],
        largest: [f32::NEG_INFINITY; PANEL],
        fade: [0.0; PANEL],
        share: [0.0; PANEL],
        total: [0.0; PANEL],
    };
}

/// Turns a block of scores into bytes of weights.
pub(super) struct Weigh<'a> {
    /// Those of a whole number of quads.
    pub(super) scores: &'a [[i32; PANEL]],
    /// Keys that there are.
    pub(super) count: usize,
    /// Step and offset of the keys.
    pub(super) range: [f32; 2],
    pub(super) panel: &'a mut Panel,
    pub(super) weights: &'a mut [u8],
}

impl Kernel for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        /// Keys that are looked at side by side.
        const WIDE: usize = 4;
        let Self { scores, count, range: [step, offset], panel, weights } = self;
        let (quads, rest) = scores.as_chunks::<WIDE>();
        assert!(rest.is_empty() && weights.len() == STEP * quads.len() && count <= scores.len());
        for at in (0..PANEL).step_by(S::LANES) {
            let lanes = at..at + S::LANES;
            // SAFETY: a row has a vector's elements there.
            let bits = |row: &[i32; PANEL]| unsafe { s.load(row.as_ptr().add(at).cast()) };
            let mut most = [s.splat(f32::from_bits(i32::MIN.cast_unsigned())); WIDE];
            let (whole, last) = scores[..count].as_chunks::<WIDE>();
            for quad in whole {
                for (row, most) in quad.iter().zip(&mut most) {
                    *most = s.max_integers(*most, bits(row));
                }
            }
            let mut most = s.max_integers(s.max_integers(most[0], most[1]), s.max_integers(most[2], most[3]));
            for row in last {
                most = s.max_integers(most, bits(row));
            }
            let query_step = s.read(&panel.step[lanes.clone()]);
            let scale = s.mul(query_step, s.splat(step));
            let top = s.mul(s.integers(most), scale);

            // A weight of 255 where the score is the largest.
            let (greatest, rounding) = (s.splat(WEIGHT_LEVELS.log2()), s.splat(ROUNDING - 128.0));
            for (quad, to) in quads.iter().zip(weights.chunks_exact_mut(STEP)) {
                let mut rounded = [rounding; WIDE];
                for (rounded, row) in rounded.iter_mut().zip(quad) {
                    let below = s.integers(s.sub_integers(bits(row), most));
                    let score = s.fma(below, scale, greatest);
                    *rounded = s.add(math::exp2_coarse(s, score), rounding);
                }
                // SAFETY: a step has the quads of a panel.
                unsafe { s.store_low_bytes_of_four(to.as_mut_ptr().add(4 * at), rounded) };
            }

            let queries = s.read(&panel.sum[lanes.clone()]);
            let score = s.fma(s.mul(query_step, s.splat(offset)), queries, top);
            let before = s.read(&panel.largest[lanes.clone()]);
            let largest = s.max(before, score);
            s.write(&mut panel.largest[lanes.clone()], largest);
            s.write(&mut panel.fade[lanes.clone()], math::exp2_of_negative(s, s.sub(before, largest)));
            s.write(&mut panel.share[lanes], math::exp2_of_negative(s, s.sub(score, largest)));
        }
    }
}

/// Adds a block's sums to the results of a tile of features.
pub(super) struct Accumulate<'a> {
    pub(super) sums: &'a [[i32; PANEL]],
    /// For each feature its step, its offset and what its sums lack.
    pub(super) numbers: &'a [[f32; 3]],
    /// Whether the first feature is the one that is one everywhere.
    pub(super) first: bool,
    pub(super) panel: &'a mut Panel,
    /// `[features, queries]`
    pub(super) results: &'a mut [f32],
}

impl Kernel for Accumulate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { sums, numbers, first, panel, results } = self;
        let (results, _) = results.as_chunks_mut::<PANEL>();
        for at in (0..PANEL).step_by(S::LANES) {
            let lanes = at..at + S::LANES;
            let number = |sums: &[i32; PANEL], lacks: f32| {
                // SAFETY: a row has a vector's elements there.
                let bits = unsafe { s.load(sums.as_ptr().add(at).cast()) };
                s.add(s.integers(bits), s.splat(lacks))
            };
            if first {
                s.write(&mut panel.total[lanes.clone()], number(&sums[0], numbers[0][2]));
            }
            let total = s.read(&panel.total[lanes.clone()]);
            let (fade, share) = (s.read(&panel.fade[lanes.clone()]), s.read(&panel.share[lanes.clone()]));
            for ((sums, &[step, offset, lacks]), result) in sums.iter().zip(numbers).zip(&mut *results) {
                let added = s.fma(number(sums, lacks), s.splat(step), s.mul(total, s.splat(offset)));
                let result = &mut result[lanes.clone()];
                let sum = s.fma(added, share, s.mul(s.read(result), fade));
                s.write(result, sum);
            }
        }
    }
}
