//! The noise of one image: its initial latent, then what ancestral samplers add step by step.
//!
//! Every image has its own generators, so its noise does not depend on what else is made beside it.

use super::{BrownianTree, Generator};
use impasto_domain::{NoiseSource, Seeds};
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};

/// Means of cosines above this make [`turn`] go straight.
const PARALLEL: f64 = 0.9995;

/// The noise of one image. Small when stored: the generator is wound forward again after loading.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageNoise {
    source: NoiseSource,
    /// `[channels, height, width]`.
    shape: [usize; 3],
    seeds: Seeds,
    subseed_strength: f64,
    eta_noise_seed_delta: i64,
    /// The shape of the noise that is laid into the middle, if that is another.
    inner: Option<[usize; 3]>,
    /// Ancestral draws so far.
    drawn: u32,
    #[serde(skip)]
    generator: Option<Generator>,
}

impl ImageNoise {
    /// The noise of a latent of `shape`, `[channels, height, width]`.
    pub fn new(
        source: NoiseSource,
        shape: [usize; 3],
        seeds: Seeds,
        subseed_strength: f64,
        eta_noise_seed_delta: i64,
    ) -> Self {
        Self {
            source,
            shape,
            seeds,
            subseed_strength,
            eta_noise_seed_delta,
            inner: None,
            drawn: 0,
            generator: None,
        }
    }

    /// The same, with the noise of a latent of another size, `[height, width]`, in its middle: it begins as a picture of that size
    /// does.
    #[must_use]
    pub fn resized_from(self, [height, width]: [usize; 2]) -> Self {
        let inner = [self.shape[0], height, width];
        Self { inner: Some(inner).filter(|inner| *inner != self.shape), ..self }
    }

    /// The initial latent, of unit variance.
    pub fn initial(&self) -> Array {
        let Some(inner) = self.inner else { return self.varied() };
        let noise = Self { shape: inner, inner: None, generator: None, ..*self }.varied();
        let mut latent = self.unvaried();
        lay_into_the_middle(latent.data_mut(), self.shape, noise.data(), inner);
        latent
    }

    fn varied(&self) -> Array {
        let mut latent = Array::zeros(self.shape);
        latent.data_mut().copy_from_slice(&self.fresh(self.seeds.seed));
        if self.subseed_strength != 0.0 {
            let variation = self.fresh(self.seeds.subseed);
            turn(latent.data_mut(), &variation, self.shape, self.subseed_strength as f32);
        }
        latent
    }

    /// Noise by the seed alone, without the variation's.
    pub fn unvaried(&self) -> Array {
        let mut latent = Array::zeros(self.shape);
        latent.data_mut().copy_from_slice(&self.fresh(self.seeds.seed));
        latent
    }

    /// What a sampler adds next, of unit variance: the numbers that follow the initial ones, or, with a noise seed
    /// delta, those of a generator of its own.
    pub fn ancestral(&mut self) -> Vec<f32> {
        let count = self.count();
        let (source, seed, drawn) = (self.source, self.seeds.seed, self.drawn);
        let delta = self.eta_noise_seed_delta;
        let generator = self.generator.get_or_insert_with(|| {
            let mut generator = Generator::new(source, seed.wrapping_add_signed(delta));
            let initial = u32::from(delta == 0);
            generator.skip(initial.saturating_add(drawn), count);
            generator
        });
        self.drawn += 1;
        generator.normals(count)
    }

    /// Brownian motion between two sigmas, by the seed alone.
    pub fn brownian(&self, lowest: f32, highest: f32) -> BrownianTree {
        BrownianTree::new(self.source, self.seeds.seed, self.count(), lowest, highest)
    }

    fn count(&self) -> usize {
        self.shape.iter().product()
    }

    fn fresh(&self, seed: u64) -> Vec<f32> {
        Generator::new(self.source, seed).normals(self.count())
    }
}

/// Puts `inner` into the middle of `latent`, both channels first; what sticks out is cut off.
fn lay_into_the_middle(latent: &mut [f32], shape: [usize; 3], inner: &[f32], inner_shape: [usize; 3]) {
    // Where the smaller of the two begins in each, and how long it is.
    let along = |axis: usize| {
        let (whole, part) = (shape[axis], inner_shape[axis]);
        // As much is cut off on both sides, so that an odd difference leaves the last line as it is.
        let cut = part.saturating_sub(whole).div_ceil(2);
        (whole.saturating_sub(part) / 2, cut, part - 2 * cut)
    };
    let ((top, from_top, height), (left, from_left, width)) = (along(1), along(2));
    for (channel, y) in (0..shape[0]).flat_map(|channel| (0..height).map(move |y| (channel, y))) {
        let to = (channel * shape[1] + top + y) * shape[2] + left;
        let from = (channel * inner_shape[1] + from_top + y) * inner_shape[2] + from_left;
        latent[to..to + width].copy_from_slice(&inner[from..from + width]);
    }
}

/// Turns `noise` towards `variation` along the sphere (Shoemake 1985), each column of each channel by itself, as A1111
/// does. Where the two are all but parallel it mixes straight, with the weights swapped, which pictures depend on.
///
/// Columns that point the same or the opposite way have no angle to turn by; A1111 fails there (any picture one cell
/// high), here they mix straight with the weights where they belong.
fn turn(noise: &mut [f32], variation: &[f32], [channels, height, width]: [usize; 3], strength: f32) {
    let cosines = column_cosines(noise, variation, [channels, height, width]);
    let mean = cosines.iter().map(|&cosine| f64::from(cosine)).sum::<f64>() / cosines.len().max(1) as f64;
    if mean > PARALLEL {
        mix(noise, variation, |_| (strength, 1.0 - strength));
        return;
    }
    let weights: Vec<(f32, f32)> = cosines.iter().map(|&cosine| turn_weights(cosine, strength)).collect();
    let column = |index: usize| index / (height * width) * width + index % width;
    mix(noise, variation, |index| weights[column(index)]);
}

fn mix(noise: &mut [f32], variation: &[f32], weights: impl Fn(usize) -> (f32, f32)) {
    for (index, (value, other)) in noise.iter_mut().zip(variation).enumerate() {
        let (own, others) = weights(index);
        *value = own * *value + others * other;
    }
}

fn turn_weights(cosine: f32, strength: f32) -> (f32, f32) {
    let angle = libm::acos(f64::from(cosine)) as f32;
    let sine = |x: f32| libm::sin(f64::from(x)) as f32;
    let whole = sine(angle);
    let weights = (sine((1.0 - strength) * angle) / whole, sine(strength * angle) / whole);
    if cosine.abs() < 1.0 && weights.0.is_finite() && weights.1.is_finite() {
        weights
    } else {
        (1.0 - strength, strength)
    }
}

/// The cosine between the columns of two arrays, `[channels, width]`.
fn column_cosines(a: &[f32], b: &[f32], [channels, height, width]: [usize; 3]) -> Vec<f32> {
    let mut cosines = Vec::with_capacity(channels * width);
    for channel in 0..channels {
        for x in 0..width {
            let indices = (0..height).map(|y| (channel * height + y) * width + x);
            let (mut aa, mut bb, mut ab) = (0.0f64, 0.0f64, 0.0f64);
            for index in indices {
                let (a, b) = (f64::from(a[index]), f64::from(b[index]));
                aa += a * a;
                bb += b * b;
                ab += a * b;
            }
            cosines.push((ab / (libm::sqrt(aa) * libm::sqrt(bb))) as f32);
        }
    }
    cosines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(source: NoiseSource, strength: f64, delta: i64) -> ImageNoise {
        ImageNoise::new(source, [4, 3, 5], Seeds { seed: 3, subseed: 8 }, strength, delta)
    }

    #[test]
    fn a_stored_generator_goes_on_where_it_was() {
        for source in [NoiseSource::Gpu, NoiseSource::Cpu] {
            for delta in [0, 31_337] {
                let mut whole = noise(source, 0.0, delta);
                let first = whole.ancestral();
                let stored = serde_json::to_string(&whole).unwrap();
                assert!(stored.len() < 300, "{stored}");
                let mut restored: ImageNoise = serde_json::from_str(&stored).unwrap();
                let next = whole.ancestral();
                assert_eq!(restored.ancestral(), next);
                assert_ne!(first, next);
                assert_eq!(restored.initial(), whole.initial());
            }
        }
    }

    #[test]
    fn a_noise_seed_delta_gives_the_other_seeds_first_numbers() {
        let mut shifted = noise(NoiseSource::Cpu, 0.0, 5);
        let other = ImageNoise { seeds: Seeds { seed: 8, subseed: 0 }, ..noise(NoiseSource::Cpu, 0.0, 0) };
        assert_eq!(shifted.ancestral(), other.initial().into_data());
    }

    #[test]
    fn strength_leads_from_one_noise_to_the_other() {
        let at = |strength| noise(NoiseSource::Gpu, strength, 0).initial().into_data();
        let other = ImageNoise { seeds: Seeds { seed: 8, subseed: 0 }, ..noise(NoiseSource::Gpu, 0.0, 0) };
        let (end, goal) = (at(1.0), other.initial().into_data());
        assert!(end.iter().zip(&goal).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_ne!(at(0.5), at(0.0));
        assert_ne!(at(0.5), end);
    }

    #[test]
    fn equal_seeds_swap_the_weights_which_changes_nothing() {
        let same = ImageNoise { seeds: Seeds { seed: 3, subseed: 3 }, ..noise(NoiseSource::Gpu, 0.3, 0) };
        let plain = noise(NoiseSource::Gpu, 0.0, 0).initial();
        assert!(same.initial().data().iter().zip(plain.data()).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn noise_of_another_size_lies_in_the_middle() {
        let lay = |shape: [usize; 3], inner_shape: [usize; 3]| {
            let count = |shape: [usize; 3]| shape.iter().product::<usize>();
            let mut latent = vec![0.0; count(shape)];
            let inner: Vec<f32> = (1..=count(inner_shape)).map(|number| number as f32).collect();
            lay_into_the_middle(&mut latent, shape, &inner, inner_shape);
            latent
        };
        assert_eq!(lay([1, 1, 6], [1, 1, 3]), [0.0, 1.0, 2.0, 3.0, 0.0, 0.0]);
        assert_eq!(lay([1, 1, 3], [1, 1, 5]), [2.0, 3.0, 4.0]);
        assert_eq!(lay([1, 1, 5], [1, 1, 8]), [3.0, 4.0, 5.0, 6.0, 0.0]);
        assert_eq!(lay([2, 2, 1], [2, 1, 1]), [1.0, 0.0, 2.0, 0.0]);
        let plain = noise(NoiseSource::Cpu, 0.0, 0);
        let resized = plain.clone().resized_from([1, 5]).initial();
        let small = ImageNoise { shape: [4, 1, 5], ..plain.clone() }.initial();
        assert_eq!(resized.data()[5..10], small.data()[..5], "the row in the middle is the small one");
        assert_eq!(resized.data()[..5], plain.initial().data()[..5], "and around it is what there would be");
        assert_eq!(plain.clone().resized_from([3, 5]).initial(), plain.initial());
    }

    #[test]
    fn a_picture_one_cell_high_has_finite_noise() {
        let low = ImageNoise { shape: [4, 1, 9], ..noise(NoiseSource::Gpu, 0.4, 0) };
        assert!(low.initial().data().iter().all(|value| value.is_finite()));
    }
}
