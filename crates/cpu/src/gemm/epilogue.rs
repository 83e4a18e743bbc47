//! What follows a sum before it leaves the cache: biases, activation, residual.

use crate::math;
use crate::pool::Disjoint;
use crate::simd::{Kernel, Simd};
use impasto_tensor::Activation;
use std::ops::Range;

/// `activation(sum + bias + row_bias) + residual`.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// `[columns]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// `[images, columns]`, and how many rows an image has.
    pub(crate) row_bias: Option<(&'a [f32], usize)>,
    /// Applied after the biases.
    pub(crate) activation: Activation,
    /// `[rows, columns]`.
    pub(crate) residual: Option<&'a [f32]>,
}

impl Epilogue<'_> {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.bias.is_none()
            && self.row_bias.is_none()
            && self.residual.is_none()
            && self.activation == Activation::Identity
    }
}

/// Applies an epilogue to a tile.
pub(crate) struct Finish<'a> {
    pub(crate) epilogue: Epilogue<'a>,
    /// The tile's rows.
    pub(crate) rows: Range<usize>,
    /// The tile's columns.
    pub(crate) tile: Range<usize>,
    /// Columns of a whole row.
    pub(crate) columns: usize,
    /// Sums, which become results. The tile's part is this caller's.
    pub(crate) out: &'a Disjoint<'a>,
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { epilogue: Epilogue { bias, row_bias, activation, residual }, rows, tile, columns, out } =
            self;
        let piece_of = |row: usize| row * columns + tile.start..row * columns + tile.end;
        let bias = bias.map(|bias| &bias[tile.clone()]);
        for row in rows {
            // SAFETY: the piece is part of the tile, and pieces of two rows do not overlap.
            let piece = unsafe { out.part(piece_of(row)) };
            let row_bias = row_bias.map(|(data, rows)| &data[piece_of(row / rows)]);
            let residual = residual.map(|data| &data[piece_of(row)]);
            for at in (0..piece.len()).step_by(S::LANES) {
                let piece = &mut piece[at..];
                let mut x = s.read(piece);
                if let Some(bias) = bias {
                    x = s.add(x, s.read(&bias[at..]));
                }
                if let Some(bias) = row_bias {
                    x = s.add(x, s.read(&bias[at..]));
                }
                x = math::activate(s, x, activation);
                if let Some(residual) = residual {
                    x = s.add(x, s.read(&residual[at..]));
                }
                s.write(piece, x);
            }
        }
    }
}
