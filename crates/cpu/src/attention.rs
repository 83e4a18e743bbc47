//! Attention in blocks, with a running softmax (Milakov and Gimelshein 2018; Dao et al. 2022).
//!
//! Keys are packed as the right side of one product, values as that of another; the scores of a tile of queries and a
//! block of keys stay in the first-level cache, in just the layout that the second product wants on its left. The
//! matrix of all scores never exists. Blocks of keys start at multiples of a size that depends on the head size
//! alone, and a row never looks beyond its own keys, so padding and neighbours change nothing.

use crate::buffer::Buffer;
use crate::gemm::{MAX_VECTORS, Machine, PANEL_VECTORS, Tile, tile_rows};
use crate::isa::Isa;
use crate::math;
use crate::pool::Disjoint;
use crate::simd::{Kernel, MAX_LANES, Simd};
use impasto_tensor::shapes::AttentionSizes;
use impasto_tensor::{AttentionArgs, TensorError};
use std::ops::Range;

/// The most tiles of queries in a task: together they pass over each block of keys while the second-level cache has it.
const TASK_TILES: usize = 8;
/// Elements of a block of packed keys, roughly.
const KEY_BLOCK: usize = 40 << 10;
/// Panels of keys that one task packs.
const PACKED_PANELS: usize = 8;

/// Sizes of the packed keys, values and scores.
#[derive(Clone, Copy)]
struct Layout {
    isa: Isa,
    lanes: usize,
    /// Queries of a tile.
    tile: usize,
    /// Keys of a panel.
    panel: usize,
    /// Keys of a block, a multiple of `panel`.
    block: usize,
    head_size: usize,
    /// Vectors that hold the features of a head.
    vectors: usize,
    /// Vectors of the groups that the values are packed in; the last group has what is left.
    group: usize,
}

impl Layout {
    fn new(isa: Isa, head_size: usize) -> Self {
        let lanes = isa.lanes();
        // A multiple of every instruction set's panel.
        let block = (KEY_BLOCK / head_size).clamp(64, 256) / 32 * 32;
        let vectors = head_size.div_ceil(lanes);
        let most = if isa.registers() < 32 { 3 } else { MAX_VECTORS };
        let group = vectors.div_ceil(vectors.div_ceil(most));
        let panel = lanes * PANEL_VECTORS;
        Self { isa, lanes, tile: tile_rows(isa, PANEL_VECTORS), panel, block, head_size, vectors, group }
    }

    /// Features of a head, padded to whole vectors.
    fn padded(&self) -> usize {
        self.vectors * self.lanes
    }

    /// The groups of vectors.
    fn groups(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.vectors).step_by(self.group).map(move |first| first..self.vectors.min(first + self.group))
    }

    /// Elements of the scores of a tile.
    fn scores_size(&self) -> usize {
        self.tile * self.block
    }

    /// Elements of the packed queries of a tile, and of its sums of values.
    fn rows_size(&self) -> usize {
        self.tile * self.padded()
    }
}

/// One head of one batch row of a `[batch, tokens, features]` tensor.
#[derive(Clone, Copy)]
struct HeadRows<'a> {
    elements: &'a [f32],
    features: usize,
    start: usize,
    head_size: usize,
}

impl<'a> HeadRows<'a> {
    /// Head `head` of all batch rows' heads.
    fn new(elements: &'a [f32], sizes: &AttentionSizes, tokens: usize, head: usize) -> Self {
        let (row, head) = (head / sizes.heads, head % sizes.heads);
        let features = sizes.features();
        let start = row * tokens * features + head * sizes.head_size;
        Self { elements, features, start, head_size: sizes.head_size }
    }

    fn token(&self, token: usize) -> &'a [f32] {
        let start = self.start + token * self.features;
        &self.elements[start..start + self.head_size]
    }
}

/// `out = softmax(query key^T / sqrt(d)) value` for each head.
pub(crate) fn attention(
    machine: Machine<'_>,
    [query, key, value]: [&[f32]; 3],
    sizes: &AttentionSizes,
    args: &AttentionArgs<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let layout = Layout::new(machine.isa, sizes.head_size);
    let heads = sizes.batch * sizes.heads;
    let keys = pack_keys(machine, &layout, sizes, key)?;
    let values = pack_values(machine, &layout, sizes, value)?;

    let tiles = sizes.queries.div_ceil(layout.tile);
    // Fewer tiles to a task where there would be too few tasks. What a tile computes stays the same.
    let task_tiles = (tiles * heads / (4 * machine.threads.threads())).clamp(1, TASK_TILES);
    let tasks = tiles.div_ceil(task_tiles);
    let scratch_size = layout.scores_size() + 2 * task_tiles * layout.rows_size();
    let mut scratch = machine.buffers.take(machine.threads.threads() * scratch_size)?;
    let (scratch, out) = (Disjoint::new(&mut scratch), Disjoint::new(out));
    machine.threads.run(heads * tasks, &|worker, task| {
        let (head, task) = (task / tasks, task % tasks);
        // SAFETY: the scratch is this worker's.
        let scratch = unsafe { scratch.part(worker * scratch_size..(worker + 1) * scratch_size) };
        let first = task * task_tiles * layout.tile;
        let queries = first..sizes.queries.min(first + task_tiles * layout.tile);
        let head_task = HeadTask {
            layout,
            query: HeadRows::new(query, sizes, sizes.queries, head),
            keys: &keys[head * keys.len() / heads..(head + 1) * keys.len() / heads],
            values: &values[head * values.len() / heads..(head + 1) * values.len() / heads],
            all_keys: sizes.keys,
            visible: args.key_lengths.map_or(sizes.keys, |lengths| lengths[head / sizes.heads]),
            causal: args.causal,
            queries,
        };
        let (scores, rest) = scratch.split_at_mut(layout.scores_size());
        let (packed, sums) = rest.split_at_mut(task_tiles * layout.rows_size());
        head_task.attend(scores, packed, sums, &out);
    })
}

/// For each head, for each panel, for each feature: that feature of the panel's keys.
fn pack_keys(
    machine: Machine<'_>,
    layout: &Layout,
    sizes: &AttentionSizes,
    key: &[f32],
) -> Result<Buffer, TensorError> {
    let panels = sizes.keys.div_ceil(layout.panel);
    let panel_size = layout.panel * layout.head_size;
    let heads = sizes.batch * sizes.heads;
    let mut packed = machine.buffers.take(heads * panels * panel_size)?;
    let bounds = (0..heads * panels).step_by(PACKED_PANELS).chain([heads * panels]);
    let bounds: Vec<usize> = bounds.map(|panel| panel * panel_size).collect();
    machine.threads.for_parts(&mut packed, &bounds, &|part, packed| {
        for (i, packed) in (part * PACKED_PANELS..).zip(packed.chunks_exact_mut(panel_size)) {
            let rows = HeadRows::new(key, sizes, sizes.keys, i / panels);
            let first = i % panels * layout.panel;
            // What pads the last panel is never looked at.
            for (column, token) in (first..sizes.keys.min(first + layout.panel)).enumerate() {
                for (feature, &element) in rows.token(token).iter().enumerate() {
                    packed[feature * layout.panel + column] = element;
                }
            }
        }
    })?;
    Ok(packed)
}

/// For each head, for each group of vectors, for each key: those features of its value, padded with zeros.
fn pack_values(
    machine: Machine<'_>,
    layout: &Layout,
    sizes: &AttentionSizes,
    value: &[f32],
) -> Result<Buffer, TensorError> {
    let heads = sizes.batch * sizes.heads;
    let mut packed = machine.buffers.take(heads * sizes.keys * layout.padded())?;
    let groups: Vec<Range<usize>> = layout.groups().collect();
    let parts =
        (0..heads).flat_map(|head| groups.iter().map(move |group| head * layout.vectors + group.start));
    let bounds: Vec<usize> =
        parts.chain([heads * layout.vectors]).map(|vectors| vectors * layout.lanes * sizes.keys).collect();
    machine.threads.for_parts(&mut packed, &bounds, &|part, packed| {
        let rows = HeadRows::new(value, sizes, sizes.keys, part / groups.len());
        let group = &groups[part % groups.len()];
        let first = group.start * layout.lanes;
        for (token, packed) in packed.chunks_exact_mut(group.len() * layout.lanes).enumerate() {
            let source = &rows.token(token)[first..];
            let there = source.len().min(packed.len());
            packed[..there].copy_from_slice(&source[..there]);
            packed[there..].fill(0.0);
        }
    })?;
    Ok(packed)
}

/// Some tiles of queries of one head.
struct HeadTask<'a> {
    layout: Layout,
    query: HeadRows<'a>,
    keys: &'a [f32],
    values: &'a [f32],
    /// Keys there are, padding included.
    all_keys: usize,
    /// Keys that may be looked at.
    visible: usize,
    causal: bool,
    queries: Range<usize>,
}

/// The running softmax of a tile's rows.
#[derive(Clone, Copy)]
struct Running {
    largest: [f32; MAX_LANES],
    total: [f32; MAX_LANES],
}

impl HeadTask<'_> {
    /// Keys that `query` sees.
    fn sees(&self, query: usize) -> usize {
        if self.causal { self.visible.min(query + 1) } else { self.visible }
    }

    fn tiles(&self) -> impl Iterator<Item = Range<usize>> {
        let (end, tile) = (self.queries.end, self.layout.tile);
        self.queries.clone().step_by(tile).map(move |first| first..end.min(first + tile))
    }

    fn attend(&self, scores: &mut [f32], packed: &mut [f32], sums: &mut [f32], out: &Disjoint<'_>) {
        let Layout { head_size, block, .. } = self.layout;
        let (rows_size, padded) = (self.layout.rows_size(), self.layout.padded());
        let mut running =
            [Running { largest: [f32::NEG_INFINITY; MAX_LANES], total: [0.0; MAX_LANES] }; TASK_TILES];
        for (rows, packed) in self.tiles().zip(packed.chunks_exact_mut(rows_size)) {
            self.pack_queries(rows, packed);
        }
        sums.fill(0.0);
        let last = self.queries.end.saturating_sub(1);
        for first in (0..self.sees(last)).step_by(block) {
            let tiles = self.tiles().zip(&mut running);
            let buffers = packed.chunks_exact(rows_size).zip(sums.chunks_exact_mut(rows_size));
            for ((rows, running), (packed, sums)) in tiles.zip(buffers) {
                let seen = self.sees(rows.end - 1);
                if first < seen {
                    self.block(rows, first..seen.min(first + block), running, [scores, sums], packed);
                }
            }
        }
        for ((rows, running), sums) in self.tiles().zip(&running).zip(sums.chunks_exact(rows_size)) {
            for (row, query) in rows.enumerate() {
                let start = self.query.start + query * self.query.features;
                // SAFETY: this head of this query is this task's.
                let out = unsafe { out.part(start..start + head_size) };
                let inverse = 1.0 / running.total[row];
                for (out, sum) in out.iter_mut().zip(&sums[row * padded..]) {
                    *out = sum * inverse;
                }
            }
        }
    }

    /// Packs a tile of queries as the left side of a product, scaled, and to base 2.
    fn pack_queries(&self, rows: Range<usize>, packed: &mut [f32]) {
        let scale = std::f32::consts::LOG2_E / (self.layout.head_size as f32).sqrt();
        self.layout.isa.run(PackQueries { query: self.query, rows, scale, packed });
    }

    /// Takes one block of keys into a tile's sums.
    fn block(
        &self,
        rows: Range<usize>,
        keys: Range<usize>,
        running: &mut Running,
        [scores, sums]: [&mut [f32]; 2],
        queries: &[f32],
    ) {
        let Layout { isa, lanes, panel, head_size, .. } = self.layout;
        let padded = self.layout.padded();
        let stride = rows.len() * lanes;
        for first in keys.clone().step_by(panel) {
            let tile = Tile {
                left: queries.as_ptr(),
                left_stride: stride,
                left_next: queries.as_ptr(),
                right: self.keys[first * head_size..(first + panel) * head_size].as_ptr(),
                ahead: queries.as_ptr(),
                inner: head_size,
                out: scores[(first - keys.start) * rows.len()..][..panel * rows.len()].as_mut_ptr(),
                row_stride: lanes,
                vector_stride: stride,
                accumulate: false,
            };
            // SAFETY: `queries` is packed for these rows, the panel is whole, and so is its part of the scores.
            unsafe { tile.compute(isa, rows.len(), PANEL_VECTORS) };
        }
        let mut seen = [0; MAX_LANES];
        for (seen, query) in seen.iter_mut().zip(rows.clone()) {
            *seen = self.sees(query).saturating_sub(keys.start).min(keys.len());
        }
        let (count, rows) = (keys.len(), rows.len());
        isa.run(Softmax { scores: &mut *scores, rows, keys: count, seen, running, sums: &mut *sums, padded });
        for group in self.layout.groups() {
            let most = tile_rows(isa, group.len());
            let step = rows.div_ceil(rows.div_ceil(most));
            let values = &self.values[(self.all_keys * group.start + keys.start * group.len()) * lanes..];
            for row in (0..rows).step_by(step) {
                let tile = Tile {
                    left: scores[row * lanes..].as_ptr(),
                    left_stride: stride,
                    left_next: scores.as_ptr(),
                    right: values[..count * group.len() * lanes].as_ptr(),
                    ahead: scores.as_ptr(),
                    inner: count,
                    out: sums[row * padded + group.start * lanes..].as_mut_ptr(),
                    row_stride: padded,
                    vector_stride: lanes,
                    accumulate: true,
                };
                // SAFETY: the scores have `rows` rows, the group `count` keys, and the sums `rows` rows of `padded`.
                unsafe { tile.compute(isa, step.min(rows - row), group.len()) };
            }
        }
    }
}

/// Packs a tile of queries.
struct PackQueries<'a> {
    query: HeadRows<'a>,
    rows: Range<usize>,
    scale: f32,
    /// Element `k` of row `r` at `k / L * rows * L + r * L + k % L`.
    packed: &'a mut [f32],
}

impl Kernel for PackQueries<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let stride = self.rows.len() * S::LANES;
        for (row, query) in self.rows.enumerate() {
            let groups = self.packed.chunks_exact_mut(stride);
            for (elements, group) in self.query.token(query).chunks(S::LANES).zip(groups) {
                s.write(&mut group[row * S::LANES..], s.mul(s.read(elements), s.splat(self.scale)));
            }
        }
    }
}

/// Turns a block of scores, which are logarithms to base 2, into weights, and scales what has been summed before to the
/// new largest score.
struct Softmax<'a> {
    /// Score of row `r` and key `k` at `k / L * rows * L + r * L + k % L`.
    scores: &'a mut [f32],
    rows: usize,
    keys: usize,
    /// Keys of the block that each row sees.
    seen: [usize; MAX_LANES],
    running: &'a mut Running,
    /// `[rows, padded]`.
    sums: &'a mut [f32],
    padded: usize,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let stride = self.rows * S::LANES;
        let vectors = self.keys.div_ceil(S::LANES);
        let scores = &mut self.scores[..vectors * stride];
        let Running { largest, total } = self.running;
        let before = *largest;
        for row in 0..self.rows {
            let at = row * S::LANES;
            for k in self.seen[row]..vectors * S::LANES {
                scores[k / S::LANES * stride + at + k % S::LANES] = f32::NEG_INFINITY;
            }
            let mut running = s.splat(before[row]);
            for group in scores.chunks_exact(stride) {
                running = s.max(running, s.read(&group[at..]));
            }
            largest[row] = s.largest(running);
        }
        // What was summed before the largest score grew, all rows at once.
        let mut fade = [0.0; MAX_LANES];
        for at in (0..self.rows).step_by(S::LANES) {
            let growth = s.sub(s.read(&before[at..]), s.read(&largest[at..]));
            let factor = math::exp2_of_negative(s, growth);
            s.write(&mut fade[at..], factor);
            let faded = s.mul(s.read(&total[at..]), factor);
            s.write(&mut total[at..], faded);
        }
        for row in 0..self.rows {
            let at = row * S::LANES;
            let mut sum = s.splat(0.0);
            for group in scores.chunks_exact_mut(stride) {
                let weight = math::exp2_of_negative(s, s.sub(s.read(&group[at..]), s.splat(largest[row])));
                sum = s.add(sum, weight);
                s.write(&mut group[at..], weight);
            }
            total[row] += s.sum(sum);
            for sum in self.sums[row * self.padded..(row + 1) * self.padded].chunks_exact_mut(S::LANES) {
                let faded = s.mul(s.read(sum), s.splat(fade[row]));
                s.write(sum, faded);
            }
        }
    }
}
