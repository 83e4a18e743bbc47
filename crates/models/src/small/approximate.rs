//! Eight convolutions from a latent to a picture a quarter of the size (AUTOMATIC1111's `VAE-approx`), trained on the decoder's pictures.

use super::{channels, check};
use crate::ModelError;
use crate::blocks::{Conv2d, Run, Source};
use impasto_tensor::{Array, Backend, Conv2dArgs, Conv2dConfig, Resample};
use impasto_weights::Checkpoint;
use std::sync::Arc;

/// Edges of the kernels. Nothing is added around pictures between the layers, so that all of it is added before the first.
const KERNELS: [usize; 8] = [7, 5, 3, 3, 3, 3, 3, 3];
/// What all kernels together take off a side.
const BORDER: usize = 11;
/// What elements below zero are multiplied with after each layer, the last included.
const SLOPE: f32 = 0.1;
/// How much larger than the latent its picture is.
const FACTOR: usize = 2;

/// The network.
#[derive(Debug)]
pub struct ApproximateDecoder<B: Backend> {
    backend: Arc<B>,
    inputs: usize,
    layers: Vec<(Conv2d<B>, B::Tensor)>,
}

impl<B: Backend> ApproximateDecoder<B> {
    /// Loads the network of a file.
    pub fn load(backend: Arc<B>, file: &Checkpoint) -> Result<Self, ModelError> {
        let source = Source::new(&*backend, file);
        let mut layers = Vec::with_capacity(KERNELS.len());
        let [inputs, _] = channels(file, "conv1.weight")?;
        let mut before = inputs;
        for (number, &kernel) in KERNELS.iter().enumerate() {
            let name = format!("conv{}", number + 1);
            let [_, outputs] = channels(file, &format!("{name}.weight"))?;
            let padding = Conv2dConfig::padded(if number == 0 { BORDER } else { 0 });
            let layer = source.conv(&name, before, outputs, kernel, padding)?;
            layers.push((layer, backend.upload(&Array::new([outputs], vec![SLOPE; outputs])?)?));
            before = outputs;
        }
        if before != 3 {
            return Err(ModelError::Input(format!("{} makes {before} colours", file.file())));
        }
        Ok(Self { backend, inputs, layers })
    }

    /// How much larger than a latent its picture is.
    pub fn factor(&self) -> usize {
        FACTOR
    }

    /// Pictures `[n, 3, 2 height, 2 width]`, about -1 to 1 and not clamped, of latents `[n, channels, height, width]`.
    pub fn decode(&self, latents: &Array) -> Result<Array, ModelError> {
        check(latents, self.inputs, 1)?;
        let run = Run::plain(&*self.backend);
        let mut hidden = run.upload(&latents.to_channels_last()?)?;
        hidden = run.resample(&hidden, Resample::Nearest { factor: FACTOR })?;
        for (layer, slopes) in &self.layers {
            hidden =
                run.conv2d(&hidden, layer, Conv2dArgs { slopes: Some(slopes), ..Conv2dArgs::default() })?;
        }
        Ok(run.download(&hidden)?.to_channels_first()?)
    }
}
