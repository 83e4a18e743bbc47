//! Weights as signed bytes in the order in which they are multiplied.

use super::Groups;
use super::dot::{PANEL, STEP};
use crate::buffer::Buffer;
use crate::bytes;
use crate::gemm::MatrixSizes;
use crate::pool::{Disjoint, ThreadPool};
use impasto_tensor::meter::{ByteMeter, CountedBytes};
use impasto_tensor::{TensorError, WeightView};
use std::ops::Range;

/// The greatest byte. The least is its negative, so that no sign is favoured.
const GREATEST: f32 = 127.0;
/// `f32`s of a panel for four inputs.
const STEP_ELEMENTS: usize = STEP / size_of::<f32>();

/// What rounded elements and their scales are kept as.
const BYTES: &str = "bytes";
const SCALES: &str = "scales";

/// One or more matrices `[inner, columns]` as bytes, with the scale of each column and group, and the bias of the columns.
///
/// For each matrix, for each chunk of groups, for each panel of columns, for each four inputs: the bytes of each column.
#[derive(Debug)]
pub(crate) struct QuantisedMatrix {
    elements: Buffer,
    /// For each matrix and group: the scale of each column, and the sum of the column's weights as they are rounded.
    scales: Buffer,
    bias: Option<Buffer>,
    pub(crate) sizes: MatrixSizes,
    pub(crate) groups: Groups,
    _counted: CountedBytes,
}

impl QuantisedMatrix {
    /// Rounds and packs `weight`, `[columns, ..]`. `arrange` puts the stored elements of a column in the order
    /// `[taps, inner]`.
    pub(crate) fn new(
        (pool, meter): (&ThreadPool, &ByteMeter),
        sizes: MatrixSizes,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        arrange: &(dyn Fn(&[f32], &mut [f32]) + Sync),
    ) -> Result<Self, TensorError> {
        let MatrixSizes { taps, inner, columns } = sizes;
        let layout = Layout { sizes, groups: Groups::new(inner) };
        let too_large = || TensorError::OutOfMemory { bytes: usize::MAX };
        let row = taps.checked_mul(inner).ok_or_else(too_large)?;
        let padded = columns.checked_next_multiple_of(PANEL).ok_or_else(too_large)?;
        let steps = taps.checked_mul(inner.div_ceil(4)).and_then(|steps| steps.checked_mul(padded));
        let tables = (2 * taps).checked_mul(layout.groups.count()).and_then(|rows| rows.checked_mul(padded));
        let (steps, tables) = (steps.ok_or_else(too_large)?, tables.ok_or_else(too_large)?);
        let kept = Buffer::kept(weight, BYTES, steps).zip(Buffer::kept(weight, SCALES, tables));
        let (elements, scales) = match kept {
            Some(kept) => kept,
            None => layout.round(pool, row, weight, [steps, tables], arrange)?,
        };
        let bias = bias.map(Buffer::widened).transpose()?;
        let bytes = elements.bytes() + scales.bytes() + bias.as_ref().map_or(0, Buffer::bytes);
        let Layout { sizes, groups } = layout;
        Ok(Self { elements, scales, bias, sizes, groups, _counted: meter.count(bytes) })
    }

    /// The bias of each column.
    pub(crate) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// One panel of a matrix for a chunk of groups.
    pub(crate) fn panel(&self, part: usize, chunk: &Range<usize>, panel: usize) -> &[u8] {
        bytes::of(&self.elements[self.layout().panel(part, chunk, panel)])
    }

    /// Scales of a panel's columns for a group, and the sums of their weights.
    pub(crate) fn scales(&self, part: usize, group: usize, panel: usize) -> [&[f32]; 2] {
        [0, 1].map(|table| {
            let start = self.layout().scale(part, group, table, panel * PANEL);
            &self.scales[start..start + PANEL]
        })
    }

    fn layout(&self) -> Layout {
        Layout { sizes: self.sizes, groups: self.groups }
    }
}

/// Where things lie among the packed bytes and the scales.
struct Layout {
    sizes: MatrixSizes,
    groups: Groups,
}

impl Layout {
    /// `f32`s of a panel for a chunk.
    fn panel(&self, part: usize, chunk: &Range<usize>, panel: usize) -> Range<usize> {
        let panels = self.sizes.columns.div_ceil(PANEL);
        let elements = self.groups.elements(chunk);
        let length = elements.len().div_ceil(4) * STEP_ELEMENTS;
        let before = part * self.sizes.inner.div_ceil(4) + elements.start / 4;
        let start = before * panels * STEP_ELEMENTS + panel * length;
        start..start + length
    }

    /// Place of a column's scale (table 0) or sum (table 1).
    fn scale(&self, part: usize, group: usize, table: usize, column: usize) -> usize {
        let padded = self.sizes.columns.next_multiple_of(PANEL);
        ((part * self.groups.count() + group) * 2 + table) * padded + column
    }

    /// Rounds and packs `weight`, whose columns have `row` elements, into as many elements and scales as are wanted.
    fn round(
        &self,
        pool: &ThreadPool,
        row: usize,
        weight: &WeightView<'_>,
        [steps, tables]: [usize; 2],
        arrange: &(dyn Fn(&[f32], &mut [f32]) + Sync),
    ) -> Result<(Buffer, Buffer), TensorError> {
        let too_large = || TensorError::OutOfMemory { bytes: usize::MAX };
        let MatrixSizes { inner, columns, .. } = self.sizes;
        let (mut bytes, mut tables) = (Buffer::zeros(steps)?, Buffer::zeros(tables)?);
        // A column as it is stored, and arranged.
        let stored = weight.len() / columns.max(1);
        let scratch_size = row.checked_add(stored).ok_or_else(too_large)?;
        let mut scratch = Buffer::zeros(pool.threads().checked_mul(scratch_size).ok_or_else(too_large)?)?;
        let source = weight.read()?;
        {
            let (elements, scales) = (Disjoint::new(&mut bytes), Disjoint::new(&mut tables));
            let scratch = Disjoint::new(&mut scratch);
            pool.run(columns.div_ceil(PANEL), &|worker, panel| {
                // SAFETY: the scratch is this worker's.
                let scratch = unsafe { scratch.part(worker * scratch_size..(worker + 1) * scratch_size) };
                let (arranged, as_stored) = scratch.split_at_mut(row);
                for column in panel * PANEL..columns.min((panel + 1) * PANEL) {
                    source.copy_to_f32(column * stored, as_stored);
                    arrange(as_stored, arranged);
                    let parts = arranged.chunks_exact(inner.max(1)).enumerate();
                    for (part, arranged) in parts {
                        // SAFETY: the panel is this task's.
                        unsafe { self.round_column(part, column, arranged, &elements, &scales) };
                    }
                }
            })?;
        }
        bytes.keep(weight, BYTES);
        tables.keep(weight, SCALES);
        Ok((bytes, tables))
    }

    /// Rounds a column of a matrix and puts it to its place.
    ///
    /// # Safety
    /// Nobody else may use the places of the column's panel.
    unsafe fn round_column(
        &self,
        part: usize,
        column: usize,
        weights: &[f32],
        elements: &Disjoint<'_>,
        scales: &Disjoint<'_>,
    ) {
        for chunk in self.groups.chunks() {
            // SAFETY: the panel is the caller's, and no other part of it is alive.
            let packed = unsafe { elements.part(self.panel(part, &chunk, column / PANEL)) };
            let packed = bytes::of_mut(packed);
            let first = chunk.start * self.groups.size;
            for group in chunk {
                let range = self.groups.range(group);
                let weights = &weights[range.clone()];
                let (scale, inverse) = scale_of(weights);
                let mut sum = 0;
                for (k, &weight) in (range.start - first..).zip(weights) {
                    let byte = (weight * inverse).round_ties_even().clamp(-GREATEST, GREATEST) as i8;
                    sum += i64::from(byte);
                    packed[k / 4 * STEP + column % PANEL * 4 + k % 4] = byte.cast_unsigned();
                }
                for (table, value) in [(0, scale), (1, (f64::from(scale) * sum as f64) as f32)] {
                    let at = self.scale(part, group, table, column);
                    // SAFETY: the column is the caller's.
                    unsafe { scales.part(at..at + 1).fill(value) };
                }
            }
        }
    }
}

/// The scale that lets bytes reach the largest of some weights, and its inverse; NaN if a weight is not finite.
fn scale_of(weights: &[f32]) -> (f32, f32) {
    let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    let poison = weights.iter().fold(0.0, |poison, weight| poison + 0.0 * weight);
    let scale = largest / GREATEST + poison;
    // The inverse of a smaller scale would overflow, and such weights are as good as zero.
    let inverse = if scale > 1e-38 { 1.0 / scale } else { 0.0 };
    (scale, inverse)
}
