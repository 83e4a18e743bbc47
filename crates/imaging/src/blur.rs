//! Gaussian blur of masks as OpenCV does it on 8 bits: weights in 8-bit fixed point that sum to 1, edges mirrored without
//! repeating them.

use crate::{ImagingError, Mask};

/// Blurs of more are refused: time grows with the blur, and masks vanish.
const MOST_SIGMA: f64 = 256.0;

/// Of a weight and of the sums between the passes.
const ONE: i32 = 256;

/// The mask blurred with these standard deviations, in pixels; 0 or less leaves that direction alone. Kernels reach 2.5
/// standard deviations far, as in A1111.
pub fn blur_mask(mask: &Mask, sigma_x: f64, sigma_y: f64) -> Result<Mask, ImagingError> {
    // Down is across in the mask turned over its diagonal.
    transposed(&blurred_rows(&transposed(&blurred_rows(mask, sigma_x)?)?, sigma_y)?)
}

fn transposed(mask: &Mask) -> Result<Mask, ImagingError> {
    let width = mask.width() as usize;
    let columns = (0..width).flat_map(|column| mask.samples().iter().skip(column).step_by(width));
    Mask::new(mask.height(), mask.width(), columns.copied().collect())
}

fn blurred_rows(mask: &Mask, sigma: f64) -> Result<Mask, ImagingError> {
    if sigma > MOST_SIGMA || sigma.is_nan() {
        return Err(ImagingError::OutOfRange {
            name: "the blur",
            value: sigma,
            least: 0.0,
            most: MOST_SIGMA,
        });
    }
    if sigma <= 0.0 || mask.width() == 1 {
        return Ok(mask.clone());
    }
    let kernel = kernel(sigma);
    let width = mask.width() as usize;
    let reach = kernel.len() as i64 / 2;
    let places: Vec<usize> = (-reach..width as i64 + reach).map(|place| mirrored(place, width)).collect();
    let mut made = Vec::with_capacity(mask.samples().len());
    let mut sums = vec![0; width];
    for row in mask.samples().chunks_exact(width) {
        let padded: Vec<u8> = places.iter().map(|&place| row[place]).collect();
        sums.fill(ONE / 2);
        for (line, weight) in padded.windows(width).zip(&kernel).filter(|(_, weight)| **weight != 0) {
            for (sum, &value) in sums.iter_mut().zip(line) {
                *sum += i32::from(value) * weight;
            }
        }
        made.extend(sums.iter().map(|sum| (sum / ONE).clamp(0, 255) as u8));
    }
    Mask::new(mask.width(), mask.height(), made)
}

/// The place within `0..length`, at least 2, that a place outside mirrors.
fn mirrored(place: i64, length: usize) -> usize {
    let period = 2 * (length as i64 - 1);
    let within = place.rem_euclid(period);
    within.min(period - within) as usize
}

/// The bell in 256ths. What rounding takes from one weight goes to the next, and what is left to the middle one.
fn kernel(sigma: f64) -> Vec<i32> {
    let reach = (2.5 * sigma + 0.5) as usize;
    let scale = -0.125 / (sigma * sigma);
    // Twice the distance from the middle, squared, so that it is a whole number.
    let bell: Vec<f64> =
        (0..reach).map(|place| libm::exp(((2 * (reach - place)) as f64).powi(2) * scale)).collect();
    let whole = 2.0 * bell.iter().sum::<f64>() + 1.0;
    let mut error = 0.0;
    let mut half = Vec::with_capacity(reach);
    for value in bell {
        let wanted = value * (1.0 / whole) * f64::from(ONE) + error;
        let weight = wanted.round_ties_even();
        error = wanted - weight;
        half.push(weight as i32);
    }
    let middle = ONE - 2 * half.iter().sum::<i32>();
    half.iter().copied().chain([middle]).chain(half.iter().rev().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blurs_without_sense_are_refused() {
        let mask = Mask::filled(3, 3, [1]).unwrap();
        for sigma in [f64::NAN, f64::INFINITY, 257.0] {
            for (x, y) in [(1.0, sigma), (sigma, 0.0)] {
                assert!(matches!(blur_mask(&mask, x, y), Err(ImagingError::OutOfRange { .. })), "{x} {y}");
            }
        }
        assert_eq!(blur_mask(&mask, -1.0, f64::NEG_INFINITY).unwrap(), mask);
    }

    proptest! {
        #[test]
        fn one_grey_stays_one_grey(size in (1..30_u32, 1..30_u32), grey in any::<u8>(), x in 0.0..70.0_f64, y in 0.0..70.0_f64) {
            let mask = Mask::filled(size.0, size.1, [grey]).unwrap();
            prop_assert_eq!(blur_mask(&mask, x, y).unwrap(), mask);
        }
    }
}
