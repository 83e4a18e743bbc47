//! Time embedding: sinusoids (Vaswani et al. 2017), then two linear layers.

use super::Source;
use crate::ModelError;
use impasto_tensor::{Activation, Backend, LinearArgs, TensorError};

/// Turns diffusion times into what residual blocks add to their channels.
#[derive(Debug)]
pub struct TimeEmbedding<B: Backend> {
    sinusoids: usize,
    first: B::Linear,
    second: B::Linear,
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

    /// `[batch, features]`, already through the SiLU with which every residual block begins to use it.
    pub fn forward(&self, backend: &B, timesteps: &[f32]) -> Result<B::Tensor, TensorError> {
        let silu = || LinearArgs { activation: Activation::Silu, ..LinearArgs::default() };
        let waves = backend.timestep_embedding(timesteps, self.sinusoids)?;
        let hidden = backend.linear(&waves, &self.first, silu())?;
        backend.linear(&hidden, &self.second, silu())
    }
}
