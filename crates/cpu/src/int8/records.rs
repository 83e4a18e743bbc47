//! Rows of activations as bytes with their ranges.
//!
//! A record holds one row: the bytes, filled up to whole lines, then for each group its step and its offset, filled up to a
//! whole line. It is a slice of `f32` so that what gathers rows of `f32` can gather records.

use super::{Groups, LINE};
use crate::buffer::Buffer;
use crate::bytes;
use crate::gemm::Machine;
use crate::simd::{Kernel, MAX_LANES, Simd};
use impasto_tensor::TensorError;

/// Rows that one task rounds, at least.
const ROWS_PER_TASK: usize = 16;
/// Ranges below this are those of equal elements: a division by them might overflow.
pub(super) const LEAST_RANGE: f32 = 1e-30;
/// Levels of a byte, without zero.
const LEVELS: f32 = 255.0;
/// Added to a number from 0 to 255, leaves it in the low byte, rounded to the nearest, ties to even.
const ROUNDING: f32 = (1_u32 << 23) as f32;

/// Where things lie in a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records {
    pub(crate) groups: Groups,
}

impl Records {
    /// `f32`s of a record. It may overflow only where a row of the tensor would.
    pub(crate) fn length(&self) -> usize {
        (self.bytes() + 2 * self.groups.count()).next_multiple_of(MAX_LANES)
    }

    /// `f32`s that hold the bytes.
    fn bytes(&self) -> usize {
        self.groups.inner.next_multiple_of(LINE) / size_of::<f32>()
    }

    /// The bytes of a record.
    pub(crate) fn bytes_of<'a>(&self, record: &'a [f32]) -> &'a [u8] {
        bytes::of(&record[..self.bytes()])
    }

    /// Step and offset of a group: byte `q` stands for `offset + step * q`.
    pub(crate) fn range_of(&self, record: &[f32], group: usize) -> [f32; 2] {
        let at = self.bytes() + 2 * group;
        [record[at], record[at + 1]]
    }
}

/// The records of the rows `x`, `[rows, inner]`.
pub(crate) fn quantise(machine: Machine<'_>, x: &[f32], records: Records) -> Result<Buffer, TensorError> {
    let inner = records.groups.inner;
    let rows = x.len() / inner.max(1);
    let length = records.length();
    let size = rows.checked_mul(length).ok_or(TensorError::OutOfMemory { bytes: usize::MAX })?;
    let mut buffer = machine.buffers.take(size)?;
    let tasks = (rows / ROWS_PER_TASK).clamp(1, 4 * machine.threads.threads());
    let bounds: Vec<usize> = (0..=tasks).map(|task| task * rows / tasks * length).collect();
    machine.threads.for_parts(&mut buffer, &bounds, &|task, part| {
        let x = &x[bounds[task] / length * inner..];
        machine.isa.run(Quantise { x, part, records });
    })?;
    Ok(buffer)
}

/// Rounds rows.
struct Quantise<'a> {
    /// Rows from the first of the part on.
    x: &'a [f32],
    /// Whole records.
    part: &'a mut [f32],
    records: Records,
}

impl Kernel for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, part, records } = self;
        let groups = records.groups;
        if groups.inner == 0 {
            return;
        }
        for (x, record) in x.chunks_exact(groups.inner).zip(part.chunks_exact_mut(records.length())) {
            let (to, ranges) = record.split_at_mut(records.bytes());
            for (group, range) in (0..groups.count()).zip(ranges.chunks_exact_mut(2)) {
                let elements = groups.range(group);
                let to = &mut bytes::of_mut(to)[elements.clone()];
                range.copy_from_slice(&quantise_group(s, &x[elements], to));
            }
        }
    }
}

/// Rounds a group to bytes; gives its step and offset.
#[inline(always)]
pub(super) fn quantise_group<S: Simd>(s: S, x: &[f32], to: &mut [u8]) -> [f32; 2] {
    let [least, greatest, poison] = extremes(s, x);
    let range = greatest - least;
    let (step, inverse) = if range < LEAST_RANGE { (0.0, 0.0) } else { (range / LEVELS, LEVELS / range) };
    let (offset, factor, rounding) = (s.splat(least), s.splat(inverse), s.splat(ROUNDING));
    let whole = x.len() / S::LANES * S::LANES;
    assert!(to.len() >= x.len());
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: both slices have a vector's elements there.
        unsafe {
            let x = s.load(x.as_ptr().add(at));
            let rounded = s.add(s.mul(s.sub(x, offset), factor), rounding);
            s.store_low_bytes(to.as_mut_ptr().add(at), rounded);
        }
    }
    for (x, to) in x[whole..].iter().zip(&mut to[whole..]) {
        *to = ((x - least) * inverse + ROUNDING).to_bits() as u8;
    }
    [step, least + poison]
}

/// The least and the greatest element, and zero, or NaN if an element is not finite.
#[inline(always)]
pub(super) fn extremes<S: Simd>(s: S, x: &[f32]) -> [f32; 3] {
    let vectors = x.chunks_exact(S::LANES);
    let mut found = [f32::INFINITY, f32::NEG_INFINITY, 0.0];
    for &x in vectors.remainder() {
        found = [found[0].min(x), found[1].max(x), found[2] + 0.0 * x];
    }
    let mut least = s.splat(found[0]);
    let mut greatest = s.splat(found[1]);
    let (zero, mut poison) = (s.splat(0.0), s.splat(found[2]));
    for vector in vectors {
        let x = s.read(vector);
        least = s.min(x, least);
        greatest = s.max(x, greatest);
        poison = s.fma(x, zero, poison);
    }
    [-s.largest(s.sub(zero, least)), s.largest(greatest), s.sum(poison)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::BufferPool;
    use crate::isa::Isa;
    use crate::pool::ThreadPool;
    use std::num::NonZero;

    fn records_of(isa: Isa, threads: usize, x: &[f32], inner: usize) -> (Records, Buffer) {
        let pool = ThreadPool::new(NonZero::new(threads).unwrap()).unwrap();
        let buffers = BufferPool::new(usize::MAX);
        let machine = Machine { isa, threads: &pool, buffers: &buffers };
        let records = Records { groups: Groups::new(inner) };
        let buffer = quantise(machine, x, records).unwrap();
        (records, buffer)
    }

    fn ramp(inner: usize) -> Vec<f32> {
        (0..40 * inner).map(|i| (i as f32 * 1.7).sin() * (1.0 + (i % 11) as f32) - 0.3).collect()
    }

    #[test]
    fn every_path_rounds_alike() {
        for inner in [1, 3, 5, 16, 33, 77, 320, 1300] {
            let x = ramp(inner);
            let wanted = records_of(Isa::supported().last().unwrap(), 1, &x, inner);
            for isa in Isa::supported() {
                for threads in [1, 3] {
                    let (records, found) = records_of(isa, threads, &x, inner);
                    let rows =
                        found.chunks_exact(records.length()).zip(wanted.1.chunks_exact(records.length()));
                    for (found, wanted) in rows {
                        assert_eq!(records.bytes_of(found)[..inner], records.bytes_of(wanted)[..inner]);
                        for group in 0..records.groups.count() {
                            assert_eq!(records.range_of(found, group), records.range_of(wanted, group));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_stand_for_their_elements() {
        let (inner, isa) = (333, Isa::best());
        let x = ramp(inner);
        let (records, buffer) = records_of(isa, 1, &x, inner);
        for (x, record) in x.chunks_exact(inner).zip(buffer.chunks_exact(records.length())) {
            for (i, (&x, &byte)) in x.iter().zip(records.bytes_of(record)).enumerate() {
                let [step, offset] = records.range_of(record, i / records.groups.size);
                assert!((offset + step * f32::from(byte) - x).abs() <= 0.501 * step, "{x} as {byte}");
            }
        }
    }

    #[test]
    fn equal_elements_are_exact_and_others_than_finite_ones_are_nan() {
        for isa in Isa::supported() {
            for value in [0.0, -2.5, 1e-38, 3e38] {
                let (records, buffer) = records_of(isa, 1, &[value; 40], 40);
                assert_eq!(records.range_of(&buffer, 0), [0.0, value], "{isa:?}");
            }
            for (place, odd) in
                [(0, f32::NAN), (17, f32::NAN), (39, f32::NAN), (3, f32::INFINITY), (35, f32::NEG_INFINITY)]
            {
                let mut row: Vec<f32> = ramp(40)[..40].to_vec();
                row[place] = odd;
                let (records, buffer) = records_of(isa, 1, &row, 40);
                assert!(records.range_of(&buffer, 0)[1].is_nan(), "{isa:?}: {odd} at {place}");
            }
        }
    }
}
