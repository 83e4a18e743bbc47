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

/// Sizes of a [`PackedMatrix`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatrixSizes {
    /// Matrices.
    pub(crate) parts: usize,
    /// Rows of each.
    pub(crate) inner: usize,
    /// Columns of each.
    pub(crate) columns: usize,
}

/// One or more matrices `[inner, columns]` cut into panels, with the bias of the columns.
///
/// For each matrix, for each block of `inner`, for each panel, for each `k` of the block: the panel's columns, padded
/// with zeros.
#[derive(Debug)]
pub(crate) struct PackedMatrix {
    elements: Buffer,
    bias: Option<Buffer>,
    pub(crate) sizes: MatrixSizes,
    /// Columns of a panel.
    width: usize,
    _counted: CountedBytes,
}

impl PackedMatrix {
    /// Packs `weight`, `[columns, ..]`. `arrange` puts the stored elements of a column in the order `[parts, inner]`.
    pub(crate) fn new(
        (isa, pool, meter): (Isa, &ThreadPool, &ByteMeter),
        sizes: MatrixSizes,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        arrange: &(dyn Fn(&[f32], &mut [f32]) + Sync),
    ) -> Result<Self, TensorError> {
        let MatrixSizes { parts, inner, columns } = sizes;
        let width = isa.lanes() * PANEL_VECTORS;
        let panels = columns.div_ceil(width);
        let too_large = || TensorError::OutOfMemory { bytes: usize::MAX };
        let row = parts.checked_mul(inner).ok_or_else(too_large)?;
        let size = (panels * width).checked_mul(row).ok_or_else(too_large)?;
        let mut elements = Buffer::zeros(size)?;
        // The arranged columns of a panel, and one column as it is stored.
        let stored = weight.len() / columns.max(1);
        let scratch_size =
            width.checked_mul(row).and_then(|rows| rows.checked_add(stored)).ok_or_else(too_large)?;
        let mut scratch = Buffer::zeros(pool.threads().checked_mul(scratch_size).ok_or_else(too_large)?)?;
        let matrix = Layout { sizes, width };
        {
            let (elements, scratch) = (Disjoint::new(&mut elements), Disjoint::new(&mut scratch));
            pool.run(panels, &|worker, panel| {
                // SAFETY: the scratch is this worker's.
                let scratch = unsafe { scratch.part(worker * scratch_size..(worker + 1) * scratch_size) };
                let (rows, as_stored) = scratch.split_at_mut(width * row);
                let columns = panel * width..columns.min((panel + 1) * width);
                let rows = &mut rows[..columns.len() * row];
                for (column, row) in columns.zip(rows.chunks_exact_mut(row)) {
                    weight.copy_to_f32(column * stored, as_stored);
                    arrange(as_stored, row);
                }
                for (part, block) in
                    (0..parts).flat_map(|part| inner_blocks(inner).map(move |block| (part, block)))
                {
                    // SAFETY: the panel is this task's.
                    let packed = unsafe { elements.part(matrix.place(part, &block, panel)) };
                    for (k, packed) in block.zip(packed.chunks_exact_mut(width)) {
                        for (packed, row) in packed.iter_mut().zip(rows.chunks_exact(row)) {
                            *packed = row[part * inner + k];
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
        Ok(Self { elements, bias, sizes, width, _counted: meter.count(bytes) })
    }

    /// Columns of a panel.
    pub(crate) fn panel_width(&self) -> usize {
        self.width
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.sizes.columns.div_ceil(self.width)
    }

    /// The bias of each column.
    pub(crate) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// One panel of a matrix for one block of products: `[block, panel width]`.
    pub(crate) fn panel(&self, part: usize, block: &Range<usize>, panel: usize) -> &[f32] {
        &self.elements[Layout { sizes: self.sizes, width: self.width }.place(part, block, panel)]
    }
}

/// Where things lie among the packed elements.
struct Layout {
    sizes: MatrixSizes,
    width: usize,
}

impl Layout {
    fn place(&self, part: usize, block: &Range<usize>, panel: usize) -> Range<usize> {
        let MatrixSizes { inner, columns, .. } = self.sizes;
        let panels = columns.div_ceil(self.width);
        let start = ((part * inner + block.start) * panels + panel * block.len()) * self.width;
        start..start + block.len() * self.width
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
