//! A Stable Diffusion 1.x checkpoint's three networks and its tokenizer, ready to run.

use crate::blocks::Source;
use crate::{ClipText, ModelError, Tokenizer, UNet, Vae};
use impasto_tensor::Backend;
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
    /// Latents to pictures and back.
    pub vae: Vae<B>,
}

impl<B: Backend> StableDiffusion<B> {
    /// Loads all networks onto `backend`. The checkpoint may be dropped afterwards.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "each network keeps the backend, so a share of it is what is wanted"
    )]
    pub fn load(backend: Arc<B>, checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let config = checkpoint.config()?;
        let source = Source::new(&*backend, checkpoint);
        let text = source.at("cond_stage_model.transformer.text_model");
        let unet = source.at("model.diffusion_model");
        let vae = source.at("first_stage_model");
        Ok(Self {
            tokenizer: Arc::new(Tokenizer::for_vocabulary(config.text.vocabulary)?),
            text: ClipText::load(Arc::clone(&backend), &text, &config.text)?,
            unet: UNet::load(Arc::clone(&backend), &unet, &config.unet)?,
            vae: Vae::load(Arc::clone(&backend), &vae, &config.vae)?,
            config,
        })
    }
}
