//! Attention with products of bytes, in blocks of keys with a running softmax (Dao et al. 2022; Zhang et al. 2024).
//!
//! As in `f32` everything is computed transposed: scores are `[keys, queries]`, results `[features, queries]`, and a panel's
//! queries lie side by side. What is rounded:
//!
//! - A query to signed bytes, with a step of its own.
//! - A block of keys to unsigned bytes, with one range. Before, the mean of all keys is taken off each: that changes all
//!   scores of a query by the same, so no weight, and leaves the bytes to what tells keys apart.
//! - Weights to unsigned bytes. The largest of a query in a block is 255, however small it is beside those of other blocks,
//!   so that many small weights are not lost beside a large one.
//! - A block of values to unsigned bytes, with a range for each feature.
//!
//! Scores within a block have the same step and differ from sums of bytes by the same number, so that only the largest of a
//! block has to be known as it is. A result is divided by the sum of the rounded weights, which comes out of the product
//! as one more feature, whose value is one.
//!
//! What a block adds is `step sum(w v) + offset sum(w)` for each feature. Sums are exact in 32 bits and in `f32`. The product
//! of bytes wants its right side signed, so that weights are stored less 128, which `128 sum(v)` makes good.

mod pack;
mod softmax;

use super::LINE;
use super::dot::{Dot, PANEL, TILE_ROWS, Tile};
use crate::attention::{HeadRows, task_panels};
use crate::bytes;
use crate::gemm::Machine;
use crate::isa::Isa;
use crate::pool::Disjoint;
use crate::simd::MAX_LANES;
use crate::transpose::Transpose;
use impasto_tensor::shapes::AttentionSizes;
use impasto_tensor::{AttentionArgs, TensorError};
use pack::{RoundQueries, pack};
use softmax::{Accumulate, Panel, Weigh};
use std::ops::{Range, RangeInclusive};

/// The most keys of a block.
const BLOCK: usize = 168;
/// The fewest keys that are worth rounding.
const FEWEST_KEYS: usize = 256;
/// Sizes of heads that are worth it, and whose sums of products are exact in `f32`.
const HEAD_SIZES: RangeInclusive<usize> = 16..=512;
// Bytes reach 255, those of a query 127, weights 255.
const _: () = assert!(*HEAD_SIZES.end() * 255 * 127 < 1 << 24 && BLOCK * 255 * 255 < 1 << 24);
// Quads of keys lie together, and what has room for a panel's results has room for a tile of sums.
const _: () = assert!(BLOCK.is_multiple_of(4) && *HEAD_SIZES.start() >= TILE_ROWS);
/// The most panels of queries in a task.
const TASK_PANELS: usize = 4;
/// The greatest byte of a query.
const QUERY_LEVELS: f32 = 127.0;
/// The greatest byte of a weight.
const WEIGHT_LEVELS: f32 = 255.0;
/// Added to a number of at most 2^21 in size, leaves it in the low bits, rounded to the nearest, ties to even.
const ROUNDING: f32 = 1.5 * (1_u32 << 23) as f32;

/// Whether attention is computed in 8 bits where that is asked for: where it takes less time, as it saves no memory.
pub(crate) fn suits(isa: Isa, sizes: &AttentionSizes, args: &AttentionArgs<'_>) -> bool {
    let all_keys = !args.causal && args.key_lengths.is_none();
    let large = sizes.keys >= FEWEST_KEYS && HEAD_SIZES.contains(&sizes.head_size);
    all_keys && large && Dot::new(isa) != Dot::Portable
}

/// Sizes of what is packed.
#[derive(Clone, Copy)]
struct Layout {
    head_size: usize,
    keys: usize,
    /// Keys of each block but the last.
    block: usize,
}

impl Layout {
    fn new(sizes: &AttentionSizes) -> Self {
        let blocks = sizes.keys.div_ceil(BLOCK).max(1);
        let block = sizes.keys.div_ceil(blocks).next_multiple_of(4);
        Self { head_size: sizes.head_size, keys: sizes.keys, block }
    }

    fn blocks(&self) -> usize {
        self.keys.div_ceil(self.block)
    }

    /// The keys of a block.
    fn keys_of(&self, block: usize) -> Range<usize> {
        block * self.block..self.keys.min((block + 1) * self.block)
    }

    /// Quads of a head's features.
    fn steps(&self) -> usize {
        self.head_size.div_ceil(4)
    }

    /// Bytes of a packed key.
    fn key_bytes(&self) -> usize {
        self.head_size.next_multiple_of(LINE)
    }

    /// Features, and the one before them that is one everywhere.
    fn features(&self) -> usize {
        self.head_size + 1
    }

    /// Bytes of a feature's values in a block.
    fn value_bytes(&self) -> usize {
        self.block.next_multiple_of(LINE)
    }

    /// `f32`s of a packed block: bytes of keys, bytes of values, and numbers.
    fn block_sizes(&self) -> [usize; 3] {
        let numbers = 2 + 3 * self.features();
        [
            self.block * self.key_bytes() / size_of::<f32>(),
            self.features() * self.value_bytes() / size_of::<f32>(),
            numbers.next_multiple_of(MAX_LANES),
        ]
    }

    fn block_size(&self) -> usize {
        self.block_sizes().iter().sum()
    }

    /// Elements of a panel's queries and of its results.
    fn panel_sizes(&self) -> [usize; 2] {
        [self.steps() * PANEL, self.features() * PANEL]
    }

    /// Elements that packing a block needs.
    fn packing_size(&self) -> usize {
        let elements = self.block * self.head_size;
        elements + elements.div_ceil(4).next_multiple_of(MAX_LANES)
    }

    /// Elements that a task of some panels needs.
    fn task_size(&self, panels: usize) -> usize {
        let [queries, results] = self.panel_sizes();
        self.block * PANEL + self.block / 4 * PANEL + self.head_size * PANEL + panels * (queries + results)
    }
}

/// `rows` rows cut into tiles of about equal size.
fn tiles(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let step = rows.div_ceil(rows.div_ceil(TILE_ROWS).max(1)).max(1);
    (0..rows).step_by(step).map(move |first| first..rows.min(first + step))
}

/// `out = softmax(query key^T / sqrt(d)) value` for each head.
pub(crate) fn attention(
    machine: Machine<'_>,
    [query, key, value]: [&[f32]; 3],
    sizes: &AttentionSizes,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let layout = Layout::new(sizes);
    let (heads, threads) = (sizes.batch * sizes.heads, machine.threads.threads());
    let packed = pack(machine, layout, sizes, [key, value])?;
    let panels = sizes.queries.div_ceil(PANEL);
    let task_panels = task_panels(panels * heads, threads, TASK_PANELS);
    let tasks = panels.div_ceil(task_panels);
    let size = layout.task_size(task_panels);
    let mut scratch = machine.buffers.take(threads * size)?;
    let (scratch, out) = (Disjoint::new(&mut scratch), Disjoint::new(out));
    let (isa, dot) = (machine.isa, Dot::new(machine.isa));
    machine.threads.run(heads * tasks, &|worker, task| {
        let (head, task) = (task / tasks, task % tasks);
        // SAFETY: the scratch is this worker's.
        let scratch = unsafe { scratch.part(worker * size..(worker + 1) * size) };
        let first = task * task_panels * PANEL;
        let head_task = HeadTask {
            isa,
            dot,
            layout,
            query: HeadRows::new(query, sizes, sizes.queries, head),
            packed: &packed[head * packed.len() / heads..(head + 1) * packed.len() / heads],
            queries: first..sizes.queries.min(first + task_panels * PANEL),
        };
        head_task.attend(scratch, task_panels, &out);
    })
}

/// Some panels of queries of one head.
struct HeadTask<'a> {
    isa: Isa,
    dot: Dot,
    layout: Layout,
    query: HeadRows<'a>,
    /// The head's packed blocks.
    packed: &'a [f32],
    queries: Range<usize>,
}

/// Where a block's products go.
struct Products<'a> {
    /// `[keys, queries]`
    scores: &'a mut [[i32; PANEL]],
    /// The bytes of four keys' weights together, less 128: `[keys / 4, queries, 4]`
    weights: &'a mut [u8],
    /// A tile of results.
    sums: &'a mut [[i32; PANEL]],
}

impl HeadTask<'_> {
    fn panels(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let end = self.queries.end;
        self.queries.clone().step_by(PANEL).map(move |first| first..end.min(first + PANEL))
    }

    fn attend(&self, scratch: &mut [f32], task_panels: usize, out: &Disjoint<'_>) {
        let Layout { block, head_size, .. } = self.layout;
        let [queries_size, results_size] = self.layout.panel_sizes();
        let (scores, rest) = scratch.split_at_mut(block * PANEL);
        let (weights, rest) = rest.split_at_mut(block / 4 * PANEL);
        let (shared, rest) = rest.split_at_mut(head_size * PANEL);
        let (queries, results) = rest.split_at_mut(task_panels * queries_size);
        let mut panels = [Panel::NEW; TASK_PANELS];
        for ((range, packed), panel) in
            self.panels().zip(queries.chunks_exact_mut(queries_size)).zip(&mut panels)
        {
            self.pack_queries(range, shared, packed, panel);
        }
        results.fill(0.0);
        let mut products = Products {
            scores: bytes::integers_of_mut(scores).as_chunks_mut().0,
            weights: bytes::of_mut(weights),
            sums: bytes::integers_of_mut(shared).as_chunks_mut().0,
        };
        for block in 0..self.layout.blocks() {
            let buffers = queries.chunks_exact(queries_size).zip(results.chunks_exact_mut(results_size));
            for ((_, panel), (queries, results)) in self.panels().zip(&mut panels).zip(buffers) {
                self.block(block, bytes::of(queries), panel, &mut products, results);
            }
        }
        for (range, results) in self.panels().zip(results.chunks_exact(results_size)) {
            let (totals, results) = results.split_at(PANEL);
            self.isa.run(Transpose {
                from: results,
                from_stride: PANEL,
                rows: head_size,
                columns: range.len(),
                to: &mut *shared,
                to_stride: head_size,
            });
            for ((query, row), total) in range.zip(shared.chunks_exact(head_size)).zip(totals) {
                let inverse = 1.0 / total;
                // SAFETY: this head of this query is this task's.
                let out = unsafe { out.part(self.query.place(query)) };
                out.iter_mut().zip(row).for_each(|(out, sum)| *out = sum * inverse);
            }
        }
    }

    /// Rounds a panel of queries and packs it as the right side of a product: `[features / 4, queries, 4]`.
    fn pack_queries(&self, queries: Range<usize>, rows: &mut [f32], packed: &mut [f32], panel: &mut Panel) {
        let length = self.layout.steps();
        // What pads the last panel is computed as if it were queries, and not looked at.
        let rows = &mut rows[..PANEL * length];
        rows.fill(0.0);
        self.isa.run(RoundQueries { rows: self.query, queries, to: &mut *rows, length, panel });
        // Four bytes at a time change places as if they were one number.
        self.isa.run(Transpose {
            from: &*rows,
            from_stride: length,
            rows: PANEL,
            columns: length,
            to: packed,
            to_stride: PANEL,
        });
    }

    /// Takes one block of keys into a panel's results.
    fn block(
        &self,
        index: usize,
        queries: &[u8],
        panel: &mut Panel,
        products: &mut Products<'_>,
        results: &mut [f32],
    ) {
        let layout = self.layout;
        let [keys_size, values_size, _] = layout.block_sizes();
        let packed = &self.packed[index * layout.block_size()..(index + 1) * layout.block_size()];
        let (keys, rest) = packed.split_at(keys_size);
        let (values, numbers) = rest.split_at(values_size);
        let (range, numbers) = numbers.split_at(2);
        let count = layout.keys_of(index).len();
        let Products { scores, weights, sums } = products;
        let product = |left: &[u8], rows, right, sums: &mut [[i32; PANEL]]| {
            self.dot.tile(&Tile { left, rows, right, ahead: right.as_ptr(), out: None }, sums);
        };
        for tile in tiles(count) {
            let left = &bytes::of(keys)[tile.start * layout.key_bytes()..];
            product(left, tile.len(), queries, &mut scores[tile]);
        }
        let padded = count.next_multiple_of(4);
        let weights = &mut weights[..padded * PANEL];
        self.isa.run(Weigh { scores: &scores[..padded], count, range: [range[0], range[1]], panel, weights });
        let numbers = numbers.as_chunks().0;
        for tile in tiles(layout.features()) {
            let left = &bytes::of(values)[tile.start * layout.value_bytes()..];
            product(left, tile.len(), weights, sums);
            let accumulate = Accumulate {
                sums: &sums[..tile.len()],
                numbers: &numbers[tile.clone()],
                first: tile.start == 0,
                panel,
                results: &mut results[tile.start * PANEL..],
            };
            self.isa.run(accumulate);
        }
    }
}
