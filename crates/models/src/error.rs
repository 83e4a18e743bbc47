//! What can go wrong in loading or running a model.

use impasto_tensor::TensorError;
use impasto_weights::WeightsError;

/// An error of a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The checkpoint lacks a tensor or cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// An operation of the backend failed.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A tensor of the checkpoint has another shape than its neighbours imply.
    #[error(
        "tensor {name} has shape {found:?}, but {wanted:?} is needed; the checkpoint is damaged or of an unknown kind"
    )]
    Shape {
        /// The tensor's name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits the rest of the checkpoint.
        wanted: Vec<usize>,
    },
    /// The token embedding's size is not that of a CLIP vocabulary.
    #[error("a vocabulary of {rows} tokens is not CLIP's; 514 to 49408 are supported")]
    Vocabulary {
        /// Rows of the embedding.
        rows: usize,
    },
    /// Clip skip beyond the text encoder.
    #[error(
        "clip skip {skip} is out of range; this model's text encoder has {layers} layers, so use 1 to {layers}"
    )]
    ClipSkip {
        /// What was asked for.
        skip: usize,
        /// What there is.
        layers: usize,
    },
    /// Arguments that do not fit the model or each other.
    #[error("{0}")]
    Input(String),
}
