//! Operations on single elements, and those that only move elements.

use crate::gemm::Machine;
use crate::math;
use crate::simd::{Kernel, Simd};
use impasto_tensor::{Activation, Curve, TensorError};

/// Elements that a task handles at least.
const TASK: usize = 1 << 14;

/// Cuts `rows` of `width` elements into tasks that are large enough to be worth one: bounds in elements.
pub(crate) fn row_tasks(rows: usize, width: usize) -> Vec<usize> {
    let rows_of_task = (TASK / width.max(1)).max(1);
    (0..rows.div_ceil(rows_of_task)).map(|task| task * rows_of_task * width).chain([rows * width]).collect()
}

/// An operation that makes each element from those at the same place of its sources.
#[derive(Clone, Copy)]
pub(crate) enum Pointwise<'a> {
    Activate(&'a [f32], Activation),
    Curve(&'a [f32], Curve),
    Add(&'a [f32], &'a [f32]),
    Scale(&'a [f32], f32),
}

/// Fills `out`.
pub(crate) fn pointwise(
    machine: Machine<'_>,
    operation: Pointwise<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let bounds = row_tasks(out.len(), 1);
    machine.threads.for_parts(out, &bounds, &|part, out| {
        machine.isa.run(PointwisePart { operation, first: bounds[part], out });
    })
}

struct PointwisePart<'a> {
    operation: Pointwise<'a>,
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for PointwisePart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { operation, first, out } = self;
        let end = first + out.len();
        match operation {
            Pointwise::Activate(x, activation) => {
                for (x, out) in x[first..end].chunks(S::LANES).zip(out.chunks_mut(S::LANES)) {
                    s.write(out, math::activate(s, s.read(x), activation));
                }
            }
            Pointwise::Curve(x, curve) => {
                for (x, out) in x[first..end].iter().zip(out) {
                    *out = curve.at(*x);
                }
            }
            Pointwise::Add(a, b) => {
                let sources = a[first..end].chunks(S::LANES).zip(b[first..end].chunks(S::LANES));
                for ((a, b), out) in sources.zip(out.chunks_mut(S::LANES)) {
                    s.write(out, s.add(s.read(a), s.read(b)));
                }
            }
            Pointwise::Scale(x, factor) => {
                for (x, out) in x[first..end].chunks(S::LANES).zip(out.chunks_mut(S::LANES)) {
                    s.write(out, s.mul(s.read(x), s.splat(factor)));
                }
            }
        }
    }
}

/// Gated GELU: rows of `2 width` to rows of `width`.
pub(crate) fn geglu(
    machine: Machine<'_>,
    x: &[f32],
    width: usize,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let bounds = row_tasks(out.len() / width, width);
    machine.threads.for_parts(out, &bounds, &|part, out| {
        machine.isa.run(Gate { x: &x[2 * bounds[part]..][..2 * out.len()], width, out });
    })
}

struct Gate<'a> {
    x: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (row, out) in self.x.chunks_exact(2 * self.width).zip(self.out.chunks_exact_mut(self.width)) {
            let (values, gates) = row.split_at(self.width);
            let sources = values.chunks(S::LANES).zip(gates.chunks(S::LANES));
            for ((value, gate), out) in sources.zip(out.chunks_mut(S::LANES)) {
                s.write(out, s.mul(s.read(value), math::gelu(s, s.read(gate))));
            }
        }
    }
}

/// Joins rows: each part gives `width` elements to each of `rows` rows.
pub(crate) fn concat(
    machine: Machine<'_>,
    parts: &[(&[f32], usize)],
    rows: usize,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let width: usize = parts.iter().map(|(_, width)| width).sum();
    let bounds = row_tasks(rows, width);
    machine.threads.for_parts(out, &bounds, &|part, out| {
        for (row, out) in (bounds[part] / width..).zip(out.chunks_exact_mut(width)) {
            let mut at = 0;
            for &(data, width) in parts {
                out[at..at + width].copy_from_slice(&data[row * width..(row + 1) * width]);
                at += width;
            }
        }
    })
}

/// Takes columns `start..start + width` of rows of `row` elements.
pub(crate) fn columns(
    machine: Machine<'_>,
    x: &[f32],
    (row, start, width): (usize, usize, usize),
    out: &mut [f32],
) -> Result<(), TensorError> {
    let bounds = row_tasks(out.len() / width, width);
    machine.threads.for_parts(out, &bounds, &|part, out| {
        for (i, out) in (bounds[part] / width..).zip(out.chunks_exact_mut(width)) {
            out.copy_from_slice(&x[i * row + start..i * row + start + width]);
        }
    })
}

/// Makes tokens of the means of others: token `i` of the members before `ends[i]` and after the token before.
pub(crate) fn gather_mean(
    machine: Machine<'_>,
    (x, features): (&[f32], usize),
    members: &[u32],
    ends: &[u32],
    out: &mut [f32],
) -> Result<(), TensorError> {
    let bounds = row_tasks(ends.len(), features);
    let row = |id: u32| &x[id as usize * features..][..features];
    machine.threads.for_parts(out, &bounds, &|part, out| {
        for (token, out) in (bounds[part] / features..).zip(out.chunks_exact_mut(features)) {
            let start = token.checked_sub(1).map_or(0, |before| ends[before] as usize);
            let own = &members[start..ends[token] as usize];
            out.copy_from_slice(row(own[0]));
            if own.len() == 1 {
                continue;
            }
            for &id in &own[1..] {
                out.iter_mut().zip(row(id)).for_each(|(sum, x)| *sum += x);
            }
            let count = own.len() as f32;
            for sum in out {
                *sum /= count;
            }
        }
    })
}

/// Makes each of `[.., width, channels]` pixels a square of `factor` by `factor`.
pub(crate) fn enlarge(
    machine: Machine<'_>,
    x: &[f32],
    [width, channels, factor]: [usize; 3],
    out: &mut [f32],
) -> Result<(), TensorError> {
    let line = width * factor * channels;
    let bounds = row_tasks(out.len() / line.max(1), line);
    machine.threads.for_parts(out, &bounds, &|part, out| {
        for (y, out) in (bounds[part] / line..).zip(out.chunks_exact_mut(line)) {
            let source = &x[y / factor * width * channels..][..width * channels];
            for (pixel, out) in source.chunks_exact(channels).zip(out.chunks_exact_mut(factor * channels)) {
                out.chunks_exact_mut(channels).for_each(|out| out.copy_from_slice(pixel));
            }
        }
    })
}

/// Makes the channels of each of `[.., width, channels]` pixels a square of `factor` by `factor` pixels.
pub(crate) fn shuffle(
    machine: Machine<'_>,
    x: &[f32],
    [width, channels, factor]: [usize; 3],
    out: &mut [f32],
) -> Result<(), TensorError> {
    let square = factor * factor;
    let line = width * channels / factor;
    let bounds = row_tasks(out.len() / line.max(1), line);
    machine.threads.for_parts(out, &bounds, &|part, out| {
        for (y, out) in (bounds[part] / line..).zip(out.chunks_exact_mut(line)) {
            let source = &x[y / factor * width * channels..][..width * channels];
            let squares = out.chunks_exact_mut(channels / factor);
            for (pixel, out) in source.chunks_exact(channels).zip(squares) {
                for (right, out) in out.chunks_exact_mut(channels / square).enumerate() {
                    let own = y % factor * factor + right;
                    for (out, channel) in out.iter_mut().zip(pixel.chunks_exact(square)) {
                        *out = channel[own];
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_whole_rows() {
        assert_eq!(row_tasks(5, 1 << 15), [0, 1 << 15, 2 << 15, 3 << 15, 4 << 15, 5 << 15]);
        assert_eq!(row_tasks(3, 10), [0, 30]);
        assert_eq!(row_tasks(0, 10), [0]);
    }
}
