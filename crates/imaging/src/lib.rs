//! Pictures as files: PNG, JPEG and WebP with the infotext inside, and as base64.
//!
//! What is read here comes from outside: sizes are checked before memory is taken, and text is only unpacked up to a
//! bound. It does not know what an infotext means.

mod base64;
mod decode;
mod encode;
mod error;
mod exif;
mod grid;

pub use base64::{decode_base64, encode_base64};
pub use decode::{Metadata, OwnedPixels, decode, read_metadata};
pub use encode::{Format, Pixels, encode};
pub use error::ImagingError;
pub use grid::grid;
