//! Queries, keys and values as bytes, laid out for the products.

use super::softmax::Panel;
use super::{BLOCK, LINE, Layout, QUERY_LEVELS, ROUNDING, tiles};
use crate::attention::HeadRows;
use crate::buffer::Buffer;
use crate::bytes;
use crate::gemm::Machine;
use crate::int8::records::{LEAST_RANGE, extremes, quantise_group};
use crate::isa::Isa;
use crate::pool::Disjoint;
use crate::simd::{Kernel, MAX_LANES, Simd};
use crate::transpose::Transpose;
use impasto_tensor::TensorError;
use impasto_tensor::shapes::AttentionSizes;
use std::ops::Range;

/// Rounds the keys and values of each head, block by block.
pub(super) fn pack(
    machine: Machine<'_>,
    layout: Layout,
    sizes: &AttentionSizes,
    [key, value]: [&[f32]; 2],
) -> Result<Buffer, TensorError> {
    let (heads, blocks, head_size) = (sizes.batch * sizes.heads, layout.blocks(), layout.head_size);
    let mut means = machine.buffers.take(heads * head_size)?;
    let bounds: Vec<usize> = (0..=heads).map(|head| head * head_size).collect();
    machine.threads.for_parts(&mut means, &bounds, &|head, means| {
        let rows = HeadRows::new(key, sizes, sizes.keys, head);
        means.fill(0.0);
        for token in 0..sizes.keys {
            means.iter_mut().zip(rows.token(token)).for_each(|(mean, x)| *mean += x);
        }
        for mean in means {
            *mean /= sizes.keys as f32;
        }
    })?;

    let (size, packing_size) = (layout.block_size(), layout.packing_size());
    let mut packed = machine.buffers.take(heads * blocks * size)?;
    let mut scratch = machine.buffers.take(machine.threads.threads() * packing_size)?;
    let (parts, scratch) = (Disjoint::new(&mut packed), Disjoint::new(&mut scratch));
    machine.threads.run(heads * blocks, &|worker, part| {
        // SAFETY: the scratch is this worker's, and the part is this task's.
        let (scratch, packed) = unsafe {
            (
                scratch.part(worker * packing_size..(worker + 1) * packing_size),
                parts.part(part * size..(part + 1) * size),
            )
        };
        let (head, block) = (part / blocks, layout.keys_of(part % blocks));
        let [keys_size, values_size, _] = layout.block_sizes();
        let (keys, rest) = packed.split_at_mut(keys_size);
        let (values, numbers) = rest.split_at_mut(values_size);
        let (range, numbers) = numbers.split_at_mut(2);
        let packing = Packing { isa: machine.isa, layout, block };
        let means = &means[head * head_size..(head + 1) * head_size];
        let rows = HeadRows::new(key, sizes, sizes.keys, head);
        range.copy_from_slice(&packing.keys(rows, means, scratch, bytes::of_mut(keys)));
        let rows = HeadRows::new(value, sizes, sizes.keys, head);
        packing.values(rows, scratch, bytes::of_mut(values), numbers.as_chunks_mut().0);
    })?;
    Ok(packed)
}

/// A block that is being packed.
struct Packing {
    isa: Isa,
    layout: Layout,
    block: Range<usize>,
}

impl Packing {
    /// The keys as the left side of the product that gives scores, a tile after the other. Gives their range.
    fn keys(&self, rows: HeadRows<'_>, means: &[f32], scratch: &mut [f32], packed: &mut [u8]) -> [f32; 2] {
        let (head_size, key_bytes) = (self.layout.head_size, self.layout.key_bytes());
        let (centred, rounded) = scratch.split_at_mut(self.layout.block * head_size);
        let centred = &mut centred[..self.block.len() * head_size];
        for (token, centred) in self.block.clone().zip(centred.chunks_exact_mut(head_size)) {
            for ((to, x), mean) in centred.iter_mut().zip(rows.token(token)).zip(means) {
                *to = x - mean;
            }
        }
        let rounded = &mut bytes::of_mut(rounded)[..centred.len()];
        let range = self.isa.run(Round { x: centred, to: rounded });
        for tile in tiles(self.block.len()) {
            let (count, packed) = (tile.len(), &mut packed[tile.start * key_bytes..]);
            for (row, key) in
                rounded[tile.start * head_size..].chunks_exact(head_size).take(count).enumerate()
            {
                for (from, to) in key.chunks(LINE).zip(packed.chunks_exact_mut(count * LINE)) {
                    to[row * LINE..][..from.len()].copy_from_slice(from);
                }
            }
        }
        range
    }

    /// The values, transposed, as the left side of the product that gives results, and for each feature its step, its
    /// offset and 128 times the sum of its bytes.
    fn values(&self, rows: HeadRows<'_>, scratch: &mut [f32], packed: &mut [u8], numbers: &mut [[f32; 3]]) {
        let Layout { block, head_size, .. } = self.layout;
        let (count, value_bytes) = (self.block.len(), self.layout.value_bytes());
        self.isa.run(Transpose {
            from: &rows.elements[rows.place(self.block.start).start..],
            from_stride: rows.features,
            rows: count,
            columns: head_size,
            to: &mut *scratch,
            to_stride: block,
        });
        // Keys beyond the last have values of zero, whatever their weights are.
        let mut rounded = [0; BLOCK];
        for tile in tiles(self.layout.features()) {
            let (features, packed) = (tile.len(), &mut packed[tile.start * value_bytes..]);
            for (row, feature) in tile.enumerate() {
                let range = match feature.checked_sub(1) {
                    None => {
                        rounded[..count].fill(1);
                        [1.0, 0.0]
                    }
                    Some(feature) => {
                        let (x, to) = (&scratch[feature * block..][..count], &mut rounded[..count]);
                        self.isa.run(Round { x, to })
                    }
                };
                let sum: u32 = rounded[..count].iter().map(|&byte| u32::from(byte)).sum();
                numbers[feature] = [range[0], range[1], (128 * sum) as f32];
                for (from, to) in rounded.chunks(LINE).zip(packed.chunks_exact_mut(features * LINE)) {
                    let to = &mut to[row * LINE..][..LINE];
                    to[..from.len()].copy_from_slice(from);
                    to[from.len()..].fill(0);
                }
            }
        }
    }
}

/// Rounds numbers to bytes; gives their step and offset.
struct Round<'a> {
    x: &'a [f32],
    to: &'a mut [u8],
}

impl Kernel for Round<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f32; 2] {
        quantise_group(s, self.x, self.to)
    }
}

/// Rounds queries to signed bytes.
pub(super) struct RoundQueries<'a> {
    pub(super) rows: HeadRows<'a>,
    pub(super) queries: Range<usize>,
    /// A row of bytes for each query.
    pub(super) to: &'a mut [f32],
    /// Elements of a row.
    pub(super) length: usize,
    pub(super) panel: &'a mut Panel,
}

impl Kernel for RoundQueries<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rows, queries, to, length, panel } = self;
        // Heads lie far apart, so that the processor does not see for itself what is needed next.
        for query in queries.clone() {
            for line in rows.token(query).chunks(MAX_LANES) {
                s.prefetch(line.as_ptr());
            }
        }
        let scale = std::f32::consts::LOG2_E / (rows.head_size as f32).sqrt();
        for (column, (query, to)) in queries.zip(to.chunks_exact_mut(length)).enumerate() {
            let [step, sum] = round_query(s, rows.token(query), bytes::of_mut(to));
            panel.step[column] = step * scale;
            panel.sum[column] = sum;
        }
    }
}

/// Rounds a query; gives its step and the sum of its bytes.
#[inline(always)]
fn round_query<S: Simd>(s: S, x: &[f32], to: &mut [u8]) -> [f32; 2] {
    let [least, greatest, poison] = extremes(s, x);
    let most = greatest.max(-least);
    let (step, inverse) =
        if most < LEAST_RANGE { (0.0, 0.0) } else { (most / QUERY_LEVELS, QUERY_LEVELS / most) };
    let whole = x.len() / S::LANES * S::LANES;
    assert!(to.len() >= x.len());
    let (rounding, mut sums) = (s.splat(ROUNDING), s.splat(0.0));
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: both slices have a vector's elements there.
        unsafe {
            let rounded = s.add(s.mul(s.load(x.as_ptr().add(at)), s.splat(inverse)), rounding);
            sums = s.add(sums, s.sub(rounded, rounding));
            s.store_low_bytes(to.as_mut_ptr().add(at), rounded);
        }
    }
    let mut sum = s.sum(sums);
    for (x, to) in x[whole..].iter().zip(&mut to[whole..]) {
        let rounded = x * inverse + ROUNDING;
        sum += rounded - ROUNDING;
        *to = rounded.to_bits() as u8;
    }
    [step + poison, sum]
}
