//! Weights on text vectors, and the mean put back to where it was: A1111's emphasis modes.

use super::Chunk;
use impasto_domain::Emphasis;
use impasto_tensor::{Array, TensorError};

/// Weighs the text encoder's vectors of the texts of one prompt, `[chunks, 77, features]` each and all with as many chunks,
/// and lays the chunks of each end to end, `[tokens, features]`. `uses` is how often each text is used.
///
/// [`Emphasis::Original`] restores the mean of the chunks in one place, over all texts and as often as each is used. Where
/// that takes a division by zero, they are left as weighed.
pub(crate) fn emphasize(
    mode: Emphasis,
    mut vectors: Vec<Array>,
    texts: &[Vec<Chunk>],
    uses: &[u32],
) -> Result<Vec<Array>, TensorError> {
    let Some(&[count, tokens, features]) = vectors.first().map(Array::shape) else {
        return Err(TensorError::shape("emphasize", "no text vectors of three dimensions".to_owned()));
    };
    if let Some(odd) = vectors.iter().find(|vectors| vectors.shape() != [count, tokens, features]) {
        return Err(TensorError::shape("emphasize", format!("{:?} for text vectors", odd.shape())));
    }
    let size = tokens * features;
    for place in 0..count {
        let weights: Vec<&[f32]> =
            texts.iter().filter_map(|chunks| chunks.get(place)).map(|chunk| &chunk.weights[..]).collect();
        if weights.iter().all(|weights| weights.iter().all(|&weight| weight == 1.0)) {
            continue;
        }
        let mut chunks: Vec<&mut [f32]> = vectors
            .iter_mut()
            .map(|vectors| &mut vectors.data_mut()[place * size..(place + 1) * size])
            .collect();
        let before = mean(&chunks, uses);
        for (values, weights) in chunks.iter_mut().zip(&weights) {
            for (vector, weight) in values.chunks_mut(features.max(1)).zip(*weights) {
                scale(vector, *weight);
            }
        }
        let ratio = before / mean(&chunks, uses);
        if mode == Emphasis::Original && ratio.is_finite() {
            for values in chunks {
                scale(values, ratio);
            }
        }
    }
    vectors.into_iter().map(|vectors| vectors.reshape([count * tokens, features])).collect()
}

fn scale(values: &mut [f32], factor: f32) {
    for value in values {
        *value *= factor;
    }
}

/// The mean over all chunks, of which each is there as often as it is used.
fn mean(chunks: &[&mut [f32]], uses: &[u32]) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (values, &uses) in chunks.iter().zip(uses) {
        sum += f64::from(uses) * values.iter().map(|&value| f64::from(value)).sum::<f64>();
        count += f64::from(uses) * values.len() as f64;
    }
    (sum / f64::max(count, 1.0)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(weights: [f32; 2]) -> Chunk {
        Chunk { tokens: vec![0; 2], weights: weights.into(), embeddings: Vec::new() }
    }

    /// One text, of chunks with two tokens of two features.
    fn one(mode: Emphasis, values: &[f32], weights: &[[f32; 2]]) -> Vec<f32> {
        let vectors =
            Array::new([weights.len(), 2, values.len() / weights.len() / 2], values.to_vec()).unwrap();
        let texts = [weights.iter().map(|&weights| chunk(weights)).collect()];
        let contexts = emphasize(mode, vec![vectors], &texts, &[1]).unwrap();
        assert_eq!(contexts[0].shape()[0], 2 * weights.len());
        contexts[0].data().to_vec()
    }

    #[test]
    fn weighs_and_restores_the_mean_of_each_chunk() {
        let values = [1.0, 3.0, 2.0, 2.0, 5.0, 6.0, 7.0, 8.0];
        let weights = [[1.0, 3.0], [1.0, 1.0]];
        // Weighed, the first chunk is 1, 3, 6, 6 with mean 4; its mean was 2.
        assert_eq!(one(Emphasis::Original, &values, &weights), [0.5, 1.5, 3.0, 3.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(one(Emphasis::NoNorm, &values, &weights), [1.0, 3.0, 6.0, 6.0, 5.0, 6.0, 7.0, 8.0]);
    }

    #[test]
    fn a_mean_of_zero_stays_finite() {
        assert_eq!(one(Emphasis::Original, &[1.0, -1.0], &[[2.0, 2.0]]), [2.0, -2.0]);
    }

    /// What A1111 encodes in one batch has one mean.
    #[test]
    fn the_mean_is_that_of_all_texts_of_a_prompt_as_often_as_they_are_used() {
        let vectors = |values: [f32; 2]| Array::new([1, 2, 1], values.to_vec()).unwrap();
        let texts = [vec![chunk([1.0, 4.0])], vec![chunk([1.0, 1.0])]];
        let both = |uses: [u32; 2]| {
            let vectors = vec![vectors([1.0, 1.0]), vectors([2.0, 2.0])];
            let contexts = emphasize(Emphasis::Original, vectors, &texts, &uses).unwrap();
            contexts.iter().map(|context| context.data().to_vec()).collect::<Vec<_>>()
        };
        // Sums of 2 and 4 become 5 and 4.
        let ratio = |uses: [f32; 2]| (2.0 * uses[0] + 4.0 * uses[1]) / (5.0 * uses[0] + 4.0 * uses[1]);
        for uses in [[1, 1], [2, 1]] {
            let ratio = ratio(uses.map(|uses| uses as f32));
            let wanted = [[1.0, 4.0], [2.0, 2.0]].map(|values| values.map(|value| value * ratio));
            let off =
                both(uses).concat().iter().zip(wanted.concat()).map(|(a, b)| (a - b).abs()).sum::<f32>();
            assert!(off < 1e-5, "{uses:?} {:?}", both(uses));
        }
        assert_ne!(both([1, 1]), both([2, 1]));
    }
}
