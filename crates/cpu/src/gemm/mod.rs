//! Matrix products with packed weights, the base of linear layers and convolutions.
//!
//! The result is cut into tasks of some rows and some panels. A task packs its rows for one block of the inner
//! dimension, which then stay in the second-level cache while the weights stream past them once. The cut changes
//! nothing in any sum: each is made of blocks of products whose borders depend on the inner dimension alone.

mod added;
mod epilogue;
mod pack;
mod tile;

pub(crate) use added::{Added, AddedBlocks};
pub(crate) use epilogue::Epilogue;
pub(crate) use pack::{
    Brain, Half, LeftRows, MatrixRows, MatrixSizes, Order, PackedMatrix, Panel, Single, Spread, Stored,
};
pub(crate) use tile::{MoreProducts, PANEL_VECTORS, Tile, tile_rows};

use crate::buffer::BufferPool;
use crate::isa::Isa;
use crate::pool::{Disjoint, ThreadPool};
use crate::simd::MAX_LANES;
use epilogue::Finish;
use impasto_tensor::TensorError;
use std::ops::Range;

/// The most tile rows of a task: its packed left side, a few hundred kilobytes, stays in the second-level cache.
const MOST_TILES: usize = 20;
/// The fewest panels of a task, where there are more: each task packs its rows anew.
const FEWEST_PANELS: usize = 4;
/// Tasks for each thread that a product is cut into, if it is large enough, so that threads of uneven speed end together.
const TASKS_PER_THREAD: usize = 6;
/// Below this many products, waking the other threads costs more than they do.
const SMALL: usize = 1 << 17;

/// What a product runs with.
#[derive(Clone, Copy)]
pub(crate) struct Machine<'a> {
    pub(crate) isa: Isa,
    pub(crate) threads: &'a ThreadPool,
    pub(crate) buffers: &'a BufferPool,
}

/// `out = epilogue(left * weights + added)`, `[rows, columns]`. What is added has panels as wide as the weights'.
pub(crate) fn multiply(
    machine: Machine<'_>,
    left: &impl LeftRows,
    rows: usize,
    (weights, added): (&PackedMatrix, &[Added<'_>]),
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    debug_assert_eq!(out.len(), rows * weights.sizes.columns);
    if rows == 0 {
        return Ok(());
    }
    let tile = tile_rows(machine.isa);
    let cut = Cut::new(
        (rows.div_ceil(tile), tile),
        (weights.sizes, weights.panel_width()),
        MOST_TILES,
        machine.threads.threads(),
    );
    let inner_block = weights.sizes.block();
    let added = AddedBlocks::new(added);
    let most_rows = cut.most_tiles() * tile;
    let room = [
        most_rows * inner_block,
        inner_block * weights.panel_width(),
        added.left_size(most_rows),
        added.right_size(),
    ];
    let scratch_size = room.iter().sum::<usize>();
    let mut scratch = machine.buffers.take(machine.threads.threads() * scratch_size)?;
    let (scratch, out) = (Disjoint::new(&mut scratch), Disjoint::new(out));
    machine.threads.run(cut.tasks(), &|worker, task| {
        let (tiles, panels) = cut.task(task);
        let rows = tiles.start * tile..rows.min(tiles.end * tile);
        // SAFETY: the scratch is this worker's.
        let scratch = unsafe { scratch.part(worker * scratch_size..(worker + 1) * scratch_size) };
        let scratch = Scratch::new(scratch, room);
        let block = Block { isa: machine.isa, left, weights, added: &added, epilogue, rows, panels, tile };
        // SAFETY: no other task has these rows and panels.
        unsafe { block.multiply(scratch, &out) };
    })
}

/// How a product is cut into tasks.
pub(crate) struct Cut {
    tiles: usize,
    panels: usize,
    tile_parts: usize,
    panel_parts: usize,
}

impl Cut {
    /// Chooses the cut that streams and packs the least, among those of enough tasks: of `tiles` tiles of `tile` rows, of
    /// which a task may have `most`, for weights of `sizes` in panels of `width` columns.
    pub(crate) fn new(
        (tiles, tile): (usize, usize),
        (sizes, width): (MatrixSizes, usize),
        most: usize,
        threads: usize,
    ) -> Self {
        let panels = sizes.columns.div_ceil(width);
        let products = (tiles * tile * sizes.taps).saturating_mul(sizes.inner).saturating_mul(sizes.columns);
        let fewest = tiles.div_ceil(most);
        let wanted = if products < SMALL || threads == 1 { 1 } else { threads * TASKS_PER_THREAD };
        let most_panel_parts = (panels / FEWEST_PANELS).max(1);
        let choices = (1..=most_panel_parts).map(|panel_parts| {
            let tile_parts = wanted.div_ceil(panel_parts).clamp(fewest, tiles.max(fewest));
            // As many tasks for each thread, as far as can be.
            let even = (tile_parts..tiles.min(tile_parts + threads))
                .find(|parts| (parts * panel_parts).is_multiple_of(threads));
            let tile_parts = even.unwrap_or(tile_parts);
            Self { tiles, panels, tile_parts, panel_parts }
        });
        // Elements read: the weights once for each part of the rows, from memory; the rows once for each part of the
        // panels, from a cache, which is taken to be four times as fast.
        let cost = |cut: &Self| {
            let missing = wanted.saturating_sub(cut.tasks()) * panels * width;
            4 * cut.tile_parts * panels * width + cut.panel_parts * tiles * tile + missing
        };
        choices.min_by_key(cost).unwrap_or(Self { tiles, panels, tile_parts: fewest, panel_parts: 1 })
    }

    pub(crate) fn tasks(&self) -> usize {
        self.tile_parts * self.panel_parts
    }

    /// Tiles of the largest task.
    pub(crate) fn most_tiles(&self) -> usize {
        self.tiles.div_ceil(self.tile_parts)
    }

    /// Tiles and panels of a task. Tasks of the same panels follow each other.
    pub(crate) fn task(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let part = |i: usize, count: usize, parts: usize| i * count / parts..(i + 1) * count / parts;
        let (rows, columns) = (task % self.tile_parts, task / self.tile_parts);
        (part(rows, self.tiles, self.tile_parts), part(columns, self.panels, self.panel_parts))
    }
}

/// A worker's room for packed left sides and widened panels, of the product and of what is added to it.
struct Scratch<'a> {
    left: &'a mut [f32],
    right: &'a mut [f32],
    added_left: &'a mut [f32],
    added_right: &'a mut [f32],
}

impl<'a> Scratch<'a> {
    fn new(scratch: &'a mut [f32], [left, right, added_left, _]: [usize; 4]) -> Self {
        let (left, rest) = scratch.split_at_mut(left);
        let (right, rest) = rest.split_at_mut(right);
        let (added_left, added_right) = rest.split_at_mut(added_left);
        Self { left, right, added_left, added_right }
    }
}

/// What a tile multiplies.
struct Operands<'a> {
    left: &'a [f32],
    right: &'a [f32],
    ahead: *const f32,
    more: &'a [MoreProducts],
    more_left: *const f32,
}

/// One task of a product.
struct Block<'a, L> {
    isa: Isa,
    left: &'a L,
    weights: &'a PackedMatrix,
    added: &'a AddedBlocks<'a>,
    epilogue: Epilogue<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    /// Rows of a tile.
    tile: usize,
}

impl<L: LeftRows> Block<'_, L> {
    /// Computes the block.
    ///
    /// # Safety
    /// Nobody else may use the block's part of `out`.
    unsafe fn multiply(&self, scratch: Scratch<'_>, out: &Disjoint<'_>) {
        let Scratch { left: packed, right: widened, added_left, added_right } = scratch;
        let tiles = self.tiles().count();
        let added_size = self.added.left_size(self.tile);
        for (i, rows) in self.tiles().enumerate().filter(|_| !self.added.is_empty()) {
            self.added.pack(self.isa, &rows, &mut added_left[i * added_size..]);
        }
        // Where there is a single panel, a packed tile is used at once, while it is in the nearest cache.
        let together = if self.panels.len() == 1 && self.weights.is_wide() { 1 } else { tiles.max(1) };
        for inner in self.weights.sizes.blocks() {
            let tile_size = self.tile * inner.len().next_multiple_of(MAX_LANES);
            let last = inner.end == self.weights.sizes.inner;
            for first in (0..tiles).step_by(together) {
                let together = || self.tiles().enumerate().skip(first).take(together);
                for ((_, rows), packed) in together().zip(packed.chunks_exact_mut(tile_size)) {
                    self.left.pack(self.isa, rows, inner.clone(), packed);
                }
                for panel in self.panels.clone() {
                    let stored = self.weights.panel(&inner, panel);
                    let right = stored.widened(self.isa, widened);
                    let more =
                        if last { self.added.products(self.isa, panel, added_right) } else { Vec::new() };
                    for ((i, rows), left) in together().zip(packed.chunks_exact(tile_size)) {
                        let (ahead, more_left) =
                            (stored.ahead(i, tiles), added_left[i * added_size..].as_ptr());
                        let operands = Operands { left, right, ahead, more: &more, more_left };
                        // SAFETY: the tile is part of the block.
                        unsafe { self.tile(rows, &inner, panel, operands, out) };
                    }
                }
            }
        }
    }

    fn tiles(&self) -> impl Iterator<Item = Range<usize>> {
        let end = self.rows.end;
        self.rows.clone().step_by(self.tile).map(move |first| first..end.min(first + self.tile))
    }

    /// Adds one block of products to a tile, and finishes it after the last.
    ///
    /// # Safety
    /// Nobody else may use the tile's part of `out`.
    unsafe fn tile(
        &self,
        rows: Range<usize>,
        inner: &Range<usize>,
        panel: usize,
        Operands { left, right, ahead, more, more_left }: Operands<'_>,
        out: &Disjoint<'_>,
    ) {
        let lanes = self.isa.lanes();
        let (columns, width) = (self.weights.sizes.columns, self.weights.panel_width());
        let first = panel * width;
        let here = width.min(columns - first);
        let last = inner.end == self.weights.sizes.inner;
        // A whole tile adds bias and residual while it has its sums in registers.
        let fused = last && here == width && self.epilogue.is_simple();
        let whole = rows.start * columns + first..(rows.end - 1) * columns + first + here;
        let fuse = |data: Option<&[f32]>, range: Range<usize>| {
            data.filter(|_| fused).map_or(std::ptr::null(), |data| data[range].as_ptr())
        };
        // SAFETY: each row's piece belongs to the tile, and the pieces of two rows do not overlap.
        let piece = |row: usize| unsafe { out.part(row * columns + first..row * columns + first + here) };
        let tile = |out, row_stride| Tile {
            vectors: width / lanes,
            left: left.as_ptr(),
            left_stride: rows.len() * lanes,
            // The tiles lie behind each other.
            left_next: left.as_ptr_range().end,
            right: right.as_ptr(),
            ahead,
            inner: inner.len(),
            more,
            more_left,
            out,
            row_stride,
            vector_stride: lanes,
            accumulate: inner.start > 0,
            bias: fuse(self.epilogue.bias, first..first + here),
            residual: fuse(self.epilogue.residual, whole.clone()),
        };
        if here == width {
            // SAFETY: `left` and `more_left` have been packed for these rows, the panels have `inner` times `width` elements, and
            // every row's piece of `out` is whole.
            unsafe {
                tile(out.pointer(whole.clone()), columns).compute(self.isa, rows.len());
            }
        } else {
            // A panel that sticks out beyond the last column goes through a tile of its own.
            let mut whole = [0.0; 14 * PANEL_VECTORS * MAX_LANES];
            for (row, whole) in rows.clone().zip(whole.chunks_exact_mut(width)) {
                whole[..here].copy_from_slice(piece(row));
            }
            // SAFETY: as above, with `whole` having room for the most rows of a tile.
            unsafe { tile(whole.as_mut_ptr(), width).compute(self.isa, rows.len()) };
            for (row, whole) in rows.clone().zip(whole.chunks_exact(width)) {
                piece(row).copy_from_slice(&whole[..here]);
            }
        }
        if last && !fused {
            self.isa.run(Finish { epilogue: self.epilogue, rows, tile: first..first + here, columns, out });
        }
    }
}
