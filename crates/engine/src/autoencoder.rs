//! Autoencoders in the place of a checkpoint's own, loaded from their files.

use crate::library::path_of;
use impasto_models::blocks::Source;
use impasto_models::{ModelError, VaeDecoder, VaeEncoder};
use impasto_tensor::Backend;
use impasto_weights::{Checkpoint, VaeConfig};
use std::sync::{Arc, OnceLock};

/// Where the network is in a checkpoint.
const PLACE: &str = "first_stage_model";

/// An autoencoder of a file.
#[derive(Debug)]
pub(crate) struct Autoencoder<B: Backend> {
    backend: Arc<B>,
    file: Checkpoint,
    config: VaeConfig,
    pub(crate) decoder: VaeDecoder<B>,
    /// Loaded when it is first wanted.
    encoder: OnceLock<VaeEncoder<B>>,
}

impl<B: Backend> Autoencoder<B> {
    /// Loads the file of an [`crate::LibraryFile::id`], in the place of an autoencoder of the sizes `of`.
    pub(crate) fn load(backend: &Arc<B>, id: &str, of: &VaeConfig) -> Result<Self, ModelError> {
        let file = Checkpoint::open_autoencoder(path_of(id))?;
        let config = file.autoencoder(of)?;
        let decoder = VaeDecoder::load(backend.clone(), &Source::new(&**backend, &file).at(PLACE), &config)?;
        tracing::info!(path = %path_of(id).display(), "loaded an autoencoder");
        Ok(Self { backend: backend.clone(), file, config, decoder, encoder: OnceLock::new() })
    }

    /// Pictures to latents.
    pub(crate) fn encoder(&self) -> Result<&VaeEncoder<B>, ModelError> {
        if let Some(encoder) = self.encoder.get() {
            return Ok(encoder);
        }
        let source = Source::new(&*self.backend, &self.file).at(PLACE);
        let encoder = VaeEncoder::load(self.backend.clone(), &source, &self.config)?;
        Ok(self.encoder.get_or_init(|| encoder))
    }
}
