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
    #[error("not a readable PNG, JPEG or WebP picture: {0}")]
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
}
