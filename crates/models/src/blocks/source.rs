//! Where a block finds its tensors: a place in a checkpoint, with the shapes checked before the backend packs them.

use super::run::About;
use super::{Conv2d, Layer, Linear, Norm};
use crate::ModelError;
use impasto_tensor::{Array, Backend, Conv2dConfig, DType, Precision, WeightView};
use impasto_weights::Checkpoint;
use std::sync::Arc;

/// A prefix of tensor names in a checkpoint, and the backend that will hold the tensors.
#[derive(Debug)]
pub struct Source<'a, B> {
    backend: &'a B,
    checkpoint: &'a Checkpoint,
    prefix: String,
    /// Of linear layers and convolutions.
    precision: Precision,
}

impl<'a, B: Backend> Source<'a, B> {
    /// The checkpoint as a whole, its layers in single precision.
    pub fn new(backend: &'a B, checkpoint: &'a Checkpoint) -> Self {
        Self { backend, checkpoint, prefix: String::new(), precision: Precision::F32 }
    }

    /// The same place, its linear layers and convolutions held at a precision.
    #[must_use]
    pub fn with_precision(&self, precision: Precision) -> Self {
        Self { precision, prefix: self.prefix.clone(), ..*self }
    }

    /// What linear layers and convolutions are held at here.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The place `name` inside this one.
    #[must_use]
    pub fn at(&self, name: impl AsRef<str>) -> Self {
        let prefix = self.path(name.as_ref());
        Self { backend: self.backend, checkpoint: self.checkpoint, prefix, precision: self.precision }
    }

    /// A linear layer `inputs -> outputs` with a bias. A 1x1 convolution is one, too.
    pub fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear<B>, ModelError> {
        let weight = self.matrix(name, inputs, outputs)?;
        let bias = self.tensor(name, Part::Bias, &[outputs])?;
        Ok(self.layer(name, true, self.backend.prepare_linear(&weight, Some(&bias), self.precision)?))
    }

    /// A linear layer `inputs -> outputs` without a bias.
    pub fn linear_without_bias(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Linear<B>, ModelError> {
        let weight = self.matrix(name, inputs, outputs)?;
        Ok(self.layer(name, false, self.backend.prepare_linear(&weight, None, self.precision)?))
    }

    /// A convolution `inputs -> outputs` with a 3x3 kernel and a bias.
    pub fn conv3x3(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        config: Conv2dConfig,
    ) -> Result<Conv2d<B>, ModelError> {
        self.conv(name, inputs, outputs, 3, config)
    }

    /// A convolution `inputs -> outputs` with a square kernel and a bias.
    pub fn conv(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        config: Conv2dConfig,
    ) -> Result<Conv2d<B>, ModelError> {
        let weight = self.tensor(name, Part::Weight, &[outputs, inputs, kernel, kernel])?;
        let bias = self.tensor(name, Part::Bias, &[outputs])?;
        let weights = self.backend.prepare_conv2d(&weight, Some(&bias), config, self.precision)?;
        Ok(self.layer_with(name, true, weights, config))
    }

    /// The same without a bias.
    pub fn conv_without_bias(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        config: Conv2dConfig,
    ) -> Result<Conv2d<B>, ModelError> {
        let weight = self.tensor(name, Part::Weight, &[outputs, inputs, kernel, kernel])?;
        let weights = self.backend.prepare_conv2d(&weight, None, config, self.precision)?;
        Ok(self.layer_with(name, false, weights, config))
    }

    /// A convolution with a 3x3 kernel and a bias, whose output is `factor` times as large.
    pub fn scaled_conv3x3(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        config: Conv2dConfig,
        factor: f32,
    ) -> Result<Conv2d<B>, ModelError> {
        let scaled = |part, shape: &[usize]| {
            let elements = self.tensor(name, part, shape)?.read()?.to_f32();
            let bytes: Vec<u8> = elements.into_iter().flat_map(|x| (x * factor).to_le_bytes()).collect();
            Ok::<_, ModelError>(WeightView::new(DType::F32, shape.to_vec(), bytes)?)
        };
        let weight = scaled(Part::Weight, &[outputs, inputs, 3, 3])?;
        let bias = scaled(Part::Bias, &[outputs])?;
        let weights = self.backend.prepare_conv2d(&weight, Some(&bias), config, self.precision)?;
        Ok(self.layer_with(name, true, weights, config))
    }

    /// A tensor of one dimension, as the slopes of a `PReLU` are.
    pub fn vector(&self, name: &str, features: usize) -> Result<B::Tensor, ModelError> {
        let elements = self.tensor(name, Part::Weight, &[features])?.read()?.to_f32();
        Ok(self.backend.upload(&Array::new([features], elements)?)?)
    }

    /// Scale and shift of a normalisation.
    pub fn norm(&self, name: &str, features: usize) -> Result<Norm<B>, ModelError> {
        let scale = self.tensor(name, Part::Weight, &[features])?;
        let shift = self.tensor(name, Part::Bias, &[features])?;
        Ok(self.layer(name, true, self.backend.prepare_norm(&scale, &shift)?))
    }

    /// A table of `rows` vectors.
    pub fn embedding(&self, name: &str, rows: usize, features: usize) -> Result<B::Embedding, ModelError> {
        Ok(self.backend.prepare_embedding(&self.tensor(name, Part::Weight, &[rows, features])?)?)
    }

    fn layer<T>(&self, name: &str, has_bias: bool, weights: T) -> Layer<T> {
        self.layer_with(name, has_bias, weights, Conv2dConfig::padded(0))
    }

    fn layer_with<T>(&self, name: &str, has_bias: bool, weights: T, config: Conv2dConfig) -> Layer<T> {
        let about = About { name: self.path(name), has_bias, precision: self.precision, config };
        Layer { weights, about: Arc::new(about) }
    }

    /// The weight of a linear layer, which may be stored as a 1x1 convolution.
    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<WeightView<'a>, ModelError> {
        let name = self.part(name, Part::Weight);
        let view = self.checkpoint.tensor(&name)?;
        if view.shape() == [outputs, inputs, 1, 1] {
            return Ok(view.reshape(vec![outputs, inputs])?);
        }
        shaped(view, name, &[outputs, inputs])
    }

    fn tensor(&self, name: &str, part: Part, wanted: &[usize]) -> Result<WeightView<'a>, ModelError> {
        let name = self.part(name, part);
        shaped(self.checkpoint.tensor(&name)?, name, wanted)
    }

    fn part(&self, name: &str, part: Part) -> String {
        let part = match part {
            Part::Weight => "weight",
            Part::Bias => "bias",
        };
        format!("{}.{part}", self.path(name))
    }

    fn path(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }
}

/// The tensor, if it has the wanted shape.
fn shaped<'a>(view: WeightView<'a>, name: String, wanted: &[usize]) -> Result<WeightView<'a>, ModelError> {
    if view.shape() != wanted {
        return Err(ModelError::Shape { name, found: view.shape().to_vec(), wanted: wanted.to_vec() });
    }
    Ok(view)
}

/// One of a layer's two tensors.
#[derive(Debug, Clone, Copy)]
enum Part {
    Weight,
    Bias,
}
