//! The transforms of F(4 x 4, 3 x 3): polynomials evaluated at a few points, and interpolated from there.
//!
//! The points are 0, +-a, +-b and infinity with `a = sqrt(1/2)` and `b = sqrt(2)` instead of the 1 and 2 of Lavin and
//! Gray (2016): as `a b = 1` and `b / a = 2`, the matrices' elements are closer to one, which halves the rounding error,
//! and the sums and differences of the pairs stay. The matrices follow from Cook and Toom's construction; the test
//! multiplies them out.

use crate::simd::Simd;
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

/// Pixels of a tile in each direction.
pub(super) const TILE: usize = 4;
/// Pixels of a tile's window in each direction.
pub(super) const EDGE: usize = TILE + 2;
/// Elements of a transformed window.
pub(super) const POINTS: usize = EDGE * EDGE;

/// `G g` of a column of a kernel. The transforms are no closures, which may stay calls.
#[inline(always)]
pub(super) fn expand<S: Simd>(s: S, [g, h, i]: [S::F; 3]) -> [S::F; EDGE] {
    const THIRD: f32 = 1.0 / 3.0;
    let even = s.fma(i, s.splat(-THIRD), s.mul(g, s.splat(-2.0 * THIRD)));
    let odd = s.mul(h, s.splat(-2.0 * THIRD * FRAC_1_SQRT_2));
    let even_b = s.fma(i, s.splat(THIRD), s.mul(g, s.splat(0.5 * THIRD)));
    let odd_b = s.mul(h, s.splat(0.5 * THIRD * SQRT_2));
    [g, s.add(even, odd), s.sub(even, odd), s.add(even_b, odd_b), s.sub(even_b, odd_b), i]
}

/// `B^T d` of a column of a window.
#[inline(always)]
pub(super) fn spread<S: Simd>(s: S, d: [S::F; EDGE]) -> [S::F; EDGE] {
    let (two, half, ends) = (s.splat(-2.0), s.splat(-0.5), s.splat(-2.5));
    let (even, odd) = (s.fma(two, d[2], d[4]), s.fma(two, d[1], d[3]));
    let odd = s.mul(odd, s.splat(FRAC_1_SQRT_2));
    let (even_b, odd_b) = (s.fma(half, d[2], d[4]), s.fma(half, d[1], d[3]));
    let odd_b = s.mul(odd_b, s.splat(SQRT_2));
    [
        s.fma(ends, d[2], s.add(d[0], d[4])),
        s.add(even, odd),
        s.sub(even, odd),
        s.add(even_b, odd_b),
        s.sub(even_b, odd_b),
        s.fma(ends, d[3], s.add(d[1], d[5])),
    ]
}

/// `A^T m` of a column of products.
#[inline(always)]
pub(super) fn gather<S: Simd>(s: S, m: [S::F; EDGE]) -> [S::F; TILE] {
    let (even, odd) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (even_b, odd_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    let odds = s.fma(s.splat(2.0 * SQRT_2), odd_b, s.mul(s.splat(0.5 * FRAC_1_SQRT_2), odd));
    [
        s.add(m[0], s.add(even, even_b)),
        s.fma(s.splat(SQRT_2), odd_b, s.mul(s.splat(FRAC_1_SQRT_2), odd)),
        s.fma(s.splat(2.0), even_b, s.mul(s.splat(0.5), even)),
        s.add(m[5], odds),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::simd::Kernel;

    /// Filters a line of lanes: `A^T ((G g) (B^T d))`.
    struct Line;

    impl Kernel for Line {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let kernel = [0.25, -1.5, 2.0];
            let pixels: Vec<f32> = (0..EDGE).map(|i| (i as f32 * 1.7).sin()).collect();
            let mut d = [s.splat(0.0); EDGE];
            for (d, &pixel) in d.iter_mut().zip(&pixels) {
                *d = s.splat(pixel);
            }
            let mut m = spread(s, d);
            for (m, weight) in m.iter_mut().zip(expand(s, kernel.map(|g| s.splat(g)))) {
                *m = s.mul(*m, weight);
            }
            for (i, out) in gather(s, m).into_iter().enumerate() {
                let wanted: f32 = (0..3).map(|tap| kernel[tap] * pixels[i + tap]).sum();
                let got = s.lanes(out)[0];
                assert!((got - wanted).abs() < 1e-6, "pixel {i}: {got} for {wanted}");
            }
        }
    }

    #[test]
    fn a_line_is_filtered() {
        for isa in Isa::supported() {
            isa.run(Line);
        }
    }
}
