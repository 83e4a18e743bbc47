//! Writing pictures with their texts: PNG text chunks as Pillow writes them, an Exif comment elsewhere.

use crate::metadata::INFOTEXT;
use crate::{ImagingError, Picture, exif};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// 8-bit RGB pixels, row-major, no padding.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'a> {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// `3 * width * height` bytes.
    pub rgb: &'a [u8],
}

/// A kind of picture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lossless, with text chunks.
    Png,
    /// Lossy; 1 to 100.
    Jpeg {
        /// Greater is better and larger.
        quality: u8,
    },
    /// Lossless WebP.
    WebP,
}

impl Format {
    /// The format that the option `samples_format` names. The quality matters to JPEG alone.
    pub fn from_name(name: &str, quality: u8) -> Option<Self> {
        match name {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg { quality }),
            "webp" => Some(Self::WebP),
            _ => None,
        }
    }

    /// What files of it end with.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg { .. } => "jpg",
            Self::WebP => "webp",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg { .. } => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }
}

/// A picture's file. The infotext becomes the text chunk `parameters` of a PNG, or the Exif user comment.
pub fn encode(pixels: Pixels<'_>, format: Format, infotext: Option<&str>) -> Result<Vec<u8>, ImagingError> {
    let (width, height) = (pixels.width, pixels.height);
    let samples = Samples { width, height, channels: 3, bytes: pixels.rgb };
    write(&samples, format, infotext.map(|text| (INFOTEXT, text)))
}

/// A picture's file with texts by keyword. PNG keeps all of them whose keyword can be one, the others the infotext
/// (`parameters`) alone; JPEG drops alpha.
pub fn encode_picture<'a, const CHANNELS: usize>(
    picture: &Picture<CHANNELS>,
    format: Format,
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<u8>, ImagingError> {
    let (width, height) = picture.size();
    if matches!(format, Format::Jpeg { .. }) && CHANNELS == 4 {
        let opaque: Vec<u8> = picture.pixels().iter().flat_map(|pixel| pixel[..3].iter().copied()).collect();
        return write(&Samples { width, height, channels: 3, bytes: &opaque }, format, texts);
    }
    write(&Samples { width, height, channels: CHANNELS, bytes: picture.samples() }, format, texts)
}

/// What is written: 8 bits a sample, 1, 3 or 4 samples a pixel.
struct Samples<'a> {
    width: u32,
    height: u32,
    channels: usize,
    bytes: &'a [u8],
}

fn write<'a>(
    samples: &Samples<'_>,
    format: Format,
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<u8>, ImagingError> {
    let expected = u64::from(samples.width) * u64::from(samples.height) * samples.channels as u64;
    if samples.bytes.len() as u64 != expected {
        let (width, height, bytes) = (samples.width, samples.height, samples.bytes.len());
        return Err(ImagingError::Unencodable(format!("{bytes} bytes for {width}x{height} pixels")));
    }
    let mut file = Vec::new();
    match format {
        Format::Png => write_png(&mut file, samples, texts).map_err(unencodable)?,
        Format::Jpeg { quality } => {
            write_with_exif(JpegEncoder::new_with_quality(&mut file, quality.clamp(1, 100)), samples, texts)?;
        }
        Format::WebP => write_with_exif(WebPEncoder::new_lossless(&mut file), samples, texts)?,
    }
    Ok(file)
}

fn write_png<'a>(
    file: &mut Vec<u8>,
    samples: &Samples<'_>,
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(file, samples.width, samples.height);
    encoder.set_color(match samples.channels {
        1 => png::ColorType::Grayscale,
        4 => png::ColorType::Rgba,
        _ => png::ColorType::Rgb,
    });
    encoder.set_depth(png::BitDepth::Eight);
    for (keyword, text) in texts.into_iter().filter(|(keyword, _)| is_keyword(keyword)) {
        if text.chars().all(|character| u32::from(character) < 256) {
            encoder.add_text_chunk(keyword.to_owned(), text.to_owned())?;
        } else {
            encoder.add_itxt_chunk(keyword.to_owned(), text.to_owned())?;
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(samples.bytes)?;
    writer.finish()
}

/// PNG, section 11.3.3.2: 1 to 79 printable Latin-1 characters, no space at either end.
fn is_keyword(text: &str) -> bool {
    let printable = |character: char| matches!(u32::from(character), 32..=126 | 161..=255);
    (1..80).contains(&text.chars().count()) && text.chars().all(printable) && text.trim() == text
}

fn write_with_exif<'a>(
    mut encoder: impl ImageEncoder,
    samples: &Samples<'_>,
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), ImagingError> {
    /// JPEG keeps Exif in one segment of at most 64 KiB; longer infotexts are left out.
    const MOST_EXIF: usize = 65_000;
    let infotext = texts.into_iter().find(|(keyword, _)| *keyword == INFOTEXT);
    let block =
        infotext.map(|(_, text)| exif::with_user_comment(text)).filter(|block| block.len() < MOST_EXIF);
    if let Some(block) = block {
        encoder.set_exif_metadata(block).map_err(unencodable)?;
    }
    let color = match samples.channels {
        1 => ExtendedColorType::L8,
        4 => ExtendedColorType::Rgba8,
        _ => ExtendedColorType::Rgb8,
    };
    encoder.write_image(samples.bytes, samples.width, samples.height, color).map_err(unencodable)
}

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn unencodable(error: impl ToString) -> ImagingError {
    ImagingError::Unencodable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mask, Rgb, Rgba, decode};

    #[test]
    fn every_kind_of_picture_survives() {
        let rgba = Rgba::new(2, 1, vec![1, 2, 3, 4, 250, 251, 252, 253]).unwrap();
        let rgb = Rgb::new(2, 1, vec![1, 2, 3, 250, 251, 252]).unwrap();
        let mask = Mask::new(2, 1, vec![7, 255]).unwrap();
        for format in [Format::Png, Format::WebP] {
            let read = |file: Result<Vec<u8>, ImagingError>| decode(&file.unwrap(), 4).unwrap();
            assert_eq!(read(encode_picture(&rgba, format, [])), rgba);
            assert_eq!(read(encode_picture(&rgb, format, [])), rgb.to_rgba());
            assert_eq!(read(encode_picture(&mask, format, [])), mask.to_rgb().to_rgba());
        }
        let jpeg = Format::Jpeg { quality: 100 };
        let opaque = encode_picture(&rgba.to_rgb(), jpeg, []).unwrap();
        assert_eq!(encode_picture(&rgba, jpeg, []).unwrap(), opaque);
        assert_eq!(decode(&encode_picture(&mask, jpeg, []).unwrap(), 4).unwrap().size(), (2, 1));
    }
}
