//! Colors: their notation, transparency and luminance, with Pillow's integer formulas.
//!
//! Alpha is multiplied into the colors where pictures are scaled or blurred, so that the color of transparent pixels does
//! not show.

use crate::{ImagingError, Mask, Rgb, Rgba};

/// The color that `#rrggbb` or `#rgb` stands for.
pub fn parse_color(text: &str) -> Result<[u8; 3], ImagingError> {
    let unreadable = || ImagingError::Color(text.chars().take(40).collect());
    let digits = text.trim().strip_prefix('#').ok_or_else(unreadable)?;
    let digits: Option<Vec<u8>> =
        digits.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    match *digits.ok_or_else(unreadable)?.as_slice() {
        [r, g, b] => Ok([r * 17, g * 17, b * 17]),
        [r, s, g, h, b, c] => Ok([r * 16 + s, g * 16 + h, b * 16 + c]),
        _ => Err(unreadable()),
    }
}

/// The product of two values in 255ths, rounded, without a division.
pub(crate) fn multiply(one: u8, other: u8) -> u8 {
    divide(u32::from(one) * u32::from(other))
}

/// A value of at most 255 * 255, divided by 255 and rounded.
fn divide(value: u32) -> u8 {
    let value = value + 128;
    (((value >> 8) + value) >> 8) as u8
}

/// `under` where the mask is 0, `over` where it is 255, and between them between.
pub(crate) fn mix(under: u8, over: u8, mask: u8) -> u8 {
    divide(u32::from(under) * u32::from(255 - mask) + u32::from(over) * u32::from(mask))
}

/// Colors multiplied by alpha.
pub(crate) fn premultiplied([r, g, b, alpha]: [u8; 4]) -> [u8; 4] {
    [multiply(r, alpha), multiply(g, alpha), multiply(b, alpha), alpha]
}

/// Colors divided by alpha again, rounded down.
pub(crate) fn unmultiplied(pixel: [u8; 4]) -> [u8; 4] {
    let [r, g, b, alpha] = pixel;
    if matches!(alpha, 0 | 255) {
        return pixel;
    }
    let divided = |sample: u8| (255 * u32::from(sample) / u32::from(alpha)).min(255) as u8;
    [divided(r), divided(g), divided(b), alpha]
}

/// Luminance after ITU-R 601, in 65536ths.
fn luminance([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

impl Rgb {
    /// The same picture, opaque.
    pub fn to_rgba(&self) -> Rgba {
        self.map(|[r, g, b]| [r, g, b, 255])
    }

    /// How bright it is, after ITU-R 601.
    pub fn luminance(&self) -> Mask {
        self.map(|pixel| [luminance(pixel)])
    }
}

impl Rgba {
    /// The colors alone.
    pub fn to_rgb(&self) -> Rgb {
        self.map(|[r, g, b, _]| [r, g, b])
    }

    /// How bright the colors are, after ITU-R 601, whatever their alpha.
    pub fn luminance(&self) -> Mask {
        self.map(|[r, g, b, _]| [luminance([r, g, b])])
    }

    /// Alpha alone.
    pub fn alpha(&self) -> Mask {
        self.map(|[_, _, _, alpha]| [alpha])
    }

    /// Whether every pixel is opaque.
    pub fn is_opaque(&self) -> bool {
        self.pixels().iter().all(|pixel| pixel[3] == 255)
    }

    /// The picture laid on a background of one color.
    pub fn flatten(&self, background: [u8; 3]) -> Rgb {
        self.map(|[r, g, b, alpha]| {
            let [under_r, under_g, under_b] = background;
            [mix(under_r, r, alpha), mix(under_g, g, alpha), mix(under_b, b, alpha)]
        })
    }
}

impl Mask {
    /// The same in all three colors.
    pub fn to_rgb(&self) -> Rgb {
        self.map(|[value]| [value; 3])
    }

    /// White for black and black for white.
    #[must_use]
    pub fn inverted(&self) -> Self {
        self.map(|[value]| [255 - value])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_read_as_a_page_writes_them() {
        assert_eq!(parse_color("#ffFF00").unwrap(), [255, 255, 0]);
        assert_eq!(parse_color(" #0a1 ").unwrap(), [0, 170, 17]);
        for text in ["", "#", "ffffff", "#fffff", "#gggggg", "#\u{e9}\u{e9}\u{e9}", "white"] {
            let error = parse_color(text).unwrap_err().to_string();
            assert_eq!(error, format!("not a color: {text:?}; write it as #rrggbb"));
        }
    }

    #[test]
    fn products_are_rounded_for_all_values() {
        for one in 0..=255_u8 {
            for other in 0..=255_u8 {
                let exact = f64::from(one) * f64::from(other) / 255.0;
                assert_eq!(f64::from(multiply(one, other)), exact.round(), "{one} {other}");
            }
        }
    }
}
