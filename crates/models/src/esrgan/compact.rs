//! The compact network of Real-ESRGAN (`SRVGGNetCompact`): convolutions in a row at the size of the picture, whose last channels
//! become pixels, added to the picture enlarged.

use crate::ModelError;
use crate::blocks::{Conv2d, Run, Source};
use impasto_tensor::{Backend, Conv2dArgs, Conv2dConfig, Resample, TensorError};
use impasto_weights::CompactConfig;

const SAME: Conv2dConfig = Conv2dConfig::padded(1);

/// The network.
#[derive(Debug)]
pub(super) struct Compact<B: Backend> {
    /// Convolutions, each with the slopes of the `PReLU` behind it.
    layers: Vec<(Conv2d<B>, B::Tensor)>,
    last: Conv2d<B>,
    scale: usize,
}

impl<B: Backend> Compact<B> {
    pub(super) fn load(source: &Source<'_, B>, config: &CompactConfig) -> Result<Self, ModelError> {
        let &CompactConfig { channels, features, layers, scale } = config;
        let layer = |number: usize| {
            let inputs = if number == 0 { channels } else { features };
            let conv = source.conv3x3(&format!("body.{}", 2 * number), inputs, features, SAME)?;
            Ok::<_, ModelError>((conv, source.vector(&format!("body.{}", 2 * number + 1), features)?))
        };
        let last = format!("body.{}", 2 * layers);
        Ok(Self {
            layers: (0..layers).map(layer).collect::<Result<_, _>>()?,
            last: source.conv3x3(&last, features, channels * scale * scale, SAME)?,
            scale,
        })
    }

    /// `[n, height, width, channels]` to `[n, scale height, scale width, channels]`.
    pub(super) fn forward(&self, run: &Run<'_, B>, x: &B::Tensor) -> Result<B::Tensor, TensorError> {
        let mut hidden = x.clone();
        for (conv, slopes) in &self.layers {
            let args = Conv2dArgs { slopes: Some(slopes), ..Conv2dArgs::default() };
            hidden = run.conv2d(&hidden, conv, args)?;
        }
        hidden = run.conv2d(&hidden, &self.last, Conv2dArgs::default())?;
        let made = run.resample(&hidden, Resample::PixelShuffle { factor: self.scale })?;
        run.add(&made, &run.resample(x, Resample::Nearest { factor: self.scale })?)
    }
}
