//! The denoising UNet (Rombach et al. 2022) of Stable Diffusion 1.x, of any width.

use crate::ModelError;
use crate::blocks::{
    Bottom, Context, DownLevel, LevelSizes, Source, TimeEmbedding, TransformerSizes, UpLevel,
};
use impasto_tensor::{Activation, Array, Backend, Conv2dArgs, Conv2dConfig, TensorError};
use impasto_weights::UNetConfig;
use std::sync::Arc;

/// Epsilon of the last normalisation.
const EPSILON: f32 = 1e-5;

/// A denoising UNet.
#[derive(Debug)]
pub struct UNet<B: Backend> {
    backend: Arc<B>,
    config: UNetConfig,
    time: TimeEmbedding<B>,
    first: B::Conv2d,
    down: Vec<DownLevel<B>>,
    bottom: Bottom<B>,
    /// From the coarsest to the finest.
    up: Vec<UpLevel<B>>,
    norm: B::Norm,
    last: B::Conv2d,
}

impl<B: Backend> UNet<B> {
    /// Loads the network from `source`, the place of `input_blocks`.
    pub fn load(backend: Arc<B>, source: &Source<'_, B>, config: &UNetConfig) -> Result<Self, ModelError> {
        let Some(coarsest) = config.levels.last() else {
            return Err(ModelError::Input("a UNet without levels".to_owned()));
        };
        let plan = Plan::new(config);
        let width = config.model_channels;
        let same = Conv2dConfig::padded(1);
        Ok(Self {
            backend,
            time: TimeEmbedding::load(&source.at("time_embed"), width, config.time_features)?,
            first: source.conv3x3("input_blocks.0.0", config.in_channels, width, same)?,
            down: plan.load_down(&source.at("input_blocks"))?,
            bottom: Bottom::load(
                &source.at("middle_block"),
                plan.sizes(coarsest.channels, config.middle_depth),
            )?,
            up: plan.load_up(&source.at("output_blocks"))?,
            norm: source.norm("out.0", width)?,
            last: source.conv3x3("out.2", width, config.out_channels, same)?,
            config: config.clone(),
        })
    }

    /// The network's raw output `[n, out channels, height, width]` for `n` latents `[n, in channels, height, width]`,
    /// each at its own timestep (0 to 999, fractions allowed) and with its own context `[tokens, features]`.
    ///
    /// Contexts may differ in length. What a row gives does not depend on the other rows.
    pub fn forward(
        &self,
        latent: &Array,
        timesteps: &[f32],
        contexts: &[&Array],
    ) -> Result<Array, ModelError> {
        self.check(latent, timesteps, contexts)?;
        let context = self.upload_contexts(contexts)?;
        let output = self.run(&self.backend.upload(&latent.to_channels_last()?)?, timesteps, &context)?;
        Ok(self.backend.download(&output)?.to_channels_first()?)
    }

    /// `[n, height, width, in channels]` to `[n, height, width, out channels]`.
    fn run(
        &self,
        latent: &B::Tensor,
        timesteps: &[f32],
        context: &Context<B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        let backend = &*self.backend;
        let time = self.time.forward(backend, timesteps)?;
        let mut x = backend.conv2d(latent, &self.first, Conv2dArgs::default())?;
        let mut skips = vec![x.clone()];
        for level in &self.down {
            x = level.forward(backend, x, &time, context, &mut skips)?;
        }
        x = self.bottom.forward(backend, &x, &time, context)?;
        for level in &self.up {
            x = level.forward(backend, x, &time, context, &mut skips)?;
        }
        let normal = backend.group_norm(&x, &self.norm, self.config.groups, EPSILON, Activation::Silu)?;
        backend.conv2d(&normal, &self.last, Conv2dArgs::default())
    }

    fn check(&self, latent: &Array, timesteps: &[f32], contexts: &[&Array]) -> Result<(), ModelError> {
        let wanted = self.config.in_channels;
        let &[n, channels, height, width] = latent.shape() else {
            return Err(ModelError::Input(format!("a latent of shape {:?}", latent.shape())));
        };
        if channels != wanted || n == 0 || height == 0 || width == 0 {
            let shape = latent.shape();
            return Err(ModelError::Input(format!(
                "a latent of shape {shape:?}, but this UNet takes [n, {wanted}, height, width]"
            )));
        }
        if timesteps.len() != n || contexts.len() != n {
            let (times, texts) = (timesteps.len(), contexts.len());
            return Err(ModelError::Input(format!(
                "{n} latents with {times} timesteps and {texts} contexts"
            )));
        }
        let features = self.config.context_features;
        match contexts
            .iter()
            .find(|context| !matches!(context.shape(), &[tokens, f] if tokens > 0 && f == features))
        {
            Some(odd) => {
                let shape = odd.shape();
                Err(ModelError::Input(format!("a context of shape {shape:?}, not [tokens, {features}]")))
            }
            None => Ok(()),
        }
    }

    /// The contexts side by side, the shorter ones filled up with zeros that nothing looks at.
    fn upload_contexts(&self, contexts: &[&Array]) -> Result<Context<B::Tensor>, ModelError> {
        let features = self.config.context_features;
        let lengths: Vec<usize> = contexts.iter().map(|context| context.shape()[0]).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut data = Vec::with_capacity(contexts.len() * longest * features);
        for (row, context) in contexts.iter().enumerate() {
            data.extend_from_slice(context.data());
            data.resize((row + 1) * longest * features, 0.0);
        }
        let tokens = self.backend.upload(&Array::new([contexts.len(), longest, features], data)?)?;
        Ok(Context { tokens, lengths })
    }
}

/// Which block of the checkpoint is what, following from the sizes alone.
struct Plan<'a> {
    config: &'a UNetConfig,
    /// Channels of everything that the way down leaves for the way up, in order.
    skips: Vec<usize>,
}

impl<'a> Plan<'a> {
    fn new(config: &'a UNetConfig) -> Self {
        let mut skips = vec![config.model_channels];
        for (index, level) in config.levels.iter().enumerate() {
            let downsampled = usize::from(index + 1 < config.levels.len());
            skips.extend(std::iter::repeat_n(level.channels, level.res_blocks + downsampled));
        }
        Self { config, skips }
    }

    fn sizes(&self, channels: usize, depth: usize) -> LevelSizes {
        let &UNetConfig { context_features, heads, groups, time_features, .. } = self.config;
        LevelSizes {
            transformer: TransformerSizes { channels, context_features, heads, depth, groups },
            time_features,
        }
    }

    fn load_down<B: Backend>(&self, source: &Source<'_, B>) -> Result<Vec<DownLevel<B>>, ModelError> {
        let levels = &self.config.levels;
        // Block 0 is the first convolution; the blocks are as many as the skips.
        let mut block = 1;
        let mut down = Vec::with_capacity(levels.len());
        for (index, level) in levels.iter().enumerate() {
            let last = index + 1 == levels.len();
            let sizes = self.sizes(level.channels, level.transformer_depth);
            let inputs = self.skips[block - 1];
            down.push(DownLevel::load(source, block, level.res_blocks, inputs, sizes, last)?);
            block += level.res_blocks + usize::from(!last);
        }
        Ok(down)
    }

    fn load_up<B: Backend>(&self, source: &Source<'_, B>) -> Result<Vec<UpLevel<B>>, ModelError> {
        let skips: Vec<usize> = self.skips.iter().rev().copied().collect();
        let mut block = 0;
        let mut inputs = skips[0];
        let mut up = Vec::with_capacity(self.config.levels.len());
        for (index, level) in self.config.levels.iter().enumerate().rev() {
            let sizes = self.sizes(level.channels, level.transformer_depth);
            let stages = level.res_blocks + 1;
            up.push(UpLevel::load(source, block, &skips[block..block + stages], inputs, sizes, index == 0)?);
            block += stages;
            inputs = level.channels;
        }
        Ok(up)
    }
}
