//! What a mask keeps of a latent while the rest is painted anew, with hard seams or with soft ones.
//!
//! Soft seams are those of A1111's "Soft inpainting": what is kept counts by the noise level at each step, and is laid over the result
//! by how much that has changed.

use crate::noise::ImageNoise;
use impasto_domain::{MaskedContent, SoftInpainting};
use impasto_imaging::{ImagingError, Mask, ResizeMode, fit, gaussian_blur_mask};
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};

/// Keeps a length from being divided by nothing.
const LEAST_LENGTH: f64 = 1e-5;
/// Pixels from the middle of the window of changes to its edge.
const REACH: i64 = 2;
/// Width of the bell over that window, in pixels.
const BELL: f64 = 1.5;
/// Standard deviation, in pixels, by which the mask of changes is smoothed.
const SMOOTHING: f32 = 4.0;

/// What a mask keeps of a latent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Where the latent is painted anew, 0 to 1, `height * width` values.
    anew: Vec<f32>,
    /// What is elsewhere, `[channels, height, width]`.
    latent: Array,
    soft: Option<SoftInpainting>,
}

impl Kept {
    /// What is kept of `latent`, in which what is there before the rest is painted anew is put.
    pub(crate) fn new(
        anew: Vec<f32>,
        content: MaskedContent,
        soft: Option<SoftInpainting>,
        latent: &mut Array,
        noise: &ImageNoise,
    ) -> Self {
        if matches!(content, MaskedContent::LatentNoise | MaskedContent::LatentNothing) {
            let noise = (content == MaskedContent::LatentNoise).then(|| noise.unvaried());
            let noise = noise.as_ref().map(Array::data);
            for (at, value) in latent.data_mut().iter_mut().enumerate() {
                let anew = anew[at % anew.len()];
                *value = *value * (1.0 - anew) + noise.map_or(0.0, |noise| noise[at]) * anew;
            }
        }
        Self { anew, latent: latent.clone(), soft }
    }

    /// Puts what is kept back into a latent on its way, or into an estimate of where that leads, at a noise level.
    pub(crate) fn blend(&self, latent: &mut [f32], sigma: f32) {
        match &self.soft {
            None => self.put_back(latent),
            Some(soft) => self.blend_softly(latent, soft, sigma.into()),
        }
    }

    /// Puts what is kept back into a latent that has arrived. Soft seams are made of the picture instead.
    pub(crate) fn finish(&self, latent: &mut [f32]) {
        if self.soft.is_none() {
            self.put_back(latent);
        }
    }

    fn put_back(&self, latent: &mut [f32]) {
        let size = self.anew.len();
        for (values, kept) in latent.chunks_mut(size).zip(self.latent.data().chunks(size)) {
            for ((value, &kept), &anew) in values.iter_mut().zip(kept).zip(&self.anew) {
                *value = *value * anew + kept * (1.0 - anew);
            }
        }
    }

    /// Mixes the vectors of each place. The mean of two vectors is shorter than they are, which would lose contrast; its length
    /// is made a mean of theirs, the higher the power the nearer to the longer.
    fn blend_softly(&self, latent: &mut [f32], soft: &SoftInpainting, sigma: f64) {
        let exponent = sigma.powf(soft.schedule_bias) * soft.preservation_strength;
        let power = soft.transition_contrast_boost;
        let size = self.anew.len();
        let kept = self.latent.data();
        for (place, &anew) in self.anew.iter().enumerate() {
            let anew = libm::pow(anew.into(), exponent);
            let channels = || (place..kept.len()).step_by(size);
            let length = |value: &dyn Fn(usize) -> f64| {
                libm::sqrt(channels().map(value).map(|value| value * value).sum::<f64>())
            };
            let mixed = |at: usize| f64::from(kept[at]) * (1.0 - anew) + f64::from(latent[at]) * anew;
            let found = length(&mixed) + LEAST_LENGTH;
            let powered = |length: f64| libm::pow(length, power);
            let wanted = powered(length(&|at| kept[at].into())) * (1.0 - anew)
                + powered(length(&|at| latent[at].into())) * anew;
            let factor = libm::pow(wanted, 1.0 / power) / found;
            let values: Vec<f32> = channels().map(|at| (mixed(at) * factor) as f32).collect();
            for (at, value) in channels().zip(values) {
                latent[at] = value;
            }
        }
    }

    /// Where, in a picture of a size, the result is to show through what was there, by how much `latent` differs from what
    /// was kept; nothing where seams are hard.
    pub(crate) fn changed(
        &self,
        latent: &Array,
        (width, height): (u32, u32),
    ) -> Result<Option<Mask>, ImagingError> {
        let (Some(soft), &[_, rows, columns]) = (&self.soft, self.latent.shape()) else { return Ok(None) };
        let size = self.anew.len();
        let distance = |place: usize| {
            let pairs = latent.data().iter().zip(self.latent.data()).skip(place).step_by(size);
            pairs.map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum::<f64>().sqrt()
        };
        let distances: Vec<f64> = (0..size).map(distance).collect();
        let highest = filtered(&distances, [rows, columns], [0.9, 1.0]);
        let typical = filtered(&highest, [rows, columns], [0.25, 0.75]);
        let values = typical.iter().zip(&self.anew).map(|(&distance, &anew)| {
            let masked = 1.0 - libm::pow(f64::from(anew).clamp(0.0, 1.0), soft.preservation_strength / 2.0);
            let scale = 0.5 * (1.0 - soft.mask_influence) + masked * soft.mask_influence;
            let half = soft.difference_threshold * (scale / (1.00001 - scale));
            let kept = 1.0 / (1.0 + libm::pow(distance / half, soft.difference_contrast));
            // A smooth step of fifth degree (Perlin 2002).
            let kept = kept * kept * kept * (kept * (6.0 * kept - 15.0) + 10.0);
            (255.0 * (1.0 - kept)) as u8
        });
        let mask = Mask::new(columns as u32, rows as u32, values.collect())?;
        let mask = fit(&mask, ResizeMode::Fill, width, height)?;
        gaussian_blur_mask(&mask, SMOOTHING).map(Some)
    }
}

/// The mean of what lies between two shares of the values around each place, sorted, each as wide as a bell over the
/// window says.
fn filtered(values: &[f64], [rows, columns]: [usize; 2], shares: [f64; 2]) -> Vec<f64> {
    let mut window = Vec::with_capacity((2 * REACH as usize + 1).pow(2));
    let place = |at: usize| ((at / columns) as i64, (at % columns) as i64);
    (0..rows * columns)
        .map(|at| {
            let (row, column) = place(at);
            window.clear();
            for (dy, dx) in (-REACH..=REACH).flat_map(|dy| (-REACH..=REACH).map(move |dx| (dy, dx))) {
                let (y, x) = (row + dy, column + dx);
                if (0..rows as i64).contains(&y) && (0..columns as i64).contains(&x) {
                    window
                        .push((values[y as usize * columns + x as usize], bell((dy * dy + dx * dx) as f64)));
                }
            }
            window.sort_by(|a, b| a.0.total_cmp(&b.0));
            mean_between(&window, shares)
        })
        .collect()
}

/// A bell that is 1 in the middle and 0 just beyond the window.
fn bell(square_distance: f64) -> f64 {
    let plain = |square: f64| libm::exp(-square / (BELL * BELL));
    let edge = plain(((REACH + 1) * (REACH + 1)) as f64);
    ((plain(square_distance) - edge) / (1.0 - edge)).max(0.0)
}

/// The mean of sorted values of some widths, laid end to end, between two shares of the whole, at least one wide.
fn mean_between(sorted: &[(f64, f64)], shares: [f64; 2]) -> f64 {
    let whole: f64 = sorted.iter().map(|(_, width)| width).sum();
    let [mut from, mut to] = shares.map(|share| share * whole);
    if to - from < 1.0 {
        let middle = f64::midpoint(from, to);
        (from, to) = (middle - 0.5, middle + 0.5);
        if to > whole {
            (from, to) = (whole - 1.0, whole);
        }
        if from < 0.0 {
            (from, to) = (0.0, 1.0);
        }
    }
    let (mut sum, mut widths, mut start) = (0.0, 0.0, 0.0);
    for (value, width) in sorted {
        let overlap = (to.min(start + width) - from.max(start)).max(0.0);
        sum += value * overlap;
        widths += overlap;
        start += width;
    }
    if widths > 0.0 { sum / widths } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impasto_domain::{NoiseSource, Seeds};

    fn kept(anew: &[f32], latent: &[f32], soft: Option<SoftInpainting>) -> Kept {
        let mut latent = Array::new([latent.len() / anew.len(), 1, anew.len()], latent.to_vec()).unwrap();
        let noise = ImageNoise::new(NoiseSource::Cpu, [1, 1, 2], Seeds { seed: 1, subseed: 0 }, 0.0, 0);
        Kept::new(anew.to_vec(), MaskedContent::Original, soft, &mut latent, &noise)
    }

    #[test]
    fn hard_seams_keep_what_the_mask_says() {
        let kept = kept(&[0.0, 1.0, 0.25], &[1.0, 2.0, 4.0], None);
        let mut latent = [10.0, 20.0, 8.0];
        kept.blend(&mut latent, 3.0);
        assert_eq!(latent, [1.0, 20.0, 5.0]);
        kept.finish(&mut latent);
        assert_eq!(latent, [1.0, 20.0, 4.25]);
    }

    #[test]
    fn soft_seams_move_with_the_noise_and_keep_lengths() {
        let soft = SoftInpainting { preservation_strength: 1.0, ..SoftInpainting::default() };
        let kept = kept(&[0.5, 1.0, 0.0], &[3.0, 1.0, 5.0, 4.0, 1.0, 6.0], Some(soft));
        let blended = |sigma| {
            let mut latent = [0.0, 7.0, 9.0, 5.0, 8.0, 9.0];
            kept.blend(&mut latent, sigma);
            latent
        };
        let early = blended(10.0);
        assert!(
            (early[0] - 3.0).abs() < 0.01 && (early[3] - 4.0).abs() < 0.01,
            "much noise keeps: {early:?}"
        );
        let late = blended(0.01);
        assert!(late[0].abs() < 0.05 && (late[3] - 5.0).abs() < 0.05, "little noise paints anew: {late:?}");
        let middle = blended(1.0);
        let length = middle[0].hypot(middle[3]);
        assert!((length - 5.0).abs() < 1e-3, "both are 5 long, and so is their mixture: {middle:?}");
        for sigma in [0.01, 1.0, 10.0] {
            let all = blended(sigma);
            assert!((all[1] - 7.0).abs() < 1e-3 && (all[4] - 8.0).abs() < 1e-3, "{all:?}");
            assert!((all[2] - 5.0).abs() < 1e-3 && (all[5] - 6.0).abs() < 1e-3, "{all:?}");
        }
        let mut arrived = [0.0; 6];
        kept.finish(&mut arrived);
        assert_eq!(arrived, [0.0; 6]);
    }

    #[test]
    fn what_has_changed_shows() {
        let soft = Some(SoftInpainting::default());
        let kept = kept(&[0.5; 8], &[0.0; 8], soft);
        let changed = Array::new([1, 1, 8], vec![0.0, 0.0, 0.0, 0.0, 9.0, 9.0, 9.0, 9.0]).unwrap();
        let mask = kept.changed(&changed, (64, 8)).unwrap().unwrap();
        assert_eq!(mask.size(), (64, 8));
        let row: Vec<u8> = mask.samples()[..64].to_vec();
        assert!(row[0] < 8 && row[63] > 247, "{row:?}");
        assert!(Kept { soft: None, ..kept }.changed(&changed, (64, 8)).unwrap().is_none());
    }

    #[test]
    fn means_lie_between_shares() {
        let sorted = [(1.0, 1.0), (2.0, 1.0), (10.0, 2.0)];
        assert_eq!(mean_between(&sorted, [0.0, 0.5]), 1.5);
        assert_eq!(mean_between(&sorted, [0.9, 1.0]), 10.0, "at least one wide");
        assert_eq!(mean_between(&sorted, [0.25, 0.75]), 6.0);
        assert_eq!(mean_between(&[(3.0, 0.5)], [0.25, 0.75]), 3.0);
    }
}
