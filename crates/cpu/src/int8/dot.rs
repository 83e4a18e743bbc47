//! Sums of products of bytes, a tile of rows and columns at a time.
//!
//! Every path gives the same integers. VNNI multiplies unsigned by signed bytes and adds four products to a lane in one
//! instruction. AVX2's instruction for bytes (`vpmaddubsw`) saturates, so that there bytes are widened to 16 bits first: the
//! even and the odd ones apart, which needs shifts only.

use super::LINE;
use crate::isa::{Isa, IsaName};

/// Columns of a panel of weights.
pub(crate) const PANEL: usize = 32;
/// The most rows of a tile.
pub(crate) const TILE_ROWS: usize = 14;
/// Bytes of a panel for four inputs.
pub(crate) const STEP: usize = 4 * PANEL;

/// The sums of a tile, row by row.
pub(crate) type Sums = [[i32; PANEL]; TILE_ROWS];

/// How bytes are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dot {
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Dot {
    /// The best that `isa` and this CPU have.
    pub(crate) fn new(isa: Isa) -> Self {
        match isa.name() {
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx512 if is_x86_feature_detected!("avx512vnni") => Self::Vnni,
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx512 | IsaName::Avx2 if is_x86_feature_detected!("avx2") => Self::Avx2,
            _ => Self::Portable,
        }
    }

    /// For each row and each column of the tile's panel, the sum of the products.
    #[inline]
    pub(crate) fn tile(self, tile: &Tile<'_>, sums: &mut [[i32; PANEL]]) {
        let lines = (4 * tile.steps()).div_ceil(LINE);
        assert!(tile.rows <= TILE_ROWS.min(sums.len()) && tile.left.len() >= lines * tile.rows * LINE);
        match self {
            // SAFETY: `new` has seen the instructions; the assertion is what the kernels ask for.
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => unsafe { vnni::tile(tile, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::tile(tile.left, tile.right, tile.rows, sums) },
            Self::Portable => portable(tile, sums),
        }
    }
}

/// Operands of a tile.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// Byte `k` of row `r` at `k / LINE * rows * LINE + r * LINE + k % LINE`.
    pub(crate) left: &'a [u8],
    pub(crate) rows: usize,
    /// For each four inputs, the bytes of each column together.
    pub(crate) right: &'a [u8],
    /// What will be the right side soon: a line of it is asked for with each step. Any address.
    pub(crate) ahead: *const u8,
    /// Where the results will go, asked for before the work, if it lies far: a row, and how many elements on the next one is.
    /// Any address.
    pub(crate) out: Option<(*const f32, usize)>,
}

impl Tile<'_> {
    fn steps(&self) -> usize {
        self.right.len() / STEP
    }
}

fn portable(tile: &Tile<'_>, sums: &mut [[i32; PANEL]]) {
    let &Tile { left, right, rows, .. } = tile;
    for (row, sums) in sums[..rows].iter_mut().enumerate() {
        *sums = [0; PANEL];
        for (step, right) in right.chunks_exact(STEP).enumerate() {
            let at = 4 * step / LINE * rows * LINE + row * LINE + 4 * step % LINE;
            let (columns, _) = right.as_chunks::<4>();
            for (sum, column) in sums.iter_mut().zip(columns) {
                for (&x, &w) in left[at..at + 4].iter().zip(column) {
                    *sum += i32::from(x) * i32::from(w.cast_signed());
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    use super::{LINE, PANEL, STEP, Tile};
    use std::arch::x86_64::{
        _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32,
        _mm512_setzero_si512, _mm512_storeu_si512,
    };

    /// Columns of a vector.
    const LANES: usize = 16;
    const VECTORS: usize = PANEL / LANES;

    /// # Safety
    /// The CPU must have AVX-512 and VNNI; operands are those of [`super::Dot::tile`].
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn tile(tile: &Tile<'_>, sums: &mut [[i32; PANEL]]) {
        macro_rules! dispatch {
            ($($rows:literal)*) => {
                match tile.rows {
                    // SAFETY: the caller vouches for it.
                    $($rows => unsafe { micro::<$rows>(tile, sums) },)*
                    _ => debug_assert!(tile.rows == 0, "no tile of {} rows", tile.rows),
                }
            };
        }
        dispatch!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }

    /// # Safety
    /// As [`tile`].
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn micro<const ROWS: usize>(tile: &Tile<'_>, sums: &mut [[i32; PANEL]]) {
        let steps = tile.steps();
        let (mut left, mut right, mut ahead) = (tile.left.as_ptr(), tile.right.as_ptr(), tile.ahead);
        let mut lanes = [[_mm512_setzero_si512(); VECTORS]; ROWS];
        // SAFETY: the loops read `steps` steps of the right side, and as many bytes of each row; the sums are written for as
        // many rows as there are. Prefetches may have any address.
        unsafe {
            if let Some((out, row)) = tile.out {
                for place in (0..ROWS).flat_map(|i| [i * row, i * row + LANES]) {
                    _mm_prefetch::<_MM_HINT_T0>(out.wrapping_add(place).cast());
                }
            }
            for _ in 0..4 * steps / LINE {
                for step in 0..LINE / 4 {
                    // The rows' next lines: as many as there are rows.
                    _mm_prefetch::<_MM_HINT_T0>(left.wrapping_add(ROWS * LINE + step * LINE).cast());
                    _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(step * LINE).cast());
                    add::<ROWS>(&mut lanes, left.add(4 * step), right.add(step * STEP));
                }
                left = left.add(ROWS * LINE);
                right = right.add(LINE / 4 * STEP);
                ahead = ahead.wrapping_add(LINE / 4 * LINE);
            }
            for step in 0..4 * steps % LINE / 4 {
                add::<ROWS>(&mut lanes, left.add(4 * step), right.add(step * STEP));
            }
            // As many as there are registers, or they would have to go through memory.
            let sums = sums.as_mut_ptr().cast::<i32>();
            for (row, lanes) in lanes.iter().enumerate() {
                for (vector, &lanes) in lanes.iter().enumerate() {
                    _mm512_storeu_si512(sums.add(row * PANEL + vector * LANES).cast(), lanes);
                }
            }
        }
    }

    /// Four products for every lane.
    ///
    /// # Safety
    /// `left` must be readable at every row's distance, `right` for a step.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn add<const ROWS: usize>(
        sums: &mut [[std::arch::x86_64::__m512i; VECTORS]; ROWS],
        left: *const u8,
        right: *const u8,
    ) {
        // SAFETY: the caller vouches for the addresses.
        unsafe {
            let first = _mm512_loadu_si512(right.cast());
            let second = _mm512_loadu_si512(right.add(LINE).cast());
            for (row, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(left.add(row * LINE).cast::<i32>().read_unaligned());
                sums[0] = _mm512_dpbusd_epi32(sums[0], x, first);
                sums[1] = _mm512_dpbusd_epi32(sums[1], x, second);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{LINE, PANEL, STEP};
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_slli_epi16, _mm256_srai_epi16,
        _mm256_srli_epi16, _mm256_storeu_si256,
    };

    /// Columns of a vector.
    const LANES: usize = 8;
    const VECTORS: usize = 2;

    /// # Safety
    /// The CPU must have AVX2; operands are those of [`super::Dot::tile`].
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn tile(left: &[u8], right: &[u8], rows: usize, sums: &mut [[i32; PANEL]]) {
        for first in (0..rows).step_by(4) {
            for column in (0..PANEL).step_by(VECTORS * LANES) {
                let at = (rows, first, column);
                // SAFETY: the caller vouches for it, and the pieces are parts of the tile.
                unsafe {
                    match rows - first {
                        1 => micro::<1>(left, right, at, sums),
                        2 => micro::<2>(left, right, at, sums),
                        3 => micro::<3>(left, right, at, sums),
                        _ => micro::<4>(left, right, at, sums),
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`tile`], with ROWS rows from `first` on, and the columns of some vectors from `column` on.
    #[target_feature(enable = "avx2")]
    unsafe fn micro<const ROWS: usize>(
        left: &[u8],
        right: &[u8],
        (rows, first, column): (usize, usize, usize),
        sums: &mut [[i32; PANEL]],
    ) {
        let low = _mm256_set1_epi16(0xff);
        let mut lanes = [[_mm256_setzero_si256(); VECTORS]; ROWS];
        for step in 0..right.len() / STEP {
            let line = 4 * step / LINE * rows * LINE + 4 * step % LINE;
            let mut weights = [[low; 2]; VECTORS];
            for (vector, [even, odd]) in weights.iter_mut().enumerate() {
                // SAFETY: the right side has `STEP` bytes for the step.
                let bytes = unsafe {
                    _mm256_loadu_si256(right.as_ptr().add(step * STEP + 4 * (column + vector * LANES)).cast())
                };
                *even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes));
                *odd = _mm256_srai_epi16::<8>(bytes);
            }
            for (row, lanes) in lanes.iter_mut().enumerate() {
                // SAFETY: the left side has the four bytes of each row.
                let bytes =
                    unsafe { left.as_ptr().add(line + (first + row) * LINE).cast::<i32>().read_unaligned() };
                let bytes = _mm256_set1_epi32(bytes);
                let (even, odd) = (_mm256_and_si256(bytes, low), _mm256_srli_epi16::<8>(bytes));
                for (sum, weights) in lanes.iter_mut().zip(&weights) {
                    let pairs = [_mm256_madd_epi16(even, weights[0]), _mm256_madd_epi16(odd, weights[1])];
                    *sum = _mm256_add_epi32(*sum, _mm256_add_epi32(pairs[0], pairs[1]));
                }
            }
        }
        for (lanes, sums) in lanes.iter().zip(&mut sums[first..]) {
            for (vector, &lanes) in lanes.iter().enumerate() {
                let to: *mut __m256i = sums[column + vector * LANES..][..LANES].as_mut_ptr().cast();
                // SAFETY: the slice has the vector's lanes.
                unsafe { _mm256_storeu_si256(to, lanes) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this machine can be made to run.
    fn paths() -> Vec<Dot> {
        let mut paths: Vec<_> = Isa::supported().map(Dot::new).collect();
        paths.dedup();
        paths
    }

    #[test]
    fn every_path_gives_the_sums_of_the_definition() {
        let mut state = 7_u64;
        let mut byte = |extreme: bool| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = (state >> 56) as u8;
            if extreme { [0, 0x7f, 0x80, 0xff][usize::from(random % 4)] } else { random }
        };
        for (rows, steps) in
            (0..=TILE_ROWS).flat_map(|rows| [0_usize, 1, 15, 16, 17, 37, 80].map(|steps| (rows, steps)))
        {
            let lines = (4 * steps).div_ceil(LINE);
            let left: Vec<u8> = (0..lines * rows * LINE).map(|_| byte(steps == 80)).collect();
            let right: Vec<u8> = (0..steps * STEP).map(|_| byte(steps == 80)).collect();
            let mut wanted = [[7; PANEL]; TILE_ROWS];
            for (row, column) in (0..rows).flat_map(|row| (0..PANEL).map(move |column| (row, column))) {
                let product = |k: usize| {
                    let x = left[k / LINE * rows * LINE + row * LINE + k % LINE];
                    i64::from(x) * i64::from(right[k / 4 * STEP + column * 4 + k % 4].cast_signed())
                };
                wanted[row][column] = i32::try_from((0..4 * steps).map(product).sum::<i64>()).unwrap();
            }
            for path in paths() {
                let mut sums = [[7; PANEL]; TILE_ROWS];
                let (left, right) = (&left[..], &right[..]);
                path.tile(&Tile { left, rows, right, ahead: right.as_ptr(), out: None }, &mut sums);
                assert_eq!(sums, wanted, "{path:?}, {rows} rows, {steps} steps");
            }
        }
    }
}
