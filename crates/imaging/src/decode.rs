//! Reading the pixels of pictures that somebody sent: PNG, JPEG, WebP, and the first frame of GIF.
//!
//! Whatever the file holds (palettes, grey, 16 bits, CMYK), 8-bit RGB with alpha comes out, turned as its Exif orientation
//! says. Sizes are checked before memory is taken.

use crate::{ImagingError, Rgba};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// The pixels of a PNG, JPEG, WebP or GIF file of at most `most_pixels`.
pub fn decode(file: &[u8], most_pixels: u64) -> Result<Rgba, ImagingError> {
    let format = format_of(file)?;
    check_size(file, format, most_pixels)?;
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::default();
    // Up to 16 bits of four channels, and as much again for what the decoder needs.
    limits.max_alloc = Some(most_pixels.saturating_mul(16).saturating_add(1 << 20));
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(undecodable)?;
    let orientation = decoder.orientation().map_err(undecodable)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    image.apply_orientation(orientation);
    let image = image.into_rgba8();
    Rgba::new(image.width(), image.height(), image.into_raw())
}

/// The kind of a file, if we read it.
pub(crate) fn format_of(file: &[u8]) -> Result<ImageFormat, ImagingError> {
    use ImageFormat::{Gif, Jpeg, Png, WebP};
    match image::guess_format(file) {
        Ok(format @ (Png | Jpeg | WebP | Gif)) => Ok(format),
        Ok(other) => Err(ImagingError::Undecodable(format!("it is {other:?}"))),
        Err(_) => Err(ImagingError::Undecodable(format!("unknown kind of file, {} bytes", file.len()))),
    }
}

/// Width and height. Refuses large pictures before anything of their size is allocated.
pub(crate) fn check_size(file: &[u8], format: ImageFormat, most: u64) -> Result<(u32, u32), ImagingError> {
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
    Ok((width, height))
}

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
pub(crate) fn undecodable(error: impl ToString) -> ImagingError {
    ImagingError::Undecodable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, Pixels, encode, read_metadata};
    use proptest::prelude::*;

    const MOST: u64 = 4096;
    const RGB: [u8; 18] = [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    /// 1 x 1, with the comment "cat".
    const GIF: &[u8] =
        b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0!\xfe\x03cat\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

    fn encoded(format: Format, infotext: Option<&str>) -> Vec<u8> {
        encode(Pixels { width: 3, height: 2, rgb: &RGB }, format, infotext).unwrap()
    }

    #[test]
    fn pixels_survive_where_nothing_is_lost() {
        for format in [Format::Png, Format::WebP] {
            let picture = decode(&encoded(format, None), MOST).unwrap();
            assert!(picture.is_opaque());
            assert_eq!((picture.size(), picture.to_rgb().samples()), ((3, 2), RGB.as_slice()));
        }
        let picture = decode(&encoded(Format::Jpeg { quality: 90 }, None), MOST).unwrap();
        assert_eq!(picture.size(), (3, 2));
        assert_eq!(decode(GIF, MOST).unwrap().samples(), [255, 0, 0, 255]);
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
        let mut gif = GIF.to_vec();
        gif[6..10].fill(0xff);
        assert!(matches!(decode(&gif, 1 << 24), Err(ImagingError::TooLarge { width: 0xffff, .. })));
        // A frame larger than the picture it belongs to.
        let mut gif = GIF.to_vec();
        gif[31..35].fill(0xff);
        assert!(matches!(decode(&gif, MOST), Err(ImagingError::Undecodable(_))));
    }

    #[test]
    fn pictures_without_pixels_are_refused() {
        let mut flat = encoded(Format::Png, None);
        flat[16..20].fill(0);
        assert!(matches!(decode(&flat, MOST), Err(ImagingError::Undecodable(_))));
        let mut gif = GIF.to_vec();
        gif[6..10].fill(0);
        assert!(decode(&gif, MOST).is_err());
    }

    #[test]
    fn other_files_are_refused_in_words() {
        for file in [&b""[..], b"BM", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"hello there, this is text"] {
            for error in [decode(file, MOST).unwrap_err(), read_metadata(file, MOST).unwrap_err()] {
                let error = error.to_string();
                assert!(error.starts_with("not a readable PNG, JPEG, WebP or GIF picture: "), "{error}");
            }
        }
        let short = Pixels { width: 2, height: 2, rgb: &RGB[..3] };
        let error = encode(short, Format::Png, None).unwrap_err();
        assert_eq!(error.to_string(), "cannot write the picture: 3 bytes for 2x2 pixels");
    }

    proptest! {
        #[test]
        fn damaged_files_do_no_harm(kind in 0..4usize, at in 0..400usize, byte in any::<u8>(), length in 0..400usize) {
            let format = [Format::Png, Format::Jpeg { quality: 50 }, Format::WebP].get(kind);
            let mut file = format.map_or_else(|| GIF.to_vec(), |&format| encoded(format, Some("cat")));
            let at = at % file.len();
            file[at] = byte;
            file.truncate(length.max(1));
            let _ = read_metadata(&file, MOST);
            let _ = decode(&file, MOST);
        }

        #[test]
        fn any_bytes_do_no_harm(kind in 0..5usize, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let start = [&b""[..], b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\xff\0\0\0WEBPVP8", b"GIF89a"][kind];
            let file = [start, &bytes].concat();
            let _ = read_metadata(&file, MOST);
            let _ = decode(&file, MOST);
        }
    }
}
