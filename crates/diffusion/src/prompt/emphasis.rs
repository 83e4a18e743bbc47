//! Weights on text vectors, and the mean put back to where it was: A1111's emphasis mode `Original`.

use super::Chunk;
use impasto_tensor::{Array, TensorError};

/// Weighs the text encoder's vectors `[chunks, 77, features]` and lays the chunks end to end, `[tokens, features]`.
///
/// Each chunk has its mean restored by itself. Where that takes a division by zero, it is left as weighed.
pub(crate) fn emphasize(mut vectors: Array, chunks: &[Chunk]) -> Result<Array, TensorError> {
    let &[count, tokens, features] = vectors.shape() else {
        return Err(TensorError::shape("emphasize", format!("{:?} for text vectors", vectors.shape())));
    };
    for (values, chunk) in vectors.data_mut().chunks_mut((tokens * features).max(1)).zip(chunks) {
        weigh(values, &chunk.weights, features);
    }
    vectors.reshape([count * tokens, features])
}

fn weigh(values: &mut [f32], weights: &[f32], features: usize) {
    if weights.iter().all(|&weight| weight == 1.0) {
        return;
    }
    let before = mean(values);
    for (vector, weight) in values.chunks_mut(features.max(1)).zip(weights) {
        scale(vector, *weight);
    }
    let ratio = before / mean(values);
    if ratio.is_finite() {
        scale(values, ratio);
    }
}

fn scale(values: &mut [f32], factor: f32) {
    for value in values {
        *value *= factor;
    }
}

fn mean(values: &[f32]) -> f32 {
    (values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(weights: [f32; 2]) -> Chunk {
        Chunk { tokens: vec![0; 2], weights: weights.into() }
    }

    #[test]
    fn weighs_and_restores_the_mean_of_each_chunk() {
        let vectors = Array::new([2, 2, 2], vec![1.0, 3.0, 2.0, 2.0, 5.0, 6.0, 7.0, 8.0]).unwrap();
        let context = emphasize(vectors, &[chunk([1.0, 3.0]), chunk([1.0, 1.0])]).unwrap();
        assert_eq!(context.shape(), [4, 2]);
        // Weighed, the first chunk is 1, 3, 6, 6 with mean 4; its mean was 2.
        assert_eq!(context.data(), [0.5, 1.5, 3.0, 3.0, 5.0, 6.0, 7.0, 8.0]);
    }

    #[test]
    fn a_mean_of_zero_stays_finite() {
        let vectors = Array::new([1, 2, 1], vec![1.0, -1.0]).unwrap();
        assert_eq!(emphasize(vectors, &[chunk([2.0, 2.0])]).unwrap().data(), [2.0, -2.0]);
    }
}
