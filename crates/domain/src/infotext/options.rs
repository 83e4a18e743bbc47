//! What infotexts have of what they might have.

use serde::{Deserialize, Serialize};

/// What infotexts have of what they might have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InfotextOptions {
    /// The model's name.
    pub model_name: bool,
    /// The model's hash.
    pub model_hash: bool,
    /// The name of an autoencoder in the place of the model's own.
    pub vae_name: bool,
    /// Its hash.
    pub vae_hash: bool,
    /// Hashes of adapters.
    pub lora_hashes: bool,
    /// Hashes of embeddings.
    pub ti_hashes: bool,
    /// The program's name and version.
    pub version: bool,
}

impl Default for InfotextOptions {
    fn default() -> Self {
        Self {
            model_name: true,
            model_hash: true,
            vae_name: true,
            vae_hash: true,
            lora_hashes: true,
            ti_hashes: true,
            version: true,
        }
    }
}
