//! Weights in the order in which the micro-kernel reads them, and the left side's rows on their way to it.

use super::tile::PANEL_VECTORS;
use crate::buffer::Buffer;
use crate::isa::Isa;
use crate::pool::{Disjoint, ThreadPool};
use crate::simd::{Kernel, Simd};
use impasto_tensor::meter::{ByteMeter, CountedBytes};
use impasto_tensor::{TensorError, WeightView};
use std::ops::Range;

/// The most products that are summed in registers before they are added to the result. Short chains also keep the
/// rounding error down.
const INNER_BLOCK: usize = 384;

/// How many products are summed in one go where `inner` are to be summed in all: a function of `inner` alone, so that
/// the order of a sum is fixed. A multiple of every vector's length.
pub(crate) fn inner_block(inner: usize) -> usize {
    let blocks = inner.div_ceil(INNER_BLOCK).max(1);
    inner.div_ceil(blocks).next_multiple_of(crate::simd::MAX_LANES)
}

/// The blocks that `inner` products are summed in.
pub(crate) fn inner_blocks(inner: usize) -> impl Iterator<Item = Range<usize>> {
    let block = inner_block(inner);
    (0..inner).step_by(block).map(move |first| first..inner.min(first + block))
}

/// Where a panel of `width` columns, of `panels`, lies among the packed elements for one block of products.
fn place(block: &Range<usize>, width: usize, panels: usize, panel: usize) -> Range<usize> {
    let start = (block.start * panels + panel * block.len()) * width;
    start..start + block.len() * width
}

/// A matrix `[inner, columns]` cut into panels, with the bias of its columns.
///
/// For each block of `inner`, for each panel, for each `k` of the block: the panel's columns, padded with zeros.
#[derive(Debug)]
pub(crate) struct PackedMatrix {
    elements: Buffer,
    bias: Option<Buffer>,
    pub(crate) inner: usize,
    pub(crate) columns: usize,
    panel: usize,
    _counted: CountedBytes,
}

impl PackedMatrix {
    /// Packs `weight`, `[columns, ..]` with `inner / taps` times `taps` elements to a column. The taps, which lie
    /// innermost, become outermost, so that a convolution's products are summed tap by tap.
    pub(crate) fn new(
        isa: Isa,
        pool: &ThreadPool,
        meter: &ByteMeter,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        taps: usize,
    ) -> Result<Self, TensorError> {
        let columns = weight.shape().first().copied().unwrap_or(0).max(1);
        let inner = weight.len() / columns;
        let panel = isa.lanes() * PANEL_VECTORS;
        let panels = columns.div_ceil(panel);
        let too_large = || TensorError::OutOfMemory { bytes: usize::MAX };
        let size =
            panels.checked_mul(panel).and_then(|width| width.checked_mul(inner)).ok_or_else(too_large)?;
        let mut elements = Buffer::zeros(size)?;
        let mut rows = Buffer::zeros(pool.threads() * panel * inner)?;
        {
            let (elements, rows) = (Disjoint::new(&mut elements), Disjoint::new(&mut rows));
            pool.run(panels, &|worker, p| {
                // SAFETY: the rows are this worker's.
                let rows = unsafe { rows.part(worker * panel * inner..(worker + 1) * panel * inner) };
                let columns = p * panel..columns.min((p + 1) * panel);
                let rows = &mut rows[..columns.len() * inner];
                weight.copy_to_f32(columns.start * inner, rows);
                for block in inner_blocks(inner) {
                    // SAFETY: the panel is this task's.
                    let packed = unsafe { elements.part(place(&block, panel, panels, p)) };
                    for (k, packed) in block.zip(packed.chunks_exact_mut(panel)) {
                        let from = k % (inner / taps) * taps + k / (inner / taps);
                        for (packed, row) in packed.iter_mut().zip(rows.chunks_exact(inner)) {
                            *packed = row[from];
                        }
                    }
                }
            })?;
        }
        let bias = match bias {
            Some(view) => {
                let mut bias = Buffer::zeros(columns)?;
                view.copy_to_f32(0, &mut bias);
                Some(bias)
            }
            None => None,
        };
        let bytes = elements.bytes() + bias.as_ref().map_or(0, Buffer::bytes);
        Ok(Self { elements, bias, inner, columns, panel, _counted: meter.count(bytes) })
    }

    /// Columns of a panel.
    pub(crate) fn panel_width(&self) -> usize {
        self.panel
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.columns.div_ceil(self.panel)
    }

    /// The bias of each column.
    pub(crate) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// One panel for one block of products: `[block, panel width]`.
    pub(crate) fn panel(&self, block: &Range<usize>, panel: usize) -> &[f32] {
        &self.elements[place(block, self.panel, self.panels(), panel)]
    }
}

/// The left side of a product: rows that can be packed piece by piece.
pub(crate) trait LeftRows: Sync {
    /// Packs elements `inner` of the rows `rows`, which belong to one tile: element `k` of row `r`, both counted from
    /// the range's start, goes to `k / L * rows * L + r * L + k % L` for vectors of `L` lanes. What pads the last group
    /// of `L` may have any value.
    fn pack(&self, isa: Isa, rows: Range<usize>, inner: Range<usize>, packed: &mut [f32]);
}

/// The rows of a matrix `[.., inner]`.
pub(crate) struct MatrixRows<'a> {
    pub(crate) elements: &'a [f32],
    pub(crate) inner: usize,
}

impl LeftRows for MatrixRows<'_> {
    fn pack(&self, isa: Isa, rows: Range<usize>, inner: Range<usize>, packed: &mut [f32]) {
        let count = rows.len();
        for (row, i) in rows.enumerate() {
            let elements = &self.elements[i * self.inner + inner.start..i * self.inner + inner.end];
            isa.run(Spread { elements, packed: &mut *packed, row, rows: count });
        }
    }
}

/// Copies a row's consecutive elements to its places in a packed tile.
pub(crate) struct Spread<'a> {
    pub(crate) elements: &'a [f32],
    pub(crate) packed: &'a mut [f32],
    pub(crate) row: usize,
    pub(crate) rows: usize,
}

impl Kernel for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let groups = self.packed.chunks_exact_mut(self.rows * S::LANES);
        for (from, group) in self.elements.chunks(S::LANES).zip(groups) {
            s.write(&mut group[self.row * S::LANES..(self.row + 1) * S::LANES], s.read(from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_even_and_depend_on_the_length_alone() {
        for (inner, block) in [(1, 16), (320, 320), (384, 384), (385, 208), (2880, 368), (1280, 320)] {
            assert_eq!(inner_block(inner), block, "{inner}");
        }
    }
}
