//! Quantiles of the beta distribution.

/// Steps of bisection; each gives one more bit.
const BITS: usize = 60;

/// Most terms of the continued fraction; it converges in far fewer.
const TERMS: usize = 500;

/// The value below which `share` of a beta distribution lies.
pub(super) fn quantile(share: f64, alpha: f64, beta: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return share.clamp(0.0, 1.0);
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..BITS {
        let middle = f64::midpoint(low, high);
        if distribution(middle, alpha, beta) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function (NIST DLMF 8.17.22), by the fraction that converges faster.
fn distribution(x: f64, alpha: f64, beta: f64) -> f64 {
    if x > (alpha + 1.0) / (alpha + beta + 2.0) {
        return 1.0 - distribution(1.0 - x, beta, alpha);
    }
    let whole = libm::lgamma(alpha + beta) - libm::lgamma(alpha) - libm::lgamma(beta);
    let front = libm::exp(whole + alpha * libm::log(x) + beta * libm::log1p(-x)) / alpha;
    front / continued_fraction(x, alpha, beta)
}

/// Lentz's method as Thompson and Barnett 1986 have it.
fn continued_fraction(x: f64, alpha: f64, beta: f64) -> f64 {
    let coefficient = |index: usize| {
        let m = (index / 2) as f64;
        if index.is_multiple_of(2) {
            m * (beta - m) * x / ((alpha + 2.0 * m - 1.0) * (alpha + 2.0 * m))
        } else {
            -(alpha + m) * (alpha + beta + m) * x / ((alpha + 2.0 * m) * (alpha + 2.0 * m + 1.0))
        }
    };
    let apart = |value: f64| if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value };
    let (mut fraction, mut c, mut d) = (1.0, 1.0, 0.0);
    for index in 1..TERMS {
        let term = coefficient(index);
        d = 1.0 / apart(1.0 + term * d);
        c = apart(1.0 + term / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_distributions_have_their_quantiles() {
        for share in [0.001, 0.1, 0.5, 0.77, 0.999] {
            assert!((quantile(share, 1.0, 1.0) - share).abs() < 1e-12, "uniform {share}");
            assert!((quantile(share, 2.0, 1.0) - share.sqrt()).abs() < 1e-12, "square {share}");
            let arcsine = (std::f64::consts::FRAC_PI_2 * share).sin().powi(2);
            assert!((quantile(share, 0.5, 0.5) - arcsine).abs() < 1e-12, "arcsine {share}");
        }
        assert_eq!((quantile(0.0, 0.6, 0.6), quantile(1.0, 0.6, 0.6)), (0.0, 1.0));
    }
}
