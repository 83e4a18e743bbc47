//! What a trajectory asks of the networks, and what it wants back. It never calls a model itself.

use crate::{PlacedEmbedding, TrajectoryError};
use impasto_models::SelfAttention;
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which of an image's models is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ModelSlot {
    /// The one that begins.
    #[default]
    First,
    /// That of the second pass.
    Second,
    /// The one that makes the last steps.
    Refiner,
}

/// The next thing a trajectory needs.
#[derive(Debug, Clone)]
pub enum Step {
    /// Text vectors of some token chunks. Answer: [`Answer::Text`].
    EncodeText(TextQuery),
    /// The UNet's raw output for some rows. Answer: [`Answer::Output`].
    Denoise(DenoiseQuery),
    /// The latent of pixels. Answer: [`Answer::Encoded`].
    EncodeImage(EncodeQuery),
    /// A larger picture, by a network. Answer: [`Answer::Upscaled`].
    Upscale(UpscaleQuery),
    /// Pixels of a latent. Answer: [`Answer::Decoded`].
    Decode(DecodeQuery),
    /// Nothing: here is the picture.
    Done(Picture),
}

/// What an adapter changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AdapterKind {
    /// Weights of layers.
    #[default]
    Weights,
    /// What the UNet's pixels attend to: a hypernetwork.
    Attended,
}

/// An adapter, and how strongly it acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdapterUse {
    /// Which it is, to whoever answers.
    pub id: String,
    /// What it changes.
    #[serde(default)]
    pub kind: AdapterKind,
    /// Strength in the text encoder.
    pub text_encoder: f32,
    /// Strength in the UNet.
    pub unet: f32,
    /// How much of its rank to use; all if `None`.
    pub rank: Option<u32>,
}

/// Chunks of tokens to run through the text encoder, all at once.
#[derive(Debug, Clone, PartialEq)]
pub struct TextQuery {
    /// 77 token ids each.
    pub chunks: Vec<Vec<u32>>,
    /// Embeddings in each chunk.
    pub embeddings: Vec<Vec<PlacedEmbedding>>,
    /// Layers to stop before the end; 1 for none skipped.
    pub clip_skip: u32,
    /// What changes the text encoder.
    pub adapters: Arc<[AdapterUse]>,
}

/// Rows to run through the UNet, in one call if the engine likes.
#[derive(Debug, Clone)]
pub struct DenoiseQuery {
    /// The rows: one for each part of the prompt and, unless it is left out at this step, one for the negative prompt, always
    /// in this order. They share latent and timestep and differ in context.
    pub rows: Vec<DenoiseRow>,
}

/// One row of a UNet call.
#[derive(Debug, Clone)]
pub struct DenoiseRow {
    /// Scaled latent and, for models that are told of a picture, what they are told behind it: `[channels, height, width]`.
    pub latent: Arc<Array>,
    /// Training time, 0 to 999; may lie between two.
    pub timestep: f32,
    /// Text vectors, `[tokens, features]`.
    pub context: Arc<Array>,
    /// How much of the UNet is to run.
    pub depth: Depth,
    /// How its pixels are to attend to each other.
    pub self_attention: SelfAttention,
    /// What changes the UNet for it.
    pub adapters: Arc<[AdapterUse]>,
    /// Whether the picture goes on beyond its edges as on the other side.
    pub tiling: bool,
}

/// How much of the UNet a row takes (DeepCache: Ma, Fang and Wang 2024). What the deeper stages make of a latent changes
/// little from step to step.
#[derive(Debug, Clone)]
pub enum Depth {
    /// All of it.
    Whole,
    /// All of it; the answer has to bring the features that enter the outermost `stages` stages on the way up.
    Keep {
        /// At least 1.
        stages: usize,
    },
    /// The outermost stages alone, on features kept from an earlier step.
    Reuse {
        /// As when they were kept.
        stages: usize,
        /// What the answer to [`Depth::Keep`] brought, as it came.
        features: Arc<Array>,
    },
}

/// What the UNet gave for one row.
#[derive(Debug, Clone)]
pub struct RowOutput {
    /// `[channels, height, width]`.
    pub output: Array,
    /// What [`Depth::Keep`] asks for. Its shape is the UNet's own affair.
    pub features: Option<Arc<Array>>,
}

/// A latent to decode.
#[derive(Debug, Clone)]
pub struct DecodeQuery {
    /// `[channels, height, width]`, in the UNet's scale.
    pub latent: Arc<Array>,
    /// Whether the picture goes on beyond its edges as on the other side.
    pub tiling: bool,
}

/// Pixels to encode.
#[derive(Debug, Clone)]
pub struct EncodeQuery {
    /// `[3, height, width]`, -1 to 1.
    pub pixels: Arc<Array>,
    /// Whether the picture goes on beyond its edges as on the other side.
    pub tiling: bool,
}

/// A picture to enlarge.
#[derive(Debug, Clone)]
pub struct UpscaleQuery {
    /// The picture.
    pub picture: Picture,
    /// The network's name.
    pub upscaler: String,
    /// Edge and overlap of tiles, in pixels.
    pub tiles: [u32; 2],
    /// Width and height in pixels that are wanted. The answer need not have them: it is stretched.
    pub size: (u32, u32),
}

/// What the networks gave.
#[derive(Debug, Clone)]
pub enum Answer {
    /// `[channels, height, width]`, in the UNet's scale.
    Encoded(Array),
    /// The larger picture.
    Upscaled(Picture),
    /// `[chunks, 77, features]`.
    Text(Array),
    /// One for each row.
    Output(Vec<RowOutput>),
    /// `[3, height, width]`, -1 to 1, not clamped.
    Decoded(Array),
}

/// A finished picture: 8-bit RGB, row-major, no padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// `3 * width * height` bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// The picture of decoded values `[3, height, width]` from -1 to 1, clamped and, as A1111 does, cut off rather than
    /// rounded.
    pub fn from_decoded(decoded: &Array) -> Result<Self, TrajectoryError> {
        let &[3, height, width] = decoded.shape() else {
            return Err(TrajectoryError::answer(
                "pixels [3, height, width]",
                format!("{:?}", decoded.shape()),
            ));
        };
        let size = height * width;
        let byte = |value: f32| (f32::midpoint(value, 1.0).clamp(0.0, 1.0) * 255.0) as u8;
        let planes = decoded.data();
        let rgb = (0..size).flat_map(|at| [0, 1, 2].map(|plane| byte(planes[plane * size + at]))).collect();
        Ok(Self { width: width as u32, height: height as u32, rgb })
    }
}
