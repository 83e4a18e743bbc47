//! Residual block (He et al. 2016) with group normalisation: `x + conv(silu(norm(conv(silu(norm(x))) + time)))`.

use super::{Conv2d, Linear, Norm, Run, Source};
use crate::ModelError;
use impasto_tensor::{Activation, Backend, Conv2dArgs, Conv2dConfig, LinearArgs, Precision, TensorError};

/// What the two networks call the parts of a residual block, and the one number in which they differ.
#[derive(Debug)]
pub struct ResBlockNames {
    norms: [&'static str; 2],
    convolutions: [&'static str; 2],
    time: &'static str,
    shortcut: &'static str,
    epsilon: f32,
}

impl ResBlockNames {
    /// The UNet's.
    pub const UNET: Self = Self {
        norms: ["in_layers.0", "out_layers.0"],
        convolutions: ["in_layers.2", "out_layers.3"],
        time: "emb_layers.1",
        shortcut: "skip_connection",
        epsilon: 1e-5,
    };
    /// The autoencoder's, which knows no time.
    pub const VAE: Self = Self {
        norms: ["norm1", "norm2"],
        convolutions: ["conv1", "conv2"],
        time: "",
        shortcut: "nin_shortcut",
        epsilon: 1e-6,
    };
}

/// A residual block.
#[derive(Debug)]
pub struct ResBlock<B: Backend> {
    norms: [Norm<B>; 2],
    convolutions: [Conv2d<B>; 2],
    time: Option<Linear<B>>,
    /// Where input and output differ in channels.
    shortcut: Option<Linear<B>>,
    groups: usize,
    epsilon: f32,
}

impl<B: Backend> ResBlock<B> {
    /// Loads a block from `inputs` to `outputs` channels that takes a time embedding of `time_features`, if any.
    pub fn load(
        source: &Source<'_, B>,
        names: &ResBlockNames,
        [inputs, outputs]: [usize; 2],
        time_features: Option<usize>,
        groups: usize,
    ) -> Result<Self, ModelError> {
        // The shortcut alone sees what no normalisation has levelled: channels of very different size, for which a range in
        // common is too coarse. In 8 bits it adds seven times the error of all other layers together.
        let shortcut = source.with_precision(Precision::F32);
        let conv = |name, inputs| source.conv3x3(name, inputs, outputs, Conv2dConfig::padded(1));
        Ok(Self {
            norms: [source.norm(names.norms[0], inputs)?, source.norm(names.norms[1], outputs)?],
            convolutions: [conv(names.convolutions[0], inputs)?, conv(names.convolutions[1], outputs)?],
            time: time_features.map(|features| source.linear(names.time, features, outputs)).transpose()?,
            shortcut: (inputs != outputs)
                .then(|| shortcut.linear(names.shortcut, inputs, outputs))
                .transpose()?,
            groups,
            epsilon: names.epsilon,
        })
    }

    /// What the block adds to its channels for the activated time embedding `[batch, time features]`:
    /// `[batch, outputs]`. It depends on the time alone.
    pub fn project_time(&self, backend: &Run<'_, B>, time: &B::Tensor) -> Result<B::Tensor, TensorError> {
        match &self.time {
            Some(weights) => backend.linear(time, weights, LinearArgs::default()),
            None => Err(TensorError::shape("residual block", "a time for a block that knows none")),
        }
    }

    /// `[batch, height, width, inputs]` to `[batch, height, width, outputs]`. `time` is what
    /// [`ResBlock::project_time`] gave.
    pub fn forward(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        time: Option<&B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        let normalize = |x, norm| backend.group_norm(x, norm, self.groups, self.epsilon, Activation::Silu);
        let mut hidden = backend.conv2d(
            &normalize(x, &self.norms[0])?,
            &self.convolutions[0],
            Conv2dArgs { row_bias: time, ..Conv2dArgs::default() },
        )?;
        hidden = normalize(&hidden, &self.norms[1])?;
        let shortcut = match &self.shortcut {
            Some(weights) => backend.linear(x, weights, LinearArgs::default())?,
            None => x.clone(),
        };
        backend.conv2d(
            &hidden,
            &self.convolutions[1],
            Conv2dArgs { residual: Some(&shortcut), ..Conv2dArgs::default() },
        )
    }
}
