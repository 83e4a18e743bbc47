//! Functions of single numbers that networks of others may have between their layers: PyTorch's activations with the constants that it
//! has where none are given. Those of the field's own networks are [`crate::Activation`]s, which layers have fused.

use std::f64::consts::FRAC_1_SQRT_2;

/// A function applied to each element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Curve {
    /// `x` where it is positive, this much of it elsewhere: `LeakyReLU`, `PReLU`, and with 0 `ReLU`.
    Leaky(f32),
    /// `x` between 0 and 6.
    Relu6,
    /// `x` where it is positive, `e^x - 1` elsewhere; `CELU` is the same.
    Elu,
    /// `ELU` scaled so that mean and variance stay (Klambauer et al. 2017).
    Selu,
    /// `x Phi(x)`.
    Gelu,
    /// `x sigmoid(x)`.
    Silu,
    /// `x tanh(softplus(x))`.
    Mish,
    /// `x hardsigmoid(x)`.
    Hardswish,
    /// `x / 6 + 1 / 2` between 0 and 1.
    Hardsigmoid,
    /// `x` between -1 and 1.
    Hardtanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// Its logarithm.
    LogSigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x - tanh(x)`.
    Tanhshrink,
    /// `ln(1 + e^x)`; `x` above 20.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x` half nearer to 0, and 0 where that would pass it.
    Softshrink,
    /// `x`, and 0 between -1/2 and 1/2.
    Hardshrink,
}

/// The mean of the slopes that `RReLU` draws from while it is trained, 1/8 to 1/3.
const RANDOM_SLOPE: f32 = 11.0 / 48.0;

/// Names in lower case.
const NAMES: &[(&str, Curve)] = &[
    ("relu", Curve::Leaky(0.0)),
    ("leakyrelu", Curve::Leaky(0.01)),
    ("prelu", Curve::Leaky(0.25)),
    ("rrelu", Curve::Leaky(RANDOM_SLOPE)),
    ("relu6", Curve::Relu6),
    ("elu", Curve::Elu),
    ("celu", Curve::Elu),
    ("selu", Curve::Selu),
    ("gelu", Curve::Gelu),
    ("silu", Curve::Silu),
    ("mish", Curve::Mish),
    ("hardswish", Curve::Hardswish),
    ("hardsigmoid", Curve::Hardsigmoid),
    ("hardtanh", Curve::Hardtanh),
    ("sigmoid", Curve::Sigmoid),
    ("logsigmoid", Curve::LogSigmoid),
    ("tanh", Curve::Tanh),
    ("tanhshrink", Curve::Tanhshrink),
    ("softplus", Curve::Softplus),
    ("softsign", Curve::Softsign),
    ("softshrink", Curve::Softshrink),
    ("hardshrink", Curve::Hardshrink),
];

impl Curve {
    /// The curve of a name of PyTorch's, in lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, curve)| *curve)
    }

    /// The value at `x`, computed in double precision.
    pub fn at(self, x: f32) -> f32 {
        let x = f64::from(x);
        let y = match self {
            Self::Leaky(slope) if x < 0.0 => x * f64::from(slope),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::Elu => elu(x, 1.0),
            Self::Selu => 1.050_700_987_355_480_5 * elu(x, 1.673_263_242_354_377_2),
            Self::Gelu => 0.5 * x * libm::erfc(-x * FRAC_1_SQRT_2),
            Self::Silu => x * sigmoid(x),
            Self::Mish => x * libm::tanh(softplus(x)),
            Self::Hardswish => x * hardsigmoid(x),
            Self::Hardsigmoid => hardsigmoid(x),
            Self::Hardtanh => x.clamp(-1.0, 1.0),
            Self::Sigmoid => sigmoid(x),
            Self::LogSigmoid => -softplus(-x),
            Self::Tanh => libm::tanh(x),
            Self::Tanhshrink => x - libm::tanh(x),
            Self::Softplus if x > 20.0 => x,
            Self::Softplus => softplus(x),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Softshrink | Self::Hardshrink if x.abs() <= 0.5 => 0.0,
            Self::Softshrink => x - 0.5_f64.copysign(x),
            Self::Leaky(_) | Self::Hardshrink => x,
        };
        y as f32
    }
}

fn elu(x: f64, alpha: f64) -> f64 {
    if x < 0.0 { alpha * libm::expm1(x) } else { x }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

fn hardsigmoid(x: f64) -> f64 {
    (x / 6.0 + 0.5).clamp(0.0, 1.0)
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_curve_and_nan_stays_nan() {
        for (name, curve) in NAMES {
            assert_eq!(Curve::from_name(name), Some(*curve));
            assert!(curve.at(f32::NAN).is_nan(), "{name}");
            assert!(curve.at(-1e30).is_finite() && curve.at(1e30).is_finite(), "{name}");
        }
        assert_eq!(Curve::from_name("softmax"), None);
    }
}
