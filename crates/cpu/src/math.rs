//! Elementary functions on vectors.
//!
//! The polynomials are our own minimax fits (least squares with Lawson's reweighting); the tests hold them to the
//! errors stated here against `f64`.

use crate::simd::Simd;
use impasto_tensor::Activation;

/// Below this, `exp` is 0; it is where the result stops being a normal number.
const EXP_UNDERFLOW: f32 = -87.336_54;
/// Above this, `exp` stays at its largest value.
const EXP_OVERFLOW: f32 = 88.0;
/// `ln 2` as the sum of a part with few bits and the rest (Cody and Waite 1980), so that `n ln 2` is nearly exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// `(e^r - 1 - r) / r^2` for `|r| <= ln 2 / 2`, lowest power first.
const EXP: [f32; 5] = [0.499_999_94, 0.166_665_15, 0.041_668_456, 0.008_369_419, 0.001_381_314_2];
/// `(2^f - 1) / f` for `|f| <= 1/2`, lowest power first.
const EXP2: [f32; 5] = [std::f32::consts::LN_2, 0.240_222_83, 0.055_505_585, 0.009_669_692, 0.001_330_060_9];
/// The same with fewer terms.
const EXP2_COARSE: [f32; 3] = [0.693_282_96, 0.242_211_46, 0.055_009_12];
/// `erfc(z) e^(z^2) / t` as a polynomial of `t = 1 / (1 + ERFC_RATE z)`, lowest power first.
const ERFC: [f32; 8] = [
    0.186_332,
    0.183_244_94,
    0.199_890_94,
    0.050_498_523,
    0.403_867_54,
    -0.347_4,
    0.458_637_33,
    -0.135_071_34,
];
const ERFC_RATE: f32 = 0.33;

#[inline(always)]
fn polynomial<S: Simd>(s: S, coefficients: &[f32], x: S::F) -> S::F {
    let mut descending = coefficients.iter().rev();
    let mut sum = s.splat(descending.next().copied().unwrap_or(0.0));
    for &coefficient in descending {
        sum = s.fma(sum, x, s.splat(coefficient));
    }
    sum
}

/// `e^x` with a relative error below `1.5e-7` where the result is a normal number; 0 below, NaN for NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let underflow = s.splat(EXP_UNDERFLOW);
    // The element comes second, because a comparison with NaN chooses the second.
    let inside = s.min(s.splat(EXP_OVERFLOW), s.max(underflow, x));
    let n = s.round(s.mul(inside, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN_2_LOW), s.fma(n, s.splat(-LN_2_HIGH), inside));
    let power = s.add(s.fma(polynomial(s, &EXP, r), s.mul(r, r), r), s.splat(1.0));
    s.where_below(x, underflow, s.splat(0.0), s.times_power(power, n))
}

/// `2^x` for `x <= 0` with a relative error below `2e-7`; `2^-126` for everything below that exponent, NaN for NaN.
#[inline(always)]
pub(crate) fn exp2_of_negative<S: Simd>(s: S, x: S::F) -> S::F {
    exp2(s, &EXP2, x)
}

/// The same with a relative error below `1.1e-4` and for `x <= 64`.
#[inline(always)]
pub(crate) fn exp2_coarse<S: Simd>(s: S, x: S::F) -> S::F {
    exp2(s, &EXP2_COARSE, x)
}

#[inline(always)]
fn exp2<S: Simd>(s: S, coefficients: &[f32], x: S::F) -> S::F {
    // The element comes second, because a comparison with NaN chooses the second.
    let inside = s.max(s.splat(-126.0), x);
    let n = s.round(inside);
    let fraction = s.sub(inside, n);
    let power = s.fma(polynomial(s, coefficients, fraction), fraction, s.splat(1.0));
    s.times_power(power, n)
}

/// `x / (1 + e^(-rate x))`.
#[inline(always)]
fn gated<S: Simd>(s: S, x: S::F, rate: f32) -> S::F {
    s.div(x, s.add(s.splat(1.0), exp(s, s.mul(x, s.splat(-rate)))))
}

/// `x Phi(x)`, with an absolute error below `2e-7 max(1, |x|)`.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    let zero = s.splat(0.0);
    let z = s.mul(s.max(s.sub(zero, x), x), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = s.div(s.splat(1.0), s.fma(z, s.splat(ERFC_RATE), s.splat(1.0)));
    let tail = s.mul(s.mul(t, s.splat(0.5)), exp(s, s.sub(zero, s.mul(z, z))));
    let upper = s.mul(polynomial(s, &ERFC, t), tail);
    s.mul(x, s.where_below(x, zero, upper, s.sub(s.splat(1.0), upper)))
}

/// `x`, times `slope` where it is below zero.
#[inline(always)]
pub(crate) fn leaky<S: Simd>(s: S, x: S::F, slope: S::F) -> S::F {
    s.where_below(x, s.splat(0.0), s.mul(x, slope), x)
}

/// `activation(x)`.
#[inline(always)]
pub(crate) fn activate<S: Simd>(s: S, x: S::F, activation: Activation) -> S::F {
    match activation {
        Activation::Identity => x,
        Activation::Silu => gated(s, x, 1.0),
        Activation::Gelu => gelu(s, x),
        Activation::QuickGelu => gated(s, x, 1.702),
        Activation::LeakyRelu => leaky(s, x, s.splat(0.2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::simd::Kernel;

    struct Map<'a, F>(&'a [f32], F);

    /// A function of a vector, which closures cannot be.
    trait Function {
        fn of<S: Simd>(&self, s: S, x: S::F) -> S::F;
    }

    impl<F: Function> Kernel for Map<'_, F> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<f32> {
            let mut out = vec![0.0; self.0.len()];
            for (x, out) in self.0.chunks(S::LANES).zip(out.chunks_mut(S::LANES)) {
                s.write(out, self.1.of(s, s.read(x)));
            }
            out
        }
    }

    struct Exp;
    impl Function for Exp {
        #[inline(always)]
        fn of<S: Simd>(&self, s: S, x: S::F) -> S::F {
            exp(s, x)
        }
    }

    struct Exp2;
    impl Function for Exp2 {
        #[inline(always)]
        fn of<S: Simd>(&self, s: S, x: S::F) -> S::F {
            exp2_of_negative(s, x)
        }
    }

    struct Exp2Coarse;
    impl Function for Exp2Coarse {
        #[inline(always)]
        fn of<S: Simd>(&self, s: S, x: S::F) -> S::F {
            exp2_coarse(s, x)
        }
    }

    impl Function for Activation {
        #[inline(always)]
        fn of<S: Simd>(&self, s: S, x: S::F) -> S::F {
            activate(s, x, *self)
        }
    }

    fn sweep(from: f32, to: f32) -> Vec<f32> {
        (0..=100_000u32).map(|i| from + (to - from) * i as f32 / 100_000.0).collect()
    }

    #[test]
    fn exp_is_near_the_true_one() {
        let xs = sweep(-87.3, 88.0);
        for isa in Isa::supported() {
            for (x, y) in xs.iter().zip(isa.run(Map(&xs, Exp))) {
                let wanted = f64::from(*x).exp();
                assert!((f64::from(y) / wanted - 1.0).abs() < 1.5e-7, "{isa:?}: exp({x}) = {y}");
            }
        }
    }

    #[test]
    fn exp2_is_near_the_true_one() {
        let xs = sweep(-126.0, 0.0);
        for isa in Isa::supported() {
            for (x, y) in xs.iter().zip(isa.run(Map(&xs, Exp2))) {
                let wanted = f64::from(*x).exp2();
                assert!((f64::from(y) / wanted - 1.0).abs() < 2e-7, "{isa:?}: exp2({x}) = {y}");
            }
            let xs = sweep(-126.0, 9.0);
            for (x, y) in xs.iter().zip(isa.run(Map(&xs, Exp2Coarse))) {
                let wanted = f64::from(*x).exp2();
                assert!((f64::from(y) / wanted - 1.0).abs() < 1.1e-4, "{isa:?}: exp2_coarse({x}) = {y}");
            }
            let edges = isa.run(Map(&[0.0, f32::NEG_INFINITY, -1e30, f32::NAN], Exp2));
            assert_eq!(edges[..3], [1.0, f32::MIN_POSITIVE, f32::MIN_POSITIVE], "{isa:?}");
            assert!(edges[3].is_nan(), "{isa:?}");
        }
    }

    #[test]
    fn exp_at_the_edges() {
        let xs = [0.0, -0.0, f32::NEG_INFINITY, -200.0, f32::NAN, 1e30];
        for isa in Isa::supported() {
            let ys = isa.run(Map(&xs, Exp));
            assert_eq!(ys[..4], [1.0, 1.0, 0.0, 0.0], "{isa:?}");
            assert!(ys[4].is_nan() && ys[5] > 1e38 && ys[5].is_finite(), "{isa:?}: {ys:?}");
        }
    }

    #[test]
    fn activations_are_near_the_true_ones() {
        let xs = sweep(-30.0, 30.0);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for isa in Isa::supported() {
            for activation in [Activation::Silu, Activation::QuickGelu, Activation::Gelu] {
                for (x, y) in xs.iter().zip(isa.run(Map(&xs, activation))) {
                    let x = f64::from(*x);
                    let wanted = match activation {
                        Activation::Silu => x * sigmoid(x),
                        Activation::QuickGelu => x * sigmoid(1.702 * x),
                        _ => x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
                    };
                    let error = (f64::from(y) - wanted).abs();
                    assert!(
                        error < 2e-7 * x.abs().max(1.0),
                        "{isa:?} {activation:?}({x}) = {y}, not {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        for isa in Isa::supported() {
            for activation in
                [Activation::Silu, Activation::QuickGelu, Activation::Gelu, Activation::LeakyRelu]
            {
                assert!(isa.run(Map(&[f32::NAN], activation))[0].is_nan(), "{isa:?} {activation:?}");
            }
        }
    }
}
