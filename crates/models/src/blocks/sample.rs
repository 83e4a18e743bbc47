//! Halving and doubling a picture's size between two levels.

use super::{Conv2d, Run, Source};
use crate::ModelError;
use impasto_tensor::{Backend, Conv2dArgs, Conv2dConfig, Resample, TensorError};

/// A convolution of stride 2.
#[derive(Debug)]
pub struct Downsample<B: Backend> {
    convolution: Conv2d<B>,
}

impl<B: Backend> Downsample<B> {
    /// The UNet pads all sides by one.
    pub const UNET_PADDING: [usize; 4] = [1; 4];
    /// The autoencoder pads at the bottom and at the right only.
    pub const VAE_PADDING: [usize; 4] = [0, 1, 0, 1];

    /// Loads the convolution `name`, of `channels` with `padding` at the top, bottom, left and right.
    pub fn load(
        source: &Source<'_, B>,
        name: &str,
        channels: usize,
        padding: [usize; 4],
    ) -> Result<Self, ModelError> {
        let config = Conv2dConfig { stride: 2, padding };
        Ok(Self { convolution: source.conv3x3(name, channels, channels, config)? })
    }

    /// `[batch, height, width, channels]` to half the height and width.
    pub fn forward(&self, backend: &Run<'_, B>, x: &B::Tensor) -> Result<B::Tensor, TensorError> {
        backend.conv2d(x, &self.convolution, Conv2dArgs::default())
    }
}

/// Every pixel becomes four, then a convolution.
#[derive(Debug)]
pub struct Upsample<B: Backend> {
    convolution: Conv2d<B>,
}

impl<B: Backend> Upsample<B> {
    /// Loads the convolution `name`, of `channels`.
    pub fn load(source: &Source<'_, B>, name: &str, channels: usize) -> Result<Self, ModelError> {
        Ok(Self { convolution: source.conv3x3(name, channels, channels, Conv2dConfig::padded(1))? })
    }

    /// `[batch, height, width, channels]` to `size` (height, width), which is twice the size or one less, as halving an
    /// odd size rounds up.
    pub fn forward(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        size: [usize; 2],
    ) -> Result<B::Tensor, TensorError> {
        let enlarged = crop(backend, backend.resample(x, Resample::Nearest { factor: 2 })?, size)?;
        backend.conv2d(&enlarged, &self.convolution, Conv2dArgs::default())
    }
}

/// The upper left part of a picture. Nearest-neighbour resizing of `n` pixels to `2 n - 1` is doubling them and leaving
/// out the last.
fn crop<B: Backend>(
    backend: &Run<'_, B>,
    x: B::Tensor,
    [height, width]: [usize; 2],
) -> Result<B::Tensor, TensorError> {
    let &[b, h, w, c] = backend.shape(&x) else {
        return Err(TensorError::shape("crop", format!("{:?} is no picture", backend.shape(&x))));
    };
    let mut x = x;
    if width != w {
        let lines = backend.reshape(&x, &[b * h, w * c])?;
        x = backend.columns(&lines, 0, width * c)?;
    }
    if height != h {
        let pictures = backend.reshape(&x, &[b, h * width * c])?;
        x = backend.columns(&pictures, 0, height * width * c)?;
    }
    backend.reshape(&x, &[b, height, width, c])
}
