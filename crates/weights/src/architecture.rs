//! What a checkpoint's networks look like: sizes read off the tensors' shapes, and the few facts shapes cannot tell.

/// The networks of a Stable Diffusion checkpoint, 1.x or XL base.
#[derive(Debug, Clone, PartialEq)]
pub struct StableDiffusionConfig {
    /// The text encoder, in XL the first of two.
    pub text: ClipTextConfig,
    /// The second text encoder of XL.
    pub second_text: Option<ClipTextConfig>,
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
        Self {
            text: ClipTextConfig::VIT_L,
            second_text: None,
            unet: UNetConfig {
                in_channels: 4,
                out_channels: 4,
                model_channels: 320,
                time_features: 1280,
                levels: levels(&[(320, 1), (640, 1), (1280, 1), (1280, 0)]),
                middle_depth: 1,
                context_features: 768,
                label_features: None,
                heads: Heads::Count(8),
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

    /// Stable Diffusion XL base 1.0 (Podell et al. 2023, table 1; `sd_xl_base.yaml`).
    pub fn stable_diffusion_xl() -> Self {
        let first = Self::stable_diffusion_1_5();
        Self {
            second_text: Some(ClipTextConfig::OPEN_VIT_BIG_G),
            unet: UNetConfig {
                levels: levels(&[(320, 0), (640, 2), (1280, 10)]),
                middle_depth: 10,
                context_features: 768 + 1280,
                label_features: Some(1280 + 6 * 256),
                heads: Heads::Features(64),
                ..first.unet
            },
            vae: VaeConfig { scale_factor: 0.13025, ..first.vae },
            native_size: (1024, 1024),
            ..first
        }
    }
}

/// Levels of two residual blocks, by channels and transformer blocks.
fn levels(sizes: &[(usize, usize)]) -> Vec<UNetLevel> {
    let level = |&(channels, transformer_depth)| UNetLevel { channels, res_blocks: 2, transformer_depth };
    sizes.iter().map(level).collect()
}

/// What the UNet's output means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prediction {
    /// The noise (Ho et al. 2020).
    Epsilon,
    /// The velocity (Salimans and Ho 2022).
    Velocity,
}

/// CLIP text encoder (Radford et al. 2021), `OpenAI`'s or `OpenCLIP`'s.
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
    /// Whether the feed-forward part has the first CLIP's approximation of GELU rather than GELU itself.
    pub quick_gelu: bool,
    /// Features of the text as a whole, where it is projected to such.
    pub pooled: Option<usize>,
}

impl ClipTextConfig {
    /// Of OpenAI's ViT-L/14.
    const VIT_L: Self = Self {
        vocabulary: 49408,
        positions: 77,
        width: 768,
        layers: 12,
        heads: 12,
        hidden: 3072,
        quick_gelu: true,
        pooled: None,
    };

    /// Of `OpenCLIP`'s ViT-bigG/14 (Cherti et al. 2023).
    const OPEN_VIT_BIG_G: Self = Self {
        vocabulary: 49408,
        positions: 77,
        width: 1280,
        layers: 32,
        heads: 20,
        hidden: 5120,
        quick_gelu: false,
        pooled: Some(1280),
    };
}

/// How a UNet's transformers split their channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// Into so many at every level; 8 in Stable Diffusion 1.x.
    Count(usize),
    /// Into heads of so many channels; 64 in XL.
    Features(usize),
}

impl Heads {
    /// How many there are in a transformer of `channels`.
    pub fn of(self, channels: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Features(features) => channels / features.max(1),
        }
    }
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
    /// Features of a context token: those of all text encoders together.
    pub context_features: usize,
    /// Features of what XL is told beside time and text: the text as a whole, and six sizes of the picture as waves.
    pub label_features: Option<usize>,
    /// Attention heads.
    pub heads: Heads,
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
    /// What a latent is multiplied by for the UNet: 0.18215, in XL 0.13025.
    pub scale_factor: f32,
}

impl VaeConfig {
    /// Pixels along one edge of the square that one latent pixel stands for, 8.
    pub fn downscale(&self) -> usize {
        1 << (self.channels.len().saturating_sub(1))
    }
}
