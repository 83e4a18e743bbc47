//! Matrices transposed: in memory, block by block, and in registers.

use crate::simd::{Kernel, MAX_LANES, Simd};

/// `to[c * to_stride + r] = from[r * from_stride + c]` for `rows` by `columns`.
pub(crate) struct Transpose<'a> {
    pub(crate) from: &'a [f32],
    pub(crate) from_stride: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) to: &'a mut [f32],
    pub(crate) to_stride: usize,
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, from_stride, rows, columns, to, to_stride } = self;
        for row in (0..rows).step_by(S::LANES) {
            let height = S::LANES.min(rows - row);
            for column in (0..columns).step_by(S::LANES) {
                let width = S::LANES.min(columns - column);
                let from = &from[row * from_stride + column..];
                let to = &mut to[column * to_stride + row..];
                // A block may read beyond the columns, as long as there is something to read.
                if height == S::LANES && from.len() >= (S::LANES - 1) * from_stride + S::LANES {
                    let mut block = [0.0; MAX_LANES * MAX_LANES];
                    // SAFETY: the last row's vector is there, and the block has room for as many rows.
                    unsafe { s.transpose(from.as_ptr(), from_stride, block.as_mut_ptr()) };
                    for (i, line) in block.chunks_exact(S::LANES).enumerate().take(width) {
                        to[i * to_stride..][..S::LANES].copy_from_slice(line);
                    }
                } else {
                    for (row, from) in from.chunks(from_stride).enumerate().take(height) {
                        for (to, &element) in to[row..].iter_mut().step_by(to_stride).zip(&from[..width]) {
                            *to = element;
                        }
                    }
                }
            }
        }
    }
}

/// `m[y][x]` for each `x`, as `m[x][y]`.
#[inline(always)]
pub(crate) fn transposed<T: Copy, const ROWS: usize, const COLUMNS: usize>(
    m: [[T; COLUMNS]; ROWS],
) -> [[T; ROWS]; COLUMNS] {
    let mut out = [[m[0][0]; ROWS]; COLUMNS];
    for (x, column) in out.iter_mut().enumerate() {
        for (element, row) in column.iter_mut().zip(&m) {
            *element = row[x];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    #[test]
    fn small_ones() {
        assert_eq!(transposed([[1, 2, 3], [4, 5, 6]]), [[1, 4], [2, 5], [3, 6]]);
    }

    #[test]
    fn elements_change_places_and_no_others_do() {
        for isa in Isa::supported() {
            for (rows, columns) in [(1, 1), (16, 16), (32, 40), (5, 33), (17, 3), (40, 32)] {
                let (from_stride, to_stride) = (columns + 3, rows + 2);
                // The last row ends with its last column.
                let from: Vec<f32> =
                    (0..(rows - 1) * from_stride + columns).map(|i| (i as f32).sin()).collect();
                let mut to = vec![9.0; columns * to_stride];
                isa.run(Transpose { from: &from, from_stride, rows, columns, to: &mut to, to_stride });
                for (i, &element) in to.iter().enumerate() {
                    let (column, row) = (i / to_stride, i % to_stride);
                    let wanted = if row < rows { from[row * from_stride + column] } else { 9.0 };
                    assert_eq!(element, wanted, "{isa:?}: {rows} x {columns} at {row}, {column}");
                }
            }
        }
    }
}
