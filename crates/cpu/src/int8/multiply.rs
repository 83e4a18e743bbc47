//! Products of records with rounded weights.
//!
//! As in the products of `f32`, the result is cut into tasks of some rows and some panels, a task packs its rows for one
//! chunk of inputs at a time, and the weights stream past them once.

use super::LINE;
use super::beside::Beside;
use super::dot::{Dot, PANEL, STEP, Sums, TILE_ROWS, Tile};
use super::records::Records;
use super::weights::QuantisedMatrix;
use crate::bytes;
use crate::conv::Windows;
use crate::gemm::{Added, Cut, Epilogue, Machine};
use crate::isa::Isa;
use crate::pool::Disjoint;
use crate::simd::{Kernel, Simd};
use impasto_tensor::TensorError;
use std::ops::Range;

/// The most tile rows of a task.
const MOST_TILES: usize = 20;

/// The left side of a product: a record for each row and each part of the weights.
pub(crate) trait LeftRecords: Sync {
    /// Calls `visit` with the number of each of `rows`, counted from the first, and its record for `part`.
    fn visit(&self, rows: Range<usize>, part: usize, visit: impl FnMut(usize, &[f32]));
}

/// The records of a matrix's rows.
pub(crate) struct MatrixRecords<'a> {
    pub(crate) records: &'a [f32],
    pub(crate) length: usize,
}

impl LeftRecords for MatrixRecords<'_> {
    fn visit(&self, rows: Range<usize>, _part: usize, mut visit: impl FnMut(usize, &[f32])) {
        for (row, i) in rows.enumerate() {
            visit(row, &self.records[i * self.length..(i + 1) * self.length]);
        }
    }
}

/// The records of the pixels that output pixels see; each tap is a part.
pub(crate) struct WindowRecords<'a>(pub(crate) Windows<'a>);

impl LeftRecords for WindowRecords<'_> {
    fn visit(&self, rows: Range<usize>, part: usize, mut visit: impl FnMut(usize, &[f32])) {
        for (row, at) in self.0.positions(rows).enumerate() {
            visit(row, self.0.pixel(at, part));
        }
    }
}

/// `out = epilogue(left * weights + added)`, `[rows, columns]`.
pub(crate) fn multiply(
    machine: Machine<'_>,
    left: &impl LeftRecords,
    rows: usize,
    (weights, added): (&QuantisedMatrix, &[Added<'_>]),
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    debug_assert_eq!(out.len(), rows * weights.sizes.columns);
    if rows == 0 {
        return Ok(());
    }
    let threads = machine.threads.threads();
    let cut = Cut::new((rows.div_ceil(TILE_ROWS), TILE_ROWS), (weights.sizes, PANEL), MOST_TILES, threads);
    let chunks: Vec<Range<usize>> = weights.groups.chunks().collect();
    let (lines, groups) = chunks
        .first()
        .map_or((0, 0), |chunk| (weights.groups.elements(chunk).len().div_ceil(LINE), chunk.len()));
    let packing = Packing { lines, groups };
    let added = &Beside::new(machine.isa, added);
    let tiles = cut.most_tiles();
    let room = [tiles * packing.size(), tiles * added.left_size(), added.right_size()];
    let scratch_size = room.iter().sum::<usize>();
    let mut scratch = machine.buffers.take(threads * scratch_size)?;
    let (scratch, out) = (Disjoint::new(&mut scratch), Disjoint::new(out));
    let dot = Dot::new(machine.isa);
    machine.threads.run(cut.tasks(), &|worker, task| {
        let (tiles, panels) = cut.task(task);
        let rows = tiles.start * TILE_ROWS..rows.min(tiles.end * TILE_ROWS);
        // SAFETY: the scratch is this worker's.
        let scratch = unsafe { scratch.part(worker * scratch_size..(worker + 1) * scratch_size) };
        let (packed, rest) = scratch.split_at_mut(room[0]);
        let (beside, widened) = rest.split_at_mut(room[1]);
        let block = Block { isa: machine.isa, dot, left, weights, added, epilogue, rows, panels, packing };
        block.pack_added(beside);
        for part in 0..weights.sizes.taps {
            for chunk in &chunks {
                block.pack(part, chunk, packed);
                // SAFETY: no other task has these rows and panels.
                unsafe { block.multiply(part, chunk, packed, (beside, widened), &out) };
            }
        }
    })
}

/// Where things lie in the packed rows of a tile: lines of bytes, then for each group a step and an offset for each row.
#[derive(Clone, Copy)]
struct Packing {
    /// Lines of a row.
    lines: usize,
    /// Groups of a row.
    groups: usize,
}

impl Packing {
    /// `f32`s of a tile.
    fn size(&self) -> usize {
        (self.bytes() + self.groups * 2 * TILE_ROWS).next_multiple_of(LINE / size_of::<f32>())
    }

    /// `f32`s that hold a tile's bytes.
    fn bytes(&self) -> usize {
        self.lines * TILE_ROWS * LINE / size_of::<f32>()
    }
}

/// One task of a product.
struct Block<'a, L> {
    isa: Isa,
    dot: Dot,
    left: &'a L,
    weights: &'a QuantisedMatrix,
    added: &'a Beside<'a>,
    epilogue: Epilogue<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    packing: Packing,
}

impl<L: LeftRecords> Block<'_, L> {
    fn tiles(&self) -> impl Iterator<Item = Range<usize>> {
        let end = self.rows.end;
        self.rows.clone().step_by(TILE_ROWS).map(move |first| first..end.min(first + TILE_ROWS))
    }

    /// Packs the left sides of what is added.
    fn pack_added(&self, packed: &mut [f32]) {
        for (index, rows) in self.tiles().enumerate().filter(|_| !self.added.is_empty()) {
            self.added.pack(rows, &mut packed[index * self.added.left_size()..]);
        }
    }

    /// Gathers the block's rows for one chunk of a part.
    fn pack(&self, part: usize, chunk: &Range<usize>, packed: &mut [f32]) {
        let groups = self.weights.groups;
        let records = Records { groups };
        let elements = groups.elements(chunk);
        for (rows, packed) in self.tiles().zip(packed.chunks_exact_mut(self.packing.size())) {
            let count = rows.len();
            let (lines, ranges) = packed.split_at_mut(self.packing.bytes());
            let lines = bytes::of_mut(lines);
            self.left.visit(rows, part, |row, record| {
                let from = records.bytes_of(record)[elements.start..].chunks_exact(LINE);
                let to = lines[row * LINE..].chunks_mut(count * LINE);
                for (from, to) in from.zip(to).take(elements.len().div_ceil(LINE)) {
                    to[..LINE].copy_from_slice(from);
                }
                for (group, ranges) in chunk.clone().zip(ranges.chunks_exact_mut(2 * TILE_ROWS)) {
                    let [step, offset] = records.range_of(record, group);
                    ranges[2 * row] = step;
                    ranges[2 * row + 1] = offset;
                }
            });
        }
    }

    /// Adds the products of a chunk, and finishes the results after the last.
    ///
    /// # Safety
    /// Nobody else may use the block's part of `out`.
    unsafe fn multiply(
        &self,
        part: usize,
        chunk: &Range<usize>,
        packed: &[f32],
        (beside, widened): (&[f32], &mut [f32]),
        out: &Disjoint<'_>,
    ) {
        let (weights, added) = (self.weights, self.added);
        let ends = part + 1 == weights.sizes.taps && chunk.end == weights.groups.count();
        let size = weights.groups.size;
        let mut sums: Sums = [[0; PANEL]; TILE_ROWS];
        // What the chunk's groups add up to, before it goes to `out`, whose rows may lie badly for the cache.
        let mut carried = [[0.0; PANEL]; TILE_ROWS];
        for panel in self.panels.clone() {
            let right = weights.panel(part, chunk, panel);
            let columns = panel * PANEL..weights.sizes.columns.min((panel + 1) * PANEL);
            let pieces = if ends { added.pieces(panel, widened) } else { Vec::new() };
            let tiles = self.tiles().zip(packed.chunks_exact(self.packing.size()));
            for (index, (rows, packed)) in tiles.enumerate() {
                let (lines, ranges) = packed.split_at(self.packing.bytes());
                let steps = right.chunks(size / 4 * STEP).zip(ranges.chunks_exact(2 * TILE_ROWS));
                for (group, (right, ranges)) in chunk.clone().zip(steps) {
                    let first = (group - chunk.start) * size * rows.len();
                    let left = &bytes::of(lines)[first..];
                    let place = rows.start * weights.sizes.columns + columns.start;
                    let tile = Tile {
                        left,
                        rows: rows.len(),
                        right,
                        ahead: ahead(right, index),
                        out: Some((out.pointer(place..place), weights.sizes.columns)),
                    };
                    self.dot.tile(&tile, &mut sums);
                    let ranges = ranges.as_chunks().0;
                    let scales = weights.scales(part, group, panel);
                    if group + 1 < chunk.end {
                        let accumulate = group > chunk.start;
                        self.isa.run(Carry {
                            sums: &sums,
                            ranges,
                            scales,
                            accumulate,
                            carried: &mut carried,
                        });
                        continue;
                    }
                    let is_adding = ends && !added.is_empty();
                    if is_adding {
                        let beside = &beside[index * added.left_size()..];
                        added.add(rows.clone(), &pieces, beside, &mut carried, chunk.len() > 1);
                    }
                    self.isa.run(Finish {
                        sums: &sums,
                        ranges,
                        scales,
                        carried: (is_adding || chunk.len() > 1).then_some(&carried),
                        accumulate: part > 0 || chunk.start > 0,
                        epilogue: Some(self.epilogue).filter(|_| ends),
                        rows: rows.clone(),
                        tile: columns.clone(),
                        columns: weights.sizes.columns,
                        out,
                    });
                }
            }
        }
    }
}

/// What the `i`th tile that uses some weights asks for: those behind them, shared out among the first tiles.
fn ahead(right: &[u8], i: usize) -> *const u8 {
    let half = right.len() / 2;
    if i < 2 { right.as_ptr().wrapping_add(right.len() + i * half) } else { right.as_ptr() }
}

/// Numbers of a tile.
pub(super) type Numbers = [[f32; PANEL]; TILE_ROWS];

/// Turns a group's sums into numbers, and keeps or adds them.
struct Carry<'a> {
    sums: &'a Sums,
    ranges: &'a [[f32; 2]],
    scales: [&'a [f32]; 2],
    accumulate: bool,
    carried: &'a mut Numbers,
}

impl Kernel for Carry<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { sums, ranges, scales, accumulate, carried } = self;
        for at in (0..PANEL).step_by(S::LANES) {
            let weights = scales.map(|table| s.read(&table[at..]));
            for ((sums, range), carried) in sums.iter().zip(ranges).zip(&mut *carried) {
                let x = number(s, &sums[at..at + S::LANES], *range, weights);
                let carried = &mut carried[at..at + S::LANES];
                s.write(carried, if accumulate { s.add(s.read(carried), x) } else { x });
            }
        }
    }
}

/// Turns the sums of a chunk's last group into numbers, adds them and what the groups before have carried to a tile, and
/// finishes it after the last chunk.
struct Finish<'a> {
    sums: &'a Sums,
    /// A step and an offset for each row.
    ranges: &'a [[f32; 2]],
    /// A scale for each column, and a sum of weights.
    scales: [&'a [f32]; 2],
    /// What the chunk's groups before add up to.
    carried: Option<&'a Numbers>,
    /// Whether there have been chunks before.
    accumulate: bool,
    /// What follows the last group.
    epilogue: Option<Epilogue<'a>>,
    rows: Range<usize>,
    tile: Range<usize>,
    /// Columns of a whole row.
    columns: usize,
    /// The tile's part is this caller's.
    out: &'a Disjoint<'a>,
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { sums, ranges, carried, accumulate, epilogue, ref rows, ref tile, columns, out, .. } = self;
        let carried = |row: usize, at: usize, x| match carried {
            Some(carried) => s.add(s.read(&carried[row][at..]), x),
            None => x,
        };
        if tile.len() == PANEL && epilogue.is_none() {
            let place = rows.start * columns + tile.start;
            let to = out.pointer(place..place + (rows.len() - 1) * columns + PANEL);
            for at in (0..PANEL).step_by(S::LANES) {
                let weights = self.weights(s, at);
                for (row, (sums, range)) in sums.iter().zip(ranges).enumerate().take(rows.len()) {
                    // SAFETY: the place is within the tile's rows, which are this caller's.
                    unsafe {
                        let to = to.add(row * columns + at);
                        let x = carried(row, at, number(s, &sums[at..at + S::LANES], *range, weights));
                        s.store(to, if accumulate { s.add(s.load(to), x) } else { x });
                    }
                }
            }
            return;
        }
        for (i, (row, (sums, range))) in rows.clone().zip(sums.iter().zip(ranges)).enumerate() {
            let epilogue = epilogue.map(|epilogue| epilogue.of_row(row, tile, columns));
            // SAFETY: the piece is part of the tile, and pieces of two rows do not overlap.
            let piece = unsafe { out.part(row * columns + tile.start..row * columns + tile.end) };
            for at in (0..piece.len()).step_by(S::LANES) {
                let mut x = carried(i, at, number(s, &sums[at..at + S::LANES], *range, self.weights(s, at)));
                if accumulate {
                    x = s.add(s.read(&piece[at..]), x);
                }
                if let Some(epilogue) = &epilogue {
                    x = epilogue.apply(s, x, at);
                }
                s.write(&mut piece[at..], x);
            }
        }
    }
}

impl Finish<'_> {
    /// Scales, and sums of weights, of the columns from `at` on.
    #[inline(always)]
    fn weights<S: Simd>(&self, s: S, at: usize) -> [S::F; 2] {
        self.scales.map(|table| s.read(&table[at..]))
    }
}

/// What sums of products of bytes stand for.
#[inline(always)]
fn number<S: Simd>(s: S, sums: &[i32], [step, offset]: [f32; 2], [scale, weight]: [S::F; 2]) -> S::F {
    assert!(sums.len() == S::LANES);
    // SAFETY: there are as many as a vector has.
    let sum = s.integers(unsafe { s.load(sums.as_ptr().cast()) });
    s.fma(s.mul(sum, s.splat(step)), scale, s.mul(weight, s.splat(offset)))
}
