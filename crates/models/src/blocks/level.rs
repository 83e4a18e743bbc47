//! One resolution of the UNet on its way down, at the bottom, and on its way up.

use super::{
    Context, Downsample, ResBlock, ResBlockNames, Source, SpatialTransformer, TransformerSizes, Upsample,
};
use crate::ModelError;
use impasto_tensor::{Backend, TensorError};

/// What the blocks of a level have in common.
#[derive(Debug, Clone, Copy)]
pub struct LevelSizes {
    /// The transformers, of the level's channels; depth 0 where the level has none.
    pub transformer: TransformerSizes,
    /// Features of the time embedding.
    pub time_features: usize,
}

impl LevelSizes {
    fn channels(&self) -> usize {
        self.transformer.channels
    }

    fn res_block<B: Backend>(
        &self,
        source: &Source<'_, B>,
        inputs: usize,
    ) -> Result<ResBlock<B>, ModelError> {
        let sizes = [inputs, self.channels()];
        let groups = self.transformer.groups;
        ResBlock::load(source, &ResBlockNames::UNET, sizes, Some(self.time_features), groups)
    }

    fn transformer<B: Backend>(
        &self,
        source: &Source<'_, B>,
    ) -> Result<Option<SpatialTransformer<B>>, ModelError> {
        let wanted = self.transformer.depth > 0;
        wanted.then(|| SpatialTransformer::load(source, self.transformer)).transpose()
    }
}

/// A residual block and, where the level has attention, a transformer.
#[derive(Debug)]
pub struct Stage<B: Backend> {
    residual: ResBlock<B>,
    transformer: Option<SpatialTransformer<B>>,
}

impl<B: Backend> Stage<B> {
    /// Loads the parts `0` and `1` of `source`, a block that takes `inputs` channels.
    pub fn load(source: &Source<'_, B>, inputs: usize, sizes: LevelSizes) -> Result<Self, ModelError> {
        Ok(Self {
            residual: sizes.res_block(&source.at("0"), inputs)?,
            transformer: sizes.transformer(&source.at("1"))?,
        })
    }

    /// `[batch, height, width, inputs]` to the level's channels.
    pub fn forward(
        &self,
        backend: &B,
        x: &B::Tensor,
        time: &B::Tensor,
        context: &Context<B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        let x = self.residual.forward(backend, x, Some(time))?;
        match &self.transformer {
            Some(transformer) => transformer.forward(backend, &x, context),
            None => Ok(x),
        }
    }
}

/// A level on the way down.
#[derive(Debug)]
pub struct DownLevel<B: Backend> {
    stages: Vec<Stage<B>>,
    downsample: Option<Downsample<B>>,
}

impl<B: Backend> DownLevel<B> {
    /// Loads `stages` stages, of which the first takes `inputs` channels, from the blocks `first`, `first + 1`, ... of
    /// `source`; after them a downsampling, unless this is the `last` level.
    pub fn load(
        source: &Source<'_, B>,
        first: usize,
        stages: usize,
        inputs: usize,
        sizes: LevelSizes,
        last: bool,
    ) -> Result<Self, ModelError> {
        let block = |index: usize| source.at((first + index).to_string());
        let stage_inputs = |index| if index == 0 { inputs } else { sizes.channels() };
        let padding = Downsample::<B>::UNET_PADDING;
        let downsample = || Downsample::load(&block(stages), "0.op", sizes.channels(), padding);
        Ok(Self {
            stages: (0..stages)
                .map(|index| Stage::load(&block(index), stage_inputs(index), sizes))
                .collect::<Result<_, _>>()?,
            downsample: (!last).then(downsample).transpose()?,
        })
    }

    /// Runs the level and appends what each of its parts gives to `skips`. The last of them is the level's output.
    pub fn forward(
        &self,
        backend: &B,
        x: B::Tensor,
        time: &B::Tensor,
        context: &Context<B::Tensor>,
        skips: &mut Vec<B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        let mut x = x;
        for stage in &self.stages {
            x = stage.forward(backend, &x, time, context)?;
            skips.push(x.clone());
        }
        if let Some(downsample) = &self.downsample {
            x = downsample.forward(backend, &x)?;
            skips.push(x.clone());
        }
        Ok(x)
    }
}

/// The coarsest level between the way down and the way up.
#[derive(Debug)]
pub struct Bottom<B: Backend> {
    first: Stage<B>,
    second: ResBlock<B>,
}

impl<B: Backend> Bottom<B> {
    /// Loads the bottom.
    pub fn load(source: &Source<'_, B>, sizes: LevelSizes) -> Result<Self, ModelError> {
        let second = if sizes.transformer.depth > 0 { "2" } else { "1" };
        Ok(Self {
            first: Stage::load(source, sizes.channels(), sizes)?,
            second: sizes.res_block(&source.at(second), sizes.channels())?,
        })
    }

    /// `[batch, height, width, channels]` to the same.
    pub fn forward(
        &self,
        backend: &B,
        x: &B::Tensor,
        time: &B::Tensor,
        context: &Context<B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        self.second.forward(backend, &self.first.forward(backend, x, time, context)?, Some(time))
    }
}

/// A level on the way up.
#[derive(Debug)]
pub struct UpLevel<B: Backend> {
    stages: Vec<Stage<B>>,
    upsample: Option<Upsample<B>>,
}

impl<B: Backend> UpLevel<B> {
    /// Loads a stage for each of `skips`, the channels of what it takes from the way down, from the blocks `first`,
    /// `first + 1`, ... of `source`. The first stage takes `inputs` channels beside its skip. The last is followed by an
    /// upsampling, unless this is the `finest` level.
    pub fn load(
        source: &Source<'_, B>,
        first: usize,
        skips: &[usize],
        inputs: usize,
        sizes: LevelSizes,
        finest: bool,
    ) -> Result<Self, ModelError> {
        let block = |index: usize| source.at((first + index).to_string());
        let stage_inputs = |index| if index == 0 { inputs } else { sizes.channels() };
        let upsample = || {
            let name = if sizes.transformer.depth > 0 { "2.conv" } else { "1.conv" };
            Upsample::load(&block(skips.len() - 1), name, sizes.channels())
        };
        Ok(Self {
            stages: (skips.iter().enumerate())
                .map(|(index, skip)| Stage::load(&block(index), stage_inputs(index) + skip, sizes))
                .collect::<Result<_, _>>()?,
            upsample: (!finest && !skips.is_empty()).then(upsample).transpose()?,
        })
    }

    /// Runs the level, taking from the end of `skips`.
    pub fn forward(
        &self,
        backend: &B,
        x: B::Tensor,
        time: &B::Tensor,
        context: &Context<B::Tensor>,
        skips: &mut Vec<B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        let no_skip = || TensorError::shape("up level", "more stages than skips");
        let mut x = x;
        for stage in &self.stages {
            let skip = skips.pop().ok_or_else(no_skip)?;
            x = stage.forward(backend, &backend.concat(&[&x, &skip])?, time, context)?;
        }
        if let Some(upsample) = &self.upsample {
            let next = skips.last().ok_or_else(no_skip)?;
            let &[_, height, width, _] = backend.shape(next) else { return Err(no_skip()) };
            x = upsample.forward(backend, &x, [height, width])?;
        }
        Ok(x)
    }
}
