//! Token merging for pictures (Bolya and Hoffman 2023, section 3): pixels that are like a neighbour's attend as one.
//!
//! The upper left pixel of every 2 x 2 stays; of the others, those most like one that stays (by the cosine) are merged
//! into it, by the mean. A1111 draws no pixel at random either.

use impasto_tensor::{Backend, DType, LinearArgs, Precision, TensorError, WeightView};

/// Most similarities that are in memory at once.
const SIMILARITIES: usize = 1 << 24;

/// Which pixels attend as one.
pub(super) struct Merging {
    /// The pixels of each token that attends, token after token.
    pub(super) members: Vec<u32>,
    /// Where in `members` each token ends.
    pub(super) ends: Vec<u32>,
    /// The token of each pixel.
    pub(super) token_of: Vec<u32>,
}

impl Merging {
    /// Merges `share` of the pixels `[tokens, features]` of a picture, but never one that stays. Nothing if none is to be.
    pub(super) fn of_similar<B: Backend>(
        backend: &B,
        pixels: &B::Tensor,
        [height, width]: [usize; 2],
        share: f64,
    ) -> Result<Option<Self>, TensorError> {
        let stays = |pixel: usize| {
            let (y, x) = (pixel / width, pixel % width);
            y % 2 == 0 && x % 2 == 0 && y / 2 < height / 2 && x / 2 < width / 2
        };
        let all = (0..height * width).collect::<Vec<_>>();
        let (staying, others): (Vec<usize>, Vec<usize>) = all.into_iter().partition(|&pixel| stays(pixel));
        let count = ((height * width) as f64 * share) as usize;
        if count == 0 || staying.is_empty() {
            return Ok(None);
        }
        let matches = most_similar(backend, pixels, &others, &staying)?;
        Ok(Some(Self::of_matches(&others, &staying, &matches, count)))
    }

    /// Merges the `count` pixels of `others` whose match is best.
    fn of_matches(others: &[usize], staying: &[usize], matches: &[(usize, f32)], count: usize) -> Self {
        let mut best: Vec<usize> = (0..others.len()).collect();
        best.sort_by(|&a, &b| matches[b].1.total_cmp(&matches[a].1));
        let (merged, alone) = best.split_at(count.min(best.len()));
        let mut into: Vec<Vec<u32>> = staying.iter().map(|&pixel| vec![pixel as u32]).collect();
        for &other in merged {
            into[matches[other].0].push(others[other] as u32);
        }
        let alone = alone.iter().map(|&other| vec![others[other] as u32]);
        let tokens: Vec<Vec<u32>> = alone.chain(into).collect();
        let mut token_of = vec![0; others.len() + staying.len()];
        for (token, members) in tokens.iter().enumerate() {
            for &pixel in members {
                token_of[pixel as usize] = token as u32;
            }
        }
        let ends = tokens.iter().scan(0, |end, members| {
            *end += members.len() as u32;
            Some(*end)
        });
        Self { ends: ends.collect(), token_of, members: tokens.concat() }
    }
}

/// For each of `sources` the place in `targets` of the pixel most like it, and the cosine between the two.
fn most_similar<B: Backend>(
    backend: &B,
    pixels: &B::Tensor,
    sources: &[usize],
    targets: &[usize],
) -> Result<Vec<(usize, f32)>, TensorError> {
    let host = backend.download(pixels)?;
    let &[_, features] = host.shape() else {
        return Err(TensorError::shape("token merging", format!("pixels {:?}", host.shape())));
    };
    let row = |pixel: usize| &host.data()[pixel * features..(pixel + 1) * features];
    let inverse_norm =
        |pixel: usize| 1.0 / row(pixel).iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    // Unit vectors as the weights of a layer: its outputs are cosines but for the norm of what goes in.
    let mut weight = Vec::with_capacity(targets.len() * features * size_of::<f32>());
    for &target in targets {
        let scale = inverse_norm(target);
        weight.extend(row(target).iter().flat_map(|x| (x * scale).to_le_bytes()));
    }
    let weight = WeightView::new(DType::F32, vec![targets.len(), features], weight)?;
    let layer = backend.prepare_linear(&weight, None, Precision::F32)?;
    let mut matches = Vec::with_capacity(sources.len());
    for part in sources.chunks((SIMILARITIES / targets.len()).max(1)) {
        let ids: Vec<u32> = part.iter().map(|&source| source as u32).collect();
        let ends: Vec<u32> = (1..=ids.len() as u32).collect();
        let rows = backend.gather_mean(pixels, &ids, &ends)?;
        let products = backend.download(&backend.linear(&rows, &layer, LinearArgs::default())?)?;
        for (&source, products) in part.iter().zip(products.data().chunks_exact(targets.len())) {
            let mut best = (0, f32::NEG_INFINITY);
            for (target, &product) in products.iter().enumerate() {
                if product > best.1 {
                    best = (target, product);
                }
            }
            matches.push((best.0, best.1 * inverse_norm(source)));
        }
    }
    Ok(matches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use impasto_tensor::Array;
    use impasto_tensor::reference::ReferenceBackend;

    #[test]
    fn the_most_similar_pixels_are_merged_into_those_that_stay() {
        let backend = ReferenceBackend::new();
        // Two 2 x 2 beside each other; pixels 0 and 2 stay and are at right angles.
        let rows: [[f32; 2]; 8] =
            [[1.0, 0.0], [0.1, 2.0], [0.0, 3.0], [1.0, 1.0], [5.0, 0.0], [1.0, 0.5], [-1.0, 0.0], [0.5, 1.0]];
        let pixels = backend.upload(&Array::new([8, 2], rows.concat()).unwrap()).unwrap();
        let merging = Merging::of_similar(&backend, &pixels, [2, 4], 0.25).unwrap().unwrap();
        // 4 is parallel to 0 and 1 nearly so to 2.
        assert_eq!(merging.members, [5, 7, 3, 6, 0, 4, 2, 1]);
        assert_eq!(merging.ends, [1, 2, 3, 4, 6, 8]);
        assert_eq!(merging.token_of, [4, 5, 5, 2, 4, 0, 3, 1]);
        assert!(Merging::of_similar(&backend, &pixels, [2, 4], 0.1).unwrap().is_none());
        let most = Merging::of_similar(&backend, &pixels, [2, 4], 0.9).unwrap().unwrap();
        assert_eq!(most.ends.len(), 2, "what stays is never merged");
    }

    #[test]
    fn the_last_line_of_an_odd_picture_has_nothing_that_stays() {
        let backend = ReferenceBackend::new();
        let pixels = backend.upload(&Array::new([9, 1], vec![1.0; 9]).unwrap()).unwrap();
        let merging = Merging::of_similar(&backend, &pixels, [3, 3], 0.9).unwrap().unwrap();
        assert_eq!(merging.ends, [9]);
        let line = Merging::of_similar(&backend, &pixels, [9, 1], 0.9).unwrap();
        assert!(line.is_none());
    }
}
