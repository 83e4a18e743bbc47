//! The CPU backend: packed kernels behind run-time ISA dispatch.
//!
//! Weights are packed once into the panels that the kernels read; activations stay channels-last, so a convolution is
//! a matrix product whose left side is gathered on the fly. Every kernel is written once over a small vector trait
//! and compiled for each instruction set. Sums run in an order that shape alone decides: results do not depend on the
//! batch, on the number of threads or on timing.

#![expect(
    clippy::inline_always,
    reason = "vector code must end up inside the function that enables its instructions"
)]

mod attention;
mod backend;
mod buffer;
mod bytes;
mod conv;
mod elementwise;
mod gemm;
mod int8;
mod isa;
mod linear;
mod math;
mod norm;
mod peak;
mod pool;
mod simd;
mod tensor;
mod transpose;
mod winograd;

pub use backend::{CpuBackend, CpuOptions};
pub use isa::IsaName;
pub use tensor::{ConvolutionMethod, CpuConv2d, CpuEmbedding, CpuLinear, CpuLowRank, CpuNorm, CpuTensor};
