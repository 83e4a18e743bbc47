//! What is added to products of bytes while they become numbers: products of `f32`, as those of low-rank changes of a layer.

use super::dot::{PANEL, TILE_ROWS};
use super::multiply::Numbers;
use crate::gemm::{Added, AddedBlocks, MoreProducts, Tile, tile_rows};
use crate::isa::Isa;
use std::ops::Range;

/// Products of `f32`, whose tiles may have fewer rows and columns than those of bytes.
pub(super) struct Beside<'a> {
    isa: Isa,
    blocks: AddedBlocks<'a>,
    /// Rows of a tile of `f32`.
    tile: usize,
    /// Columns of a panel of `f32`.
    width: usize,
    /// Columns in all.
    columns: usize,
}

/// A panel of `f32`: where it starts in a panel of bytes, and what is summed.
pub(super) struct Piece {
    start: usize,
    products: Vec<MoreProducts>,
}

impl<'a> Beside<'a> {
    pub(super) fn new(isa: Isa, added: &[Added<'a>]) -> Self {
        let sizes = added.first().map(|first| (first.weights.panel_width(), first.weights.sizes.columns));
        let (width, columns) = sizes.unwrap_or((PANEL, 0));
        Self { isa, blocks: AddedBlocks::new(added), tile: tile_rows(isa), width, columns }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Room for the packed left sides of a tile of bytes.
    pub(super) fn left_size(&self) -> usize {
        self.blocks.left_size(TILE_ROWS.next_multiple_of(self.tile))
    }

    /// Room for the weights of a panel of bytes.
    pub(super) fn right_size(&self) -> usize {
        self.blocks.right_size() * (PANEL / self.width)
    }

    /// Tiles of `f32` of the rows of a tile of bytes, and where their left sides are.
    fn tiles(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
        let (tile, end, size) = (self.tile, rows.end, self.blocks.left_size(self.tile));
        let tiles = rows.step_by(tile).map(move |first| first..end.min(first + tile));
        tiles.enumerate().map(move |(number, rows)| (number * size, rows))
    }

    /// Packs the left sides of the rows of a tile of bytes.
    pub(super) fn pack(&self, rows: Range<usize>, packed: &mut [f32]) {
        for (at, rows) in self.tiles(rows) {
            self.blocks.pack(self.isa, &rows, &mut packed[at..]);
        }
    }

    /// The pieces of a panel of bytes. `widened` is room for weights that are stored as halves, and must outlive the use.
    pub(super) fn pieces(&self, panel: usize, widened: &mut [f32]) -> Vec<Piece> {
        let room = self.blocks.right_size();
        let starts = (0..PANEL).step_by(self.width).enumerate();
        let starts = starts.map(|(number, start)| (number, start, panel * PANEL + start));
        starts
            .take_while(|&(.., column)| column < self.columns)
            .map(|(number, start, column)| {
                let widened = &mut widened[number * room..(number + 1) * room];
                Piece { start, products: self.blocks.products(self.isa, column / self.width, widened) }
            })
            .collect()
    }

    /// Sets the numbers of a tile of bytes to what is added to them, or adds it.
    pub(super) fn add(
        &self,
        rows: Range<usize>,
        pieces: &[Piece],
        packed: &[f32],
        numbers: &mut Numbers,
        accumulate: bool,
    ) {
        let first = rows.start;
        let lanes = self.isa.lanes();
        for (at, rows) in self.tiles(rows) {
            let left = &packed[at..];
            for Piece { start, products } in pieces {
                let out = &mut numbers[rows.start - first..rows.end - first];
                let tile = Tile {
                    vectors: self.width / lanes,
                    left: left.as_ptr(),
                    left_stride: 0,
                    left_next: left.as_ptr(),
                    right: left.as_ptr(),
                    ahead: left.as_ptr(),
                    inner: 0,
                    more: products,
                    more_left: left.as_ptr(),
                    out: out.as_flattened_mut()[*start..].as_mut_ptr(),
                    row_stride: PANEL,
                    vector_stride: lanes,
                    accumulate,
                    bias: std::ptr::null(),
                    residual: std::ptr::null(),
                };
                // SAFETY: the left sides have been packed for these rows, the pieces are whole panels of the weights, and `out` has
                // as many rows, of a panel of bytes each, in which the piece lies.
                unsafe { tile.compute(self.isa, rows.len()) };
            }
        }
    }
}
