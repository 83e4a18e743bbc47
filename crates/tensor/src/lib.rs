//! Tensors on the host, the [`Backend`] trait and the slow reference backend.
//!
//! The trait is a short list of coarse operations, just what Stable Diffusion's networks are made of; it is no general
//! tensor calculus. Whoever implements it packs weights as it likes, once, and owns its memory. The reference backend
//! ([`mod@reference`]) implements every operation by the obvious loops: it is the documentation of what an operation
//! means, and the oracle against which the fast backends are tested.

mod array;
mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
mod curve;
mod dtype;
mod error;
pub mod meter;
pub mod profile;
pub mod reference;
pub mod shapes;
pub mod timestep;
mod weight;

pub use array::Array;
pub use backend::{
    Activation, AttentionArgs, Backend, Conv2dArgs, Conv2dConfig, LinearArgs, PaddingMode, Precision,
    Resample, RowAdapter,
};
pub use curve::Curve;
pub use dtype::DType;
pub use error::TensorError;
pub use weight::{PreparedStore, SharedBytes, StoredElements, WeightView};
