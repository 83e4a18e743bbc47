//! Reading checkpoints: safetensors and allow-listed pickles, architecture detection, hashes.

mod architecture;

pub use architecture::{ClipTextConfig, Prediction, StableDiffusionConfig, UNetConfig, UNetLevel, VaeConfig};
