//! Narrow products that are added to a wide one: the way back from the rank in low-rank changes of a layer (Hu et al. 2021).
//!
//! They are summed after the wide product's own, while a tile has its sums in registers, so that the result is neither read nor
//! written once more.

use super::pack::{LeftRows, MatrixRows, PackedMatrix, Panel};
use super::tile::MoreProducts;
use crate::isa::Isa;
use crate::simd::MAX_LANES;
use std::ops::Range;

/// `scale * left * weights`, of the rows and columns that it is added to.
#[derive(Clone, Copy)]
pub(crate) struct Added<'a> {
    /// `[rows, inner size of the weights]`.
    pub(crate) left: &'a [f32],
    pub(crate) scale: f32,
    pub(crate) weights: &'a PackedMatrix,
}

/// Several of them, in the blocks in which they are summed.
pub(crate) struct AddedBlocks<'a> {
    blocks: Vec<AddedBlock<'a>>,
    /// Elements of a row of all blocks, each filled up to whole vectors.
    row: usize,
}

struct AddedBlock<'a> {
    of: Added<'a>,
    inner: Range<usize>,
    /// Elements of a row of the blocks before.
    before: usize,
}

impl<'a> AddedBlocks<'a> {
    pub(crate) fn new(added: &[Added<'a>]) -> Self {
        let mut row = 0;
        let blocks = added.iter().flat_map(|&of| of.weights.sizes.blocks().map(move |inner| (of, inner)));
        let blocks = blocks.map(|(of, inner)| {
            let before = row;
            row += inner.len().next_multiple_of(MAX_LANES);
            AddedBlock { of, inner, before }
        });
        Self { blocks: blocks.collect(), row }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Room that the left sides of a tile of `rows` rows take.
    pub(crate) fn left_size(&self, rows: usize) -> usize {
        self.row * rows
    }

    /// Room that a panel's weights may take.
    pub(crate) fn right_size(&self) -> usize {
        let width = |block: &AddedBlock<'_>| block.of.weights.panel_width();
        self.row * self.blocks.iter().map(width).max().unwrap_or(0)
    }

    /// Packs the left sides of the rows of a tile.
    pub(crate) fn pack(&self, isa: Isa, rows: &Range<usize>, packed: &mut [f32]) {
        for AddedBlock { of, inner, before } in &self.blocks {
            let left = MatrixRows { elements: of.left, inner: of.weights.sizes.inner };
            let length = inner.len().next_multiple_of(MAX_LANES) * rows.len();
            let packed = &mut packed[before * rows.len()..][..length];
            left.pack(isa, rows.clone(), inner.clone(), packed);
            for element in packed {
                *element *= of.scale;
            }
        }
    }

    /// What a tile of a panel sums. `widened` is room for weights that are stored as halves, and must outlive the use.
    pub(crate) fn products(&self, isa: Isa, panel: usize, widened: &mut [f32]) -> Vec<MoreProducts> {
        let mut rest = widened;
        let products = self.blocks.iter().map(|AddedBlock { of, inner, before }| {
            let stored = of.weights.panel(inner, panel);
            let right = if let Panel::F32(elements) = stored {
                elements.as_ptr()
            } else {
                let (room, behind) =
                    std::mem::take(&mut rest).split_at_mut(inner.len() * of.weights.panel_width());
                rest = behind;
                stored.widened(isa, room).as_ptr()
            };
            MoreProducts { before: *before, right, inner: inner.len() }
        });
        products.collect()
    }
}
