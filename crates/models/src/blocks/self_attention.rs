//! How a row's pixels attend to each other: all to all, or with less work.
//!
//! `HyperTile` cuts the picture into tiles that are blind to each other, token merging (Bolya and Hoffman 2023) lets similar
//! pixels attend as one. Both are as AUTOMATIC1111 has them, except where it draws numbers that depend on what ran before:
//! here a draw depends on a seed, the step, the stage and the block alone.

use crate::blocks::token_merging::Merging;
use impasto_tensor::{Backend, TensorError};

/// How a row's pixels are to attend to each other over a whole network.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SelfAttention {
    /// Share of the pixels of the finest level that are merged into similar ones, 0 for none.
    pub merged: f64,
    /// Tiles, where none are merged.
    pub tiles: Option<Tiles>,
}

/// Tiles for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles {
    /// Least edge of a tile in the finest level's pixels. Each level doubles it, though its picture has half the pixels.
    pub edge: usize,
    /// How many sizes of tiles there are to draw from; the smallest ones that divide the picture.
    pub choices: usize,
    /// Levels beyond this, counted from the finest as 0, are not tiled.
    pub max_level: usize,
    /// Decides the draws.
    pub seed: u64,
}

/// Where in a network an attention is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Level, from the finest as 0.
    pub level: usize,
    /// Stage, in the order in which they run.
    pub stage: usize,
}

/// What [`SelfAttention`] comes to at one attention.
pub(super) enum Pattern {
    Whole,
    /// Pixels in the order of their tiles, and the number of tiles.
    Tiled(Vec<u32>, usize),
    Merged(Merging),
}

impl SelfAttention {
    /// What is to be done at a block of a picture of `height` x `width` pixels, `[tokens, features]`.
    pub(super) fn pattern<B: Backend>(
        self,
        backend: &B,
        pixels: &B::Tensor,
        [height, width]: [usize; 2],
        place: Place,
        block: usize,
    ) -> Result<Pattern, TensorError> {
        if self.merged > 0.0 && place.level == 0 {
            return Ok(Merging::of_similar(backend, pixels, [height, width], self.merged)?
                .map_or(Pattern::Whole, Pattern::Merged));
        }
        let Some(tiles) = self.tiles.filter(|tiles| place.level <= tiles.max_level) else {
            return Ok(Pattern::Whole);
        };
        let seed = mix(mix(tiles.seed, place.stage as u64), block as u64);
        let least = tiles.edge << place.level.min(16);
        let rows = draw_parts(height, least, tiles.choices, mix(seed, 0));
        let columns = draw_parts(width, least, tiles.choices, mix(seed, 1));
        if rows * columns == 1 {
            return Ok(Pattern::Whole);
        }
        Ok(Pattern::Tiled(tile_order([height, width], [rows, columns]), rows * columns))
    }
}

/// Into how many equal parts of at least `least` pixels (or one) an edge of `size` is cut: drawn from the `choices` finest.
fn draw_parts(size: usize, least: usize, choices: usize, seed: u64) -> usize {
    let least = least.clamp(1, size.max(1));
    let parts: Vec<usize> = (least..=size)
        .filter(|edge| size.is_multiple_of(*edge))
        .take(choices.max(1))
        .map(|edge| size / edge)
        .collect();
    parts.get(seed as usize % parts.len().max(1)).copied().unwrap_or(1)
}

/// The pixels of a picture, tile after tile.
fn tile_order([height, width]: [usize; 2], [rows, columns]: [usize; 2]) -> Vec<u32> {
    let (tile_height, tile_width) = (height / rows, width / columns);
    let mut order = Vec::with_capacity(height * width);
    for tile in 0..rows * columns {
        let (top, left) = (tile / columns * tile_height, tile % columns * tile_width);
        for y in top..top + tile_height {
            order.extend((left..left + tile_width).map(|x| (y * width + x) as u32));
        }
    }
    order
}

/// Where each element of a permutation went.
pub(super) fn inverse(order: &[u32]) -> Vec<u32> {
    let mut inverse = vec![0; order.len()];
    for (to, &from) in order.iter().enumerate() {
        inverse[from as usize] = to as u32;
    }
    inverse
}

/// A number that looks random and depends on both (`SplitMix64`: Steele, Lea and Flood 2014).
pub fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_whole_and_their_order_can_be_undone() {
        assert_eq!(tile_order([2, 4], [1, 2]), [0, 1, 4, 5, 2, 3, 6, 7]);
        let order = tile_order([6, 4], [3, 2]);
        let back = inverse(&order);
        assert!((0..24).all(|pixel| order[back[pixel] as usize] as usize == pixel));
    }

    #[test]
    fn an_edge_is_cut_into_equal_parts_that_are_not_too_small() {
        assert_eq!(draw_parts(64, 32, 1, 7), 2);
        assert_eq!(draw_parts(64, 33, 9, 7), 1);
        assert_eq!(draw_parts(8, 64, 3, 7), 1);
        assert_eq!(draw_parts(7, 2, 1, 7), 1);
        let drawn: std::collections::BTreeSet<_> =
            (0..64).map(|seed| draw_parts(64, 16, 2, mix(3, seed))).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [2, 4]);
    }
}
