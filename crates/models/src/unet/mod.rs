//! The denoising UNet of Stable Diffusion 1.x (Rombach et al. 2022) and XL (Podell et al. 2023), of any width.
//!
//! What depends on time and label or on text alone is prepared once ([`UNet::prepare_time`], [`UNet::prepare_context`]) and used for
//! all steps and rows that share it.

mod conditions;
mod label;
mod plan;

pub use conditions::{UNetContext, UNetDepth, UNetOutput, UNetRow, UNetTime};
pub use label::PictureSizes;

use crate::blocks::{
    Context, Conv2d, DownPart, LabelEmbedding, Norm, Run, SelfAttention, Source, Stage, StageConditions,
    TimeEmbedding, UpPart,
};
use crate::{AdapterSet, ModelError};
use conditions::KEPT_TOKENS;
use impasto_tensor::{Activation, Array, Backend, Conv2dArgs, Conv2dConfig, TensorError};
use impasto_weights::UNetConfig;
use plan::Plan;
use std::sync::Arc;

/// Epsilon of the last normalisation.
const EPSILON: f32 = 1e-5;

/// A denoising UNet.
#[derive(Debug)]
pub struct UNet<B: Backend> {
    backend: Arc<B>,
    config: UNetConfig,
    time: TimeEmbedding<B>,
    label: Option<LabelEmbedding<B>>,
    first: Conv2d<B>,
    down: Vec<DownPart<B>>,
    bottom: [Stage<B>; 2],
    up: Vec<UpPart<B>>,
    norm: Norm<B>,
    last: Conv2d<B>,
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
        let label = |inputs| LabelEmbedding::load(&source.at("label_emb.0"), inputs, config.time_features);
        Ok(Self {
            backend,
            time: TimeEmbedding::load(&source.at("time_embed"), width, config.time_features)?,
            label: config.label_features.map(label).transpose()?,
            first: source.conv3x3("input_blocks.0.0", config.in_channels, width, same)?,
            down: plan.load_down(&source.at("input_blocks"))?,
            bottom: plan.load_bottom(&source.at("middle_block"), coarsest.channels)?,
            up: plan.load_up(&source.at("output_blocks"))?,
            norm: source.norm("out.0", width)?,
            last: source.conv3x3("out.2", width, config.out_channels, same)?,
            config: config.clone(),
        })
    }

    /// All stages, in the order in which they run.
    fn stages(&self) -> impl Iterator<Item = &Stage<B>> {
        let down = self.down.iter().filter_map(|part| match part {
            DownPart::Stage(stage) => Some(stage),
            DownPart::Downsample(_) => None,
        });
        down.chain(&self.bottom).chain(self.up.iter().map(|part| &part.stage))
    }

    /// What the network makes of a diffusion time, 0 to 999, fractions allowed, and of a label `[label features]` if it is
    /// one that takes labels ([`UNet::label`]).
    pub fn prepare_time(&self, timestep: f32, label: Option<&Array>) -> Result<UNetTime<B>, ModelError> {
        self.prepare_time_with(timestep, label, None)
    }

    /// The same, changed by adapters.
    pub fn prepare_time_with(
        &self,
        timestep: f32,
        label: Option<&Array>,
        adapters: Option<&AdapterSet<B>>,
    ) -> Result<UNetTime<B>, ModelError> {
        let run = Run::same(&*self.backend, adapters);
        let label = self.embed_label(label, &run)?;
        let time = self.time.forward(&run, &[timestep], label.as_ref())?;
        let stages = self.stages().map(|stage| stage.project_time(&run, &time));
        Ok(UNetTime { stages: stages.collect::<Result<_, _>>()? })
    }

    /// What the network makes of a text's vectors, `[tokens, features]`.
    pub fn prepare_context(&self, context: &Array) -> Result<UNetContext<B>, ModelError> {
        self.prepare_context_with(context, None)
    }

    /// The same, changed by adapters.
    pub fn prepare_context_with(
        &self,
        context: &Array,
        adapters: Option<&AdapterSet<B>>,
    ) -> Result<UNetContext<B>, ModelError> {
        let run = Run::same(&*self.backend, adapters);
        let features = self.config.context_features;
        let &[tokens, found] = context.shape() else { return Err(odd_context(context, features)) };
        if tokens == 0 || found != features {
            return Err(odd_context(context, features));
        }
        let text = self.backend.upload(context)?;
        let project = |stage: &Stage<B>| match stage.transformer() {
            Some(transformer) => transformer.project_context(&run, &text),
            None => Ok(Vec::new()),
        };
        let stages = (tokens <= KEPT_TOKENS).then(|| self.stages().map(project).collect::<Result<_, _>>());
        Ok(UNetContext { stages: stages.transpose()?, tokens: text })
    }

    /// The network's raw output `[n, out channels, height, width]` for `n` latents `[n, in channels, height, width]`, each
    /// at its own time and with its own context.
    ///
    /// Contexts may differ in length. What a row gives does not depend on the other rows.
    pub fn run(
        &self,
        latent: &Array,
        rows: &[UNetRow<'_, B>],
        depth: UNetDepth<'_>,
    ) -> Result<UNetOutput, ModelError> {
        self.check(latent, rows.len())?;
        if rows.iter().any(|row| row.tiling != rows[0].tiling) {
            return Err(ModelError::Input("rows with tiling and without in one call".to_owned()));
        }
        let latent = self.backend.upload(&latent.to_channels_last()?)?;
        let (output, features) = self.forward_rows(&latent, rows, depth)?;
        Ok(UNetOutput {
            output: self.backend.download(&output)?.to_channels_first()?,
            features: features.map(|features| self.backend.download(&features)).transpose()?,
        })
    }

    /// As [`UNet::run`], for a single call of the whole network: prepares each row's time, 0 to 999, and context, `[tokens, features]`, and
    /// forgets them.
    pub fn forward(
        &self,
        latent: &Array,
        timesteps: &[f32],
        contexts: &[&Array],
    ) -> Result<Array, ModelError> {
        self.forward_labelled(latent, timesteps, contexts, &vec![None; timesteps.len()])
    }

    /// As [`UNet::forward`], with the label of each row, `[label features]`.
    pub fn forward_labelled(
        &self,
        latent: &Array,
        timesteps: &[f32],
        contexts: &[&Array],
        labels: &[Option<&Array>],
    ) -> Result<Array, ModelError> {
        let [times, texts, labelled] = [timesteps.len(), contexts.len(), labels.len()];
        if times != texts || times != labelled {
            let problem = format!("{times} timesteps with {texts} contexts and {labelled} labels");
            return Err(ModelError::Input(problem));
        }
        self.check(latent, times)?;
        let times =
            timesteps.iter().zip(labels).map(|(&timestep, label)| self.prepare_time(timestep, *label));
        let times: Vec<_> = times.collect::<Result<_, _>>()?;
        let texts: Vec<_> =
            contexts.iter().map(|context| self.prepare_context(context)).collect::<Result<_, _>>()?;
        let self_attention = SelfAttention::default();
        let row = |(time, context)| UNetRow { time, context, self_attention, tiling: false, adapters: None };
        let rows: Vec<_> = times.iter().zip(&texts).map(row).collect();
        Ok(self.run(latent, &rows, UNetDepth::Whole)?.output)
    }

    /// `[n, height, width, in channels]` to `[n, height, width, out channels]`, and the features that are to be kept.
    fn forward_rows(
        &self,
        latent: &B::Tensor,
        rows: &[UNetRow<'_, B>],
        depth: UNetDepth<'_>,
    ) -> Result<(B::Tensor, Option<B::Tensor>), TensorError> {
        let tiling = rows.iter().any(|row| row.tiling);
        let backend = &Run::new(&*self.backend, rows.iter().map(|row| row.adapters).collect()).tiling(tiling);
        let within = |stages: usize| stages.clamp(1, (self.up.len() - 1).max(1));
        let outer = match depth {
            UNetDepth::Whole => self.up.len(),
            UNetDepth::Keep { stages } | UNetDepth::Reuse { stages, .. } => within(stages),
        };
        let mut x = backend.conv2d(latent, &self.first, Conv2dArgs::default())?;
        let mut skips = vec![x.clone()];
        let mut stages = Stages { network: self, all: self.stages().collect(), next: 0, rows };
        let (inner_up, outer_up) = self.up.split_at(self.up.len() - outer);
        let features = if let UNetDepth::Reuse { features, .. } = depth {
            // Every part of the way up takes one of what the way down leaves, the first convolution's included.
            Self::run_down(backend, &mut stages, &self.down[..outer - 1], x, &mut skips)?;
            stages.next = stages.all.len() - outer;
            backend.upload(features)?
        } else {
            x = Self::run_down(backend, &mut stages, &self.down, x, &mut skips)?;
            for stage in &self.bottom {
                x = stage.forward(backend, &x, &stages.conditions()?)?;
            }
            for part in inner_up {
                x = part.forward(backend, &x, &stages.conditions()?, &mut skips)?;
            }
            x
        };
        let kept = matches!(depth, UNetDepth::Keep { .. }).then(|| features.clone());
        x = features;
        for part in outer_up {
            x = part.forward(backend, &x, &stages.conditions()?, &mut skips)?;
        }
        let normal = backend.group_norm(&x, &self.norm, self.config.groups, EPSILON, Activation::Silu)?;
        Ok((backend.conv2d(&normal, &self.last, Conv2dArgs::default())?, kept))
    }

    fn run_down(
        run: &Run<'_, B>,
        stages: &mut Stages<'_, B>,
        parts: &[DownPart<B>],
        x: B::Tensor,
        skips: &mut Vec<B::Tensor>,
    ) -> Result<B::Tensor, TensorError> {
        let mut x = x;
        for part in parts {
            x = match part {
                DownPart::Stage(stage) => stage.forward(run, &x, &stages.conditions()?)?,
                DownPart::Downsample(downsample) => downsample.forward(run, &x)?,
            };
            skips.push(x.clone());
        }
        Ok(x)
    }

    /// What stage `index` takes for each row beside the picture.
    fn conditions(
        &self,
        index: usize,
        stage: &Stage<B>,
        rows: &[UNetRow<'_, B>],
    ) -> Result<StageConditions<B::Tensor>, TensorError> {
        let unknown = || TensorError::shape("unet", "a row that was prepared by another network");
        let times: Vec<&B::Tensor> = rows
            .iter()
            .map(|row| row.time.stages.get(index).ok_or_else(unknown))
            .collect::<Result<_, _>>()?;
        let time = self.backend.concat_rows(&times)?;
        let keys = |row: &UNetRow<'_, B>| match (&row.context.stages, stage.transformer()) {
            (_, None) => Ok(Vec::new()),
            (Some(stages), _) => stages.get(index).cloned().ok_or_else(unknown),
            (None, Some(transformer)) => {
                let run = Run::same(&*self.backend, row.adapters);
                transformer.project_context(&run, &row.context.tokens)
            }
        };
        let context = Context { rows: rows.iter().map(keys).collect::<Result<_, _>>()? };
        let self_attention = rows.iter().map(|row| row.self_attention).collect();
        Ok(StageConditions { time, context, self_attention, index })
    }

    fn check(&self, latent: &Array, rows: usize) -> Result<(), ModelError> {
        let wanted = self.config.in_channels;
        let shape = latent.shape();
        match *shape {
            [n, channels, height, width] if channels == wanted && n > 0 && height > 0 && width > 0 => {
                if n == rows {
                    Ok(())
                } else {
                    Err(ModelError::Input(format!("{n} latents for {rows} rows")))
                }
            }
            _ => Err(ModelError::Input(format!(
                "a latent of shape {shape:?}, but this UNet takes [n, {wanted}, height, width]"
            ))),
        }
    }
}

/// A UNet's stages in the course of a call.
struct Stages<'a, B: Backend> {
    network: &'a UNet<B>,
    all: Vec<&'a Stage<B>>,
    next: usize,
    rows: &'a [UNetRow<'a, B>],
}

impl<B: Backend> Stages<'_, B> {
    /// What the next stage takes beside the picture.
    fn conditions(&mut self) -> Result<StageConditions<B::Tensor>, TensorError> {
        let index = self.next;
        self.next += 1;
        let missing = || TensorError::shape("unet", "more stages than were counted");
        self.network.conditions(index, self.all.get(index).ok_or_else(missing)?, self.rows)
    }
}

fn odd_context(context: &Array, features: usize) -> ModelError {
    ModelError::Input(format!("a context of shape {:?}, not [tokens, {features}]", context.shape()))
}
