//! What a UNet makes of a time, with its label, and of a text before it looks at any latent: computed once, used for every step and row.

use crate::AdapterSet;
use crate::blocks::{Keys, SelfAttention};
use impasto_tensor::{Array, Backend};

/// Most tokens of a text whose keys and values are kept. At the full width of Stable Diffusion 1.5 a token's take 100 KB
/// over all layers. Those of longer texts are computed anew at each use, layer by layer.
pub(super) const KEPT_TOKENS: usize = 8 * 77;

/// A diffusion time, and the label beside it if there is one, as each stage of a UNet sees it.
#[derive(Debug)]
pub struct UNetTime<B: Backend> {
    /// `[1, channels]` for each stage.
    pub(super) stages: Vec<B::Tensor>,
}

/// A text as each transformer of a UNet sees it.
#[derive(Debug)]
pub struct UNetContext<B: Backend> {
    /// The text, `[tokens, features]`.
    pub(super) tokens: B::Tensor,
    /// Keys and values for each stage and block, unless the text is too long for that.
    pub(super) stages: Option<Vec<Vec<Keys<B::Tensor>>>>,
}

/// What one row of a UNet call takes beside its latent.
#[derive(Debug)]
pub struct UNetRow<'a, B: Backend> {
    /// How noisy the latent is.
    pub time: &'a UNetTime<B>,
    /// What it is to show.
    pub context: &'a UNetContext<B>,
    /// How its pixels attend to each other.
    pub self_attention: SelfAttention,
    /// Whether the picture goes on beyond its edges as on the other side: all rows of a call are alike in this.
    pub tiling: bool,
    /// What changes the network for it; those with which its time and context were prepared.
    pub adapters: Option<&'a AdapterSet<B>>,
}

/// How much of the network a call runs (DeepCache: Ma, Fang and Wang 2024). `stages` counts stages on the way up from the
/// output, and as many parts of the way down from the input; it is brought between 1 and all but one.
#[derive(Debug, Clone, Copy)]
pub enum UNetDepth<'a> {
    /// All of it.
    Whole,
    /// All of it, and what enters the outermost stages is given back.
    Keep {
        /// How many.
        stages: usize,
    },
    /// The outermost stages alone, on what was given back before.
    Reuse {
        /// As when it was kept.
        stages: usize,
        /// [`UNetOutput::features`], a row of it for each row of the call.
        features: &'a Array,
    },
}

/// What a UNet call gives.
#[derive(Debug, Clone, PartialEq)]
pub struct UNetOutput {
    /// `[n, out channels, height, width]`.
    pub output: Array,
    /// What entered the outermost stages, if it was to be kept: `[n, height, width, channels]`.
    pub features: Option<Array>,
}
