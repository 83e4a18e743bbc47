//! Convolutions as matrix products whose left side is gathered on the fly.
//!
//! Row `i` of the left side is the window of output pixel `i`: for each tap of the kernel, the channels of one input
//! pixel, or zeros beyond the border. Channels-last, such a row is a few contiguous pieces, so that gathering it into
//! the product's packed tiles costs little more than reading it, and the full matrix ("im2col") never exists.

use crate::gemm::{
    Epilogue, LeftRows, Machine, MatrixRows, MatrixSizes, Order, PackedMatrix, Spread, multiply,
};
use crate::isa::Isa;
use crate::pool::ThreadPool;
use crate::simd::MAX_LANES;
use impasto_tensor::meter::ByteMeter;
use impasto_tensor::shapes::Conv2dSizes;
use impasto_tensor::{Conv2dConfig, PaddingMode, TensorError, WeightView};
use std::ops::Range;

/// Packs a weight `[outputs, inputs, kernel height, kernel width]` as a matrix `[taps * inputs, outputs]`.
pub(crate) fn prepare(
    tools: (Isa, &ThreadPool, &ByteMeter),
    [columns, inputs, height, width]: [usize; 4],
    weight: &WeightView<'_>,
    bias: Option<&WeightView<'_>>,
) -> Result<PackedMatrix, TensorError> {
    let taps = height * width;
    let sizes = MatrixSizes { inner: taps * inputs, taps: 1, columns };
    PackedMatrix::new(tools, sizes, weight, bias, Order::TapsFirst(taps))
}

/// Puts an output channel's weights, stored `[inputs, taps]`, in the order `[taps, inputs]`.
pub(crate) fn tap_by_tap(taps: usize, inputs: usize) -> impl Fn(&[f32], &mut [f32]) + Sync {
    move |stored, row| {
        for (tap, row) in row.chunks_exact_mut(inputs).enumerate() {
            for (element, stored) in row.iter_mut().zip(stored.chunks_exact(taps)) {
                *element = stored[tap];
            }
        }
    }
}

/// `out = epilogue(conv(x))`, with `weights` from [`prepare`].
pub(crate) fn conv2d(
    machine: Machine<'_>,
    x: &[f32],
    weights: &PackedMatrix,
    sizes: &Conv2dSizes,
    (config, mode): (Conv2dConfig, PaddingMode),
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let rows = sizes.batch * sizes.out_height * sizes.out_width;
    if sizes.kernel == [1, 1] && config == Conv2dConfig::padded(0) {
        let left = MatrixRows { elements: x, inner: sizes.inputs };
        return multiply(machine, &left, rows, (weights, &[]), epilogue, out);
    }
    let zeros = machine.buffers.take(sizes.inputs).map(|mut zeros| {
        zeros.fill(0.0);
        zeros
    })?;
    let left = Windows { x, sizes, config, mode, zeros: &zeros };
    multiply(machine, &left, rows, (weights, &[]), epilogue, out)
}

/// The windows of all output pixels.
pub(crate) struct Windows<'a> {
    /// `[batch, height, width, inputs]`.
    pub(crate) x: &'a [f32],
    pub(crate) sizes: &'a Conv2dSizes,
    pub(crate) config: Conv2dConfig,
    pub(crate) mode: PaddingMode,
    /// A pixel beyond the border.
    pub(crate) zeros: &'a [f32],
}

impl Windows<'_> {
    /// The places `[image, y, x]` of the output pixels `rows`, numbered over the whole batch.
    pub(crate) fn positions(&self, rows: Range<usize>) -> impl Iterator<Item = [usize; 3]> + use<> {
        let Conv2dSizes { out_height, out_width, .. } = *self.sizes;
        let mut at = [
            rows.start / (out_height * out_width),
            rows.start / out_width % out_height,
            rows.start % out_width,
        ];
        rows.map(move |_| {
            let here = at;
            at[2] += 1;
            if at[2] == out_width {
                at = if at[1] + 1 == out_height { [at[0] + 1, 0, 0] } else { [at[0], at[1] + 1, 0] };
            }
            here
        })
    }

    /// The channels that `tap` of the output pixel `[image, y, x]` sees.
    pub(crate) fn pixel(&self, [image, y, x]: [usize; 3], tap: usize) -> &[f32] {
        let Conv2dSizes { height, width, inputs, kernel, .. } = *self.sizes;
        let [top, _, left, _] = self.config.padding;
        let stride = self.config.stride;
        let from_y = self.inside(y * stride + tap / kernel[1], top, height);
        let from_x = self.inside(x * stride + tap % kernel[1], left, width);
        match (from_y, from_x) {
            (Some(y), Some(x)) => {
                let start = ((image * height + y) * width + x) * inputs;
                &self.x[start..start + inputs]
            }
            _ => self.zeros,
        }
    }

    /// A coordinate of the padded picture as one of the picture.
    fn inside(&self, padded: usize, before: usize, size: usize) -> Option<usize> {
        let at = padded.wrapping_sub(before);
        if at < size {
            return Some(at);
        }
        match self.mode {
            PaddingMode::Zeros => None,
            PaddingMode::Circular => {
                Some((padded as isize - before as isize).rem_euclid(size as isize) as usize)
            }
        }
    }
}

impl LeftRows for Windows<'_> {
    fn pack(&self, isa: Isa, rows: Range<usize>, inner: Range<usize>, packed: &mut [f32]) {
        let inputs = self.sizes.inputs;
        let (lanes, count) = (isa.lanes(), rows.len());
        let whole_vectors = inputs.is_multiple_of(MAX_LANES);
        for (row, at) in self.positions(rows).enumerate() {
            let mut k = inner.start;
            while k < inner.end {
                let (tap, channel) = (k / inputs, k % inputs);
                let length = (inputs - channel).min(inner.end - k);
                let elements = &self.pixel(at, tap)[channel..channel + length];
                let first = k - inner.start;
                if whole_vectors {
                    isa.run(Spread { elements, packed: &mut packed[first * count..], row, rows: count });
                } else {
                    for (k, &element) in (first..).zip(elements) {
                        packed[k / lanes * count * lanes + row * lanes + k % lanes] = element;
                    }
                }
                k += length;
            }
        }
    }
}
