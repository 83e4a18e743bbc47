//! Time embedding: sinusoids (Vaswani et al. 2017), then two linear layers; and what is added to it, a label through two
//! linear layers of its own (Podell et al. 2023, section 2.2).

use super::{Linear, Run, Source};
use crate::ModelError;
use impasto_tensor::{Activation, Backend, LinearArgs, TensorError};

/// Turns diffusion times into what residual blocks add to their channels.
#[derive(Debug)]
pub struct TimeEmbedding<B: Backend> {
    sinusoids: usize,
    first: Linear<B>,
    second: Linear<B>,
}

impl<B: Backend> TimeEmbedding<B> {
    /// Loads the embedding of `sinusoids` waves to `features`.
    pub fn load(source: &Source<'_, B>, sinusoids: usize, features: usize) -> Result<Self, ModelError> {
        Ok(Self {
            sinusoids,
            first: source.linear("0", sinusoids, features)?,
            second: source.linear("2", features, features)?,
        })
    }

    /// `[batch, features]`, with an embedded label `[batch, features]` added if there is one, and already through the SiLU
    /// with which every residual block begins to use it.
    pub fn forward(
        &self,
        backend: &Run<'_, B>,
        timesteps: &[f32],
        label: Option<&B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        let waves = backend.timestep_embedding(timesteps, self.sinusoids)?;
        let hidden = backend.linear(&waves, &self.first, silu())?;
        if label.is_none() {
            return backend.linear(&hidden, &self.second, silu());
        }
        let sum =
            backend.linear(&hidden, &self.second, LinearArgs { residual: label, ..LinearArgs::default() })?;
        backend.activate(&sum, Activation::Silu)
    }
}

/// Turns a label into what is added to the time embedding.
#[derive(Debug)]
pub struct LabelEmbedding<B: Backend> {
    first: Linear<B>,
    second: Linear<B>,
}

impl<B: Backend> LabelEmbedding<B> {
    /// Loads the embedding of labels of `inputs` features to `features`.
    pub fn load(source: &Source<'_, B>, inputs: usize, features: usize) -> Result<Self, ModelError> {
        Ok(Self {
            first: source.linear("0", inputs, features)?,
            second: source.linear("2", features, features)?,
        })
    }

    /// `[batch, inputs]` to `[batch, features]`.
    pub fn forward(&self, backend: &Run<'_, B>, label: &B::Tensor) -> Result<B::Tensor, TensorError> {
        let hidden = backend.linear(label, &self.first, silu())?;
        backend.linear(&hidden, &self.second, LinearArgs::default())
    }
}

fn silu<B: Backend>() -> LinearArgs<'static, B> {
    LinearArgs { activation: Activation::Silu, ..LinearArgs::default() }
}
