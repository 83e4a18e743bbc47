//! The models against goldens from PyTorch, and against themselves.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod blocks;
mod networks;
mod tokenizer;

use impasto_tensor::reference::ReferenceBackend;
use std::sync::Arc;

/// Largest relative distance of a block from PyTorch's in single precision.
const TOLERANCE: f64 = 1e-4;

fn backend() -> Arc<ReferenceBackend> {
    Arc::new(ReferenceBackend::new())
}
