//! Which block of a checkpoint is what, following from the UNet's sizes alone.

use crate::ModelError;
use crate::blocks::{DownPart, Downsample, LevelSizes, Source, Stage, TransformerSizes, UpPart, Upsample};
use impasto_tensor::Backend;
use impasto_weights::UNetConfig;

/// Which block of the checkpoint is what.
pub(super) struct Plan<'a> {
    config: &'a UNetConfig,
    /// Channels of everything that the way down leaves for the way up, in order.
    skips: Vec<usize>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(config: &'a UNetConfig) -> Self {
        let mut skips = vec![config.model_channels];
        for (index, level) in config.levels.iter().enumerate() {
            let downsampled = usize::from(index + 1 < config.levels.len());
            skips.extend(std::iter::repeat_n(level.channels, level.res_blocks + downsampled));
        }
        Self { config, skips }
    }

    fn sizes(&self, level: usize, channels: usize, depth: usize) -> LevelSizes {
        let &UNetConfig { context_features, heads, groups, time_features, .. } = self.config;
        let heads = heads.of(channels);
        LevelSizes {
            transformer: TransformerSizes { channels, context_features, heads, depth, groups },
            time_features,
            level,
        }
    }

    /// The way down. Block 0 is the first convolution, which is no part of it; the blocks are as many as the skips.
    pub(super) fn load_down<B: Backend>(
        &self,
        source: &Source<'_, B>,
    ) -> Result<Vec<DownPart<B>>, ModelError> {
        let levels = &self.config.levels;
        let mut parts = Vec::with_capacity(self.skips.len());
        for (index, level) in levels.iter().enumerate() {
            let sizes = self.sizes(index, level.channels, level.transformer_depth);
            for _ in 0..level.res_blocks {
                let inputs = self.skips[parts.len()];
                let block = source.at((parts.len() + 1).to_string());
                parts.push(DownPart::Stage(Stage::load(&block, inputs, sizes)?));
            }
            if index + 1 < levels.len() {
                let block = source.at((parts.len() + 1).to_string());
                let padding = Downsample::<B>::UNET_PADDING;
                parts.push(DownPart::Downsample(Downsample::load(&block, "0.op", level.channels, padding)?));
            }
        }
        Ok(parts)
    }

    /// The two stages of the coarsest level between the way down and the way up, of `channels`.
    pub(super) fn load_bottom<B: Backend>(
        &self,
        source: &Source<'_, B>,
        channels: usize,
    ) -> Result<[Stage<B>; 2], ModelError> {
        let sizes = self.sizes(self.config.levels.len() - 1, channels, self.config.middle_depth);
        let second = if self.config.middle_depth > 0 { "2" } else { "1" };
        Ok([Stage::load(source, channels, sizes)?, Stage::load_plain(&source.at(second), channels, sizes)?])
    }

    /// The way up, from the coarsest level to the finest.
    pub(super) fn load_up<B: Backend>(&self, source: &Source<'_, B>) -> Result<Vec<UpPart<B>>, ModelError> {
        let mut skips = self.skips.iter().rev();
        let mut inputs = self.skips.last().copied().unwrap_or(0);
        let mut parts: Vec<UpPart<B>> = Vec::with_capacity(self.skips.len());
        for (index, level) in self.config.levels.iter().enumerate().rev() {
            let sizes = self.sizes(index, level.channels, level.transformer_depth);
            for (stage, skip) in skips.by_ref().take(level.res_blocks + 1).enumerate() {
                let block = source.at(parts.len().to_string());
                let name = if level.transformer_depth > 0 { "2.conv" } else { "1.conv" };
                let ends_level = stage == level.res_blocks && index > 0;
                let upsample = ends_level.then(|| Upsample::load(&block, name, level.channels));
                parts.push(UpPart {
                    stage: Stage::load(&block, inputs + skip, sizes)?,
                    upsample: upsample.transpose()?,
                });
                inputs = level.channels;
            }
        }
        Ok(parts)
    }
}
