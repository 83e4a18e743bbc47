//! Products in 8 bits: weights and activations rounded to bytes, sums exact in 32 bits, results in `f32`.
//!
//! Weights are rounded once, to signed bytes with a scale for each column and group of inputs. Activations are rounded as
//! they come: each row (a token, or a pixel of a picture) has for each group of its elements a range of its own, which
//! 256 levels divide from the least to the greatest element. Such a range fits what follows a SiLU or a gate, nearly all of
//! whose elements have one sign, twice as well as one that is symmetric about zero. As ranges concern one row, no result
//! depends on other rows.
//!
//! With `x = offset + scale_x q` and `w = scale_w p`, a group adds `scale_w scale_x sum(q p) + offset sum(w)`. The sum of
//! bytes is an integer, the same on every instruction set; the rest is arithmetic in `f32`, in an order that the layer's
//! shape decides. A convolution is the same with a group of inputs for each tap.
//!
//! An activation that is not finite makes its row's (for a convolution: its neighbourhood's) results NaN.

mod attention;
mod beside;
mod dot;
mod multiply;
mod records;
mod weights;

use crate::conv::{Windows, tap_by_tap};
use crate::gemm::{Added, Epilogue, Machine, MatrixSizes};
use crate::isa::Isa;
use crate::pool::ThreadPool;
pub(crate) use attention::{attention, suits as suits_attention};
use impasto_tensor::meter::ByteMeter;
use impasto_tensor::shapes::Conv2dSizes;
use impasto_tensor::{Conv2dConfig, PaddingMode, TensorError, WeightView};
use multiply::{MatrixRecords, WindowRecords, multiply};
use records::{Records, quantise};
use std::ops::Range;
pub(crate) use weights::QuantisedMatrix;

/// The fewest inputs and outputs of a layer that is worth rounding: below, there is little work and little memory to save.
const FEWEST: usize = 16;

/// Whether a linear layer of `[out, in]` is held in 8 bits where that is asked for.
pub(crate) fn suits_linear(sizes: [usize; 2]) -> bool {
    sizes.iter().all(|&size| size >= FEWEST)
}

/// Whether a convolution of `[out, in, kernel height, kernel width]` is held in 8 bits where that is asked for.
pub(crate) fn suits_conv2d([outputs, inputs, _, _]: [usize; 4]) -> bool {
    suits_linear([outputs, inputs])
}

/// Rounds and packs a weight `[outputs, inputs]`.
pub(crate) fn prepare_linear(
    (_, pool, meter): (Isa, &ThreadPool, &ByteMeter),
    [columns, inner]: [usize; 2],
    weight: &WeightView<'_>,
    bias: Option<&WeightView<'_>>,
) -> Result<QuantisedMatrix, TensorError> {
    let sizes = MatrixSizes { inner, taps: 1, columns };
    QuantisedMatrix::new((pool, meter), sizes, weight, bias, &|stored, row| row.copy_from_slice(stored))
}

/// Rounds and packs a weight `[outputs, inputs, kernel height, kernel width]` as a matrix `[inputs, outputs]` for each tap.
pub(crate) fn prepare_conv2d(
    (_, pool, meter): (Isa, &ThreadPool, &ByteMeter),
    [columns, inner, height, width]: [usize; 4],
    weight: &WeightView<'_>,
    bias: Option<&WeightView<'_>>,
) -> Result<QuantisedMatrix, TensorError> {
    let sizes = MatrixSizes { inner, taps: height * width, columns };
    QuantisedMatrix::new((pool, meter), sizes, weight, bias, &tap_by_tap(sizes.taps, inner))
}

/// `out = epilogue(x * weights + added)`.
pub(crate) fn linear(
    machine: Machine<'_>,
    x: &[f32],
    (weights, added): (&QuantisedMatrix, &[Added<'_>]),
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let records = Records { groups: weights.groups };
    let buffer = quantise(machine, x, records)?;
    let left = MatrixRecords { records: &buffer, length: records.length() };
    multiply(machine, &left, x.len() / weights.sizes.inner, (weights, added), epilogue, out)
}

/// `out = epilogue(conv(x))`.
pub(crate) fn conv2d(
    machine: Machine<'_>,
    x: &[f32],
    weights: &QuantisedMatrix,
    sizes: &Conv2dSizes,
    (config, mode): (Conv2dConfig, PaddingMode),
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let records = Records { groups: weights.groups };
    let buffer = quantise(machine, x, records)?;
    // A step and an offset of zero make a pixel of zeros.
    let mut zeros = machine.buffers.take(records.length())?;
    zeros.fill(0.0);
    // A picture whose pixels are records.
    let sizes = Conv2dSizes { inputs: records.length(), ..*sizes };
    let left = WindowRecords(Windows { x: &buffer, sizes: &sizes, config, mode, zeros: &zeros });
    multiply(machine, &left, sizes.batch * sizes.out_height * sizes.out_width, (weights, &[]), epilogue, out)
}

/// How the inputs of a layer are grouped and the groups are walked through: a matter of the layer's shape alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Groups {
    /// Elements of a row.
    pub(crate) inner: usize,
    /// Elements of a group, a multiple of a line's bytes; the last may have fewer.
    pub(crate) size: usize,
}

/// Bytes of a cache line: the unit in which rows are copied.
pub(crate) const LINE: usize = 64;
/// The most elements of a group: the fewer, the better a scale fits, and the more scales there are to apply.
const MOST_GROUP: usize = 320;
/// Elements that are walked through together: what is packed of a task's rows stays in the second-level cache.
const MOST_CHUNK: usize = 1280;
// A group's sum of products of unsigned and signed bytes fits 32 bits, however many inputs a layer has.
const _: () = assert!(MOST_GROUP as u64 * 255 * 127 < i32::MAX as u64 && MOST_GROUP.is_multiple_of(LINE));

impl Groups {
    pub(crate) fn new(inner: usize) -> Self {
        let groups = inner.div_ceil(MOST_GROUP).max(1);
        Self { inner, size: inner.div_ceil(groups).next_multiple_of(LINE).max(LINE) }
    }

    /// Number of groups.
    pub(crate) fn count(&self) -> usize {
        self.inner.div_ceil(self.size).max(1)
    }

    /// Elements of group `group`, where they start and end.
    pub(crate) fn range(&self, group: usize) -> Range<usize> {
        group * self.size..self.inner.min((group + 1) * self.size)
    }

    /// Ranges of groups that are walked through together.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (count, step) = (self.count(), (MOST_CHUNK / self.size).max(1));
        (0..count).step_by(step).map(move |first| first..count.min(first + step))
    }

    /// Elements of a chunk of groups.
    pub(crate) fn elements(&self, chunk: &Range<usize>) -> Range<usize> {
        chunk.start * self.size..self.inner.min(chunk.end * self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_the_inputs_once() {
        for inner in [0, 1, 3, 64, 96, 320, 321, 1280, 5121, 100_000] {
            let groups = Groups::new(inner);
            assert!(groups.size <= MOST_GROUP, "{inner}");
            let ends: Vec<_> = (0..groups.count()).map(|group| groups.range(group)).collect();
            assert_eq!(ends.iter().map(Range::len).sum::<usize>(), inner, "{inner}");
            assert_eq!(groups.chunks().map(|chunk| groups.elements(&chunk).len()).sum::<usize>(), inner);
        }
    }
}
