//! TAESD (Bohan 2023, `madebyollin/taesd`): an autoencoder of residual blocks of three convolutions, distilled from Stable Diffusion's. Layers
//! are numbered as in its files, where the decoder's clamp, its activation and its enlargements have numbers too.

use super::{channels, check};
use crate::blocks::{Conv2d, Run, Source};
use crate::{Edges, ModelError};
use impasto_tensor::{Array, Backend, Conv2dArgs, Conv2dConfig, Curve, Resample, TensorError};
use impasto_weights::Checkpoint;
use std::sync::Arc;

/// Levels between which sides are halved or doubled.
const LEVELS: usize = 4;
/// Residual blocks of a level, but for the finest, which has one.
const BLOCKS: usize = 3;
/// Pixels along a side of what a latent cell stands for.
const UNIT: usize = 1 << (LEVELS - 1);
/// Latents are brought smoothly between minus this and this.
const MOST: f32 = 3.0;
const SAME: Conv2dConfig = Conv2dConfig::padded(1);
const RELU: Curve = Curve::Leaky(0.0);

/// `relu(x + conv(relu(conv(relu(conv(x))))))`.
#[derive(Debug)]
struct Block<B: Backend> {
    layers: [Conv2d<B>; 3],
}

/// A step of either direction.
#[derive(Debug)]
enum Step<B: Backend> {
    Conv(Conv2d<B>),
    Block(Block<B>),
    Double,
    Relu,
}

/// Latents to pictures.
#[derive(Debug)]
pub struct TinyDecoder<B: Backend> {
    inputs: usize,
    network: Network<B>,
}

/// Pictures to latents.
#[derive(Debug)]
pub struct TinyEncoder<B: Backend> {
    network: Network<B>,
}

#[derive(Debug)]
struct Network<B: Backend> {
    backend: Arc<B>,
    steps: Vec<Step<B>>,
    /// Slopes of an activation that lets nothing below zero through.
    zeros: B::Tensor,
}

impl<B: Backend> TinyDecoder<B> {
    /// Loads the network of `taesd_decoder.pth`.
    pub fn load(backend: Arc<B>, file: &Checkpoint) -> Result<Self, ModelError> {
        let [inputs, width] = channels(file, "1.weight")?;
        let mut layers = Layers::new(Source::new(&*backend, file), 1);
        let mut steps = vec![layers.conv(inputs, width, SAME, true)?, layers.skip(Step::Relu)];
        for level in (0..LEVELS).rev() {
            for _ in 0..if level == 0 { 1 } else { BLOCKS } {
                steps.push(layers.block(width)?);
            }
            if level > 0 {
                steps.push(layers.skip(Step::Double));
                steps.push(layers.conv(width, width, SAME, false)?);
            }
        }
        steps.push(layers.conv(width, 3, SAME, true)?);
        Ok(Self { inputs, network: Network::new(backend, width, steps)? })
    }

    /// Pictures `[n, 3, 8 height, 8 width]`, about -1 to 1 and not clamped, of latents `[n, channels, height, width]`.
    pub fn decode(&self, latents: &Array, edges: Edges) -> Result<Array, ModelError> {
        check(latents, self.inputs, 1)?;
        let backend = &*self.network.backend;
        let latents = backend.scale(&backend.upload(&latents.to_channels_last()?)?, 1.0 / MOST)?;
        let latents = backend.scale(&backend.curve(&latents, Curve::Tanh)?, MOST)?;
        let pictures = backend.download(&self.network.run(&latents, edges)?)?.to_channels_first()?;
        // From 0 to 1.
        let spread = pictures.data().iter().map(|value| 2.0 * value - 1.0).collect();
        Ok(Array::new(pictures.shape(), spread)?)
    }
}

impl<B: Backend> TinyEncoder<B> {
    /// Loads the network of `taesd_encoder.pth`, whose latents have so many channels.
    pub fn load(backend: Arc<B>, file: &Checkpoint, outputs: usize) -> Result<Self, ModelError> {
        let [_, width] = channels(file, "0.weight")?;
        let mut layers = Layers::new(Source::new(&*backend, file), 0);
        let halving = Conv2dConfig { stride: 2, ..SAME };
        let mut steps = vec![layers.conv(3, width, SAME, true)?];
        for level in 0..LEVELS {
            if level > 0 {
                steps.push(layers.conv(width, width, halving, false)?);
            }
            for _ in 0..if level == 0 { 1 } else { BLOCKS } {
                steps.push(layers.block(width)?);
            }
        }
        steps.push(layers.conv(width, outputs, SAME, true)?);
        Ok(Self { network: Network::new(backend, width, steps)? })
    }

    /// Latents `[n, channels, height, width]` of pictures `[n, 3, 8 height, 8 width]` from -1 to 1.
    pub fn encode(&self, pictures: &Array, edges: Edges) -> Result<Array, ModelError> {
        check(pictures, 3, UNIT)?;
        let backend = &*self.network.backend;
        let narrow = pictures.data().iter().map(|&value| f32::midpoint(value, 1.0)).collect();
        let pictures = Array::new(pictures.shape(), narrow)?;
        let latents = self.network.run(&backend.upload(&pictures.to_channels_last()?)?, edges)?;
        Ok(backend.download(&latents)?.to_channels_first()?)
    }
}

impl<B: Backend> Network<B> {
    fn new(backend: Arc<B>, width: usize, steps: Vec<Step<B>>) -> Result<Self, ModelError> {
        let zeros = backend.upload(&Array::zeros([width]))?;
        Ok(Self { backend, steps, zeros })
    }

    fn run(&self, x: &B::Tensor, edges: Edges) -> Result<B::Tensor, TensorError> {
        let run = Run::plain(&*self.backend).tiling(edges == Edges::GoOn);
        let relu = || Conv2dArgs { slopes: Some(&self.zeros), ..Conv2dArgs::default() };
        let mut x = x.clone();
        for step in &self.steps {
            x = match step {
                Step::Conv(layer) => run.conv2d(&x, layer, Conv2dArgs::default())?,
                Step::Relu => run.curve(&x, RELU)?,
                Step::Double => run.resample(&x, Resample::Nearest { factor: 2 })?,
                Step::Block(Block { layers: [first, second, third] }) => {
                    let hidden = run.conv2d(&run.conv2d(&x, first, relu())?, second, relu())?;
                    let skip = Conv2dArgs { residual: Some(&x), ..Conv2dArgs::default() };
                    run.curve(&run.conv2d(&hidden, third, skip)?, RELU)?
                }
            };
        }
        Ok(x)
    }
}

/// Layers by their numbers.
struct Layers<'a, B: Backend> {
    source: Source<'a, B>,
    next: usize,
}

impl<'a, B: Backend> Layers<'a, B> {
    fn new(source: Source<'a, B>, first: usize) -> Self {
        Self { source, next: first }
    }

    fn number(&mut self) -> String {
        self.next += 1;
        (self.next - 1).to_string()
    }

    /// A step whose number has no tensors.
    fn skip(&mut self, step: Step<B>) -> Step<B> {
        self.next += 1;
        step
    }

    fn conv(
        &mut self,
        inputs: usize,
        outputs: usize,
        config: Conv2dConfig,
        bias: bool,
    ) -> Result<Step<B>, ModelError> {
        let name = self.number();
        let layer = if bias {
            self.source.conv(&name, inputs, outputs, 3, config)
        } else {
            self.source.conv_without_bias(&name, inputs, outputs, 3, config)
        };
        layer.map(Step::Conv)
    }

    fn block(&mut self, width: usize) -> Result<Step<B>, ModelError> {
        let number = self.number();
        let place = self.source.at(number).at("conv");
        // Activations stand between.
        let layer = |number: usize| place.conv(&(2 * number).to_string(), width, width, 3, SAME);
        Ok(Step::Block(Block { layers: [layer(0)?, layer(1)?, layer(2)?] }))
    }
}
