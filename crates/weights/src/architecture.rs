//! What a checkpoint's networks look like: sizes read off the tensors' shapes, and the few facts shapes cannot tell.

/// A Stable Diffusion 1.x checkpoint's three networks.
#[derive(Debug, Clone, PartialEq)]
pub struct StableDiffusionConfig {
    /// The text encoder.
    pub text: ClipTextConfig,
    /// The denoising network.
    pub unet: UNetConfig,
    /// The autoencoder.
    pub vae: VaeConfig,
    /// What the UNet predicts.
    pub prediction: Prediction,
    /// First and last beta of the scaled-linear noise schedule of 1,000 steps.
    pub betas: (f64, f64),
    /// Width and height the model was trained at, in pixels.
    pub native_size: (usize, usize),
    /// Guidance that suits the model, 1 to 30, if its maker recommends one.
    pub cfg_scale: Option<f64>,
}

impl StableDiffusionConfig {
    /// Stable Diffusion 1.5 (`v1-inference.yaml` of Rombach et al. 2022).
    pub fn stable_diffusion_1_5() -> Self {
        let level = |channels, transformer_depth| UNetLevel { channels, res_blocks: 2, transformer_depth };
        Self {
            text: ClipTextConfig {
                vocabulary: 49408,
                positions: 77,
                width: 768,
                layers: 12,
                heads: 12,
                hidden: 3072,
            },
            unet: UNetConfig {
                in_channels: 4,
                out_channels: 4,
                model_channels: 320,
                time_features: 1280,
                levels: vec![level(320, 1), level(640, 1), level(1280, 1), level(1280, 0)],
                middle_depth: 1,
                context_features: 768,
                heads: 8,
                groups: 32,
            },
            vae: VaeConfig {
                image_channels: 3,
                latent_channels: 4,
                channels: vec![128, 256, 512, 512],
                res_blocks: 2,
                groups: 32,
                scale_factor: 0.18215,
            },
            prediction: Prediction::Epsilon,
            betas: (0.00085, 0.012),
            native_size: (512, 512),
            cfg_scale: None,
        }
    }
}

/// What the UNet's output means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prediction {
    /// The noise (Ho et al. 2020).
    Epsilon,
    /// The velocity (Salimans and Ho 2022).
    Velocity,
}

/// CLIP text encoder (Radford et al. 2021).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipTextConfig {
    /// Rows of the token embedding: 512 byte symbols, the merges, begin and end of text.
    pub vocabulary: usize,
    /// Longest sequence, 77.
    pub positions: usize,
    /// Features of a token.
    pub width: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads; 64 features each unless the metadata says otherwise.
    pub heads: usize,
    /// Features inside the feed-forward part.
    pub hidden: usize,
}

/// One resolution of the UNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UNetLevel {
    /// Channels of its residual blocks.
    pub channels: usize,
    /// Residual blocks on the way down; one more on the way up.
    pub res_blocks: usize,
    /// Transformer blocks after each residual block; 0 where there is no attention.
    pub transformer_depth: usize,
}

/// Denoising UNet (Rombach et al. 2022).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UNetConfig {
    /// Channels of the input: 4, 8 for instruct-pix2pix, 9 for inpainting.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Channels after the first convolution.
    pub model_channels: usize,
    /// Features of the time embedding.
    pub time_features: usize,
    /// Resolutions from the finest to the coarsest.
    pub levels: Vec<UNetLevel>,
    /// Transformer blocks of the middle; 0 where it has no attention.
    pub middle_depth: usize,
    /// Features of a context token.
    pub context_features: usize,
    /// Attention heads at every level; 8 in Stable Diffusion 1.x.
    pub heads: usize,
    /// Groups of the group normalisations, 32.
    pub groups: usize,
}

/// Autoencoder with a Gaussian latent (Rombach et al. 2022, `AutoencoderKL`).
#[derive(Debug, Clone, PartialEq)]
pub struct VaeConfig {
    /// Channels of a picture, 3.
    pub image_channels: usize,
    /// Channels of a latent, 4.
    pub latent_channels: usize,
    /// Channels of each resolution from the finest to the coarsest.
    pub channels: Vec<usize>,
    /// Residual blocks of each resolution on the way down; one more on the way up.
    pub res_blocks: usize,
    /// Groups of the group normalisations, 32.
    pub groups: usize,
    /// What a latent is multiplied by for the UNet, 0.18215.
    pub scale_factor: f32,
}

impl VaeConfig {
    /// Pixels along one edge of the square that one latent pixel stands for, 8.
    pub fn downscale(&self) -> usize {
        1 << (self.channels.len().saturating_sub(1))
    }
}
