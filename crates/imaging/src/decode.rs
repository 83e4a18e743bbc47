//! Reading pictures that somebody sent: pixels, and the texts kept beside them.

use crate::{ImagingError, exif};
use image::{ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// 8-bit RGB pixels, row-major, no padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedPixels {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// `3 * width * height` bytes.
    pub rgb: Vec<u8>,
}

/// The texts in a picture's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The settings it was made with.
    pub infotext: Option<String>,
    /// All other texts, by keyword.
    pub items: Vec<(String, String)>,
}

/// Texts are unpacked up to this many bytes each.
const MOST_TEXT: usize = 2 << 20;
/// Compressed texts beyond this number are left out.
const MOST_TEXTS: usize = 64;

/// The pixels of a PNG, JPEG or WebP file of at most `most_pixels`. Transparency is dropped.
pub fn decode(file: &[u8], most_pixels: u64) -> Result<OwnedPixels, ImagingError> {
    let format = format_of(file)?;
    check_size(file, format, most_pixels)?;
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::default();
    // Up to 16 bits of four channels, and as much again for what the decoder needs.
    limits.max_alloc = Some(most_pixels.saturating_mul(16).saturating_add(1 << 20));
    reader.limits(limits);
    let image = reader.decode().map_err(undecodable)?.into_rgb8();
    Ok(OwnedPixels { width: image.width(), height: image.height(), rgb: image.into_raw() })
}

/// The texts of a PNG, JPEG or WebP file of at most `most_pixels`. Pixels are not decoded.
pub fn read_metadata(file: &[u8], most_pixels: u64) -> Result<Metadata, ImagingError> {
    let format = format_of(file)?;
    check_size(file, format, most_pixels)?;
    match format {
        ImageFormat::Png => read_png_texts(file),
        _ => read_exif(file, format),
    }
}

fn format_of(file: &[u8]) -> Result<ImageFormat, ImagingError> {
    match image::guess_format(file) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) => Ok(format),
        Ok(other) => Err(ImagingError::Undecodable(format!("it is {other:?}"))),
        Err(_) => Err(ImagingError::Undecodable(format!("unknown kind of file, {} bytes", file.len()))),
    }
}

/// Refuses large pictures before anything of their size is allocated.
fn check_size(file: &[u8], format: ImageFormat, most: u64) -> Result<(), ImagingError> {
    let (width, height) = if format == ImageFormat::Png {
        // Signature, length and name of the first chunk, then width and height, big-endian.
        let long =
            |at: usize| file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        match (file.get(12..16), long(16), long(20)) {
            (Some(b"IHDR"), Some(width), Some(height)) => (width, height),
            _ => return Err(ImagingError::Undecodable("the PNG header is damaged".to_owned())),
        }
    } else {
        ImageReader::with_format(Cursor::new(file), format).into_dimensions().map_err(undecodable)?
    };
    if u64::from(width) * u64::from(height) > most {
        return Err(ImagingError::TooLarge { width, height, most });
    }
    Ok(())
}

fn read_png_texts(file: &[u8]) -> Result<Metadata, ImagingError> {
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().map_err(undecodable)?;
    // Texts may follow the pixels. A file that breaks off still has those before.
    let _ = reader.finish();
    let info = reader.info();
    let mut metadata = Metadata::default();
    for chunk in info.uncompressed_latin1_text.iter().take(MOST_TEXTS) {
        metadata.add(&chunk.keyword, chunk.text.clone());
    }
    for chunk in info.compressed_latin1_text.iter().take(MOST_TEXTS) {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(MOST_TEXT).is_ok() {
            metadata.add(&chunk.keyword, chunk.get_text().unwrap_or_default());
        }
    }
    for chunk in info.utf8_text.iter().take(MOST_TEXTS) {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(MOST_TEXT).is_ok() {
            metadata.add(&chunk.keyword, chunk.get_text().unwrap_or_default());
        }
    }
    Ok(metadata)
}

fn read_exif(file: &[u8], format: ImageFormat) -> Result<Metadata, ImagingError> {
    let mut decoder =
        ImageReader::with_format(Cursor::new(file), format).into_decoder().map_err(undecodable)?;
    let block = decoder.exif_metadata().map_err(undecodable)?;
    let infotext = block.and_then(|block| exif::user_comment(&block)).filter(|text| !text.is_empty());
    Ok(Metadata { infotext, items: Vec::new() })
}

impl Metadata {
    fn add(&mut self, keyword: &str, text: String) {
        if keyword == "parameters" {
            self.infotext = Some(text);
        } else if !self.items.iter().any(|(known, _)| known == keyword) {
            self.items.push((keyword.to_owned(), text));
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn undecodable(error: impl ToString) -> ImagingError {
    ImagingError::Undecodable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, Pixels, encode};
    use proptest::prelude::*;

    const MOST: u64 = 4096;
    const RGB: [u8; 18] = [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7, 6, 5, 4, 3, 2, 1];

    fn encoded(format: Format, infotext: Option<&str>) -> Vec<u8> {
        encode(Pixels { width: 3, height: 2, rgb: &RGB }, format, infotext).unwrap()
    }

    #[test]
    fn infotexts_survive_in_every_format() {
        for format in [Format::Png, Format::Jpeg { quality: 80 }, Format::WebP] {
            for text in ["caf\u{e9}\nSteps: 1", "\u{732b} \u{1f408}\nSteps: 1"] {
                let metadata = read_metadata(&encoded(format, Some(text)), MOST).unwrap();
                assert_eq!(metadata.infotext.as_deref(), Some(text), "{format:?}");
            }
            assert_eq!(read_metadata(&encoded(format, None), MOST).unwrap(), Metadata::default());
        }
    }

    #[test]
    fn pngs_hold_text_as_pillow_writes_it() {
        let latin = encoded(Format::Png, Some("caf\u{e9}"));
        assert!(latin.windows(19).any(|window| window == b"tEXtparameters\0caf\xe9"));
        let other = encoded(Format::Png, Some("\u{732b}"));
        assert!(other.windows(22).any(|window| window == b"iTXtparameters\0\0\0\0\0\xe7\x8c\xab"));
    }

    #[test]
    fn pixels_survive_where_nothing_is_lost() {
        for format in [Format::Png, Format::WebP] {
            let pixels = decode(&encoded(format, None), MOST).unwrap();
            assert_eq!((pixels.width, pixels.height, pixels.rgb.as_slice()), (3, 2, RGB.as_slice()));
        }
        let pixels = decode(&encoded(Format::Jpeg { quality: 90 }, None), MOST).unwrap();
        assert_eq!((pixels.width, pixels.height), (3, 2));
    }

    #[test]
    fn large_pictures_are_refused_before_memory_is_taken() {
        let mut bomb = encoded(Format::Png, None);
        bomb[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        for result in [decode(&bomb, 1 << 24).err(), read_metadata(&bomb, 1 << 24).err()] {
            assert!(matches!(result, Some(ImagingError::TooLarge { width: 0x7fff_ffff, .. })), "{result:?}");
        }
        let webp = encoded(Format::WebP, None);
        assert!(matches!(decode(&webp, 5), Err(ImagingError::TooLarge { most: 5, .. })));
    }

    #[test]
    fn other_files_are_refused_in_words() {
        for file in [&b""[..], b"GIF89a", b"\x89PNG\r\n\x1a\n", b"hello there, this is text"] {
            let error = read_metadata(file, MOST).unwrap_err().to_string();
            assert!(error.starts_with("not a readable PNG, JPEG or WebP picture: "), "{error}");
        }
        let short = Pixels { width: 2, height: 2, rgb: &RGB[..3] };
        let error = encode(short, Format::Png, None).unwrap_err();
        assert_eq!(error.to_string(), "cannot write the picture: 3 bytes for 2x2 pixels");
    }

    proptest! {
        #[test]
        fn damaged_files_do_no_harm(kind in 0..3usize, at in 0..400usize, byte in any::<u8>(), length in 0..400usize) {
            let format = [Format::Png, Format::Jpeg { quality: 50 }, Format::WebP][kind];
            let mut file = encoded(format, Some("cat"));
            let at = at % file.len();
            file[at] = byte;
            file.truncate(length.max(1));
            let _ = read_metadata(&file, MOST);
            let _ = decode(&file, MOST);
        }
    }
}
