//! Pictures that clients send: out of base64, decoded within bounds.
//!
//! A file of some kilobytes may stand for a picture of gigabytes, and a body has room for many of them. So the pictures of one
//! request are bounded together, by a number and by the memory that is free, and few requests decode at a time.

use impasto_api::ApiError;
use impasto_domain::Bitmap;
use impasto_engine::available_bytes;
use impasto_imaging::{ImagingError, Rgba, decode, decode_base64};

/// Most pixels of a request's pictures together.
pub(crate) const MOST_PIXELS: u64 = 1 << 26;
/// Most pixels of what a request makes of them by enlarging, together.
const MOST_ENLARGED: u64 = 1 << 28;
/// Requests that decode pictures at a time.
pub(crate) const DECODING: usize = 2;
/// Bytes that decoding takes for each pixel at most: four samples of 16 bits, and as many of 8 with a copy on the way.
const BYTES_PER_PIXEL: u64 = 16;

/// Bytes that an enlarged pixel takes at most: those of two upscalers, what they are blended into, and the file.
const BYTES_PER_ENLARGED: u64 = 16;

/// What is still allowed of a request's pictures.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// Pixels that may come in.
    pixels: u64,
    /// Pixels that may go out.
    enlarged: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { pixels: MOST_PIXELS, enlarged: MOST_ENLARGED }
    }
}

impl Allowance {
    /// A picture of the request: its file, and its pixels.
    pub(crate) fn read(&mut self, text: &str) -> Result<(Vec<u8>, Rgba), ApiError> {
        let file = file(text)?;
        let room = available_bytes().map_or(u64::MAX, |free| free / DECODING as u64 / BYTES_PER_PIXEL);
        let picture = decode(&file, self.pixels.min(room)).map_err(|error| match error {
            ImagingError::TooLarge { width, height, most } if self.pixels < MOST_PIXELS => unusable(format!(
                "a picture has {width}x{height} pixels; of {MOST_PIXELS} for all pictures of a request {most} are left"
            )),
            other => unusable(other),
        })?;
        self.pixels -= u64::from(picture.width()) * u64::from(picture.height());
        Ok((file, picture))
    }

    /// A picture of the request, as the engine takes it.
    pub(crate) fn bitmap(&mut self, text: &str) -> Result<Bitmap, ApiError> {
        let (_, picture) = self.read(text)?;
        let (width, height) = picture.size();
        Ok(Bitmap { width, height, rgba: picture.into_samples() })
    }

    /// Refuses to enlarge a picture where there is no room for the result.
    pub(crate) fn take_result(&mut self, (width, height): (u32, u32), factor: f64) -> Result<(), ApiError> {
        let pixels = f64::from(width) * f64::from(height) * factor * factor;
        if pixels > self.enlarged as f64 {
            let message = format!(
                "upscaling_resize {factor} makes {pixels} pixels; of {MOST_ENLARGED} for all pictures of a request {} \
                 are left",
                self.enlarged
            );
            return Err(ApiError::field(&["upscaling_resize"], message, "value_error", Some(&factor.into())));
        }
        self.enlarged -= pixels as u64;
        let needed = pixels as u64 * BYTES_PER_ENLARGED;
        match available_bytes() {
            Some(free) if needed > free => {
                let message = format!(
                    "{pixels} pixels need about {} MiB of memory, {} MiB are free",
                    needed >> 20,
                    free >> 20
                );
                Err(ApiError::exception("OutOfMemoryError", message))
            }
            _ => Ok(()),
        }
    }
}

/// The bytes of a picture's file.
pub(crate) fn file(text: &str) -> Result<Vec<u8>, ApiError> {
    decode_base64(text).map_err(|error| match error {
        ImagingError::Link(_) => ApiError::http(500, format!("Requests not allowed: {error}")),
        other => unusable(other),
    })
}

/// What is told of a file that is no picture we read.
pub(crate) fn unusable(problem: impl std::fmt::Display) -> ApiError {
    ApiError::http(500, format!("Invalid encoded image: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use impasto_imaging::{Format, Rgb, encode_base64, encode_picture};

    #[test]
    fn pictures_of_a_request_are_bounded_together() {
        let picture = Rgb::filled(8, 4, [7; 3]).unwrap();
        let text = encode_base64(&encode_picture(&picture, Format::Png, []).unwrap());
        let mut allowance = Allowance { pixels: 70, enlarged: 1000 };
        assert!(allowance.read(&text).is_ok() && allowance.read(&text).is_ok());
        let told = allowance.read(&text).unwrap_err().to_string();
        assert!(told.contains("8x4 pixels; of 67108864 for all pictures of a request 6 are left"), "{told}");
        assert!(allowance.take_result((8, 4), 5.0).is_ok());
        let told = allowance.take_result((8, 4), 5.0).unwrap_err().to_string();
        assert!(
            told.contains("makes 800 pixels; of 268435456 for all pictures of a request 200 are left"),
            "{told}"
        );
        for factor in [f64::INFINITY, 1e300] {
            assert!(Allowance::default().take_result((8, 4), factor).is_err(), "{factor}");
        }
    }
}
