//! One stored tensor: what it is made of and where its bytes lie.

use crate::random::Distribution;
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

/// Where a tensor's bytes are. Places and lengths are in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    /// In one piece, in row-major order.
    InFile(Range<usize>),
    /// In another order: the piece from its first element to its last, and how far it is from one index to the next,
    /// outermost first.
    Strided(Range<usize>, Vec<usize>),
    /// Nowhere: they are drawn when they are asked for.
    Made(Distribution),
}

/// The elements of `size` bytes, which lie in `piece` as `strides` says, in row-major order; `None` where they would
/// lie outside.
pub(crate) fn gather(piece: &[u8], shape: &[usize], strides: &[usize], size: usize) -> Option<Vec<u8>> {
    let count: usize = shape.iter().product();
    let mut bytes = Vec::with_capacity(count * size);
    let mut index = vec![0; shape.len()];
    for _ in 0..count {
        let at: usize = index.iter().zip(strides).map(|(&i, &stride)| i * stride).sum();
        bytes.extend_from_slice(piece.get(at..at + size)?);
        for (place, &end) in index.iter_mut().zip(shape).rev() {
            *place += 1;
            if *place < end {
                break;
            }
            *place = 0;
        }
    }
    Some(bytes)
}

/// Most dimensions a tensor may have; convolutions have four.
pub(crate) const MAX_DIMENSIONS: usize = 8;
