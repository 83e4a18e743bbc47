//! Comparing arrays of floats.

use impasto_tensor::Array;

/// `|got - wanted| / |wanted|` in the Euclidean norm, infinite where an element is no number.
pub fn relative_l2(got: &Array, wanted: &Array) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let difference: f64 = got.data().iter().zip(wanted.data()).map(|(a, b)| square(a - b)).sum();
    let norm: f64 = wanted.data().iter().map(|&x| square(x)).sum();
    let ratio = (difference / norm.max(f64::MIN_POSITIVE)).sqrt();
    if ratio.is_nan() { f64::INFINITY } else { ratio }
}

/// Checks that `got` has the shape of `wanted` and is within `tolerance` of it, as [`relative_l2`] measures.
///
/// # Panics
/// Where it is not, with the worst element.
#[track_caller]
pub fn assert_close(name: &str, got: &Array, wanted: &Array, tolerance: f64) {
    assert_eq!(got.shape(), wanted.shape(), "{name}: shapes differ");
    let distance = relative_l2(got, wanted);
    let pairs = || got.data().iter().zip(wanted.data());
    let worst = pairs().enumerate().max_by(|(_, a), (_, b)| (a.0 - a.1).abs().total_cmp(&(b.0 - b.1).abs()));
    if let (false, Some((index, (got, wanted)))) = (distance <= tolerance, worst) {
        panic!(
            "{name}: relative distance {distance:.3e} exceeds {tolerance:.0e}; worst is element {index}: got {got}, \
             wanted {wanted}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(data: &[f32]) -> Array {
        Array::new([data.len()], data.to_vec()).unwrap()
    }

    #[test]
    fn accepts_what_is_close() {
        assert_close("x", &array(&[1.0, 2.0001]), &array(&[1.0, 2.0]), 1e-4);
    }

    #[test]
    #[should_panic(expected = "worst is element 1: got 2.1, wanted 2")]
    fn names_the_worst_element() {
        assert_close("x", &array(&[1.01, 2.1]), &array(&[1.0, 2.0]), 1e-4);
    }

    #[test]
    #[should_panic(expected = "relative distance inf")]
    fn refuses_what_is_no_number() {
        assert_close("x", &array(&[f32::NAN, 2.0]), &array(&[1.0, 2.0]), 1.0);
    }
}
