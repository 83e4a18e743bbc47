//! CLIP's text encoder (Radford et al. 2021): a causal transformer over 77 tokens.

use crate::ModelError;
use crate::blocks::Source;
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
    final_norm: B::Norm,
}

impl<B: Backend> ClipText<B> {
    /// Loads the encoder from `source`, the place of `embeddings` and `encoder`.
    pub fn load(
        backend: Arc<B>,
        source: &Source<'_, B>,
        config: &ClipTextConfig,
    ) -> Result<Self, ModelError> {
        let embeddings = source.at("embeddings");
        Ok(Self {
            backend,
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
        let layers = self.layers.len();
        if !(1..=layers).contains(&skip) {
            return Err(ModelError::ClipSkip { skip, layers });
        }
        let mut hidden = self.embed(sequences)?;
        for layer in &self.layers[..=layers - skip] {
            hidden = layer.forward(&self.backend, &hidden, self.config.heads)?;
        }
        let normal = self.backend.layer_norm(&hidden, &self.final_norm, EPSILON)?;
        Ok(self.backend.download(&normal)?)
    }

    /// Token plus position embeddings, `[n, tokens, width]`.
    fn embed<S: AsRef<[u32]>>(&self, sequences: &[S]) -> Result<B::Tensor, ModelError> {
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
        let tokens = self.backend.embedding(&self.tokens, &ids, sequences.len())?;
        let positions = self.backend.embedding(&self.positions, &positions, sequences.len())?;
        Ok(self.backend.add(&tokens, &positions)?)
    }
}

/// Self-attention and a feed-forward part, each after a normalisation and added to its input.
#[derive(Debug)]
struct Layer<B: Backend> {
    norms: [B::Norm; 2],
    query: B::Linear,
    key: B::Linear,
    value: B::Linear,
    out: B::Linear,
    expand: B::Linear,
    contract: B::Linear,
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

    fn forward(&self, backend: &B, x: &B::Tensor, heads: usize) -> Result<B::Tensor, TensorError> {
        let normal = backend.layer_norm(x, &self.norms[0], EPSILON)?;
        let project = |weights| backend.linear(&normal, weights, LinearArgs::default());
        let args = AttentionArgs { causal: true, ..AttentionArgs::new(heads) };
        let attended =
            backend.attention(&project(&self.query)?, &project(&self.key)?, &project(&self.value)?, args)?;
        let x = backend.linear(
            &attended,
            &self.out,
            LinearArgs { residual: Some(x), ..LinearArgs::default() },
        )?;
        let normal = backend.layer_norm(&x, &self.norms[1], EPSILON)?;
        let activated = LinearArgs { activation: Activation::QuickGelu, ..LinearArgs::default() };
        let hidden = backend.linear(&normal, &self.expand, activated)?;
        backend.linear(&hidden, &self.contract, LinearArgs { residual: Some(&x), ..LinearArgs::default() })
    }
}
