//! Lines of text in pictures: how large they are, and drawing them. For legends of grids.
//!
//! Sizes are those of the em in pixels, as Pillow counts them. Letters stand side by side from left to right; scripts that join
//! or turn letters are not shaped.

use crate::{ImagingError, Rgb};
use ab_glyph::{Font as _, FontArc, Glyph, PxScale, ScaleFont as _, point};

/// Letters are written in it where no other font is given. Apache License 2.0.
const ROBOTO: &[u8] = include_bytes!("../fonts/Roboto-Regular.ttf");

/// Letters that cover more pixels are not drawn.
const MOST_COVERED: f32 = (1 << 24) as f32;

/// A font.
#[derive(Debug, Clone)]
pub struct Lettering {
    font: FontArc,
}

impl Lettering {
    /// The font inside the program: Roboto, which has Latin, Greek and Cyrillic letters.
    pub fn roboto() -> Result<Self, ImagingError> {
        FontArc::try_from_slice(ROBOTO).map(|font| Self { font }).map_err(|_| ImagingError::Font)
    }

    /// The font of a TrueType or OpenType file.
    pub fn from_file(bytes: Vec<u8>) -> Result<Self, ImagingError> {
        FontArc::try_from_vec(bytes).map(|font| Self { font }).map_err(|_| ImagingError::Font)
    }

    /// Letters of a line at a size, from the left end of their base line; and how far the line reaches.
    fn letters(&self, text: &str, size: u32) -> (Vec<Glyph>, f32) {
        let scale = self.scale(size);
        let font = self.font.as_scaled(scale);
        let (mut letters, mut place): (Vec<Glyph>, f32) = (Vec::new(), 0.0);
        for id in text.chars().map(|letter| font.glyph_id(letter)) {
            if let Some(before) = letters.last() {
                place += font.kern(before.id, id);
            }
            letters.push(id.with_scale_and_position(scale, point(place, 0.0)));
            place += font.h_advance(id);
        }
        (letters, place)
    }

    /// The scale at which the em has so many pixels.
    fn scale(&self, size: u32) -> PxScale {
        let em = self.font.units_per_em().filter(|&units| units > 0.0).unwrap_or(1000.0);
        PxScale::from(size as f32 * self.font.height_unscaled() / em)
    }

    /// How far a line reaches, in pixels.
    pub(crate) fn width(&self, text: &str, size: u32) -> f32 {
        self.letters(text, size).1
    }

    /// Pixels that a line's letters cover, across and down.
    pub(crate) fn covered(&self, text: &str, size: u32) -> (u32, u32) {
        let (letters, _) = self.letters(text, size);
        let outlines = letters.into_iter().filter_map(|letter| self.font.outline_glyph(letter));
        let bounds = outlines.map(|outline| outline.px_bounds());
        let whole = bounds.reduce(|one, other| ab_glyph::Rect {
            min: point(one.min.x.min(other.min.x), one.min.y.min(other.min.y)),
            max: point(one.max.x.max(other.max.x), one.max.y.max(other.max.y)),
        });
        whole.map_or((0, 0), |bounds| (bounds.width().ceil() as u32, bounds.height().ceil() as u32))
    }

    /// Draws a line with its middle at `x`, `y`: half-way along it, and half-way between the tops and the tails of letters. What
    /// lies outside the picture is left out.
    pub(crate) fn draw(&self, picture: &mut Rgb, text: &str, size: u32, (x, y): (f32, f32), color: [u8; 3]) {
        let (letters, width) = self.letters(text, size);
        let font = self.font.as_scaled(self.scale(size));
        let (left, base) = (x - width / 2.0, y + f32::midpoint(font.ascent(), font.descent()));
        let (across, down) = (i64::from(picture.width()), i64::from(picture.height()));
        for mut letter in letters {
            letter.position = point(letter.position.x + left, base);
            let Some(outline) = self.font.outline_glyph(letter) else { continue };
            let bounds = outline.px_bounds();
            if bounds.width() * bounds.height() > MOST_COVERED {
                continue;
            }
            let corner = bounds.min;
            let (corner_x, corner_y) = (corner.x as i64, corner.y as i64);
            outline.draw(|x, y, cover| {
                let (x, y) = (corner_x.saturating_add(x.into()), corner_y.saturating_add(y.into()));
                if (0..across).contains(&x) && (0..down).contains(&y) {
                    let pixel = &mut picture.pixels_mut()[(y * across + x) as usize];
                    let mask = (cover.clamp(0.0, 1.0) * 255.0).round() as u8;
                    for (under, over) in pixel.iter_mut().zip(color) {
                        *under = crate::color::mix(*under, over, mask);
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_sizes_that_pillow_gives_them() {
        // ImageFont.truetype("Roboto-Regular.ttf", 40): getlength and getbbox.
        let roboto = Lettering::roboto().unwrap();
        let width = roboto.width("CFG Scale: 7.0", 40);
        assert!((width - 257.84).abs() < 4.0, "{width}");
        let (across, down) = roboto.covered("CFG Scale: 7.0", 40);
        assert!(across.abs_diff(258) <= 4 && down.abs_diff(31) <= 2, "{across} {down}");
        assert_eq!((roboto.width("", 40), roboto.covered("", 40)), (0.0, (0, 0)));
    }

    #[test]
    fn letters_lie_around_the_middle_of_their_line() {
        let roboto = Lettering::roboto().unwrap();
        let mut picture = Rgb::filled(101, 61, [255; 3]).unwrap();
        roboto.draw(&mut picture, "HH", 40, (50.0, 30.0), [0, 0, 0]);
        let dark: Vec<(usize, usize)> = (0..61)
            .flat_map(|y| (0..101).map(move |x| (x, y)))
            .filter(|(x, y)| picture.pixels()[y * 101 + x][0] < 128)
            .collect();
        let range = |values: Vec<usize>| (*values.iter().min().unwrap(), *values.iter().max().unwrap());
        let (left, right) = range(dark.iter().map(|place| place.0).collect());
        let (top, bottom) = range(dark.iter().map(|place| place.1).collect());
        assert!((left + right).abs_diff(100) <= 3, "{left} {right}");
        assert!((26..=31).contains(&(bottom - top)) && (top + bottom).abs_diff(60) <= 6, "{top} {bottom}");
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        let roboto = Lettering::roboto().unwrap();
        let mut picture = Rgb::filled(8, 8, [9; 3]).unwrap();
        for middle in [(-1e5, 4.0), (4.0, 1e6), (4.0, 4.0)] {
            roboto.draw(&mut picture, "W\u{4e2d}\u{0}\u{1f600}", 4000, middle, [0; 3]);
        }
        roboto.draw(&mut picture, "W", 0, (4.0, 4.0), [0; 3]);
        assert!(Lettering::from_file(b"not a font".to_vec()).is_err());
    }
}
