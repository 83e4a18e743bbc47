//! A Stable Diffusion checkpoint's networks and its tokenizer, ready to run: those of 1.x together or one by one, those of XL
//! one by one.

use crate::blocks::Source;
use crate::{ClipText, ModelError, Tokenizer, UNet, VaeDecoder, VaeEncoder};
use impasto_tensor::{Backend, Precision};
use impasto_weights::{Checkpoint, StableDiffusionConfig};
use std::sync::Arc;

/// A loaded model.
#[derive(Debug)]
pub struct StableDiffusion<B: Backend> {
    /// Sizes and facts of the checkpoint.
    pub config: StableDiffusionConfig,
    /// Text to token ids.
    pub tokenizer: Arc<Tokenizer>,
    /// Token ids to text vectors.
    pub text: ClipText<B>,
    /// The denoising network.
    pub unet: UNet<B>,
    /// Latents to pictures.
    pub decoder: VaeDecoder<B>,
}

impl<B: Backend> StableDiffusion<B> {
    /// Loads all networks but the autoencoder's encoder onto `backend`. The checkpoint may be dropped afterwards.
    ///
    /// `precision` is the UNet's, where nearly all of the work and the weights are; the others stay in single precision, since
    /// their errors would go straight into every picture and there is little to gain.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "each network keeps the backend, so a share of it is what is wanted"
    )]
    pub fn load(backend: Arc<B>, checkpoint: &Checkpoint, precision: Precision) -> Result<Self, ModelError> {
        let config = checkpoint.config()?;
        Ok(Self {
            tokenizer: Arc::new(Tokenizer::for_vocabulary(config.text.vocabulary)?),
            text: Self::load_text(&backend, checkpoint)?,
            unet: Self::load_unet(&backend, checkpoint, precision)?,
            decoder: Self::load_decoder(&backend, checkpoint)?,
            config,
        })
    }

    /// Loads the text encoder alone, of XL the first.
    pub fn load_text(backend: &Arc<B>, checkpoint: &Checkpoint) -> Result<ClipText<B>, ModelError> {
        let source = Source::new(&**backend, checkpoint).at("cond_stage_model.transformer");
        ClipText::load(Arc::clone(backend), &source, &checkpoint.networks()?.text)
    }

    /// Loads XL's second text encoder alone; nothing of a checkpoint that has none.
    pub fn load_second_text(
        backend: &Arc<B>,
        checkpoint: &Checkpoint,
    ) -> Result<Option<ClipText<B>>, ModelError> {
        let source = Source::new(&**backend, checkpoint).at("cond_stage_model_2.transformer");
        let config = checkpoint.networks()?.second_text;
        config.map(|config| ClipText::load(Arc::clone(backend), &source, &config)).transpose()
    }

    /// Loads the denoising network alone.
    pub fn load_unet(
        backend: &Arc<B>,
        checkpoint: &Checkpoint,
        precision: Precision,
    ) -> Result<UNet<B>, ModelError> {
        let source =
            Source::new(&**backend, checkpoint).at("model.diffusion_model").with_precision(precision);
        UNet::load(Arc::clone(backend), &source, &checkpoint.networks()?.unet)
    }

    /// Loads the autoencoder's decoder alone.
    pub fn load_decoder(backend: &Arc<B>, checkpoint: &Checkpoint) -> Result<VaeDecoder<B>, ModelError> {
        let source = Source::new(&**backend, checkpoint).at("first_stage_model");
        VaeDecoder::load(Arc::clone(backend), &source, &checkpoint.networks()?.vae)
    }

    /// Loads the autoencoder's encoder, for those that begin with pictures.
    pub fn load_encoder(backend: &Arc<B>, checkpoint: &Checkpoint) -> Result<VaeEncoder<B>, ModelError> {
        let source = Source::new(&**backend, checkpoint).at("first_stage_model");
        VaeEncoder::load(Arc::clone(backend), &source, &checkpoint.networks()?.vae)
    }
}
