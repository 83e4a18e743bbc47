//! Spatial transformer (Rombach et al. 2022, section 3.3): pixels attend to each other and to the text.

use super::self_attention::{Pattern, inverse};
use super::{Linear, Norm, Place, Run, SelfAttention, Source};
use crate::ModelError;
use impasto_tensor::{Activation, Array, AttentionArgs, Backend, LinearArgs, Precision, TensorError};

/// Epsilon of the layer normalisations.
const LAYER_NORM: f32 = 1e-5;
/// Epsilon of the group normalisation before the first projection.
const GROUP_NORM: f32 = 1e-6;

/// Keys and values of one text at one block, both `[tokens, channels]`. They depend on the text alone.
#[derive(Debug, Clone)]
pub struct Keys<T> {
    /// What queries are compared with.
    pub key: T,
    /// What is taken where they agree.
    pub value: T,
}

/// What the pixels of each row of a batch attend to at one transformer: a text, as each block sees it. Texts may differ in
/// length.
#[derive(Debug, Clone)]
pub struct Context<T> {
    /// For each row, one for each block.
    pub rows: Vec<Vec<Keys<T>>>,
}

/// Keys and values of all rows side by side.
struct JoinedKeys<T> {
    /// `[batch, longest, channels]`.
    keys: Keys<T>,
    lengths: Vec<usize>,
}

impl<T: Clone> Context<T> {
    /// The rows' keys at `block`, the shorter ones filled up with zeros that nothing looks at.
    fn join<B: Backend<Tensor = T>>(
        &self,
        backend: &Run<'_, B>,
        block: usize,
    ) -> Result<JoinedKeys<T>, TensorError> {
        let missing = || TensorError::shape("transformer", "a context for fewer blocks than there are");
        let rows: Vec<&Keys<T>> =
            self.rows.iter().map(|row| row.get(block).ok_or_else(missing)).collect::<Result<_, _>>()?;
        let lengths: Vec<usize> =
            rows.iter().map(|row| backend.shape(&row.key).first().copied().unwrap_or(0)).collect();
        let join = |of: fn(&Keys<T>) -> &T| {
            let parts: Vec<&T> = rows.iter().map(|row| of(row)).collect();
            join_padded(backend, &parts, &lengths)
        };
        let keys = Keys { key: join(|row| &row.key)?, value: join(|row| &row.value)? };
        Ok(JoinedKeys { keys, lengths })
    }
}

/// `[tokens, features]` of each row to `[batch, longest, features]`.
fn join_padded<B: Backend>(
    backend: &Run<'_, B>,
    parts: &[&B::Tensor],
    lengths: &[usize],
) -> Result<B::Tensor, TensorError> {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let features = parts.first().and_then(|part| backend.shape(part).last().copied()).unwrap_or(0);
    let shape = [parts.len(), longest, features];
    if let [alone] = parts {
        return backend.reshape(alone, &shape);
    }
    let filled = |length: usize| backend.upload(&Array::zeros([longest - length, features]));
    let padding: Vec<Option<B::Tensor>> = (lengths.iter())
        .map(|&length| (length < longest).then(|| filled(length)).transpose())
        .collect::<Result<_, _>>()?;
    let pieces: Vec<&B::Tensor> = parts
        .iter()
        .zip(&padding)
        .flat_map(|(part, padding)| [Some(*part), padding.as_ref()])
        .flatten()
        .collect();
    backend.reshape(&backend.concat_rows(&pieces)?, &shape)
}

/// Sizes of a spatial transformer.
#[derive(Debug, Clone, Copy)]
pub struct TransformerSizes {
    /// Features of a pixel.
    pub channels: usize,
    /// Features of a context token.
    pub context_features: usize,
    /// Attention heads.
    pub heads: usize,
    /// Blocks after each other.
    pub depth: usize,
    /// Groups of the group normalisation.
    pub groups: usize,
}

/// `x + proj_out(blocks(proj_in(norm(x))))`.
#[derive(Debug)]
pub struct SpatialTransformer<B: Backend> {
    norm: Norm<B>,
    project_in: Linear<B>,
    blocks: Vec<Block<B>>,
    project_out: Linear<B>,
    groups: usize,
}

impl<B: Backend> SpatialTransformer<B> {
    /// Loads a transformer.
    pub fn load(source: &Source<'_, B>, sizes: TransformerSizes) -> Result<Self, ModelError> {
        let c = sizes.channels;
        Ok(Self {
            norm: source.norm("norm", c)?,
            project_in: source.linear("proj_in", c, c)?,
            blocks: (0..sizes.depth)
                .map(|i| Block::load(&source.at(format!("transformer_blocks.{i}")), sizes))
                .collect::<Result<_, _>>()?,
            project_out: source.linear("proj_out", c, c)?,
            groups: sizes.groups,
        })
    }

    /// The keys and values of a text `[tokens, features]` at each block.
    pub fn project_context(
        &self,
        backend: &Run<'_, B>,
        tokens: &B::Tensor,
    ) -> Result<Vec<Keys<B::Tensor>>, TensorError> {
        self.blocks.iter().map(|block| block.to_context.keys(backend, tokens)).collect()
    }

    /// `[batch, height, width, channels]` to the same. `self_attention` has an entry for each row, or none at all.
    pub fn forward(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        context: &Context<B::Tensor>,
        self_attention: &[SelfAttention],
        place: Place,
    ) -> Result<B::Tensor, TensorError> {
        let &[b, h, w, c] = backend.shape(x) else {
            return Err(TensorError::shape("transformer", format!("{:?} is no picture", backend.shape(x))));
        };
        let pixels = backend.reshape(x, &[b, h * w, c])?;
        let normal =
            backend.group_norm(&pixels, &self.norm, self.groups, GROUP_NORM, Activation::Identity)?;
        let mut hidden = backend.linear(&normal, &self.project_in, LinearArgs::default())?;
        for (index, block) in self.blocks.iter().enumerate() {
            let pixels = Pixels { self_attention, size: [h, w], place, block: index };
            hidden = block.forward(backend, &hidden, &pixels, &context.join(backend, index)?)?;
        }
        let residual = LinearArgs { residual: Some(&pixels), ..LinearArgs::default() };
        backend.reshape(&backend.linear(&hidden, &self.project_out, residual)?, &[b, h, w, c])
    }
}

/// Which pixels a block's pixels attend to.
struct Pixels<'a> {
    self_attention: &'a [SelfAttention],
    /// Height and width.
    size: [usize; 2],
    place: Place,
    block: usize,
}

/// Self-attention, cross-attention and a gated feed-forward part, each after a normalisation and added to its input.
#[derive(Debug)]
struct Block<B: Backend> {
    norms: [Norm<B>; 3],
    to_pixels: Attention<B>,
    to_context: Attention<B>,
    expand: Linear<B>,
    contract: Linear<B>,
}

impl<B: Backend> Block<B> {
    fn load(source: &Source<'_, B>, sizes: TransformerSizes) -> Result<Self, ModelError> {
        let c = sizes.channels;
        Ok(Self {
            norms: [source.norm("norm1", c)?, source.norm("norm2", c)?, source.norm("norm3", c)?],
            to_pixels: Attention::load(&source.at("attn1"), c, c, sizes.heads)?,
            to_context: Attention::load(&source.at("attn2"), c, sizes.context_features, sizes.heads)?,
            // Values and gates side by side, each four times as wide as a pixel.
            expand: source.linear("ff.net.0.proj", c, 8 * c)?,
            contract: source.linear("ff.net.2", 4 * c, c)?,
        })
    }

    fn forward(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        pixels: &Pixels<'_>,
        context: &JoinedKeys<B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        let [before_pixels, before_context, before_feed_forward] = &self.norms;
        let mut normal = backend.layer_norm(x, before_pixels, LAYER_NORM)?;
        let mut x = self.attend_to_pixels(backend, x, &normal, pixels)?;
        normal = backend.layer_norm(&x, before_context, LAYER_NORM)?;
        x = self.to_context.forward(backend, &normal, &context.keys, Some(&context.lengths), &x)?;
        normal = backend.layer_norm(&x, before_feed_forward, LAYER_NORM)?;
        let hidden = backend.geglu(&backend.linear(&normal, &self.expand, LinearArgs::default())?)?;
        backend.linear(&hidden, &self.contract, LinearArgs { residual: Some(&x), ..LinearArgs::default() })
    }

    /// `x + self-attention(normal)`. Rows that want less than the whole are run one by one.
    fn attend_to_pixels(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        normal: &B::Tensor,
        pixels: &Pixels<'_>,
    ) -> Result<B::Tensor, TensorError> {
        if pixels.self_attention.iter().all(|row| *row == SelfAttention::default()) {
            let keys = self.to_pixels.keys(backend, normal)?;
            return self.to_pixels.forward(backend, normal, &keys, None, x);
        }
        let rows: Vec<B::Tensor> = (pixels.self_attention.iter().enumerate())
            .map(|(row, how)| {
                let of = |tensor| backend.rows(tensor, row, row + 1);
                self.attend_in_row(&backend.row(row), &of(x)?, &of(normal)?, *how, pixels)
            })
            .collect::<Result<_, _>>()?;
        backend.concat_rows(&rows.iter().collect::<Vec<_>>())
    }

    /// The same for one row.
    fn attend_in_row(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        normal: &B::Tensor,
        how: SelfAttention,
        pixels: &Pixels<'_>,
    ) -> Result<B::Tensor, TensorError> {
        let &[_, count, features] = backend.shape(x) else {
            return Err(TensorError::shape("transformer", format!("{:?} are no pixels", backend.shape(x))));
        };
        let flat = |tensor| backend.reshape(tensor, &[count, features]);
        let attention = &self.to_pixels;
        match how.pattern(&**backend, &flat(x)?, pixels.size, pixels.place, pixels.block)? {
            Pattern::Whole => {
                let keys = attention.keys(backend, normal)?;
                attention.forward(backend, normal, &keys, None, x)
            }
            Pattern::Tiled(order, tiles) => {
                let ends: Vec<u32> = (1..=count as u32).collect();
                let tiled = backend.gather_mean(&flat(normal)?, &order, &ends)?;
                let tiled = backend.reshape(&tiled, &[tiles, count / tiles, features])?;
                let keys = attention.keys(backend, &tiled)?;
                let attended = flat(&attention.attend(backend, &tiled, &keys, None)?)?;
                let attended = backend.gather_mean(&attended, &inverse(&order), &ends)?;
                attention.project_out(backend, &backend.reshape(&attended, &[1, count, features])?, Some(x))
            }
            Pattern::Merged(merging) => {
                let merged = backend.gather_mean(&flat(normal)?, &merging.members, &merging.ends)?;
                let merged = backend.reshape(&merged, &[1, merging.ends.len(), features])?;
                let keys = attention.keys(backend, &merged)?;
                let attended = attention.attend(backend, &merged, &keys, None)?;
                let out = attention.project_out(backend, &attended, None)?;
                let out = backend.reshape(&out, &[merging.ends.len(), features])?;
                let ends: Vec<u32> = (1..=count as u32).collect();
                let out = backend.gather_mean(&out, &merging.token_of, &ends)?;
                backend.add(&backend.reshape(&out, &[1, count, features])?, x)
            }
        }
    }
}

/// Multi-head attention with its four projections.
#[derive(Debug)]
struct Attention<B: Backend> {
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    out: Linear<B>,
    heads: usize,
    precision: Precision,
}

impl<B: Backend> Attention<B> {
    fn load(
        source: &Source<'_, B>,
        features: usize,
        key_features: usize,
        heads: usize,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            query: source.linear_without_bias("to_q", features, features)?,
            key: source.linear_without_bias("to_k", key_features, features)?,
            value: source.linear_without_bias("to_v", key_features, features)?,
            out: source.linear("to_out.0", features, features)?,
            heads,
            precision: source.precision(),
        })
    }

    /// Keys and values of what is attended to, of its shape but for the features.
    fn keys(&self, backend: &Run<'_, B>, x: &B::Tensor) -> Result<Keys<B::Tensor>, TensorError> {
        let [for_keys, for_values] = backend.attended(x)?;
        let project = |x, weights| backend.linear(x, weights, LinearArgs::default());
        Ok(Keys { key: project(&for_keys, &self.key)?, value: project(&for_values, &self.value)? })
    }

    /// `residual + out(attention(x, keys))`.
    fn forward(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        keys: &Keys<B::Tensor>,
        key_lengths: Option<&[usize]>,
        residual: &B::Tensor,
    ) -> Result<B::Tensor, TensorError> {
        let attended = self.attend(backend, x, keys, key_lengths)?;
        self.project_out(backend, &attended, Some(residual))
    }

    /// `attention(x, keys)`.
    fn attend(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        keys: &Keys<B::Tensor>,
        key_lengths: Option<&[usize]>,
    ) -> Result<B::Tensor, TensorError> {
        let query = backend.linear(x, &self.query, LinearArgs::default())?;
        let args = AttentionArgs { heads: self.heads, causal: false, key_lengths, precision: self.precision };
        backend.attention(&query, &keys.key, &keys.value, args)
    }

    /// `residual + out(attended)`.
    fn project_out(
        &self,
        backend: &Run<'_, B>,
        attended: &B::Tensor,
        residual: Option<&B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        backend.linear(attended, &self.out, LinearArgs { residual, ..LinearArgs::default() })
    }
}
