//! Upscalers of the ESRGAN family (Wang et al. 2018; Wang et al. 2021): a picture to a larger one, by one of two networks.

mod compact;
mod rrdb;

use crate::ModelError;
use crate::blocks::{Run, Source};
use compact::Compact;
use impasto_tensor::{Array, Backend};
use impasto_weights::{Checkpoint, UpscalerConfig};
use rrdb::Rrdb;
use std::sync::Arc;

/// An upscaler, ready to run.
#[derive(Debug)]
pub struct Upscaler<B: Backend> {
    backend: Arc<B>,
    config: UpscalerConfig,
    network: Network<B>,
}

#[derive(Debug)]
enum Network<B: Backend> {
    Rrdb(Rrdb<B>),
    Compact(Compact<B>),
}

impl<B: Backend> Upscaler<B> {
    /// Loads the upscaler that a file has.
    pub fn load(backend: Arc<B>, checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let config = checkpoint.upscaler()?;
        let source = Source::new(&*backend, checkpoint);
        let network = match &config {
            UpscalerConfig::Rrdb(config) => Network::Rrdb(Rrdb::load(&source, config)?),
            UpscalerConfig::Compact(config) => Network::Compact(Compact::load(&source, config)?),
        };
        Ok(Self { backend, config, network })
    }

    /// Which network it is.
    pub fn config(&self) -> &UpscalerConfig {
        &self.config
    }

    /// Pictures `[n, scale height, scale width, channels]`, about 0 to 1 and not clamped, of pictures `[n, height, width, channels]`
    /// from 0 to 1.
    pub fn forward(&self, pictures: &Array) -> Result<Array, ModelError> {
        let channels = self.config.channels();
        let &[n, height, width, found] = pictures.shape() else {
            let shape = pictures.shape();
            return Err(ModelError::Input(format!("{shape:?} are no pictures [n, height, width, channels]")));
        };
        if n * height * width == 0 || found != channels {
            let shape = pictures.shape();
            return Err(ModelError::Input(format!(
                "pictures {shape:?} for an upscaler of {channels} channels"
            )));
        }
        let backend = &*self.backend;
        let run = Run::plain(backend);
        match &self.network {
            Network::Compact(network) => {
                Ok(backend.download(&network.forward(&run, &backend.upload(pictures)?)?)?)
            }
            Network::Rrdb(network) => {
                let squares = channels_of_squares(pictures, network.unshuffle)?;
                let made = backend.download(&network.forward(&run, &backend.upload(&squares)?)?)?;
                let scale = self.config.scale();
                cropped(made, height * scale, width * scale)
            }
        }
    }
}

/// `[n, height, width, channels]` to `[n, height / edge, width / edge, channels edge^2]`: the opposite of a pixel shuffle. Where the
/// last squares stick out, the last pixels are repeated.
fn channels_of_squares(pictures: &Array, edge: usize) -> Result<Array, ModelError> {
    let &[n, height, width, channels] = pictures.shape() else { return Ok(pictures.clone()) };
    if edge == 1 {
        return Ok(pictures.clone());
    }
    let [down, across] = [height.div_ceil(edge), width.div_ceil(edge)];
    let mut data = Vec::with_capacity(n * down * across * channels * edge * edge);
    for (line, column) in (0..n * down).flat_map(|line| (0..across).map(move |column| (line, column))) {
        let (picture, top) = (line / down, line % down * edge);
        for channel in 0..channels {
            for (y, x) in (0..edge).flat_map(|y| (0..edge).map(move |x| (y, x))) {
                let (y, x) = ((top + y).min(height - 1), (column * edge + x).min(width - 1));
                data.push(pictures.data()[((picture * height + y) * width + x) * channels + channel]);
            }
        }
    }
    Ok(Array::new([n, down, across, channels * edge * edge], data)?)
}

/// The upper left part of pictures `[n, height, width, channels]`.
fn cropped(pictures: Array, height: usize, width: usize) -> Result<Array, ModelError> {
    let &[n, down, across, channels] = pictures.shape() else { return Ok(pictures) };
    if [down, across] == [height, width] {
        return Ok(pictures);
    }
    let lines = pictures.data().chunks_exact(across * channels).enumerate();
    let kept = lines.filter(|(line, _)| line % down < height).flat_map(|(_, line)| &line[..width * channels]);
    Ok(Array::new([n, height, width, channels], kept.copied().collect::<Vec<f32>>())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pixel_unshuffle` of PyTorch has `[0, 1, 4, 5]` in the first pixel's channels of a row-major 2x4 picture of one channel.
    #[test]
    fn squares_become_channels() {
        let picture = Array::new([1, 2, 4, 1], (0..8u8).map(f32::from).collect()).unwrap();
        let squares = channels_of_squares(&picture, 2).unwrap();
        assert_eq!(squares.shape(), [1, 1, 2, 4]);
        assert_eq!(squares.data(), [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        let odd = Array::new([1, 1, 3, 1], vec![1.0, 2.0, 3.0]).unwrap();
        assert_eq!(channels_of_squares(&odd, 2).unwrap().data(), [1.0, 2.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0]);
    }

    #[test]
    fn what_sticks_out_is_cut_off() {
        let pictures = Array::new([2, 2, 2, 1], (0..8u8).map(f32::from).collect()).unwrap();
        let kept = cropped(pictures, 1, 1).unwrap();
        assert_eq!((kept.shape(), kept.data()), (&[2, 1, 1, 1][..], &[0.0, 4.0][..]));
    }
}
