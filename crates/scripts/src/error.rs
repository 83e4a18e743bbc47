//! Why a script does not begin, or cannot go on.

use impasto_domain::RequestError;
use impasto_imaging::ImagingError;
use serde_json::Value;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// An argument that cannot be used.
    #[error("{script}: {argument} {value} {problem}")]
    Argument {
        /// The script's title.
        script: &'static str,
        /// The argument's label.
        argument: String,
        /// What was given.
        value: Box<Value>,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// There is no such script, or not for this kind of request.
    #[error("Script '{0}' not found")]
    NotFound(String),
    /// A script of A1111's that is left out on purpose.
    #[error("{script} is not offered: {why}")]
    NotOffered {
        /// Its title.
        script: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// One of the requests that it comes to makes no sense.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The script cannot do what it is told with this request; in A1111's words where there are some.
    #[error("{0}")]
    Unusable(String),
    /// A grid of more megapixels than the option `img_max_size_mp` allows.
    #[error(
        "Error: Resulting grid would be too large ({megapixels} MPixels) (max configured size is {most} MPixels)"
    )]
    GridTooLarge {
        /// Megapixels of its pictures together.
        megapixels: u64,
        /// Most that are allowed.
        most: u32,
    },
    /// Pictures cannot be put together.
    #[error(transparent)]
    Imaging(#[from] ImagingError),
}
