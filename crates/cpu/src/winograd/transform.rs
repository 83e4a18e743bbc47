//! The transforms of minimal filtering: polynomials evaluated at a few points, and interpolated from there.
//!
//! F(2 x 2, 3 x 3) uses the points 0, 1, -1 and infinity of Lavin and Gray (2016). F(4 x 4, 3 x 3) uses 0, +-a, +-b and
//! infinity with `a = sqrt(1/2)` and `b = sqrt(2)` instead of their 1 and 2: as `a b = 1` and `b / a = 2`, the
//! matrices' elements are closer to one, which halves the rounding error, and the sums and differences of the pairs
//! stay. The matrices follow from Cook and Toom's construction; the test multiplies them out.

use crate::simd::Simd;
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

/// A size of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// F(2 x 2, 3 x 3): 16 points.
    Two,
    /// F(4 x 4, 3 x 3): 36 points.
    Four,
}

impl Filter {
    /// Pixels of a tile in each direction.
    pub(crate) fn tile(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Pixels of a tile's window in each direction.
    pub(crate) fn edge(self) -> usize {
        self.tile() + 2
    }

    /// Elements of a transformed window.
    pub(crate) fn points(self) -> usize {
        self.edge() * self.edge()
    }
}

/// `G g G^T`, element by element: `put(point, element)`. In double precision, as it is done once.
pub(crate) fn transform_kernel(filter: Filter, kernel: &[f32; 9], mut put: impl FnMut(usize, f32)) {
    let edge = filter.edge();
    let mut columns = [[0.0; 3]; 6];
    for x in 0..3 {
        let column = kernel_line(filter, [0, 3, 6].map(|y| f64::from(kernel[y + x])));
        for (columns, element) in columns.iter_mut().zip(column) {
            columns[x] = element;
        }
    }
    for (y, &line) in columns.iter().enumerate().take(edge) {
        for (x, element) in kernel_line(filter, line).into_iter().enumerate().take(edge) {
            put(y * edge + x, element as f32);
        }
    }
}

/// `G g` of a column, followed by zeros.
fn kernel_line(filter: Filter, [g, h, i]: [f64; 3]) -> [f64; 6] {
    match filter {
        Filter::Two => [g, 0.5 * (g + h + i), 0.5 * (g - h + i), i, 0.0, 0.0],
        Filter::Four => {
            let (a, b) = (std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::SQRT_2);
            let (even, odd) = (g + 0.5 * i, a * h);
            let (even_b, odd_b) = (g + 2.0 * i, b * h);
            [g, (even + odd) / -1.5, (even - odd) / -1.5, (even_b + odd_b) / 6.0, (even_b - odd_b) / 6.0, i]
        }
    }
}

/// `B^T d` of a column of 4 or 6. The transforms are no closures, which may stay calls.
#[inline(always)]
pub(crate) fn spread<S: Simd, const EDGE: usize>(s: S, d: [S::F; EDGE]) -> [S::F; EDGE] {
    let mut out = d;
    if EDGE == 4 {
        out[0] = s.sub(d[0], d[2]);
        out[1] = s.add(d[1], d[2]);
        out[2] = s.sub(d[2], d[1]);
        out[3] = s.sub(d[1], d[3]);
    } else {
        let (two, half, ends) = (s.splat(-2.0), s.splat(-0.5), s.splat(-2.5));
        let (even, odd) = (s.fma(two, d[2], d[4]), s.fma(two, d[1], d[3]));
        let odd = s.mul(odd, s.splat(FRAC_1_SQRT_2));
        let (even_b, odd_b) = (s.fma(half, d[2], d[4]), s.fma(half, d[1], d[3]));
        let odd_b = s.mul(odd_b, s.splat(SQRT_2));
        out[0] = s.fma(ends, d[2], s.add(d[0], d[4]));
        out[1] = s.add(even, odd);
        out[2] = s.sub(even, odd);
        out[3] = s.add(even_b, odd_b);
        out[4] = s.sub(even_b, odd_b);
        out[5] = s.fma(ends, d[3], s.add(d[1], d[5]));
    }
    out
}

/// `A^T m` of a column of 4 or 6.
#[inline(always)]
pub(crate) fn gather<S: Simd, const TILE: usize, const EDGE: usize>(s: S, m: [S::F; EDGE]) -> [S::F; TILE] {
    let mut out = [m[0]; TILE];
    if EDGE == 4 {
        out[0] = s.add(s.add(m[0], m[1]), m[2]);
        out[1] = s.sub(s.sub(m[1], m[2]), m[3]);
    } else {
        let (even, odd) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (even_b, odd_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        out[0] = s.add(m[0], s.add(even, even_b));
        out[1] = s.fma(s.splat(SQRT_2), odd_b, s.mul(s.splat(FRAC_1_SQRT_2), odd));
        out[2] = s.fma(s.splat(2.0), even_b, s.mul(s.splat(0.5), even));
        let odds = s.fma(s.splat(2.0 * SQRT_2), odd_b, s.mul(s.splat(0.5 * FRAC_1_SQRT_2), odd));
        out[3] = s.add(m[5], odds);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::simd::Kernel;

    /// Filters a line of lanes: `A^T ((G g) (B^T d))`.
    struct Line<const TILE: usize, const EDGE: usize>(Filter);

    impl<const TILE: usize, const EDGE: usize> Kernel for Line<TILE, EDGE> {
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
            for (m, weight) in m.iter_mut().zip(kernel_line(self.0, kernel)) {
                *m = s.mul(*m, s.splat(weight as f32));
            }
            let out: [S::F; TILE] = gather(s, m);
            for (i, &out) in out.iter().enumerate() {
                let wanted: f32 = (0..3).map(|tap| kernel[tap] as f32 * pixels[i + tap]).sum();
                let got = s.lanes(out)[0];
                assert!((got - wanted).abs() < 1e-6, "{:?}, pixel {i}: {got} for {wanted}", self.0);
            }
        }
    }

    #[test]
    fn a_line_is_filtered() {
        for isa in Isa::supported() {
            isa.run(Line::<2, 4>(Filter::Two));
            isa.run(Line::<4, 6>(Filter::Four));
        }
    }

    #[test]
    fn a_kernel_of_one_tap_is_spread_over_the_points() {
        let mut centre = [0.0; 9];
        centre[4] = 4.0;
        let line = [0.0, 1.0, -1.0, 0.0];
        transform_kernel(Filter::Two, &centre, |point, element| {
            assert_eq!(element, line[point / 4] * line[point % 4], "point {point}");
        });
    }
}
