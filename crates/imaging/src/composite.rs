//! Pictures laid over each other, with Pillow's integer formulas.

use crate::color::mix;
use crate::{Fit, ImagingError, Mask, Picture, Region, ResizeMode, Rgb, Rgba};

/// Bits behind the point of a blend's weights.
const PRECISION: u32 = 7;

/// `over` on `under`, both with alpha (Porter and Duff 1984).
pub fn alpha_composite(under: &Rgba, over: &Rgba) -> Result<Rgba, ImagingError> {
    under.zip(over, |under, over| {
        if over[3] == 0 {
            return under;
        }
        let alpha = u32::from(over[3]) * 255;
        let whole = alpha + u32::from(under[3]) * (255 - u32::from(over[3]));
        let over_weight = alpha * 255 * (1 << PRECISION) / whole;
        let under_weight = 255 * (1 << PRECISION) - over_weight;
        let divided = |value: u32| ((value >> 8) + value) >> 8;
        let channel = |channel: usize| {
            let sum = u32::from(over[channel]) * over_weight + u32::from(under[channel]) * under_weight;
            (divided(sum + (0x80 << PRECISION)) >> PRECISION) as u8
        };
        [channel(0), channel(1), channel(2), divided(whole + 0x80) as u8]
    })
}

impl<const CHANNELS: usize> Picture<CHANNELS> {
    /// Puts a picture over this one with its corner at `left`, `top`, where its mask, of the same size, is white.
    pub fn paste_masked(
        &mut self,
        other: &Self,
        mask: &Mask,
        left: i64,
        top: i64,
    ) -> Result<(), ImagingError> {
        if other.size() != mask.size() {
            return Err(ImagingError::Mismatch { one: mask.size(), other: other.size() });
        }
        let mask = mask.samples();
        self.overlaps(other, left, top, |to, from, first| {
            for ((to, from), &mask) in to.iter_mut().zip(from).zip(&mask[first..]) {
                for (under, &over) in to.iter_mut().zip(from) {
                    *under = mix(*under, over, mask);
                }
            }
        });
        Ok(())
    }

    /// This picture with `share` of another of its size, 0 to 1, rounded down: the second upscaler's visibility.
    pub fn blend(&self, other: &Self, share: f32) -> Result<Self, ImagingError> {
        if !(0.0..=1.0).contains(&share) {
            let value = share.into();
            return Err(ImagingError::OutOfRange { name: "the visibility", value, least: 0.0, most: 1.0 });
        }
        let blend = |one: u8, other: u8| f32::from(one) + share * (f32::from(other) - f32::from(one));
        self.zip(other, |one, other| std::array::from_fn(|channel| blend(one[channel], other[channel]) as u8))
    }

    /// This picture in the middle of one of another size: what reaches beyond is cut off, what is left stays black.
    pub fn centered(&self, width: u32, height: u32) -> Result<Self, ImagingError> {
        let mut made = Self::filled(width, height, [0; CHANNELS])?;
        let left = i64::from(width / 2) - i64::from(self.width() / 2);
        let top = i64::from(height / 2) - i64::from(self.height() / 2);
        made.paste(self, left, top);
        Ok(made)
    }
}

/// A result with the original over it, where `overlay` shows it. A result of "only masked" is first put back to the region
/// it was made of.
pub fn apply_overlay(result: &Rgb, overlay: &Rgba, region: Option<Region>) -> Result<Rgb, ImagingError> {
    let under = match region {
        Some(region) => uncrop(result, region, overlay.size())?,
        None => result.to_rgba(),
    };
    Ok(alpha_composite(&under, overlay)?.to_rgb())
}

/// A picture put into a region of a transparent one of size `whole`, cut to the region's aspect.
pub fn uncrop(picture: &Rgb, region: Region, whole: (u32, u32)) -> Result<Rgba, ImagingError> {
    let side = |length: u64| u32::try_from(length).unwrap_or(u32::MAX);
    let size = (side(region.width()), side(region.height()));
    let fitted = Fit::new(ResizeMode::Crop, picture.size(), size)?.finish(picture)?;
    let mut made = Rgba::filled(whole.0, whole.1, [0; 4])?;
    made.paste(&fitted.to_rgba(), region.left, region.top);
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_to_agree() {
        let mut small = Rgb::filled(1, 2, [0; 3]).unwrap();
        let large = Rgb::filled(2, 2, [0; 3]).unwrap();
        assert!(matches!(small.blend(&large, 0.5), Err(ImagingError::Mismatch { .. })));
        let mask = Mask::filled(1, 2, [255]).unwrap();
        assert!(matches!(small.paste_masked(&large, &mask, 0, 0), Err(ImagingError::Mismatch { .. })));
        assert!(matches!(large.blend(&large, f32::NAN), Err(ImagingError::OutOfRange { .. })));
    }

    #[test]
    fn masks_are_cut_with_their_pictures() {
        let mut under = Mask::filled(2, 2, [0]).unwrap();
        let over = Mask::new(2, 2, vec![10, 20, 30, 40]).unwrap();
        let mask = Mask::new(2, 2, vec![255, 0, 255, 255]).unwrap();
        under.paste_masked(&over, &mask, -1, 0).unwrap();
        assert_eq!(under.samples(), [0, 0, 40, 0]);
        under.paste_masked(&over, &mask, i64::MIN, i64::MAX).unwrap();
        assert_eq!(under.samples(), [0, 0, 40, 0]);
    }

    #[test]
    fn the_original_shows_around_what_was_painted() {
        let result = Rgb::filled(2, 2, [200; 3]).unwrap();
        let mut overlay = Rgba::filled(4, 4, [7, 7, 7, 255]).unwrap();
        for place in [5, 6, 9, 10] {
            overlay.pixels_mut()[place] = [0; 4];
        }
        let region = Region { left: 1, top: 1, right: 3, bottom: 3 };
        let made = apply_overlay(&result, &overlay, Some(region)).unwrap();
        assert_eq!(made.crop(region).unwrap(), result);
        assert_eq!(made.pixels().iter().filter(|pixel| **pixel == [7; 3]).count(), 12);
    }
}
