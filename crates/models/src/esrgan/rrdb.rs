//! RRDB: residual blocks of residual dense blocks at the size of the picture, then doublings (Wang et al. 2018, ESRGAN, figure 4).

use crate::ModelError;
use crate::blocks::{Conv2d, Run, Source};
use impasto_tensor::{Activation, Backend, Conv2dArgs, Conv2dConfig, Resample, TensorError};
use impasto_weights::RrdbConfig;

/// What a block's work counts beside what it was given (section 3.1).
const RESIDUAL_SCALE: f32 = 0.2;
const SAME: Conv2dConfig = Conv2dConfig::padded(1);

/// The network.
#[derive(Debug)]
pub(super) struct Rrdb<B: Backend> {
    /// Edge of the squares of pixels that are channels of the input.
    pub(super) unshuffle: usize,
    first: Conv2d<B>,
    blocks: Vec<[DenseBlock<B>; 3]>,
    trunk_end: Conv2d<B>,
    doublings: Vec<Conv2d<B>>,
    high: Conv2d<B>,
    last: Conv2d<B>,
}

impl<B: Backend> Rrdb<B> {
    pub(super) fn load(source: &Source<'_, B>, config: &RrdbConfig) -> Result<Self, ModelError> {
        let &RrdbConfig { channels, features, unshuffle, .. } = config;
        let wide = |name: &str| source.conv3x3(name, features, features, SAME);
        let block = |number| {
            let dense = |part| DenseBlock::load(&source.at(format!("body.{number}.rdb{part}")), config);
            Ok::<_, ModelError>([dense(1)?, dense(2)?, dense(3)?])
        };
        Ok(Self {
            unshuffle,
            first: source.conv3x3("conv_first", channels * unshuffle * unshuffle, features, SAME)?,
            blocks: (0..config.blocks).map(block).collect::<Result<_, _>>()?,
            trunk_end: wide("conv_body")?,
            doublings: (1..=config.doublings)
                .map(|number| wide(&format!("conv_up{number}")))
                .collect::<Result<_, _>>()?,
            high: wide("conv_hr")?,
            last: source.conv3x3("conv_last", features, channels, SAME)?,
        })
    }

    /// `[n, height, width, channels unshuffle^2]` to `[n, 2^doublings height, 2^doublings width, channels]`.
    pub(super) fn forward(&self, run: &Run<'_, B>, x: &B::Tensor) -> Result<B::Tensor, TensorError> {
        let first = run.conv2d(x, &self.first, Conv2dArgs::default())?;
        let mut hidden = first.clone();
        for block in &self.blocks {
            let mut inner = hidden.clone();
            for dense in block {
                inner = dense.forward(run, &inner)?;
            }
            hidden = run.add(&run.scale(&inner, RESIDUAL_SCALE)?, &hidden)?;
        }
        let skip = Conv2dArgs { residual: Some(&first), ..Conv2dArgs::default() };
        hidden = run.conv2d(&hidden, &self.trunk_end, skip)?;
        for doubling in &self.doublings {
            hidden = run.resample(&hidden, Resample::Nearest { factor: 2 })?;
            hidden = run.conv2d(&hidden, doubling, leaky())?;
        }
        hidden = run.conv2d(&hidden, &self.high, leaky())?;
        run.conv2d(&hidden, &self.last, Conv2dArgs::default())
    }
}

/// Convolutions each of which sees what the block was given and what all before it made (Huang et al. 2017).
#[derive(Debug)]
struct DenseBlock<B: Backend> {
    inner: Vec<Conv2d<B>>,
    /// With weights that are scaled already.
    last: Conv2d<B>,
}

impl<B: Backend> DenseBlock<B> {
    fn load(source: &Source<'_, B>, config: &RrdbConfig) -> Result<Self, ModelError> {
        let &RrdbConfig { features, growth, .. } = config;
        let inner = |number: usize| {
            source.conv3x3(&format!("conv{}", number + 1), features + number * growth, growth, SAME)
        };
        Ok(Self {
            inner: (0..4).map(inner).collect::<Result<_, _>>()?,
            last: source.scaled_conv3x3("conv5", features + 4 * growth, features, SAME, RESIDUAL_SCALE)?,
        })
    }

    fn forward(&self, run: &Run<'_, B>, x: &B::Tensor) -> Result<B::Tensor, TensorError> {
        let mut joined = x.clone();
        for layer in &self.inner {
            let made = run.conv2d(&joined, layer, leaky())?;
            joined = run.concat(&[&joined, &made])?;
        }
        run.conv2d(&joined, &self.last, Conv2dArgs { residual: Some(x), ..Conv2dArgs::default() })
    }
}

fn leaky<'a, T>() -> Conv2dArgs<'a, T> {
    Conv2dArgs { activation: Activation::LeakyRelu, ..Conv2dArgs::default() }
}
