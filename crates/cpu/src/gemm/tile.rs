//! The micro-kernel: a small tile of a matrix product, held in registers.
//!
//! The scheme is that of Goto and van de Geijn (2008): the right side comes as a panel of a few vectors for each `k`,
//! the left side as rows whose elements are broadcast. A row's elements lie a vector's length together, so that packing
//! copies whole vectors and the kernel reads at constant distances.

use crate::isa::Isa;
use crate::simd::{Kernel, MAX_LANES, Simd};

/// Vectors of a panel of packed weights, but where columns are so few that half of it would be empty: there it has one.
pub(crate) const PANEL_VECTORS: usize = 2;

/// The most rows of a tile: those that leave registers for a panel's vectors and a broadcast.
pub(crate) fn tile_rows(isa: Isa) -> usize {
    (isa.registers() - PANEL_VECTORS - 1) / PANEL_VECTORS
}

/// Products that are added to those of a tile while it has its sums in registers.
#[derive(Clone, Copy)]
pub(crate) struct MoreProducts {
    /// Left side: where it starts, elements for each row of the tile after [`Tile::more_left`]; laid out as [`Tile::left`], its
    /// groups without a gap.
    pub(crate) before: usize,
    /// Right side, as [`Tile::right`].
    pub(crate) right: *const f32,
    /// Number of products in a sum.
    pub(crate) inner: usize,
}

/// Operands of a tile, for a vector of `L` lanes and a tile of `R` rows and `V` vectors.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// Vectors of the right side's panel and of the result's rows: 1 or [`PANEL_VECTORS`].
    pub(crate) vectors: usize,
    /// Left side: element `k` of row `r` at `k / L * left_stride + r * L + k % L`.
    pub(crate) left: *const f32,
    /// Elements from one group of `L` values of `k` to the next.
    pub(crate) left_stride: usize,
    /// Left side of the tile that is computed next, to be asked for towards the end. Any address.
    pub(crate) left_next: *const f32,
    /// Right side: vector `v` for `k` at `(k * V + v) * L`.
    pub(crate) right: *const f32,
    /// What will be the right side soon: a line of it is asked for with each `k`. Any address.
    pub(crate) ahead: *const f32,
    /// Number of products in a sum.
    pub(crate) inner: usize,
    /// What else is summed, after that.
    pub(crate) more: &'a [MoreProducts],
    /// The left sides of `more`. Any address if there are none.
    pub(crate) more_left: *const f32,
    /// Result: vector `v` of row `r` at `r * row_stride + v * vector_stride`.
    pub(crate) out: *mut f32,
    /// Elements from one row of the result to the next.
    pub(crate) row_stride: usize,
    /// Elements from one vector of the result to the next.
    pub(crate) vector_stride: usize,
    /// Whether to add to what is there.
    pub(crate) accumulate: bool,
    /// What is added to every row, a panel wide; nothing if null.
    pub(crate) bias: *const f32,
    /// What is added in the end, laid out as the result; nothing if null.
    pub(crate) residual: *const f32,
}

impl Tile<'_> {
    /// Computes `rows` rows.
    ///
    /// # Safety
    /// `left`, `right`, those of `more`, `bias` and `residual` must be readable and `out` writable, and no other thread's, as far as the fields say;
    /// `rows` must be within [`tile_rows`].
    pub(crate) unsafe fn compute(self, isa: Isa, rows: usize) {
        macro_rules! dispatch {
            ($($rows:literal)*) => {
                match (rows, self.vectors) {
                    $(($rows, PANEL_VECTORS) => isa.run(Micro::<$rows, PANEL_VECTORS>(self)),)*
                    $(($rows, _) => isa.run(Micro::<$rows, 1>(self)),)*
                    _ => debug_assert!(rows == 0, "no tile of {rows} rows"),
                }
            };
        }
        dispatch!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

/// The kernel of one tile size.
struct Micro<'a, const ROWS: usize, const VECTORS: usize>(Tile<'a>);

impl<const ROWS: usize, const VECTORS: usize> Kernel for Micro<'_, ROWS, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tile {
            mut left,
            left_stride,
            left_next,
            mut right,
            mut ahead,
            inner,
            more,
            more_left,
            out,
            row_stride,
            vector_stride,
            accumulate,
            bias,
            residual,
            ..
        } = self.0;
        let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                s.prefetch(out.wrapping_add(row * row_stride + vector * vector_stride));
            }
        }
        // SAFETY: the loops stay within what `Tile::compute` demands: `inner` values of `k`, ROWS rows, a panel.
        unsafe {
            for groups_left in (0..inner / S::LANES).rev() {
                let next = if groups_left == 0 { left_next } else { left.wrapping_add(left_stride) };
                for k in 0..S::LANES {
                    // The rows of the next group: as many lines as there are rows.
                    s.prefetch(next.wrapping_add(k * S::LANES));
                    s.prefetch_far(ahead.wrapping_add(k * MAX_LANES));
                    step(s, &mut sums, left.add(k), right.add(k * VECTORS * S::LANES));
                }
                left = left.add(left_stride);
                ahead = ahead.wrapping_add(S::LANES * MAX_LANES);
                right = right.add(S::LANES * VECTORS * S::LANES);
            }
            for k in 0..inner % S::LANES {
                step(s, &mut sums, left.add(k), right.add(k * VECTORS * S::LANES));
            }
            for products in more {
                let (left, right) = (more_left.add(products.before * ROWS), products.right);
                for k in 0..products.inner {
                    let left = left.add(k / S::LANES * S::LANES * ROWS + k % S::LANES);
                    step(s, &mut sums, left, right.add(k * VECTORS * S::LANES));
                }
            }
            let mut added = [s.splat(0.0); VECTORS];
            if !bias.is_null() {
                for (vector, x) in added.iter_mut().enumerate() {
                    *x = s.load(bias.add(vector * S::LANES));
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                for (vector, &sum) in sums.iter().enumerate() {
                    let place = row * row_stride + vector * vector_stride;
                    let mut x = if accumulate { s.add(s.load(out.add(place)), sum) } else { sum };
                    if !bias.is_null() {
                        x = s.add(x, added[vector]);
                    }
                    if !residual.is_null() {
                        x = s.add(x, s.load(residual.add(place)));
                    }
                    s.store(out.add(place), x);
                }
            }
        }
    }
}

/// One rank-1 update.
///
/// # Safety
/// `left` must be readable at every row's distance, `right` for a panel.
#[inline(always)]
unsafe fn step<S: Simd, const ROWS: usize, const VECTORS: usize>(
    s: S,
    sums: &mut [[S::F; VECTORS]; ROWS],
    left: *const f32,
    right: *const f32,
) {
    let mut panel = [s.splat(0.0); VECTORS];
    for (vector, x) in panel.iter_mut().enumerate() {
        // SAFETY: the caller vouches for it.
        *x = unsafe { s.load(right.add(vector * S::LANES)) };
    }
    for (row, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller vouches for it.
        let x = s.splat(unsafe { *left.add(row * S::LANES) });
        for (sum, &y) in sums.iter_mut().zip(&panel) {
            *sum = s.fma(x, y, *sum);
        }
    }
}
