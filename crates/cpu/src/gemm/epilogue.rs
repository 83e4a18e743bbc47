//! What follows a sum before it leaves the cache: biases, activation, residual.

use crate::math;
use crate::pool::Disjoint;
use crate::simd::{Kernel, Simd};
use impasto_tensor::Activation;
use std::ops::Range;

/// `prelu(activation(sum + bias + row_bias)) + residual`.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// `[columns]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// `[images, columns]`, and how many rows an image has.
    pub(crate) row_bias: Option<(&'a [f32], usize)>,
    /// Applied after the biases.
    pub(crate) activation: Activation,
    /// `[columns]`, factors of what is below zero after that.
    pub(crate) slopes: Option<&'a [f32]>,
    /// `[rows, columns]`.
    pub(crate) residual: Option<&'a [f32]>,
}

impl Epilogue<'_> {
    /// Whether there are sums only, which a tile can add while it has them in registers.
    pub(crate) fn is_simple(&self) -> bool {
        self.row_bias.is_none() && self.activation == Activation::Identity && self.slopes.is_none()
    }
}

impl<'a> Epilogue<'a> {
    /// What concerns columns `tile` of one row of `columns`.
    #[inline(always)]
    pub(crate) fn of_row(&self, row: usize, tile: &Range<usize>, columns: usize) -> RowEpilogue<'a> {
        let piece_of = |row: usize| row * columns + tile.start..row * columns + tile.end;
        RowEpilogue {
            bias: self.bias.map(|bias| &bias[tile.clone()]),
            row_bias: self.row_bias.map(|(data, rows)| &data[piece_of(row / rows)]),
            activation: self.activation,
            slopes: self.slopes.map(|slopes| &slopes[tile.clone()]),
            residual: self.residual.map(|data| &data[piece_of(row)]),
        }
    }
}

/// An epilogue of a piece of a row.
#[derive(Clone, Copy)]
pub(crate) struct RowEpilogue<'a> {
    bias: Option<&'a [f32]>,
    row_bias: Option<&'a [f32]>,
    activation: Activation,
    slopes: Option<&'a [f32]>,
    residual: Option<&'a [f32]>,
}

impl RowEpilogue<'_> {
    /// The result of the sums `x` of the vector that starts at element `at` of the piece.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(&self, s: S, mut x: S::F, at: usize) -> S::F {
        if let Some(bias) = self.bias {
            x = s.add(x, s.read(&bias[at..]));
        }
        if let Some(bias) = self.row_bias {
            x = s.add(x, s.read(&bias[at..]));
        }
        x = math::activate(s, x, self.activation);
        if let Some(slopes) = self.slopes {
            x = math::leaky(s, x, s.read(&slopes[at..]));
        }
        match self.residual {
            Some(residual) => s.add(x, s.read(&residual[at..])),
            None => x,
        }
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
        let Self { epilogue, rows, tile, columns, out } = self;
        for row in rows {
            let epilogue = epilogue.of_row(row, &tile, columns);
            // SAFETY: the piece is part of the tile, and pieces of two rows do not overlap.
            let piece = unsafe { out.part(row * columns + tile.start..row * columns + tile.end) };
            for at in (0..piece.len()).step_by(S::LANES) {
                let x = epilogue.apply(s, s.read(&piece[at..]), at);
                s.write(&mut piece[at..], x);
            }
        }
    }
}
