//! Logarithm, sine and cosine in single precision, for normals equal to PyTorch's to the last bit.
//!
//! These are the polynomials of Moshier's Cephes library (`logf`, `sinf`, `cosf`), evaluated with the fused
//! multiplications that PyTorch's vector code uses, so an exact library function would not do. `mul_add` rounds once
//! on every machine, with or without an instruction for it.

/// (ln(1 + x) - x + x^2 / 2) / x^3 from sqrt(1/2) - 1 to sqrt(2) - 1, highest power first.
const LN: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461e-1,
    1.167_699_84e-1,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_7e-1,
    2.000_071_4e-1,
    -2.499_999_4e-1,
    3.333_333e-1,
];
/// ln 2 as a short number and the rest.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// A quarter of pi as two short numbers and the rest.
const QUARTER: [f32; 3] = [0.785_156_25, 2.418_756_5e-4, 3.774_895e-8];
/// (sin x - x) / x^3 and (cos x - 1 + x^2 / 2) / x^4 from -pi/4 to pi/4, in x^2, highest power first.
const SINE: [f32; 3] = [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1];
const COSINE: [f32; 3] = [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2];

fn polynomial(x: f32, coefficients: &[f32]) -> f32 {
    coefficients.iter().copied().reduce(|sum, coefficient| sum.mul_add(x, coefficient)).unwrap_or(0.0)
}

/// The natural logarithm of a positive normal number.
pub(super) fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 23) as i32 - 126;
    let mut rest = f32::from_bits(bits & 0x007F_FFFF | 0x3F00_0000);
    if rest < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1;
        rest += rest - 1.0;
    } else {
        rest -= 1.0;
    }
    let exponent = exponent as f32;
    let square = rest * rest;
    let curve = (polynomial(rest, &LN) * rest).mul_add(square, exponent * LN_2[1]);
    let curve = (-0.5f32).mul_add(square, curve);
    exponent.mul_add(LN_2[0], rest + curve)
}

/// Sine and cosine of an angle from 0 to a full turn.
pub(super) fn sine_and_cosine(angle: f32) -> (f32, f32) {
    // The octant that the angle is in, odd ones rounded up: multiples of a quarter turn, in eighths.
    let octant = ((angle * (4.0 / std::f32::consts::PI)) as u32 + 1) & !1;
    let rest = QUARTER.iter().fold(angle, |rest, part| (-part).mul_add(octant as f32, rest));
    let square = rest * rest;
    let cosine = (polynomial(square, &COSINE) * square).mul_add(square, -(square * 0.5)) + 1.0;
    let sine = (polynomial(square, &SINE) * square).mul_add(rest, rest);
    match octant % 8 {
        0 => (sine, cosine),
        2 => (cosine, -sine),
        4 => (-sine, -cosine),
        _ => (-cosine, sine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_as_exact_as_single_precision_allows() {
        for step in 1..=4096u16 {
            let unit = f32::from(step) / 4096.0;
            assert!((f64::from(ln(unit)) - libm::log(f64::from(unit))).abs() < 1e-6, "{unit}");
            let angle = unit * 2.0 * std::f32::consts::PI;
            let (sine, cosine) = sine_and_cosine(angle);
            assert!((f64::from(sine) - libm::sin(f64::from(angle))).abs() < 1e-6, "{angle}");
            assert!((f64::from(cosine) - libm::cos(f64::from(angle))).abs() < 1e-6, "{angle}");
        }
    }
}
