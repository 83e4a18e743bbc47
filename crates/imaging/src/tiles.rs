//! Cutting a picture into overlapping tiles and joining what became of them: for upscalers, and for "SD upscale".
//!
//! Tiles are spread evenly, so that neighbours overlap by at least what was asked. Where they do, the later fades in over the
//! first pixels of its own, in a straight line: first within each row of tiles, then row over row.

use crate::picture::checked;
use crate::{ImagingError, Mask, Region, Rgb};

/// Where the tiles of a picture lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiles {
    width: u32,
    height: u32,
    tile: (u32, u32),
    overlap: u32,
    lefts: Vec<u32>,
    tops: Vec<u32>,
}

impl Tiles {
    /// Tiles of size `tile` over a picture of `width` x `height`, overlapping by at least `overlap`, which is less than
    /// their sides.
    pub fn new(width: u32, height: u32, tile: (u32, u32), overlap: u32) -> Result<Self, ImagingError> {
        checked(width.into(), height.into())?;
        let least_side = tile.0.min(tile.1);
        if overlap >= least_side {
            let most = f64::from(least_side) - 1.0;
            let value = overlap.into();
            return Err(ImagingError::OutOfRange { name: "the overlap of tiles", value, least: 0.0, most });
        }
        let lefts = starts(width, tile.0, overlap);
        let tops = starts(height, tile.1, overlap);
        Ok(Self { width, height, tile, overlap, lefts, tops })
    }

    /// How many tiles there are.
    pub fn count(&self) -> usize {
        self.lefts.len() * self.tops.len()
    }

    /// The corners of the tiles, row by row.
    pub fn places(&self) -> impl Iterator<Item = (u32, u32)> {
        self.tops.iter().flat_map(move |&top| self.lefts.iter().map(move |&left| (left, top)))
    }

    /// The tiles of a picture, row by row, all of one size. Where the picture is smaller, its last pixels are repeated.
    pub fn cut<'a>(&'a self, picture: &'a Rgb) -> impl Iterator<Item = Result<Rgb, ImagingError>> + 'a {
        self.places().map(move |(left, top)| {
            let (tile_width, tile_height) = self.tile;
            let (right, bottom) = (left.saturating_add(tile_width), top.saturating_add(tile_height));
            if right <= picture.width() && bottom <= picture.height() {
                let [left, top, right, bottom] = [left, top, right, bottom].map(i64::from);
                return picture.crop(Region { left, top, right, bottom });
            }
            let mut tile = Rgb::filled(tile_width, tile_height, [0; 3])?;
            for (y, row) in (0..).zip(tile.pixels_mut().chunks_exact_mut(tile_width as usize)) {
                let from =
                    (top.saturating_add(y)).min(picture.height() - 1) as usize * picture.width() as usize;
                for (x, pixel) in (0..).zip(row) {
                    *pixel =
                        picture.pixels()[from + left.saturating_add(x).min(picture.width() - 1) as usize];
                }
            }
            Ok(tile)
        })
    }

    /// Where the tiles lie after all of them were enlarged by `factor`.
    #[must_use]
    pub fn enlarged(&self, factor: u32) -> Self {
        let times = |value: u32| value.saturating_mul(factor);
        Self {
            width: times(self.width),
            height: times(self.height),
            tile: (times(self.tile.0), times(self.tile.1)),
            overlap: times(self.overlap),
            lefts: self.lefts.iter().copied().map(times).collect(),
            tops: self.tops.iter().copied().map(times).collect(),
        }
    }

    /// The picture that tiles in the order of [`Tiles::cut`] make.
    pub fn join(&self, tiles: &[Rgb]) -> Result<Rgb, ImagingError> {
        let (tile_width, tile_height) = self.tile;
        if tiles.len() != self.count() {
            let (value, count) = (tiles.len() as f64, self.count() as f64);
            return Err(ImagingError::OutOfRange {
                name: "the number of tiles",
                value,
                least: count,
                most: count,
            });
        }
        if let Some(odd) = tiles.iter().find(|tile| tile.size() != self.tile) {
            return Err(ImagingError::Mismatch { one: odd.size(), other: self.tile });
        }
        let mut made = Rgb::filled(self.width, self.height, [0; 3])?;
        for (&top, tiles) in self.tops.iter().zip(tiles.chunks_exact(self.lefts.len())) {
            let mut row = Rgb::filled(self.width, tile_height, [0; 3])?;
            for (&left, tile) in self.lefts.iter().zip(tiles) {
                let fade = |x, _| self.fade(x);
                row.paste_masked(tile, &mask(tile_width, tile_height, left > 0, fade)?, left.into(), 0)?;
            }
            let fade = |_, y| self.fade(y);
            made.paste_masked(&row, &mask(self.width, tile_height, top > 0, fade)?, 0, top.into())?;
        }
        Ok(made)
    }

    /// How much of a tile shows at a distance from its edge.
    fn fade(&self, distance: u32) -> u8 {
        if distance >= self.overlap {
            return 255;
        }
        (distance as f32 * 255.0 / self.overlap as f32) as u8
    }
}

/// White, or the fading of a tile that lies over another.
fn mask(width: u32, height: u32, fades: bool, fade: impl Fn(u32, u32) -> u8) -> Result<Mask, ImagingError> {
    let mut mask = Mask::filled(width, height, [255])?;
    if fades {
        for (y, row) in (0..).zip(mask.pixels_mut().chunks_exact_mut(width as usize)) {
            for (x, pixel) in (0..).zip(row) {
                *pixel = [fade(x, y)];
            }
        }
    }
    Ok(mask)
}

/// Where tiles begin that cover a length.
fn starts(length: u32, tile: u32, overlap: u32) -> Vec<u32> {
    let count = length.saturating_sub(overlap).div_ceil(tile - overlap).max(1);
    let last = length.saturating_sub(tile);
    let step = f64::from(last) / f64::from((count - 1).max(1));
    (0..count).map(|index| ((f64::from(index) * step) as u32).min(last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tiles_are_spread_evenly() {
        assert_eq!(starts(1024, 512, 64), [0, 256, 512]);
        assert_eq!(starts(960, 512, 64), [0, 448]);
        assert_eq!(starts(512, 512, 64), [0]);
        assert_eq!(starts(30, 512, 64), [0]);
    }

    #[test]
    fn tiles_that_do_not_fit_are_refused() {
        assert!(matches!(Tiles::new(9, 9, (4, 4), 4), Err(ImagingError::OutOfRange { .. })));
        assert!(matches!(Tiles::new(9, 9, (0, 0), 0), Err(ImagingError::OutOfRange { .. })));
        let tiles = Tiles::new(9, 9, (9, 9), 4).unwrap();
        assert!(matches!(tiles.join(&[]), Err(ImagingError::OutOfRange { .. })));
        assert!(matches!(
            tiles.join(&[Rgb::filled(8, 9, [0; 3]).unwrap()]),
            Err(ImagingError::Mismatch { .. })
        ));
    }

    proptest! {
        #[test]
        fn unchanged_tiles_make_the_picture_again(
            size in (1..40_u32, 1..40_u32), tile in (1..12_u32, 1..12_u32), overlap in 0..11_u32, factor in 1..3_u32,
        ) {
            let overlap = overlap % tile.0.min(tile.1);
            let samples = (0..size.0 * size.1 * 3).map(|place| (place * 89) as u8).collect();
            let picture = Rgb::new(size.0, size.1, samples).unwrap();
            let tiles = Tiles::new(size.0, size.1, tile, overlap).unwrap();
            let cut: Vec<Rgb> = tiles.cut(&picture).map(Result::unwrap).collect();
            prop_assert_eq!(&tiles.join(&cut).unwrap(), &picture);
            let enlarge = |picture: &Rgb| picture.resize(picture.width() * factor, picture.height() * factor, crate::Filter::Nearest).unwrap();
            let large: Vec<Rgb> = cut.iter().map(enlarge).collect();
            prop_assert_eq!(tiles.enlarged(factor).join(&large).unwrap(), enlarge(&picture));
        }
    }
}
