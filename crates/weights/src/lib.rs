//! Reading checkpoints: safetensors and allow-listed pickles, architecture detection, hashes.
//!
//! A file goes through these modules in turn: `source` reads it; `container` tells its format from its first bytes; `safetensors_file` or
//! `pickle` finds its tensors without reading them; `names` and `open_clip` give them canonical names; `kind` tells the model; `facts`
//! and `detect` make its configuration, which `layout` turns back into the list of tensors to compare with; `random` makes a checkpoint of
//! any configuration without a file. `upscaler` has names, configurations and layouts of upscalers; `adapter` reads files of changes to a
//! model, `embedding` words of a prompt, `autoencoder` autoencoders in files of their own,
//! `hypernetwork` small networks before keys and values. `prepared` keeps what a backend made of weights. Every file
//! is taken for hostile: the worst it can do is to get an error. What the numbers mean is not known here.

mod adapter;
mod architecture;
mod autoencoder;
mod checkpoint;
mod container;
mod copy;
mod detect;
mod embedding;
mod entry;
mod error;
mod facts;
mod hash;
mod hash_cache;
mod hypernetwork;
mod kind;
mod layout;
mod names;
mod open_clip;
mod pickle;
mod prepared;
mod random;
mod safetensors_file;
mod source;
mod upscaler;

pub use adapter::{AdapterChange, AdapterFile, AdapterKeys, AdapterLayer, AdapterLayers, Dora, Factored};
pub use architecture::{
    ClipTextConfig, Heads, Prediction, StableDiffusionConfig, UNetConfig, UNetLevel, VaeConfig,
};
pub use checkpoint::Checkpoint;
pub use container::Container;
pub use embedding::{EmbeddingTraining, EmbeddingVectors};
pub use error::WeightsError;
pub use hash::{FileHash, hash_bytes, hash_file, hash_tensors, old_hash};
pub use hash_cache::HashCache;
pub use hypernetwork::{HyperLayer, HyperModule, Hypernetwork};
pub use kind::ModelKind;
pub use prepared::{PreparedFile, PreparedWriter};
pub use upscaler::{CompactConfig, RrdbConfig, UpscalerConfig};
