//! Attention between the pixels of a picture, with one head: the autoencoder's.

use super::{Linear, Norm, Run, Source};
use crate::ModelError;
use impasto_tensor::{Activation, AttentionArgs, Backend, LinearArgs, Precision, TensorError};

/// `x + proj_out(attention(norm(x)))`.
#[derive(Debug)]
pub struct PictureAttention<B: Backend> {
    norm: Norm<B>,
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    out: Linear<B>,
    precision: Precision,
    groups: usize,
}

impl<B: Backend> PictureAttention<B> {
    /// Loads an attention of `channels`.
    pub fn load(source: &Source<'_, B>, channels: usize, groups: usize) -> Result<Self, ModelError> {
        let linear = |name| source.linear(name, channels, channels);
        Ok(Self {
            norm: source.norm("norm", channels)?,
            query: linear("q")?,
            key: linear("k")?,
            value: linear("v")?,
            out: linear("proj_out")?,
            precision: source.precision(),
            groups,
        })
    }

    /// `[batch, height, width, channels]` to the same.
    pub fn forward(&self, backend: &Run<'_, B>, x: &B::Tensor) -> Result<B::Tensor, TensorError> {
        let &[b, h, w, c] = backend.shape(x) else {
            return Err(TensorError::shape("attention", format!("{:?} is no picture", backend.shape(x))));
        };
        let pixels = backend.reshape(x, &[b, h * w, c])?;
        let normal = backend.group_norm(&pixels, &self.norm, self.groups, 1e-6, Activation::Identity)?;
        let project = |weights| backend.linear(&normal, weights, LinearArgs::default());
        let args = AttentionArgs { precision: self.precision, ..AttentionArgs::new(1) };
        let attended =
            backend.attention(&project(&self.query)?, &project(&self.key)?, &project(&self.value)?, args)?;
        let residual = LinearArgs { residual: Some(&pixels), ..LinearArgs::default() };
        backend.reshape(&backend.linear(&attended, &self.out, residual)?, &[b, h, w, c])
    }
}
