//! CLIP tokenizer and text encoder, UNet and VAE, and upscalers, generic over the backend.
//!
//! [`StableDiffusion::load`] takes a checkpoint apart; the networks then map host arrays to host arrays. How to get from
//! a prompt to a picture with them is no concern of this crate: samplers, guidance and prompt syntax are above it.

mod adapters;
pub mod blocks;
mod clip;
mod error;
mod esrgan;
mod small;
mod stable_diffusion;
mod tokenizer;
mod unet;
mod vae;

pub use adapters::{Adapter, AdapterSet, Hypernetwork, Strengths};
pub use blocks::{SelfAttention, Tiles, mix};
pub use clip::{ClipText, TextVectors, TokenVectors};
pub use error::ModelError;
pub use esrgan::Upscaler;
pub use small::{ApproximateDecoder, TinyDecoder, TinyEncoder};
pub use stable_diffusion::StableDiffusion;
pub use tokenizer::{Token, Tokenizer};
pub use unet::{PictureSizes, UNet, UNetContext, UNetDepth, UNetOutput, UNetRow, UNetTime};
pub use vae::{Edges, VaeDecoder, VaeEncoder};
