//! What can be wrong with a picture.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ImagingError {
    /// The text is neither base64 nor a `data:` link.
    #[error("not base64: {0}")]
    Base64(String),
    /// The text is a link.
    #[error("pictures are not fetched from links such as {0:?}; send the picture as base64")]
    Link(String),
    /// The bytes are no picture of a kind we read.
    #[error("not a readable PNG, JPEG, WebP or GIF picture: {0}")]
    Undecodable(String),
    /// The picture has more pixels than allowed.
    #[error("the picture has {width}x{height} pixels; at most {most} are read")]
    TooLarge {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Most pixels allowed.
        most: u64,
    },
    /// The pixels cannot be written.
    #[error("cannot write the picture: {0}")]
    Unencodable(String),
    /// No picture of this size is made.
    #[error("no picture of {width}x{height} pixels is made; it takes 1 to {most} pixels")]
    Size {
        /// Pixels across.
        width: u64,
        /// Pixels down.
        height: u64,
        /// Most pixels allowed.
        most: u64,
    },
    /// The samples do not fill the picture.
    #[error("{length} samples make no picture of {width}x{height} pixels of {channels} samples")]
    Length {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Samples a pixel.
        channels: usize,
        /// Samples given.
        length: usize,
    },
    /// Two pictures ought to have one size.
    #[error("a picture of {}x{} pixels does not fit one of {}x{}", one.0, one.1, other.0, other.1)]
    Mismatch {
        /// Pixels across and down of the one.
        one: (u32, u32),
        /// Pixels across and down of the other.
        other: (u32, u32),
    },
    /// The text names no color.
    #[error("not a color: {0:?}; write it as #rrggbb")]
    Color(String),
    /// The bytes are no font that we read.
    #[error("not a readable TrueType or OpenType font")]
    Font,
    /// A number is out of its range.
    #[error("{name} is {value}; it has to lie in {least} to {most}")]
    OutOfRange {
        /// What the number is.
        name: &'static str,
        /// The number.
        value: f64,
        /// Its least value.
        least: f64,
        /// Its greatest value.
        most: f64,
    },
}
