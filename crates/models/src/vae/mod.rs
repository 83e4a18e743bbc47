//! The autoencoder (Rombach et al. 2022, `AutoencoderKL`): pictures to latents and back.

mod network;
mod tiles;

use crate::ModelError;
use crate::blocks::{Linear, Run, Source};
use impasto_tensor::{Array, Backend, LinearArgs};
use impasto_weights::VaeConfig;
use network::{Decoder, Encoder};
use std::sync::Arc;
use tiles::Tiling;

/// What is beyond a picture's edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edges {
    /// Nothing.
    #[default]
    Ends,
    /// What is on the other side: the picture is a tile of a pattern.
    GoOn,
}

/// Latents to pictures. Latents are in the UNet's scale, which has about unit variance.
#[derive(Debug)]
pub struct VaeDecoder<B: Backend> {
    backend: Arc<B>,
    config: VaeConfig,
    /// Latent to decoder input.
    unquantize: Linear<B>,
    network: Decoder<B>,
}

impl<B: Backend> VaeDecoder<B> {
    /// Loads the decoder from `source`, the place of `decoder`.
    pub fn load(backend: Arc<B>, source: &Source<'_, B>, config: &VaeConfig) -> Result<Self, ModelError> {
        let latent = config.latent_channels;
        Ok(Self {
            backend,
            unquantize: source.linear("post_quant_conv", latent, latent)?,
            network: Decoder::load(&source.at("decoder"), config)?,
            config: config.clone(),
        })
    }

    /// Pictures `[n, 3, 8 height, 8 width]`, about -1 to 1 and not clamped, of latents `[n, 4, height, width]`.
    ///
    /// Large latents are decoded in overlapping tiles; where is a function of the size alone.
    pub fn decode(&self, latent: &Array) -> Result<Array, ModelError> {
        self.decode_with(latent, Edges::Ends)
    }

    /// The same of pictures with such edges.
    pub fn decode_with(&self, latent: &Array, edges: Edges) -> Result<Array, ModelError> {
        let [height, width] = check(latent, self.config.latent_channels, 1)?;
        let tiling = Tiling { height, width, input_unit: 1, output_unit: self.config.downscale() };
        let run = |tile: &Array, edges| self.decode_tile(tile, edges);
        let pictures: Vec<Array> =
            latent.unstack().iter().map(|row| tiling.run(row, edges, run)).collect::<Result<_, _>>()?;
        Ok(Array::stack(&pictures.iter().collect::<Vec<_>>())?)
    }

    /// `[1, latent channels, h, w]` to `[1, picture channels, 8 h, 8 w]`.
    fn decode_tile(&self, latent: &Array, edges: Edges) -> Result<Array, ModelError> {
        let backend = Run::plain(&*self.backend).tiling(edges == Edges::GoOn);
        let latent = backend.upload(&latent.to_channels_last()?)?;
        let latent = backend.scale(&latent, 1.0 / self.config.scale_factor)?;
        let hidden = backend.linear(&latent, &self.unquantize, LinearArgs::default())?;
        let picture = self.network.forward(&backend, &hidden)?;
        Ok(backend.download(&picture)?.to_channels_first()?)
    }
}

/// Pictures to latents, in the UNet's scale. Apart from the decoder, since text to image has no use for it.
#[derive(Debug)]
pub struct VaeEncoder<B: Backend> {
    backend: Arc<B>,
    config: VaeConfig,
    network: Encoder<B>,
    /// Encoder output to mean and logarithm of the variance.
    quantize: Linear<B>,
}

impl<B: Backend> VaeEncoder<B> {
    /// Loads the encoder from `source`, the place of `encoder`.
    pub fn load(backend: Arc<B>, source: &Source<'_, B>, config: &VaeConfig) -> Result<Self, ModelError> {
        let latent = config.latent_channels;
        Ok(Self {
            backend,
            network: Encoder::load(&source.at("encoder"), config)?,
            quantize: source.linear("quant_conv", 2 * latent, 2 * latent)?,
            config: config.clone(),
        })
    }

    /// Means `[n, 4, height, width]` of the latents of pictures `[n, 3, 8 height, 8 width]` from -1 to 1, in the UNet's
    /// scale.
    pub fn encode_mean(&self, picture: &Array) -> Result<Array, ModelError> {
        self.encode_mean_with(picture, Edges::Ends)
    }

    /// The same of pictures with such edges.
    pub fn encode_mean_with(&self, picture: &Array, edges: Edges) -> Result<Array, ModelError> {
        let unit = self.config.downscale();
        let [height, width] = check(picture, self.config.image_channels, unit)?;
        let tiling = Tiling { height, width, input_unit: unit, output_unit: 1 };
        let run = |tile: &Array, edges| self.encode_tile(tile, edges);
        let latents: Vec<Array> =
            picture.unstack().iter().map(|row| tiling.run(row, edges, run)).collect::<Result<_, _>>()?;
        Ok(Array::stack(&latents.iter().collect::<Vec<_>>())?)
    }

    /// `[1, picture channels, 8 h, 8 w]` to `[1, latent channels, h, w]`.
    fn encode_tile(&self, picture: &Array, edges: Edges) -> Result<Array, ModelError> {
        let backend = Run::plain(&*self.backend).tiling(edges == Edges::GoOn);
        let hidden = self.network.forward(&backend, &backend.upload(&picture.to_channels_last()?)?)?;
        let moments = backend.linear(&hidden, &self.quantize, LinearArgs::default())?;
        let mean = backend.columns(&moments, 0, self.config.latent_channels)?;
        let mean = backend.scale(&mean, self.config.scale_factor)?;
        Ok(backend.download(&mean)?.to_channels_first()?)
    }
}

/// Height and width in latent pixels of an array whose pixels are `unit` to a latent pixel.
fn check(array: &Array, channels: usize, unit: usize) -> Result<[usize; 2], ModelError> {
    match *array.shape() {
        [n, c, h, w]
            if n > 0
                && c == channels
                && h > 0
                && w > 0
                && h.is_multiple_of(unit)
                && w.is_multiple_of(unit) =>
        {
            Ok([h / unit, w / unit])
        }
        _ => {
            let shape = array.shape();
            Err(ModelError::Input(format!(
                "an array of shape {shape:?}; the autoencoder takes [n, {channels}, height, width] with sizes \
                 divisible by {unit}"
            )))
        }
    }
}
