//! How far an output is from the one wanted.

use anyhow::ensure;
use impasto_tensor::Array;

/// The distance of two arrays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    /// `|found - wanted| / |wanted|`, Euclidean.
    pub(crate) relative_l2: f64,
    /// The largest absolute difference of two elements.
    pub(crate) largest: f64,
}

impl Difference {
    /// Compares two arrays; of different shapes they cannot be compared.
    pub(crate) fn between(found: &Array, wanted: &Array) -> anyhow::Result<Self> {
        ensure!(
            found.shape() == wanted.shape(),
            "shape {:?} was computed, the reference has {:?}",
            found.shape(),
            wanted.shape()
        );
        let mut error = 0.0;
        let mut size = 0.0;
        let mut largest = 0.0f64;
        for (found, wanted) in found.data().iter().zip(wanted.data()) {
            let (found, wanted) = (f64::from(*found), f64::from(*wanted));
            let difference = (found - wanted).abs();
            error += difference * difference;
            size += wanted * wanted;
            // A NaN is the largest error there is; nothing is larger than it.
            if difference.is_nan() || difference > largest {
                largest = difference;
            }
        }
        let relative_l2 = if error == 0.0 { 0.0 } else { (error / size).sqrt() };
        Ok(Self { relative_l2, largest })
    }

    /// Whether it is within the tolerance. A NaN never is.
    pub(crate) fn within(&self, tolerance: f64) -> bool {
        self.relative_l2 <= tolerance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(data: &[f32]) -> Array {
        Array::new([data.len()], data.to_vec()).unwrap()
    }

    #[test]
    fn measures() {
        let difference = Difference::between(&array(&[3.0, 4.5]), &array(&[3.0, 4.0])).unwrap();
        assert_eq!(difference, Difference { relative_l2: 0.1, largest: 0.5 });
        assert!(difference.within(0.1) && !difference.within(0.09));
        assert!(Difference::between(&array(&[0.0]), &array(&[0.0])).unwrap().within(0.0));
        assert!(Difference::between(&array(&[0.0]), &array(&[0.0, 1.0])).is_err());
    }

    #[test]
    fn a_nan_is_never_within_and_never_hidden() {
        for data in [[f32::NAN, 0.0], [0.0, f32::NAN]] {
            let difference = Difference::between(&array(&data), &array(&[0.0, 1.0])).unwrap();
            assert!(!difference.within(f64::INFINITY) && difference.largest.is_nan());
        }
        assert!(!Difference::between(&array(&[1.0]), &array(&[0.0])).unwrap().within(1e9));
    }
}
