//! Outpainting: a picture goes on beyond its edges. Two scripts of A1111's do it in two ways: mk2 side by side with noise that
//! looks like the picture, poor man's in tiles, with what is filled in under a mask.

pub(crate) mod mk2;
mod noise;
pub(crate) mod poor_mans;

use crate::ScriptError;
use crate::arguments::Arguments;
use crate::base::{Base, bitmap};
use impasto_domain::{FromPicture, Inpainting, MaskedContent, ResizeMode};
use impasto_imaging::{Mask, Region, Rgb};
use std::sync::Arc;

/// Directions, in the order of the argument's choices.
pub(crate) const DIRECTIONS: &[&str] = &["left", "right", "up", "down"];

/// Sizes grow to multiples of so many pixels.
const UNIT: u32 = 64;

/// Pixels by which a picture grows to each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Growth {
    left: u32,
    right: u32,
    up: u32,
    down: u32,
}

impl Growth {
    /// `pixels` in the directions that are chosen, and what is missing to whole units: where both sides of a direction grow, it is
    /// shared; a direction that does not grow stays as it is.
    fn of(chosen: &[bool], pixels: u32, (width, height): (u32, u32)) -> Self {
        let side = |at: usize| if chosen.get(at) == Some(&true) { pixels } else { 0 };
        let (left, right) = stretched(width, side(0), side(1));
        let (up, down) = stretched(height, side(2), side(3));
        Self { left, right, up, down }
    }

    /// The size of a picture after it has grown.
    fn grown(&self, (width, height): (u32, u32)) -> (u32, u32) {
        (
            width.saturating_add(self.left).saturating_add(self.right),
            height.saturating_add(self.up).saturating_add(self.down),
        )
    }
}

fn stretched(length: u32, before: u32, after: u32) -> (u32, u32) {
    if before == 0 && after == 0 {
        return (0, 0);
    }
    let target = length.saturating_add(before).saturating_add(after).div_ceil(UNIT).saturating_mul(UNIT);
    let more = target - length;
    let first = (u64::from(before) * u64::from(more) / u64::from(before + after)) as u32;
    if after > 0 { (first, more - first) } else { (more, 0) }
}

/// The directions of an argument, of which there has to be one.
fn directions(arguments: &Arguments<'_>, at: usize) -> Result<Vec<bool>, ScriptError> {
    let chosen = arguments.choices(at)?;
    if chosen.contains(&true) {
        return Ok(chosen);
    }
    Err(arguments.wrong(at, "has no direction to grow in"))
}

/// White everywhere but in a rectangle: left, top, and the column and the row after its last.
fn white_around(size: (u32, u32), hole: [i64; 4]) -> Result<Mask, ScriptError> {
    let mut mask = Mask::filled(size.0, size.1, [255])?;
    let [left, top, right, bottom] = hole;
    let (across, down) = (right - left, bottom - top);
    if across > 0 && down > 0 {
        let side = |length: i64| u32::try_from(length).unwrap_or(u32::MAX);
        // What lies beyond the mask is not drawn.
        let (across, down) = (side(across).min(size.0 * 2), side(down).min(size.1 * 2));
        mask.paste(&Mask::filled(across, down, [0])?, left, top);
    }
    Ok(mask)
}

/// The request that paints pictures anew where a mask is white. `latent` is where their latent is, if not there.
fn painted_under(
    base: &Base,
    images: &[Rgb],
    (mask, latent): (&Mask, &Mask),
    blur: [u32; 2],
    content: MaskedContent,
    overlay: bool,
) -> Base {
    let mut base = base.clone();
    let Some(source) = base.request.from_picture.clone() else { return base };
    let first = images.first().map_or((8, 8), Rgb::size);
    (base.request.width, base.request.height) = (Some(first.0), Some(first.1));
    base.request.batch_size = images.len() as u32;
    base.request.batch_count = 1;
    base.request.from_picture = Some(Arc::new(FromPicture {
        images: images.iter().map(bitmap).collect(),
        resize_mode: ResizeMode::Stretch,
        inpainting: Some(Inpainting {
            mask: bitmap(&mask.to_rgb()),
            latent_mask: Some(bitmap(&latent.to_rgb())),
            round: source.inpainting.as_ref().is_none_or(|own| own.round),
            invert: false,
            blur,
            content,
            only_masked: false,
            padding: 0,
            overlay,
            soft: source.inpainting.as_ref().and_then(|own| own.soft),
        }),
        hash: source.hash.clone(),
        ..*source
    }));
    base
}

/// A region of its edges.
fn region([left, top, right, bottom]: [i64; 4]) -> Region {
    Region { left, top, right, bottom }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_grow_to_whole_units_where_they_grow() {
        let grow = |chosen: [bool; 4], pixels, size| Growth::of(&chosen, pixels, size);
        let all = grow([true; 4], 100, (512, 500));
        assert_eq!(all, Growth { left: 128, right: 128, up: 102, down: 102 });
        assert_eq!(all.grown((512, 500)), (768, 704));
        let left = grow([true, false, false, false], 100, (512, 500));
        assert_eq!(left, Growth { left: 128, right: 0, up: 0, down: 0 });
        assert_eq!(left.grown((512, 500)), (640, 500));
    }

    #[test]
    fn holes_are_black_and_need_not_lie_within() {
        let mask = white_around((4, 3), [1, 1, 3, 9]).unwrap();
        assert_eq!(mask.samples(), [255, 255, 255, 255, 255, 0, 0, 255, 255, 0, 0, 255]);
        assert_eq!(white_around((2, 1), [1, 0, 1, 1]).unwrap().samples(), [255, 255]);
    }
}
