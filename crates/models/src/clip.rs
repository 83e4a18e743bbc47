//! CLIP's text encoder (Radford et al. 2021), OpenAI's and OpenCLIP's: a causal transformer over 77 tokens.

use crate::AdapterSet;
use crate::ModelError;
use crate::blocks::{Linear, Norm, Run, Source};
use impasto_tensor::{Activation, Array, AttentionArgs, Backend, LinearArgs, TensorError};
use impasto_weights::ClipTextConfig;
use std::sync::Arc;

/// Epsilon of the layer normalisations.
const EPSILON: f32 = 1e-5;

/// A CLIP text encoder.
#[derive(Debug)]
pub struct ClipText<B: Backend> {
    backend: Arc<B>,
    config: ClipTextConfig,
    tokens: B::Embedding,
    positions: B::Embedding,
    layers: Vec<Layer<B>>,
    final_norm: Norm<B>,
    /// From the end of a text to the text as a whole.
    projection: Option<Linear<B>>,
}

/// Vectors that take the place of tokens' own in a sequence.
#[derive(Debug, Clone, Copy)]
pub struct TokenVectors<'a> {
    /// Which sequence.
    pub sequence: usize,
    /// The first token; those beyond the sequence's end are left out.
    pub at: usize,
    /// `[tokens, width]`.
    pub vectors: &'a Array,
}

/// What Stable Diffusion XL takes of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextVectors {
    /// Text vectors `[n, tokens, width]` as a layer gives them, without the final normalisation.
    pub hidden: Array,
    /// Each text as a whole, `[n, pooled]`, if the encoder projects to such.
    pub pooled: Option<Array>,
}

impl<B: Backend> ClipText<B> {
    /// Loads the encoder from `source`, the place of `text_model` and, if there is one, `text_projection`.
    pub fn load(
        backend: Arc<B>,
        source: &Source<'_, B>,
        config: &ClipTextConfig,
    ) -> Result<Self, ModelError> {
        let project = |pooled| source.linear_without_bias("text_projection", config.width, pooled);
        let projection = config.pooled.map(project).transpose()?;
        let source = source.at("text_model");
        let embeddings = source.at("embeddings");
        Ok(Self {
            backend,
            projection,
            config: config.clone(),
            tokens: embeddings.embedding("token_embedding", config.vocabulary, config.width)?,
            positions: embeddings.embedding("position_embedding", config.positions, config.width)?,
            layers: (0..config.layers)
                .map(|i| Layer::load(&source.at(format!("encoder.layers.{i}")), config))
                .collect::<Result<_, _>>()?,
            final_norm: source.norm("final_layer_norm", config.width)?,
        })
    }

    /// Text vectors `[n, tokens, width]` of `n` token sequences of equal length.
    ///
    /// They are the output of layer `skip` from the end, 1 being the last, after the final normalisation ("clip skip").
    pub fn encode<S: AsRef<[u32]>>(&self, sequences: &[S], skip: usize) -> Result<Array, ModelError> {
        self.encode_with(sequences, skip, None, &[])
    }

    /// The same, changed by adapters, with vectors of their own for some tokens.
    pub fn encode_with<S: AsRef<[u32]>>(
        &self,
        sequences: &[S],
        skip: usize,
        adapters: Option<&AdapterSet<B>>,
        replaced: &[TokenVectors<'_>],
    ) -> Result<Array, ModelError> {
        let run = Run::same(&*self.backend, adapters);
        let [layers, _] = self.layers_until(skip)?;
        let hidden = self.run(&run, layers, self.embed(sequences, replaced)?)?;
        let normal = run.layer_norm(&hidden, &self.final_norm, EPSILON)?;
        Ok(run.download(&normal)?)
    }

    /// The output of layer `skip` from the end, 1 being the last, of `n` token sequences of equal length, and each text as
    /// a whole: the last layer's vector at the end of the text, normalised and projected. The end is the first token of
    /// the highest id, as in CLIP.
    pub fn encode_for_xl<S: AsRef<[u32]>>(
        &self,
        sequences: &[S],
        skip: usize,
    ) -> Result<TextVectors, ModelError> {
        let plain = Run::plain(&*self.backend);
        let [layers, rest] = self.layers_until(skip)?;
        let hidden = self.run(&plain, layers, self.embed(sequences, &[])?)?;
        let pool = |projection| self.pool(&self.run(&plain, rest, hidden.clone())?, sequences, projection);
        let pooled = self.projection.as_ref().map(pool).transpose()?;
        Ok(TextVectors { hidden: self.backend.download(&hidden)?, pooled })
    }

    /// The layers up to the one that is `skip` from the end, and those behind it.
    fn layers_until(&self, skip: usize) -> Result<[&[Layer<B>]; 2], ModelError> {
        let layers = self.layers.len();
        if !(1..=layers).contains(&skip) {
            return Err(ModelError::ClipSkip { skip, layers });
        }
        let (until, behind) = self.layers.split_at(layers + 1 - skip);
        Ok([until, behind])
    }

    /// `[n, tokens, width]` through layers.
    fn run(
        &self,
        run: &Run<'_, B>,
        layers: &[Layer<B>],
        hidden: B::Tensor,
    ) -> Result<B::Tensor, TensorError> {
        layers.iter().try_fold(hidden, |hidden, layer| layer.forward(run, &hidden, &self.config))
    }

    /// `[n, tokens, width]` of the last layer to `[n, pooled]`.
    fn pool<S: AsRef<[u32]>>(
        &self,
        last: &B::Tensor,
        sequences: &[S],
        projection: &Linear<B>,
    ) -> Result<Array, ModelError> {
        let backend = Run::plain(&*self.backend);
        let length = sequences.first().map_or(0, |sequence| sequence.as_ref().len());
        let place = |(row, sequence): (usize, &S)| (row * length + end_of_text(sequence.as_ref())) as u32;
        let ends: Vec<u32> = sequences.iter().enumerate().map(place).collect();
        let each: Vec<u32> = (1..=ends.len() as u32).collect();
        let tokens = backend.reshape(last, &[ends.len() * length, self.config.width])?;
        let vectors = backend.gather_mean(&tokens, &ends, &each)?;
        let normal = backend.layer_norm(&vectors, &self.final_norm, EPSILON)?;
        Ok(backend.download(&backend.linear(&normal, projection, LinearArgs::default())?)?)
    }

    /// Token plus position embeddings, `[n, tokens, width]`.
    fn embed<S: AsRef<[u32]>>(
        &self,
        sequences: &[S],
        replaced: &[TokenVectors<'_>],
    ) -> Result<B::Tensor, ModelError> {
        let length = sequences.first().map_or(0, |sequence| sequence.as_ref().len());
        if length == 0 || length > self.config.positions {
            let positions = self.config.positions;
            return Err(ModelError::Input(format!("{length} tokens given, 1 to {positions} wanted")));
        }
        if let Some(odd) = sequences.iter().find(|sequence| sequence.as_ref().len() != length) {
            return Err(ModelError::Input(format!("{} tokens beside {length}", odd.as_ref().len())));
        }
        let ids: Vec<u32> = sequences.iter().flat_map(|sequence| sequence.as_ref().iter().copied()).collect();
        let positions: Vec<u32> = sequences.iter().flat_map(|_| 0..length as u32).collect();
        let mut tokens = self.backend.embedding(&self.tokens, &ids, sequences.len())?;
        if !replaced.is_empty() {
            let mut vectors = self.backend.download(&tokens)?;
            replaced.iter().try_for_each(|part| self.replace(&mut vectors, length, part))?;
            tokens = self.backend.upload(&vectors)?;
        }
        let positions = self.backend.embedding(&self.positions, &positions, sequences.len())?;
        Ok(self.backend.add(&tokens, &positions)?)
    }
}

impl<B: Backend> ClipText<B> {
    /// Puts vectors into `all`, `[n, length, width]`.
    fn replace(&self, all: &mut Array, length: usize, part: &TokenVectors<'_>) -> Result<(), ModelError> {
        let width = self.config.width;
        let &[_, features] = part.vectors.shape() else { return Err(odd_vectors(part.vectors, width)) };
        if features != width {
            return Err(odd_vectors(part.vectors, width));
        }
        let rows = all.data_mut().chunks_exact_mut(length * width).nth(part.sequence);
        let row = rows.and_then(|row| row.get_mut(part.at * width..));
        let Some(row) = row else {
            return Err(ModelError::Input(format!(
                "vectors for token {} of sequence {}, which is not there",
                part.at, part.sequence
            )));
        };
        for (to, from) in row.iter_mut().zip(part.vectors.data()) {
            *to = *from;
        }
        Ok(())
    }
}

fn odd_vectors(vectors: &Array, width: usize) -> ModelError {
    ModelError::Input(format!("token vectors of the shape {:?}, not [tokens, {width}]", vectors.shape()))
}

/// The place of the first token of the highest id.
fn end_of_text(sequence: &[u32]) -> usize {
    // Backwards, since of equals the last one seen is the maximum.
    sequence.iter().enumerate().rev().max_by_key(|(_, id)| **id).map_or(0, |(at, _)| at)
}

/// Self-attention and a feed-forward part, each after a normalisation and added to its input.
#[derive(Debug)]
struct Layer<B: Backend> {
    norms: [Norm<B>; 2],
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    out: Linear<B>,
    expand: Linear<B>,
    contract: Linear<B>,
}

impl<B: Backend> Layer<B> {
    fn load(source: &Source<'_, B>, config: &ClipTextConfig) -> Result<Self, ModelError> {
        let (width, hidden) = (config.width, config.hidden);
        let project = |name| source.linear(name, width, width);
        Ok(Self {
            norms: [source.norm("layer_norm1", width)?, source.norm("layer_norm2", width)?],
            query: project("self_attn.q_proj")?,
            key: project("self_attn.k_proj")?,
            value: project("self_attn.v_proj")?,
            out: project("self_attn.out_proj")?,
            expand: source.linear("mlp.fc1", width, hidden)?,
            contract: source.linear("mlp.fc2", hidden, width)?,
        })
    }

    fn forward(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        config: &ClipTextConfig,
    ) -> Result<B::Tensor, TensorError> {
        let normal = backend.layer_norm(x, &self.norms[0], EPSILON)?;
        let project = |weights| backend.linear(&normal, weights, LinearArgs::default());
        let args = AttentionArgs { causal: true, ..AttentionArgs::new(config.heads) };
        let attended =
            backend.attention(&project(&self.query)?, &project(&self.key)?, &project(&self.value)?, args)?;
        let x = backend.linear(
            &attended,
            &self.out,
            LinearArgs { residual: Some(x), ..LinearArgs::default() },
        )?;
        let normal = backend.layer_norm(&x, &self.norms[1], EPSILON)?;
        let activation = if config.quick_gelu { Activation::QuickGelu } else { Activation::Gelu };
        let activated = LinearArgs { activation, ..LinearArgs::default() };
        let hidden = backend.linear(&normal, &self.expand, activated)?;
        backend.linear(&hidden, &self.contract, LinearArgs { residual: Some(&x), ..LinearArgs::default() })
    }
}
