//! A stage of the UNet: a residual block and, where its level has attention, a transformer.

use super::{
    Context, Downsample, Place, ResBlock, ResBlockNames, Run, SelfAttention, Source, SpatialTransformer,
    TransformerSizes, Upsample,
};
use crate::ModelError;
use impasto_tensor::{Backend, TensorError};

/// What the stages of a level have in common.
#[derive(Debug, Clone, Copy)]
pub struct LevelSizes {
    /// The transformers, of the level's channels; depth 0 where the level has none.
    pub transformer: TransformerSizes,
    /// Features of the time embedding.
    pub time_features: usize,
    /// Which level it is, from the finest as 0.
    pub level: usize,
}

impl LevelSizes {
    /// Channels of the level.
    pub fn channels(&self) -> usize {
        self.transformer.channels
    }
}

/// A residual block and, where the level has attention, a transformer.
#[derive(Debug)]
pub struct Stage<B: Backend> {
    residual: ResBlock<B>,
    transformer: Option<SpatialTransformer<B>>,
    level: usize,
}

/// What a stage takes beside the picture. Nothing of it depends on the latent.
#[derive(Debug)]
pub struct StageConditions<T> {
    /// The time embedding as the residual block adds it: `[batch, channels]`.
    pub time: T,
    /// What the transformer's pixels attend to.
    pub context: Context<T>,
    /// How each row's pixels attend to each other.
    pub self_attention: Vec<SelfAttention>,
    /// The stage's number, in the order in which they run.
    pub index: usize,
}

impl<B: Backend> Stage<B> {
    /// Loads the parts `0` and `1` of `source`, a block that takes `inputs` channels.
    pub fn load(source: &Source<'_, B>, inputs: usize, sizes: LevelSizes) -> Result<Self, ModelError> {
        let transformer = (sizes.transformer.depth > 0)
            .then(|| SpatialTransformer::load(&source.at("1"), sizes.transformer));
        let plain = Self::load_plain(&source.at("0"), inputs, sizes)?;
        Ok(Self { transformer: transformer.transpose()?, ..plain })
    }

    /// Loads a stage that is a residual block alone, whatever its level has.
    pub fn load_plain(source: &Source<'_, B>, inputs: usize, sizes: LevelSizes) -> Result<Self, ModelError> {
        let (channels, groups) = ([inputs, sizes.channels()], sizes.transformer.groups);
        let residual =
            ResBlock::load(source, &ResBlockNames::UNET, channels, Some(sizes.time_features), groups)?;
        Ok(Self { residual, transformer: None, level: sizes.level })
    }

    /// What the residual block makes of the activated time embedding `[batch, time features]`: `[batch, channels]`.
    pub fn project_time(&self, backend: &Run<'_, B>, time: &B::Tensor) -> Result<B::Tensor, TensorError> {
        self.residual.project_time(backend, time)
    }

    /// The transformer, if there is one.
    pub fn transformer(&self) -> Option<&SpatialTransformer<B>> {
        self.transformer.as_ref()
    }

    /// `[batch, height, width, inputs]` to the level's channels.
    pub fn forward(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        conditions: &StageConditions<B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        let x = self.residual.forward(backend, x, Some(&conditions.time))?;
        match &self.transformer {
            Some(transformer) => {
                let place = Place { level: self.level, stage: conditions.index };
                transformer.forward(backend, &x, &conditions.context, &conditions.self_attention, place)
            }
            None => Ok(x),
        }
    }
}

/// A part of the way down. What it gives is kept for the way up.
#[derive(Debug)]
pub enum DownPart<B: Backend> {
    /// A stage.
    Stage(Stage<B>),
    /// The step to the next level.
    Downsample(Downsample<B>),
}

/// A part of the way up: a stage that takes what the way down has kept and, at the end of a level, the step to the next.
#[derive(Debug)]
pub struct UpPart<B: Backend> {
    /// Takes the picture and, in its last channels, what was kept.
    pub stage: Stage<B>,
    /// At the end of every level but the finest.
    pub upsample: Option<Upsample<B>>,
}

impl<B: Backend> UpPart<B> {
    /// Runs the part on `x` and the last of `skips`, which is taken.
    pub fn forward(
        &self,
        backend: &Run<'_, B>,
        x: &B::Tensor,
        conditions: &StageConditions<B::Tensor>,
        skips: &mut Vec<B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        let no_skip = || TensorError::shape("way up", "more parts than skips");
        let skip = skips.pop().ok_or_else(no_skip)?;
        let x = self.stage.forward(backend, &backend.concat(&[x, &skip])?, conditions)?;
        let Some(upsample) = &self.upsample else { return Ok(x) };
        let next = skips.last().ok_or_else(no_skip)?;
        let &[_, height, width, _] = backend.shape(next) else { return Err(no_skip()) };
        upsample.forward(backend, &x, [height, width])
    }
}
