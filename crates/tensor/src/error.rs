//! What can go wrong in a tensor operation.

/// An error of a tensor or of a backend operation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TensorError {
    /// Arguments of an operation do not fit together. A bug of the caller, or a malformed checkpoint.
    #[error("{operation}: {message}")]
    Shape {
        /// The operation that refused.
        operation: &'static str,
        /// What was found and what was wanted.
        message: String,
    },
    /// Memory for a result could not be had.
    #[error("out of memory: {bytes} bytes wanted")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// A weight cannot be read from where it is stored.
    #[error("{0}")]
    Weight(String),
    /// The device or its worker threads failed.
    #[error("backend failed: {0}")]
    Device(String),
}

impl TensorError {
    /// A [`TensorError::Shape`].
    pub fn shape(operation: &'static str, message: impl Into<String>) -> Self {
        Self::Shape { operation, message: message.into() }
    }
}
