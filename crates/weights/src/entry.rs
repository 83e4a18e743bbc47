//! One stored tensor: what it is made of and where its bytes lie.

use impasto_tensor::DType;
use std::collections::BTreeMap;
use std::ops::Range;

/// Tensors by name, in the order of their names.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// A tensor of a file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Type of its elements.
    pub(crate) element: Element,
    /// Sizes, outermost first.
    pub(crate) shape: Vec<usize>,
    /// Its bytes: as many as shape and element need, a reader's promise.
    pub(crate) data: Data,
}

/// Type of a tensor's elements.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Element {
    /// One the engine reads.
    Readable(DType),
    /// Another, by the name its format gives it. Refused only when the tensor is needed.
    Other(String),
}

/// Where a tensor's bytes are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    /// In the file.
    InFile(Range<usize>),
    /// In memory, put in row-major order because the file has them in another.
    Copied(Box<[u8]>),
}

/// Most dimensions a tensor may have; convolutions have four.
pub(crate) const MAX_DIMENSIONS: usize = 8;
