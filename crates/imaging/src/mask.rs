//! Masks of inpainting: which pixels they are made of, what part of the picture they touch, and how the latent sees them.
//!
//! White is to be painted anew.

use crate::{Filter, ImagingError, Mask, Picture, Region, Rgba};

/// The mask that a picture stands for: its alpha where it has any, else its luminance. With `round`, alpha counts as
/// nothing or all, the border lying above 128.
pub fn binary_mask(picture: &Rgba, round: bool) -> Mask {
    if picture.is_opaque() {
        return picture.luminance();
    }
    let alpha = picture.alpha();
    if round { alpha.map(|[value]| [if value > 128 { 255 } else { 0 }]) } else { alpha }
}

/// The smallest rectangle around all that is not black, with `padding` pixels more to each side within the mask. `None` for
/// a black mask.
pub fn crop_region(mask: &Mask, padding: u32) -> Option<Region> {
    let touched = |row: &[[u8; 1]]| row.iter().any(|&[value]| value != 0);
    let top = mask.rows().position(touched)? as i64;
    let bottom = mask.rows().rposition(touched)? as i64 + 1;
    let columns = |row: &[[u8; 1]]| {
        let first = row.iter().position(|&[value]| value != 0)?;
        Some((first as i64, row.iter().rposition(|&[value]| value != 0)? as i64 + 1))
    };
    let edges: Vec<(i64, i64)> = mask.rows().filter_map(columns).collect();
    let left = edges.iter().map(|edge| edge.0).min()?;
    let right = edges.iter().map(|edge| edge.1).max()?;
    let padding = i64::from(padding);
    Some(Region {
        left: (left - padding).max(0),
        top: (top - padding).max(0),
        right: (right + padding).min(mask.width().into()),
        bottom: (bottom + padding).min(mask.height().into()),
    })
}

/// The region grown in one direction to the aspect of `target`, moved and cut to stay within a picture of size `whole`.
#[must_use]
pub fn expand_region(region: Region, target: (u32, u32), whole: (u32, u32)) -> Region {
    let (width, height) = (region.width() as f64, region.height() as f64);
    let ratio = f64::from(target.0) / f64::from(target.1);
    let mut made = region;
    if width / height > ratio {
        (made.top, made.bottom) = grown(region.top, region.bottom, width / ratio - height, whole.1);
    } else {
        (made.left, made.right) = grown(region.left, region.right, height * ratio - width, whole.0);
    }
    made
}

/// A stretch made longer by `more`, rounded down, on both sides, within `0..whole`.
fn grown(first: i64, last: i64, more: f64, whole: u32) -> (i64, i64) {
    let whole = i64::from(whole);
    let more = (more as i64).clamp(0, 1 << 40);
    let (first, last) = (first - more / 2, last + more - more / 2);
    let beyond = (last - whole).max(0);
    let (first, last) = (first - beyond, last - beyond);
    let before = (-first).max(0);
    (first + before, (last + before).min(whole))
}

/// The mask that the original is laid over the result with: grey of 128 and more counts as white.
pub fn overlay_mask(mask: &Mask) -> Mask {
    mask.map(|[value]| [value.saturating_mul(2)])
}

/// The mask at a latent's size, `[height, width]`, from 0 to 1; with `round`, 0 or 1.
pub fn latent_mask(mask: &Mask, width: u32, height: u32, round: bool) -> Result<Vec<f32>, ImagingError> {
    let small = mask.resize(width, height, Filter::Bicubic)?;
    let values = small.samples().iter().map(|&value| f32::from(value) / 255.0);
    Ok(values.map(|value| if round { value.round() } else { value }).collect())
}

/// Where the mask is white, the picture; where it is black, nothing. Colors of what is almost nothing are lost, as in
/// A1111.
pub fn cut_out(picture: &Picture<3>, mask: &Mask) -> Result<Rgba, ImagingError> {
    let faded = picture.zip(mask, |[r, g, b], [alpha]| crate::color::premultiplied([r, g, b, alpha]))?;
    Ok(faded.map(crate::color::unmultiplied))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn black_masks_touch_nothing() {
        assert_eq!(crop_region(&Mask::filled(3, 2, [0]).unwrap(), 4), None);
    }

    #[test]
    fn one_white_pixel_is_found() {
        let mut mask = Mask::filled(9, 7, [0]).unwrap();
        mask.pixels_mut()[2 * 9 + 4] = [1];
        let region = |left, top, right, bottom| Some(Region { left, top, right, bottom });
        assert_eq!(crop_region(&mask, 0), region(4, 2, 5, 3));
        assert_eq!(crop_region(&mask, 3), region(1, 0, 8, 6));
        assert_eq!(crop_region(&mask, u32::MAX), region(0, 0, 9, 7));
    }

    proptest! {
        #[test]
        fn expanded_regions_stay_within(
            size in (1..50_u32, 1..50_u32), place in any::<(u32, u32)>(), padding in 0..60_u32, target in any::<(u32, u32)>(),
        ) {
            let mut mask = Mask::filled(size.0, size.1, [0]).unwrap();
            let count = size.0 * size.1;
            mask.pixels_mut()[(place.0 % count) as usize] = [255];
            mask.pixels_mut()[(place.1 % count) as usize] = [1];
            let region = crop_region(&mask, padding).unwrap();
            let made = expand_region(region, target, size);
            prop_assert!(made.left >= 0 && made.top >= 0);
            prop_assert!(made.right <= size.0.into() && made.bottom <= size.1.into());
            prop_assert!(made.width() >= region.width() && made.height() >= region.height(), "{:?} {:?}", region, made);
        }
    }
}
