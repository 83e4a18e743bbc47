//! Reading checkpoints: safetensors and allow-listed pickles, architecture detection, hashes.

mod architecture;
mod checkpoint;
mod container;
mod detect;
mod entry;
mod error;
mod facts;
mod hash;
mod hash_cache;
mod kind;
mod layout;
mod names;
mod pickle;
mod safetensors_file;

pub use architecture::{ClipTextConfig, Prediction, StableDiffusionConfig, UNetConfig, UNetLevel, VaeConfig};
pub use checkpoint::Checkpoint;
pub use container::Container;
pub use error::WeightsError;
pub use hash::{FileHash, hash_bytes, hash_file, old_hash};
pub use hash_cache::HashCache;
pub use kind::ModelKind;
