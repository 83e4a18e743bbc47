//! Fitting a picture into a size, as A1111's resize modes do: stretched, cropped, or with its edges stretched.
//!
//! An upscaler may enlarge the picture first; Lanczos then makes up what it leaves. Whoever runs upscalers step by step takes
//! a [`Fit`] apart: it says by how much to enlarge, and finishes with what came of it.

use crate::{Filter, ImagingError, Picture};

/// What happens where the picture's aspect is not the target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResizeMode {
    /// It is stretched. A1111's 0, and 3 for what is not scaled as a latent.
    Stretch,
    /// It covers the target, and what reaches beyond is cut off evenly. A1111's 1.
    Crop,
    /// It fits into the target, and its border pixels fill what is left. A1111's 2.
    Fill,
}

/// A picture's way to its new size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    from: (u32, u32),
    /// Of the scaled picture, before it is cropped or filled up.
    scaled: (u32, u32),
    to: (u32, u32),
}

impl Fit {
    /// The way of a picture of size `from` to the size `to`, both at least 1.
    pub fn new(mode: ResizeMode, from: (u32, u32), to: (u32, u32)) -> Result<Self, ImagingError> {
        for size in [from, to] {
            if size.0 == 0 || size.1 == 0 {
                let (width, height) = (size.0.into(), size.1.into());
                return Err(ImagingError::Size { width, height, most: crate::MOST_PIXELS });
            }
        }
        let ratio = f64::from(to.0) / f64::from(to.1);
        let own_ratio = f64::from(from.0) / f64::from(from.1);
        // The side that the aspect gives, rounded down; a thin picture keeps a pixel.
        let part = |length: u32, of: u32, whole: u32| {
            let part = u64::from(length) * u64::from(of) / u64::from(whole);
            u32::try_from(part.max(1)).unwrap_or(u32::MAX)
        };
        let by_width = (to.0, part(from.1, to.0, from.0));
        let by_height = (part(from.0, to.1, from.1), to.1);
        let whole_width = match mode {
            ResizeMode::Stretch => None,
            ResizeMode::Crop => Some(ratio > own_ratio),
            ResizeMode::Fill => Some(ratio < own_ratio),
        };
        let scaled = match whole_width.filter(|_| ratio != own_ratio) {
            None => to,
            Some(true) => by_width,
            Some(false) => by_height,
        };
        Ok(Self { from, scaled, to })
    }

    /// By how much an upscaler has to enlarge the picture; `None` where nothing is enlarged.
    pub fn factor(&self) -> Option<f64> {
        let across = f64::from(self.scaled.0) / f64::from(self.from.0);
        let down = f64::from(self.scaled.1) / f64::from(self.from.1);
        let factor = across.max(down);
        (factor > 1.0).then_some(factor)
    }

    /// The picture, enlarged or not, at its new size.
    pub fn finish<const CHANNELS: usize>(
        &self,
        picture: &Picture<CHANNELS>,
    ) -> Result<Picture<CHANNELS>, ImagingError> {
        let scaled = picture.resize(self.scaled.0, self.scaled.1, Filter::Lanczos)?;
        if self.scaled == self.to {
            return Ok(scaled);
        }
        let (width, height) = self.to;
        let (inner_width, inner_height) = self.scaled;
        let left = i64::from(width / 2) - i64::from(inner_width / 2);
        let top = i64::from(height / 2) - i64::from(inner_height / 2);
        let mut made = Picture::filled(width, height, [0; CHANNELS])?;
        made.paste(&scaled, left, top);
        // A stretch of no height at an edge, scaled up, is that edge. The far side takes what rounding left over.
        let mut fill = |part: [u32; 4], size: (u32, u32), at: (i64, i64)| {
            if size.0 > 0 && size.1 > 0 {
                made.paste(&scaled.resize_part(part, size.0, size.1, Filter::Bicubic)?, at.0, at.1);
            }
            Ok::<_, ImagingError>(())
        };
        if top > 0 || inner_height < height {
            let below = height - top as u32 - inner_height;
            fill([0, 0, width, 0], (width, top as u32), (0, 0))?;
            fill([0, inner_height, width, inner_height], (width, below), (0, top + i64::from(inner_height)))?;
        }
        if left > 0 || inner_width < width {
            let beyond = width - left as u32 - inner_width;
            fill([0, 0, 0, height], (left as u32, height), (0, 0))?;
            fill(
                [inner_width, 0, inner_width, height],
                (beyond, height),
                (left + i64::from(inner_width), 0),
            )?;
        }
        Ok(made)
    }
}

/// A picture fitted into `width` x `height` by Lanczos alone.
pub fn fit<const CHANNELS: usize>(
    picture: &Picture<CHANNELS>,
    mode: ResizeMode,
    width: u32,
    height: u32,
) -> Result<Picture<CHANNELS>, ImagingError> {
    Fit::new(mode, picture.size(), (width, height))?.finish(picture)
}

/// A picture fitted into `width` x `height`. `upscale` enlarges by a factor where that is more than 1; it need not hit the
/// size.
pub fn fit_upscaled<const CHANNELS: usize, E: From<ImagingError>>(
    picture: &Picture<CHANNELS>,
    mode: ResizeMode,
    width: u32,
    height: u32,
    mut upscale: impl FnMut(&Picture<CHANNELS>, f64) -> Result<Picture<CHANNELS>, E>,
) -> Result<Picture<CHANNELS>, E> {
    let fit = Fit::new(mode, picture.size(), (width, height))?;
    match fit.factor() {
        Some(factor) => Ok(fit.finish(&upscale(picture, factor)?)?),
        None => Ok(fit.finish(picture)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rgb;
    use proptest::prelude::*;

    const MODES: [ResizeMode; 3] = [ResizeMode::Stretch, ResizeMode::Crop, ResizeMode::Fill];

    #[test]
    fn sizes_are_those_of_a1111() {
        let scaled = |mode, from, to| Fit::new(mode, from, to).unwrap().scaled;
        assert_eq!(scaled(ResizeMode::Stretch, (100, 50), (64, 64)), (64, 64));
        assert_eq!(scaled(ResizeMode::Crop, (100, 51), (64, 64)), (125, 64));
        assert_eq!(scaled(ResizeMode::Crop, (51, 100), (64, 64)), (64, 125));
        assert_eq!(scaled(ResizeMode::Fill, (100, 51), (64, 64)), (64, 32));
        assert_eq!(scaled(ResizeMode::Fill, (1000, 1), (64, 64)), (64, 1));
    }

    #[test]
    fn an_upscaler_is_asked_only_to_enlarge() {
        let picture = Rgb::filled(8, 4, [5; 3]).unwrap();
        let mut asked = Vec::new();
        for (width, height) in [(8, 4), (4, 4), (16, 4), (12, 12)] {
            let made = fit_upscaled(&picture, ResizeMode::Crop, width, height, |picture, factor| {
                asked.push(factor);
                picture.resize(17, 9, Filter::Nearest)
            });
            assert_eq!(made.unwrap(), Rgb::filled(width, height, [5; 3]).unwrap());
        }
        assert_eq!(asked, [2.0, 3.0]);
    }

    #[test]
    fn sizes_without_bound_do_no_harm() {
        let picture = Rgb::filled(3, 2, [0; 3]).unwrap();
        for mode in MODES {
            for (width, height) in [(0, 1), (1, 0), (u32::MAX, u32::MAX), (u32::MAX, 1), (1 << 20, 1 << 20)] {
                assert!(matches!(fit(&picture, mode, width, height), Err(ImagingError::Size { .. })));
            }
            let thin = Fit::new(mode, (u32::MAX, 1), (1, u32::MAX)).unwrap();
            assert!(thin.finish(&picture).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_size_fits_and_edges_are_filled(
            from in (1..40_u32, 1..40_u32), to in (1..40_u32, 1..40_u32), mode in 0..3_usize,
        ) {
            let picture = Rgb::filled(from.0, from.1, [9, 8, 7]).unwrap();
            let made = fit(&picture, MODES[mode], to.0, to.1).unwrap();
            prop_assert_eq!(made, Rgb::filled(to.0, to.1, [9, 8, 7]).unwrap());
        }
    }
}
