//! Tensors that no file holds: pseudo-random weights of a configuration's layout, made when they are asked for.
//!
//! For measuring: how fast a network is does not depend on its weights, as long as numbers stay of ordinary size. So
//! the deviation of a weight is one over the square root of what is summed for an output, which keeps signals near
//! unit variance (Glorot and Bengio 2010), scales of normalisations are near 1, and biases are small.

use crate::architecture::{Heads, Prediction, StableDiffusionConfig};
use crate::entry::{Data, Element, Entries, Entry};
use crate::facts::Metadata;
use crate::layout::layout;
use half::f16;
use impasto_tensor::DType;
use std::f32::consts::TAU;

/// Elements are drawn from a table of so many numbers.
const TABLE: usize = 1 << 12;
/// Four table places in each 64-bit number.
const PLACES: usize = 4;

/// Mean and deviation of a made tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Distribution {
    mean: f32,
    deviation: f32,
}

impl Distribution {
    /// What suits a tensor of this name and shape.
    fn of(name: &str, shape: &[usize]) -> Self {
        match shape {
            [_] if name.ends_with(".weight") => Self { mean: 1.0, deviation: 0.05 },
            [_] => Self { mean: 0.0, deviation: 0.02 },
            _ => {
                let summed: usize = shape.iter().skip(1).product();
                Self { mean: 0.0, deviation: 1.0 / (summed.max(1) as f32).sqrt() }
            }
        }
    }

    /// `count` elements of the tensor `name`, as `f16`: always the same.
    pub(crate) fn elements(self, name: &str, count: usize) -> Vec<u8> {
        let table: Vec<[u8; 2]> = (0..TABLE)
            .map(|at| f16::from_f32(self.mean + self.deviation * normal(at)).to_le_bytes())
            .collect();
        let mut bytes = vec![0; 2 * count];
        let seed = hash(name);
        for (counter, elements) in bytes.chunks_mut(2 * PLACES).enumerate() {
            let mut bits = mix(seed.wrapping_add(counter as u64));
            for element in elements.chunks_exact_mut(2) {
                element.copy_from_slice(&table[bits as usize % TABLE]);
                bits >>= 64 / PLACES;
            }
        }
        bytes
    }
}

/// Number `at` of a table that is normally distributed as a whole: the transform of Box and Muller (1958), with even
/// steps for the radius and steps of the golden ratio for the angle instead of random ones.
fn normal(at: usize) -> f32 {
    let radius = (-2.0 * ((at as f32 + 0.5) / TABLE as f32).ln()).sqrt();
    radius * (TAU * (at as f32 * 0.618_034).fract()).cos()
}

/// `SplitMix64` (Steele, Lea and Flood 2014) at a place of its sequence.
fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a (Fowler, Noll and Vo), 64 bits.
fn hash(name: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Every tensor of a configuration.
pub(crate) fn entries(config: &StableDiffusionConfig) -> Entries {
    let entry = |(name, shape): (String, Vec<usize>)| {
        let data = Data::Made(Distribution::of(&name, &shape));
        (name, Entry { element: Element::Readable(DType::F16), shape, data })
    };
    layout(config).into_iter().map(entry).collect()
}

/// What a file would have to say of itself for its shapes to be understood as `config`.
pub(crate) fn metadata(config: &StableDiffusionConfig) -> Metadata {
    let (width, height) = config.native_size;
    let prediction = match config.prediction {
        Prediction::Epsilon => "epsilon",
        Prediction::Velocity => "v",
    };
    let (heads_key, heads) = match config.unet.heads {
        Heads::Count(count) => ("impasto.unet.heads", count),
        Heads::Features(features) => ("impasto.unet.head_features", features),
    };
    let facts = [
        (heads_key, heads.to_string()),
        ("impasto.unet.groups", config.unet.groups.to_string()),
        ("impasto.vae.groups", config.vae.groups.to_string()),
        ("impasto.text.heads", config.text.heads.to_string()),
        ("impasto.beta.start", config.betas.0.to_string()),
        ("impasto.beta.end", config.betas.1.to_string()),
        ("impasto.scale_factor", config.vae.scale_factor.to_string()),
        ("modelspec.prediction_type", prediction.to_owned()),
        ("modelspec.resolution", format!("{width}x{height}")),
    ];
    let guidance = config.cfg_scale.map(|scale| ("impasto.cfg_scale", scale.to_string()));
    let second_text = config.second_text.as_ref();
    let second_heads = second_text.map(|text| ("impasto.second_text.heads", text.heads.to_string()));
    facts
        .into_iter()
        .chain(guidance)
        .chain(second_heads)
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(name: &str, shape: &[usize]) -> Vec<f64> {
        let bytes = Distribution::of(name, shape).elements(name, shape.iter().product());
        bytes.as_chunks::<2>().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f64()).collect()
    }

    #[test]
    fn elements_have_the_mean_and_deviation_that_suit_their_tensor() {
        for (name, shape, mean, deviation) in [
            ("a.weight", &[64, 16, 3, 3][..], 0.0, 1.0 / 12.0),
            ("a.weight", &[100, 400], 0.0, 0.05),
            ("norm.weight", &[20_001], 1.0, 0.05),
            ("a.bias", &[20_003], 0.0, 0.02),
        ] {
            let numbers = numbers(name, shape);
            let count = numbers.len() as f64;
            let found = numbers.iter().sum::<f64>() / count;
            assert!((found - mean).abs() < 0.05 * deviation, "{name} {shape:?}: mean {found}");
            let square: f64 = numbers.iter().map(|x| (x - found).powi(2)).sum();
            let found = (square / count).sqrt();
            assert!((found / deviation - 1.0).abs() < 0.03, "{name} {shape:?}: deviation {found}");
        }
    }

    #[test]
    fn tensors_of_other_names_differ_and_neighbours_are_unrelated() {
        let (a, b) = (numbers("a.weight", &[100, 100]), numbers("b.weight", &[100, 100]));
        let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        // In units of the variance, 1/100, over about 10,000 pairs.
        for found in [product(&a, &b), product(&a, &a[1..]), product(&a, &a[4..])] {
            assert!((found * 100.0 / 10_000.0).abs() < 0.04, "{found}");
        }
    }
}
