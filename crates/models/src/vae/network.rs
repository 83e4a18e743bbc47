//! The encoder's and the decoder's convolutions.

use crate::ModelError;
use crate::blocks::{
    Conv2d, Downsample, Norm, PictureAttention, ResBlock, ResBlockNames, Run, Source, Upsample,
};
use impasto_tensor::{Activation, Backend, Conv2dArgs, Conv2dConfig, TensorError};
use impasto_weights::VaeConfig;

/// Epsilon of the last normalisation.
const EPSILON: f32 = 1e-6;

fn res_block<B: Backend>(
    source: &Source<'_, B>,
    inputs: usize,
    outputs: usize,
    groups: usize,
) -> Result<ResBlock<B>, ModelError> {
    ResBlock::load(source, &ResBlockNames::VAE, [inputs, outputs], None, groups)
}

/// Channels of the coarsest level.
fn coarsest(config: &VaeConfig) -> Result<usize, ModelError> {
    config
        .channels
        .last()
        .copied()
        .ok_or_else(|| ModelError::Input("an autoencoder without levels".to_owned()))
}

/// Residual blocks of one level in a row.
#[derive(Debug)]
struct Level<B: Backend> {
    blocks: Vec<ResBlock<B>>,
}

impl<B: Backend> Level<B> {
    fn load(
        source: &Source<'_, B>,
        count: usize,
        inputs: usize,
        outputs: usize,
        groups: usize,
    ) -> Result<Self, ModelError> {
        let blocks = (0..count).map(|index| {
            let inputs = if index == 0 { inputs } else { outputs };
            res_block(&source.at(format!("block.{index}")), inputs, outputs, groups)
        });
        Ok(Self { blocks: blocks.collect::<Result<_, _>>()? })
    }

    fn forward(&self, backend: &Run<'_, B>, x: B::Tensor) -> Result<B::Tensor, TensorError> {
        self.blocks.iter().try_fold(x, |x, block| block.forward(backend, &x, None))
    }
}

/// The coarsest level's two residual blocks with attention between them.
#[derive(Debug)]
struct Middle<B: Backend> {
    first: ResBlock<B>,
    attention: PictureAttention<B>,
    second: ResBlock<B>,
}

impl<B: Backend> Middle<B> {
    fn load(source: &Source<'_, B>, channels: usize, groups: usize) -> Result<Self, ModelError> {
        Ok(Self {
            first: res_block(&source.at("block_1"), channels, channels, groups)?,
            attention: PictureAttention::load(&source.at("attn_1"), channels, groups)?,
            second: res_block(&source.at("block_2"), channels, channels, groups)?,
        })
    }

    fn forward(&self, backend: &Run<'_, B>, x: &B::Tensor) -> Result<B::Tensor, TensorError> {
        let x = self.first.forward(backend, x, None)?;
        let x = self.attention.forward(backend, &x)?;
        self.second.forward(backend, &x, None)
    }
}

/// Normalisation, SiLU and a convolution: the end of both directions.
#[derive(Debug)]
struct Head<B: Backend> {
    norm: Norm<B>,
    convolution: Conv2d<B>,
    groups: usize,
}

impl<B: Backend> Head<B> {
    fn load(
        source: &Source<'_, B>,
        inputs: usize,
        outputs: usize,
        groups: usize,
    ) -> Result<Self, ModelError> {
        let convolution = source.conv3x3("conv_out", inputs, outputs, Conv2dConfig::padded(1))?;
        Ok(Self { norm: source.norm("norm_out", inputs)?, convolution, groups })
    }

    fn forward(&self, backend: &Run<'_, B>, x: &B::Tensor) -> Result<B::Tensor, TensorError> {
        let normal = backend.group_norm(x, &self.norm, self.groups, EPSILON, Activation::Silu)?;
        backend.conv2d(&normal, &self.convolution, Conv2dArgs::default())
    }
}

/// Picture to the moments of its latent, before the last projection.
#[derive(Debug)]
pub(super) struct Encoder<B: Backend> {
    first: Conv2d<B>,
    levels: Vec<(Level<B>, Option<Downsample<B>>)>,
    middle: Middle<B>,
    head: Head<B>,
}

impl<B: Backend> Encoder<B> {
    pub(super) fn load(source: &Source<'_, B>, config: &VaeConfig) -> Result<Self, ModelError> {
        let (channels, groups) = (&config.channels, config.groups);
        let coarsest = coarsest(config)?;
        let mut levels = Vec::with_capacity(channels.len());
        for (index, &outputs) in channels.iter().enumerate() {
            let place = source.at(format!("down.{index}"));
            let inputs = channels[index.saturating_sub(1)];
            let padding = Downsample::<B>::VAE_PADDING;
            let downsample = || Downsample::load(&place, "downsample.conv", outputs, padding);
            levels.push((
                Level::load(&place, config.res_blocks, inputs, outputs, groups)?,
                (index + 1 < channels.len()).then(downsample).transpose()?,
            ));
        }
        Ok(Self {
            first: source.conv3x3("conv_in", config.image_channels, channels[0], Conv2dConfig::padded(1))?,
            levels,
            middle: Middle::load(&source.at("mid"), coarsest, groups)?,
            head: Head::load(source, coarsest, 2 * config.latent_channels, groups)?,
        })
    }

    /// `[n, 8 h, 8 w, picture channels]` to `[n, h, w, 2 latent channels]`.
    pub(super) fn forward(
        &self,
        backend: &Run<'_, B>,
        picture: &B::Tensor,
    ) -> Result<B::Tensor, TensorError> {
        let mut x = backend.conv2d(picture, &self.first, Conv2dArgs::default())?;
        for (level, downsample) in &self.levels {
            x = level.forward(backend, x)?;
            if let Some(downsample) = downsample {
                x = downsample.forward(backend, &x)?;
            }
        }
        self.head.forward(backend, &self.middle.forward(backend, &x)?)
    }
}

/// Latent to picture.
#[derive(Debug)]
pub(super) struct Decoder<B: Backend> {
    first: Conv2d<B>,
    middle: Middle<B>,
    /// From the coarsest to the finest.
    levels: Vec<(Level<B>, Option<Upsample<B>>)>,
    head: Head<B>,
}

impl<B: Backend> Decoder<B> {
    pub(super) fn load(source: &Source<'_, B>, config: &VaeConfig) -> Result<Self, ModelError> {
        let (channels, groups) = (&config.channels, config.groups);
        let coarsest = coarsest(config)?;
        let mut levels = Vec::with_capacity(channels.len());
        for (index, &outputs) in channels.iter().enumerate().rev() {
            let place = source.at(format!("up.{index}"));
            let inputs = channels.get(index + 1).copied().unwrap_or(coarsest);
            let upsample = || Upsample::load(&place, "upsample.conv", outputs);
            levels.push((
                Level::load(&place, config.res_blocks + 1, inputs, outputs, groups)?,
                (index > 0).then(upsample).transpose()?,
            ));
        }
        Ok(Self {
            first: source.conv3x3("conv_in", config.latent_channels, coarsest, Conv2dConfig::padded(1))?,
            middle: Middle::load(&source.at("mid"), coarsest, groups)?,
            levels,
            head: Head::load(source, channels[0], config.image_channels, groups)?,
        })
    }

    /// `[n, h, w, latent channels]` to `[n, 8 h, 8 w, picture channels]`.
    pub(super) fn forward(&self, backend: &Run<'_, B>, latent: &B::Tensor) -> Result<B::Tensor, TensorError> {
        let x = backend.conv2d(latent, &self.first, Conv2dArgs::default())?;
        let mut x = self.middle.forward(backend, &x)?;
        for (level, upsample) in &self.levels {
            x = level.forward(backend, x)?;
            if let Some(upsample) = upsample {
                let &[_, height, width, _] = backend.shape(&x) else {
                    return Err(TensorError::shape("decoder", format!("{:?}", backend.shape(&x))));
                };
                x = upsample.forward(backend, &x, [2 * height, 2 * width])?;
            }
        }
        self.head.forward(backend, &x)
    }
}
