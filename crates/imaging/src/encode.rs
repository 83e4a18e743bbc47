//! Writing pictures with their infotext: PNG text chunks as Pillow writes them, Exif comments elsewhere.

use crate::{ImagingError, exif};
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
    let expected = u64::from(pixels.width) * u64::from(pixels.height) * 3;
    if pixels.rgb.len() as u64 != expected {
        let (width, height, bytes) = (pixels.width, pixels.height, pixels.rgb.len());
        return Err(ImagingError::Unencodable(format!("{bytes} bytes for {width}x{height} pixels")));
    }
    match format {
        Format::Png => encode_png(pixels, infotext),
        Format::Jpeg { quality } => {
            let mut file = Vec::new();
            with_exif(JpegEncoder::new_with_quality(&mut file, quality.clamp(1, 100)), pixels, infotext)?;
            Ok(file)
        }
        Format::WebP => {
            let mut file = Vec::new();
            with_exif(WebPEncoder::new_lossless(&mut file), pixels, infotext)?;
            Ok(file)
        }
    }
}

fn encode_png(pixels: Pixels<'_>, infotext: Option<&str>) -> Result<Vec<u8>, ImagingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, pixels.width, pixels.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = (|| {
        if let Some(text) = infotext {
            let latin = text.chars().all(|character| u32::from(character) < 256);
            if latin {
                encoder.add_text_chunk("parameters".to_owned(), text.to_owned())?;
            } else {
                encoder.add_itxt_chunk("parameters".to_owned(), text.to_owned())?;
            }
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(pixels.rgb)?;
        writer.finish()
    })();
    written.map_err(|error: png::EncodingError| ImagingError::Unencodable(error.to_string()))?;
    Ok(file)
}

fn with_exif(
    mut encoder: impl ImageEncoder,
    pixels: Pixels<'_>,
    infotext: Option<&str>,
) -> Result<(), ImagingError> {
    /// JPEG keeps Exif in one segment of at most 64 KiB; longer infotexts are left out.
    const MOST_EXIF: usize = 65_000;
    let block = infotext.map(exif::with_user_comment).filter(|block| block.len() < MOST_EXIF);
    if let Some(block) = block {
        encoder.set_exif_metadata(block).map_err(|error| ImagingError::Unencodable(error.to_string()))?;
    }
    encoder
        .write_image(pixels.rgb, pixels.width, pixels.height, ExtendedColorType::Rgb8)
        .map_err(|error| ImagingError::Unencodable(error.to_string()))
}
