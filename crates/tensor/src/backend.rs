//! The `Backend` trait: the coarse operations a device must offer.
//!
//! Conventions. Pictures are `[batch, height, width, channels]`, token sequences `[batch, tokens, features]`; a picture
//! may be [`reshape`](Backend::reshape)d to the sequence of its pixels and back, which costs nothing. Weights come in
//! PyTorch's layout (`[out, in]`, `[out, in, kernel height, kernel width]`). Operations take references and return new
//! tensors; reusing buffers is the backend's matter. The result for one batch row never depends on the other rows, on
//! the number of threads or on timing: every output element is summed in an order that shape alone decides.
//!
//! Every operation checks its shapes and answers [`TensorError::Shape`] rather than panicking, since the shapes of a
//! hostile checkpoint reach it.

use crate::{Array, Curve, TensorError, WeightView};
use std::fmt::Debug;
use std::ops::Range;

/// A function applied to each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Activation {
    /// The element itself.
    #[default]
    Identity,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * Phi(x)`, with the exact error function, as PyTorch's default.
    Gelu,
    /// `x * sigmoid(1.702 * x)`, as in the first CLIP.
    QuickGelu,
    /// `x` where it is positive, `0.2 x` elsewhere (Maas et al. 2013), as in ESRGAN.
    LeakyRelu,
}

/// What lies beyond the border of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum PaddingMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The opposite border, so that the picture tiles.
    Circular,
}

/// How a layer's weights are held and multiplied, and how attention multiplies.
///
/// A backend that lacks a precision, or has it not for operations of a shape, takes the next wider one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Weights and activations as bytes with scales, sums in 32 bits (W8A8): less memory and time, and less exact. In attention
    /// queries, keys, values and what they are weighted with.
    Int8,
}

impl Precision {
    /// Every precision, the widest first.
    pub const ALL: [Self; 2] = [Self::F32, Self::Int8];

    /// Its name, as settings and infotexts have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
    }

    /// The precision of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }
}

/// What is fixed about a convolution when its weights are prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2dConfig {
    /// Step between output pixels, in both directions.
    pub stride: usize,
    /// Pixels added at the top, bottom, left and right.
    pub padding: [usize; 4],
}

impl Conv2dConfig {
    /// Stride 1 with the same padding on all sides.
    pub const fn padded(padding: usize) -> Self {
        Self { stride: 1, padding: [padding; 4] }
    }

    /// Whether there is as much padding on one side as on the other.
    pub fn is_symmetric(&self) -> bool {
        let [top, bottom, left, right] = self.padding;
        top == bottom && left == right
    }
}

/// What may be fused with [`Backend::linear`]: `activation(x W^T + bias + adapters) + residual`.
#[derive(Debug)]
pub struct LinearArgs<'a, B: Backend> {
    /// Applied after the bias and the adapters.
    pub activation: Activation,
    /// Added at the end; of the output's shape.
    pub residual: Option<&'a B::Tensor>,
    /// Low-rank changes, each for some of the rows; a row may have several.
    pub adapters: &'a [RowAdapter<'a, B>],
}

impl<B: Backend> Default for LinearArgs<'_, B> {
    fn default() -> Self {
        Self { activation: Activation::Identity, residual: None, adapters: &[] }
    }
}

/// What some rows of a call have added to a linear layer: `scale * up(down(x))` (Hu et al. 2021).
#[derive(Debug)]
pub struct RowAdapter<'a, B: Backend> {
    /// Which rows of the first dimension, at least one.
    pub rows: Range<usize>,
    /// `down` and `up`, of the layer's inputs and outputs.
    pub weights: &'a B::LowRank,
    /// What the change is multiplied by.
    pub scale: f32,
}

/// What may be fused with [`Backend::conv2d`]: `prelu(activation(conv(x) + bias + row_bias)) + residual`.
#[derive(Debug)]
pub struct Conv2dArgs<'a, T> {
    /// `[batch, out channels]`, added to every pixel of its row: the time embedding of a residual block.
    pub row_bias: Option<&'a T>,
    /// Applied after the biases.
    pub activation: Activation,
    /// `[out channels]`, what elements below zero are multiplied by after that: the `PReLU` of He et al. (2015).
    pub slopes: Option<&'a T>,
    /// Added at the end; of the output's shape.
    pub residual: Option<&'a T>,
    /// How the border is filled.
    pub padding_mode: PaddingMode,
}

impl<T> Default for Conv2dArgs<'_, T> {
    fn default() -> Self {
        Self {
            row_bias: None,
            activation: Activation::Identity,
            slopes: None,
            residual: None,
            padding_mode: PaddingMode::Zeros,
        }
    }
}

/// How [`Backend::attention`] is to attend.
#[derive(Debug, Clone, Copy)]
pub struct AttentionArgs<'a> {
    /// Number of heads; the feature size is a multiple of it. Scores are scaled by `1 / sqrt(features / heads)`.
    pub heads: usize,
    /// Whether query `i` sees keys `0..=i` only.
    pub causal: bool,
    /// How many keys each batch row has, where rows of different length share a call; the rest is not looked at.
    pub key_lengths: Option<&'a [usize]>,
    /// How the products are computed.
    pub precision: Precision,
}

impl AttentionArgs<'_> {
    /// Every query sees every key, in single precision.
    pub const fn new(heads: usize) -> Self {
        Self { heads, causal: false, key_lengths: None, precision: Precision::F32 }
    }
}

/// Ways to enlarge a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resample {
    /// Every pixel becomes a square of `factor` by `factor` pixels.
    Nearest {
        /// Enlargement in both directions.
        factor: usize,
    },
    /// The channels `c factor^2 + y factor + x` of a pixel become channel `c` of pixel `(y, x)` of its square (Shi et al. 2016).
    PixelShuffle {
        /// Enlargement in both directions.
        factor: usize,
    },
}

/// A device that runs the networks.
pub trait Backend: Send + Sync + Sized + 'static {
    /// An `f32` tensor of the device. Cloning is cheap and shares the elements.
    type Tensor: Clone + Debug + Send + Sync;
    /// Prepared weights of a linear layer.
    type Linear: Debug + Send + Sync;
    /// Prepared weights of a low-rank change of a linear layer.
    type LowRank: Debug + Send + Sync;
    /// Prepared weights of a convolution.
    type Conv2d: Debug + Send + Sync;
    /// Prepared scale and shift of a normalisation.
    type Norm: Debug + Send + Sync;
    /// A prepared table of embedding vectors.
    type Embedding: Debug + Send + Sync;

    /// Name, instruction set and threads in a few words, such as `cpu avx512 2 threads`.
    fn describe(&self) -> String;

    /// Names the form in which this backend prepares weights, if that may be kept from one run of the program to the next: what
    /// was kept under another name cannot be used.
    fn prepared_form(&self) -> Option<String> {
        None
    }

    /// Prepares `weight` `[out, in]` and `bias` `[out]`.
    fn prepare_linear(
        &self,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        precision: Precision,
    ) -> Result<Self::Linear, TensorError>;

    /// Prepares `down` `[rank, in]` and `up` `[out, rank]`, in single precision.
    fn prepare_low_rank(
        &self,
        down: &WeightView<'_>,
        up: &WeightView<'_>,
    ) -> Result<Self::LowRank, TensorError>;

    /// Prepares `weight` `[out, in, kernel height, kernel width]` and `bias` `[out]`.
    fn prepare_conv2d(
        &self,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        config: Conv2dConfig,
        precision: Precision,
    ) -> Result<Self::Conv2d, TensorError>;

    /// Prepares `scale` and `shift`, both `[features]`.
    fn prepare_norm(&self, scale: &WeightView<'_>, shift: &WeightView<'_>)
    -> Result<Self::Norm, TensorError>;

    /// Prepares `table` `[rows, features]`.
    fn prepare_embedding(&self, table: &WeightView<'_>) -> Result<Self::Embedding, TensorError>;

    /// Bytes that the prepared weights of this backend occupy now, all models together.
    fn weight_bytes(&self) -> usize;

    /// Copies an array to the device.
    fn upload(&self, array: &Array) -> Result<Self::Tensor, TensorError>;

    /// Copies a tensor to the host.
    fn download(&self, tensor: &Self::Tensor) -> Result<Array, TensorError>;

    /// Sizes, outermost first.
    fn shape<'a>(&self, tensor: &'a Self::Tensor) -> &'a [usize];

    /// The same elements under another shape of equal size. Costs nothing.
    fn reshape(&self, tensor: &Self::Tensor, shape: &[usize]) -> Result<Self::Tensor, TensorError>;

    /// `activation(x W^T + bias + adapters) + residual`, over the last dimension of `x` `[.., in]`; gives `[.., out]`. With adapters
    /// `x` is `[rows, .., in]`.
    fn linear(
        &self,
        x: &Self::Tensor,
        weights: &Self::Linear,
        args: LinearArgs<'_, Self>,
    ) -> Result<Self::Tensor, TensorError>;

    /// Cross-correlation of `x` `[batch, height, width, in]`; gives `[batch, height', width', out]`.
    fn conv2d(
        &self,
        x: &Self::Tensor,
        weights: &Self::Conv2d,
        args: Conv2dArgs<'_, Self::Tensor>,
    ) -> Result<Self::Tensor, TensorError>;

    /// Group normalisation (Wu and He 2018) over the last dimension's groups and all pixels of a row, for
    /// `[batch, .., features]`, then `activation`.
    fn group_norm(
        &self,
        x: &Self::Tensor,
        norm: &Self::Norm,
        groups: usize,
        epsilon: f32,
        activation: Activation,
    ) -> Result<Self::Tensor, TensorError>;

    /// Layer normalisation over the last dimension.
    fn layer_norm(
        &self,
        x: &Self::Tensor,
        norm: &Self::Norm,
        epsilon: f32,
    ) -> Result<Self::Tensor, TensorError>;

    /// `softmax(q k^T / sqrt(d)) v` for each head. `query` is `[batch, n, features]`, `key` and `value`
    /// `[batch, m, features]`; heads are slices of the features. Gives `[batch, n, features]`.
    fn attention(
        &self,
        query: &Self::Tensor,
        key: &Self::Tensor,
        value: &Self::Tensor,
        args: AttentionArgs<'_>,
    ) -> Result<Self::Tensor, TensorError>;

    /// Gated GELU (Shazeer 2020): `[.., 2 n]` to `[.., n]`, the first half times the exact GELU of the second.
    fn geglu(&self, x: &Self::Tensor) -> Result<Self::Tensor, TensorError>;

    /// Applies a function to each element.
    fn activate(&self, x: &Self::Tensor, activation: Activation) -> Result<Self::Tensor, TensorError>;

    /// Applies one of the functions that only foreign networks have to each element.
    fn curve(&self, x: &Self::Tensor, curve: Curve) -> Result<Self::Tensor, TensorError>;

    /// `a + b`, of equal shapes.
    fn add(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor, TensorError>;

    /// `a * factor`.
    fn scale(&self, a: &Self::Tensor, factor: f32) -> Result<Self::Tensor, TensorError>;

    /// Joins tensors along their last dimension.
    fn concat(&self, parts: &[&Self::Tensor]) -> Result<Self::Tensor, TensorError>;

    /// Columns `start..end` of the last dimension.
    fn columns(&self, x: &Self::Tensor, start: usize, end: usize) -> Result<Self::Tensor, TensorError>;

    /// Joins tensors along their first dimension.
    fn concat_rows(&self, parts: &[&Self::Tensor]) -> Result<Self::Tensor, TensorError>;

    /// Rows `start..end` of the first dimension.
    fn rows(&self, x: &Self::Tensor, start: usize, end: usize) -> Result<Self::Tensor, TensorError>;

    /// Tokens made of the tokens `[n, features]` of `x`: each is the mean of its members, summed in their order. Those of
    /// the first are `members[..ends[0]]`, of the next `members[ends[0]..ends[1]]`, and so on to the last member; a
    /// token without members is an error, and so is a member beyond `n`. Gives `[ends.len(), features]`.
    fn gather_mean(
        &self,
        x: &Self::Tensor,
        members: &[u32],
        ends: &[u32],
    ) -> Result<Self::Tensor, TensorError>;

    /// Enlarges a picture.
    fn resample(&self, x: &Self::Tensor, how: Resample) -> Result<Self::Tensor, TensorError>;

    /// The vectors of `ids`, `[batch, tokens]` row-major: `[batch, tokens, features]`. An id beyond the table is an
    /// error.
    fn embedding(
        &self,
        table: &Self::Embedding,
        ids: &[u32],
        batch: usize,
    ) -> Result<Self::Tensor, TensorError>;

    /// Sinusoidal embedding of diffusion time, `[batch, features]`: cosines in the first half, sines in the second, of
    /// `t * 10000^(-i / (features / 2))`.
    fn timestep_embedding(&self, timesteps: &[f32], features: usize) -> Result<Self::Tensor, TensorError>;
}
