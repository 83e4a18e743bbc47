//! Brownian motion over sigma, whose increments are the noise of samplers that solve a stochastic equation: the same
//! however finely it is asked for.
//!
//! Values are those of torchsde's `BrownianTree` (Li et al. 2020, section 4) as k-diffusion uses it. The tree halves
//! the interval again and again; the increment over each half follows from that over the whole and from normals whose seed
//! belongs to the place in the tree. Nothing is kept: an increment is computed anew from the root.

use super::Generator;
use super::seed_sequence::first_seed;
use impasto_domain::NoiseSource;
use serde::{Deserialize, Serialize};

/// Brownian motion between two sigmas, for one image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BrownianTree {
    source: NoiseSource,
    seed: u64,
    /// Values of a latent.
    count: usize,
    lowest: f32,
    highest: f32,
}

/// A part of the whole interval and what the motion does over it.
struct Node {
    start: f64,
    end: f64,
    /// Its place among the nodes of its depth.
    key: u64,
    depth: u64,
    increment: Vec<f32>,
}

impl BrownianTree {
    /// The motion of a latent of `count` values from the lowest sigma to the highest.
    pub fn new(source: NoiseSource, seed: u64, count: usize, lowest: f32, highest: f32) -> Self {
        Self { source, seed, count, lowest, highest }
    }

    /// Noise of unit variance for the way from one sigma to another: the increment over the root of the distance. Zero
    /// where the two are closer than the tree resolves, and beyond its ends.
    pub fn noise(&self, from: f32, to: f32) -> Vec<f32> {
        let ends = (resolved(self.lowest.into()), resolved(self.highest.into()));
        let clamped = |sigma: f32| resolved(f64::from(sigma).max(ends.0).min(ends.1));
        let (start, end) = (clamped(from.min(to)), clamped(from.max(to)));
        let mut sum = vec![0.0; self.count];
        if start < end {
            let root = (f64::from(self.highest) - f64::from(self.lowest)).sqrt() as f32;
            let mut increment = self.normals(first_seed(self.seed, &[]));
            for value in &mut increment {
                *value *= root;
            }
            self.add(Node { start: ends.0, end: ends.1, key: 0, depth: 0, increment }, start, end, &mut sum);
            // Increments go with rising sigma, samplers with falling.
            let scale = (to - from).abs().sqrt().copysign(to - from);
            for value in &mut sum {
                *value /= scale;
            }
        }
        sum
    }

    /// Adds the increment from `start` to `end`, which lie within the node.
    fn add(&self, node: Node, start: f64, end: f64, sum: &mut [f32]) {
        if start <= node.start && node.end <= end {
            sum.iter_mut().zip(&node.increment).for_each(|(sum, value)| *sum += value);
            return;
        }
        let middle = resolved(0.5 * (node.end + node.start));
        if middle <= node.start || node.end <= middle {
            return;
        }
        let [left, right] = self.halves(node, middle);
        if start < middle {
            self.add(left, start, end.min(middle), sum);
        }
        if middle < end {
            self.add(right, start.max(middle), end, sum);
        }
    }

    /// The two halves of a node: a Brownian bridge.
    fn halves(&self, node: Node, middle: f64) -> [Node; 2] {
        let Node { start, end, key, depth, increment: whole } = node;
        let (before, after, inverse) = (middle - start, end - middle, 1.0 / (end - start));
        let (share, inverse_share) = (before as f32, inverse as f32);
        let deviation = (before * after * inverse).sqrt() as f32;
        let mut left = self.normals(first_seed(self.seed, &[key, depth]));
        for (value, whole) in left.iter_mut().zip(&whole) {
            *value = share * whole * inverse_share + deviation * *value;
        }
        let right = whole.iter().zip(&left).map(|(whole, left)| whole - left).collect();
        [
            Node { start, end: middle, key: 2 * key, depth: depth + 1, increment: left },
            Node { start: middle, end, key: 2 * key + 1, depth: depth + 1, increment: right },
        ]
    }

    fn normals(&self, seed: u32) -> Vec<f32> {
        Generator::new(self.source, seed.into()).normals(self.count)
    }
}

/// A sigma as the tree resolves it: to six decimals, by their exact values, as Python rounds.
fn resolved(sigma: f64) -> f64 {
    format!("{sigma:.6}").parse().unwrap_or(sigma)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> BrownianTree {
        BrownianTree::new(NoiseSource::Gpu, 7, 2000, 0.03, 14.6)
    }

    #[test]
    fn increments_add_up() {
        let tree = tree();
        let increment = |from: f32, to: f32| {
            let scale = (from - to).sqrt();
            tree.noise(from, to).into_iter().map(move |value| value * scale)
        };
        let whole: Vec<f32> = increment(14.6, 0.03).collect();
        let parts: Vec<f32> = increment(14.6, 2.5).zip(increment(2.5, 0.03)).map(|(a, b)| a + b).collect();
        assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn noise_has_unit_variance_and_no_memory() {
        let tree = tree();
        let (first, second) = (tree.noise(14.6, 9.0), tree.noise(9.0, 0.1));
        for noise in [&first, &second] {
            let variance = noise.iter().map(|value| value * value).sum::<f32>() / 2000.0;
            assert!((variance - 1.0).abs() < 0.1, "{variance}");
        }
        let together = first.iter().zip(&second).map(|(a, b)| a * b).sum::<f32>() / 2000.0;
        assert!(together.abs() < 0.1, "{together}");
        assert_eq!(tree.noise(9.0, 0.1), second);
    }

    #[test]
    fn ends_may_touch() {
        let tree = tree();
        let reversed: Vec<f32> = tree.noise(0.1, 9.0).iter().map(|value| -value).collect();
        assert_eq!(reversed, tree.noise(9.0, 0.1));
        assert!(tree.noise(20.0, 14.6).iter().all(|&value| value == 0.0));
        let point = BrownianTree { lowest: 1.0, highest: 1.0, ..tree };
        assert!(point.noise(2.0, 0.5).iter().all(|&value| value == 0.0));
    }
}
