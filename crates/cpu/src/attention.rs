//! Attention in blocks, with a running softmax (Milakov and Gimelshein 2018; Dao et al. 2022).
//!
//! Everything is computed transposed: scores are `[keys, queries]`, results `[features, queries]`, and vectors run over
//! the queries. So the largest score and the sum of the weights are found without looking across a vector, no number of
//! features wastes lanes, and the scores of a block of keys are in just the layout that the second product wants on its
//! right. The matrix of all scores never exists. Blocks of keys start at multiples of a fixed size, and a query never looks
//! beyond its own keys, so padding and neighbours change nothing.

use crate::buffer::Buffer;
use crate::gemm::{Machine, PANEL_VECTORS, Tile, tile_rows};
use crate::isa::Isa;
use crate::math;
use crate::pool::Disjoint;
use crate::simd::{Kernel, MAX_LANES, Simd};
use crate::transpose::Transpose;
use impasto_tensor::shapes::AttentionSizes;
use impasto_tensor::{AttentionArgs, TensorError};
use std::ops::Range;

/// Keys of a block: their scores stay in the first-level cache. A multiple of every vector's length.
const BLOCK: usize = 224;
/// The most panels of queries in a task: together they pass over each block of keys while the second-level cache has it.
const TASK_PANELS: usize = 4;
/// Elements that the queries and the results of a task's panels take at most, unless one panel has more.
const TASK_ELEMENTS: usize = 64 << 10;

/// Sizes of what is packed.
#[derive(Clone, Copy)]
struct Layout {
    isa: Isa,
    lanes: usize,
    /// Queries of a panel.
    panel: usize,
    head_size: usize,
    /// Keys there are, those that nobody looks at included.
    keys: usize,
}

impl Layout {
    fn new(isa: Isa, sizes: &AttentionSizes) -> Self {
        let lanes = isa.lanes();
        Self { isa, lanes, panel: lanes * PANEL_VECTORS, head_size: sizes.head_size, keys: sizes.keys }
    }

    /// Features of a head, padded to whole vectors.
    fn padded(&self) -> usize {
        self.head_size.next_multiple_of(self.lanes)
    }

    fn blocks(&self) -> usize {
        self.keys.div_ceil(BLOCK)
    }

    /// The keys of a block.
    fn block(&self, index: usize) -> Range<usize> {
        index * BLOCK..self.keys.min((index + 1) * BLOCK)
    }

    /// Elements of a head's packed keys of a block, and of its packed values.
    fn block_sizes(&self) -> [usize; 2] {
        [BLOCK * self.padded(), BLOCK * self.head_size]
    }

    /// `rows` rows of a product cut into tiles of about equal size.
    fn tiles(&self, rows: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let step = rows.div_ceil(rows.div_ceil(tile_rows(self.isa)).max(1)).max(1);
        (0..rows).step_by(step).map(move |first| first..rows.min(first + step))
    }

    /// Elements of a panel of queries or results.
    fn panel_size(&self) -> usize {
        self.head_size * self.panel
    }
}

/// One head of one batch row of a `[batch, tokens, features]` tensor.
#[derive(Clone, Copy)]
pub(crate) struct HeadRows<'a> {
    pub(crate) elements: &'a [f32],
    /// Features of all heads.
    pub(crate) features: usize,
    start: usize,
    pub(crate) head_size: usize,
}

impl<'a> HeadRows<'a> {
    /// Head `head` of all batch rows' heads.
    pub(crate) fn new(elements: &'a [f32], sizes: &AttentionSizes, tokens: usize, head: usize) -> Self {
        let (row, head) = (head / sizes.heads, head % sizes.heads);
        let features = sizes.features();
        let start = row * tokens * features + head * sizes.head_size;
        Self { elements, features, start, head_size: sizes.head_size }
    }

    /// Where the head of a token is.
    pub(crate) fn place(&self, token: usize) -> Range<usize> {
        let start = self.start + token * self.features;
        start..start + self.head_size
    }

    pub(crate) fn token(&self, token: usize) -> &'a [f32] {
        &self.elements[self.place(token)]
    }
}

/// How many of `panels` panels a task has, `most` at most: fewer where there would be too few tasks. What a panel computes
/// stays the same.
pub(crate) fn task_panels(panels: usize, threads: usize, most: usize) -> usize {
    (panels / (4 * threads)).min(most).max(1)
}

/// `out = softmax(query key^T / sqrt(d)) value` for each head.
pub(crate) fn attention(
    machine: Machine<'_>,
    [query, key, value]: [&[f32]; 3],
    sizes: &AttentionSizes,
    args: &AttentionArgs<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let layout = Layout::new(machine.isa, sizes);
    let heads = sizes.batch * sizes.heads;
    let packed = pack(machine, &layout, sizes, [key, value])?;
    let panels = sizes.queries.div_ceil(layout.panel);
    let most = TASK_PANELS.min(TASK_ELEMENTS / (2 * layout.panel_size()));
    let task_panels = task_panels(panels * heads, machine.threads.threads(), most);
    let tasks = panels.div_ceil(task_panels);
    let scratch_size = BLOCK * layout.panel + 2 * task_panels * layout.panel_size();
    let mut scratch = machine.buffers.take(machine.threads.threads() * scratch_size)?;
    let (scratch, out) = (Disjoint::new(&mut scratch), Disjoint::new(out));
    machine.threads.run(heads * tasks, &|worker, task| {
        let (head, task) = (task / tasks, task % tasks);
        // SAFETY: the scratch is this worker's.
        let scratch = unsafe { scratch.part(worker * scratch_size..(worker + 1) * scratch_size) };
        let first = task * task_panels * layout.panel;
        let head_task = HeadTask {
            layout,
            query: HeadRows::new(query, sizes, sizes.queries, head),
            packed: &packed[head * packed.len() / heads..(head + 1) * packed.len() / heads],
            visible: args.key_lengths.map_or(sizes.keys, |lengths| lengths[head / sizes.heads]),
            causal: args.causal,
            queries: first..sizes.queries.min(first + task_panels * layout.panel),
        };
        let (scores, rest) = scratch.split_at_mut(BLOCK * layout.panel);
        let (queries, sums) = rest.split_at_mut(task_panels * layout.panel_size());
        head_task.attend(scores, queries, sums, &out);
    })
}

/// For each head, for each block: the keys as the left side of the product that gives scores, a tile after the other, then
/// the values, transposed, as the left side of the product that gives results.
fn pack(
    machine: Machine<'_>,
    layout: &Layout,
    sizes: &AttentionSizes,
    [key, value]: [&[f32]; 2],
) -> Result<Buffer, TensorError> {
    let heads = sizes.batch * sizes.heads;
    let [keys_size, values_size] = layout.block_sizes();
    let size = keys_size + values_size;
    let mut packed = machine.buffers.take(heads * layout.blocks() * size)?;
    let bounds: Vec<usize> = (0..=heads * layout.blocks()).map(|block| block * size).collect();
    let lanes = layout.lanes;
    machine.threads.for_parts(&mut packed, &bounds, &|part, packed| {
        let (head, block) = (part / layout.blocks(), layout.block(part % layout.blocks()));
        let (keys, values) = packed.split_at_mut(keys_size);
        let rows = HeadRows::new(key, sizes, sizes.keys, head);
        for tile in layout.tiles(block.len()) {
            let (count, keys) = (tile.len(), &mut keys[tile.start * layout.padded()..]);
            for (row, token) in tile.enumerate() {
                let groups = keys.chunks_exact_mut(count * lanes);
                for (from, to) in rows.token(block.start + token).chunks(lanes).zip(groups) {
                    to[row * lanes..][..from.len()].copy_from_slice(from);
                }
            }
        }
        let rows = HeadRows::new(value, sizes, sizes.keys, head);
        for tile in layout.tiles(layout.head_size) {
            let (count, values) = (tile.len(), &mut values[tile.start * BLOCK..]);
            let groups = values.chunks_exact_mut(count * lanes);
            for (first, to) in block.clone().step_by(lanes).zip(groups) {
                let from = &value[rows.place(first).start + tile.start..];
                let rows = lanes.min(block.end - first);
                let from_stride = sizes.features();
                layout.isa.run(Transpose { from, from_stride, rows, columns: count, to, to_stride: lanes });
            }
        }
    })?;
    Ok(packed)
}

/// Some panels of queries of one head.
struct HeadTask<'a> {
    layout: Layout,
    query: HeadRows<'a>,
    /// The head's packed keys and values.
    packed: &'a [f32],
    /// Keys that may be looked at.
    visible: usize,
    causal: bool,
    queries: Range<usize>,
}

/// The running softmax of a panel's queries.
#[derive(Clone, Copy)]
struct Running {
    largest: [f32; PANEL_VECTORS * MAX_LANES],
    total: [f32; PANEL_VECTORS * MAX_LANES],
}

impl Running {
    const NEW: Self = Self {
        largest: [f32::NEG_INFINITY; PANEL_VECTORS * MAX_LANES],
        total: [0.0; PANEL_VECTORS * MAX_LANES],
    };
}

impl HeadTask<'_> {
    /// Keys that `query` sees.
    fn sees(&self, query: usize) -> usize {
        if self.causal { self.visible.min(query + 1) } else { self.visible }
    }

    fn panels(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (end, panel) = (self.queries.end, self.layout.panel);
        self.queries.clone().step_by(panel).map(move |first| first..end.min(first + panel))
    }

    fn attend(&self, scores: &mut [f32], queries: &mut [f32], sums: &mut [f32], out: &Disjoint<'_>) {
        let size = self.layout.panel_size();
        let mut running = [Running::NEW; TASK_PANELS];
        for (panel, packed) in self.panels().zip(queries.chunks_exact_mut(size)) {
            self.pack_queries(panel, packed);
        }
        sums.fill(0.0);
        for block in 0..self.layout.blocks() {
            let panels = self.panels().zip(&mut running);
            let buffers = queries.chunks_exact(size).zip(sums.chunks_exact_mut(size));
            for ((panel, running), (queries, sums)) in panels.zip(buffers) {
                self.block(&panel, block, queries, running, [scores, sums]);
            }
        }
        let done = self.panels().zip(&running).zip(sums.chunks_exact(size));
        for (((panel, running), sums), rows) in done.zip(queries.chunks_exact_mut(size)) {
            let Layout { isa, panel: width, head_size, .. } = self.layout;
            // The queries have served; their memory takes the results, a row for each.
            isa.run(Transpose {
                from: sums,
                from_stride: width,
                rows: head_size,
                columns: panel.len(),
                to: &mut *rows,
                to_stride: head_size,
            });
            for ((query, row), total) in panel.zip(rows.chunks_exact(head_size)).zip(running.total) {
                let inverse = 1.0 / total;
                // SAFETY: this head of this query is this task's.
                let out = unsafe { out.part(self.query.place(query)) };
                out.iter_mut().zip(row).for_each(|(out, sum)| *out = sum * inverse);
            }
        }
    }

    /// Packs a panel of queries as the right side of a product, scaled, and to base 2: `[features, queries]`.
    fn pack_queries(&self, panel: Range<usize>, packed: &mut [f32]) {
        let scale = std::f32::consts::LOG2_E / (self.layout.head_size as f32).sqrt();
        // What pads the last panel is computed as if it were queries, and not looked at.
        packed.fill(0.0);
        self.layout.isa.run(Transpose {
            from: &self.query.elements[self.query.place(panel.start).start..],
            from_stride: self.query.features,
            rows: panel.len(),
            columns: self.layout.head_size,
            to: &mut *packed,
            to_stride: self.layout.panel,
        });
        for element in packed {
            *element *= scale;
        }
    }

    /// Takes one block of keys into a panel's sums.
    fn block(
        &self,
        queries: &Range<usize>,
        index: usize,
        packed: &[f32],
        running: &mut Running,
        [scores, sums]: [&mut [f32]; 2],
    ) {
        let Layout { isa, lanes, panel, head_size, .. } = self.layout;
        let block = self.layout.block(index);
        let seen = self.sees(queries.end - 1).saturating_sub(block.start).min(block.len());
        if seen == 0 {
            return;
        }
        let [keys_size, values_size] = self.layout.block_sizes();
        let (keys, values) = self.packed[index * (keys_size + values_size)..].split_at(keys_size);
        let product =
            |left: &[f32], rows: usize, right: &[f32], inner: usize, out: &mut [f32], accumulate| {
                let tile = Tile {
                    vectors: PANEL_VECTORS,
                    left: left.as_ptr(),
                    left_stride: rows * lanes,
                    left_next: left.as_ptr_range().end,
                    right: right.as_ptr(),
                    ahead: right.as_ptr(),
                    inner,
                    more: &[],
                    more_left: std::ptr::null(),
                    out: out.as_mut_ptr(),
                    row_stride: panel,
                    vector_stride: lanes,
                    accumulate,
                    bias: std::ptr::null(),
                    residual: std::ptr::null(),
                };
                // SAFETY: the callers' slices hold `rows` rows of at least `inner` elements on the left, `inner` rows of a panel
                // on the right, and `rows` rows of a panel for the result.
                unsafe { tile.compute(isa, rows) };
            };
        let padded = self.layout.padded();
        for tile in self.layout.tiles(block.len()).take_while(|tile| tile.start < seen) {
            let left = &keys[tile.start * padded..tile.end * padded];
            let out = &mut scores[tile.start * panel..tile.end * panel];
            product(left, tile.len(), &packed[..head_size * panel], head_size, out, false);
        }
        if self.causal {
            self.hide(queries, &block, &mut scores[..seen * panel]);
        }
        let scores = &mut scores[..seen * panel];
        isa.run(Softmax { scores: &mut *scores, running, sums: &mut *sums });
        for tile in self.layout.tiles(head_size) {
            let left = &values[tile.start * BLOCK..tile.end * BLOCK];
            product(left, tile.len(), scores, seen, &mut sums[tile.start * panel..tile.end * panel], true);
        }
    }

    /// Takes the scores of keys that come after a query out of the running.
    fn hide(&self, queries: &Range<usize>, block: &Range<usize>, scores: &mut [f32]) {
        for (key, scores) in block.clone().zip(scores.chunks_exact_mut(self.layout.panel)) {
            for (query, score) in queries.clone().zip(scores) {
                if key >= self.sees(query) {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
    }
}

/// Turns a block of scores, which are logarithms to base 2, into weights, and scales what has been summed before to the
/// new largest score.
struct Softmax<'a> {
    /// `[keys, panel]`.
    scores: &'a mut [f32],
    running: &'a mut Running,
    /// `[features, panel]`.
    sums: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        /// Keys that are looked at side by side, to keep the adders busy.
        const WIDE: usize = 4;
        let panel = PANEL_VECTORS * S::LANES;
        for vector in (0..panel).step_by(S::LANES) {
            let lanes = vector..vector + S::LANES;
            let (largest, total) =
                (&mut self.running.largest[lanes.clone()], &mut self.running.total[lanes.clone()]);
            let before = s.read(largest);
            let mut most = [before; WIDE];
            for group in self.scores.chunks(WIDE * panel) {
                for (score, most) in group.chunks_exact(panel).zip(&mut most) {
                    *most = s.max(*most, s.read(&score[lanes.clone()]));
                }
            }
            let top = s.max(s.max(most[0], most[1]), s.max(most[2], most[3]));
            s.write(largest, top);

            let mut sum = [s.splat(0.0); WIDE];
            for group in self.scores.chunks_mut(WIDE * panel) {
                for (score, sum) in group.chunks_exact_mut(panel).zip(&mut sum) {
                    let score = &mut score[lanes.clone()];
                    let weight = math::exp2_of_negative(s, s.sub(s.read(score), top));
                    *sum = s.add(*sum, weight);
                    s.write(score, weight);
                }
            }
            let fade = math::exp2_of_negative(s, s.sub(before, top));
            let sum = s.add(s.add(sum[0], sum[1]), s.add(sum[2], sum[3]));
            let faded = s.fma(s.read(total), fade, sum);
            s.write(total, faded);
            // Mostly, nothing has grown.
            if s.lanes(fade)[..S::LANES].iter().any(|&fade| fade != 1.0) {
                for sums in self.sums.chunks_exact_mut(panel) {
                    let sums = &mut sums[lanes.clone()];
                    let faded = s.mul(s.read(sums), fade);
                    s.write(sums, faded);
                }
            }
        }
    }
}
