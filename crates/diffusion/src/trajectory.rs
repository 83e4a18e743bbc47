//! One image in the making, as a state machine: text vectors, then denoising steps, then pixels.

use crate::TrajectoryError;
use crate::conditions::Conditions;
use crate::denoiser::{Denoiser, Level};
use crate::error::check_finite;
use crate::noise::ImageNoise;
use crate::prompt::Chunk;
use crate::sampler::SamplerState;
use crate::spec::{ImageSpec, ModelFacts};
use crate::step::{
    AdapterUse, Answer, DecodeQuery, DenoiseQuery, DenoiseRow, Depth, Picture, RowOutput, Step, TextQuery,
};
use impasto_domain::Shortcuts;
use impasto_models::{SelfAttention, Tiles, mix};
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Least edge of HyperTile's tiles, in pixels of the picture.
const LEAST_TILE: usize = 128;

/// One image in the making. Ask [`Trajectory::next`] and [`Trajectory::answer`] in turns, until the step is
/// [`Step::Done`]. What comes out depends on the specification and the answers alone.
///
/// Stored with `serde` it is little more than the few latents that its sampler remembers, and the features that a shortcut
/// keeps: text vectors are asked for again after loading.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trajectory {
    conditions: Conditions,
    clip_skip: u32,
    cfg_scale: f64,
    shortcuts: Shortcuts,
    /// Model calls that the steps asked for take, two each with samplers of second order: what prompts and guidance are
    /// scheduled by.
    steps: usize,
    /// The picture's seed.
    seed: u64,
    /// Features of the last whole run of the UNet, row by row, while a step may use them.
    #[serde(with = "shared")]
    features: Vec<Option<Arc<Array>>>,
    denoiser: Denoiser,
    sampler: SamplerState,
    noise: ImageNoise,
    /// Pixels along the edge of a latent cell.
    downscale: usize,
    adapters: Vec<AdapterUse>,
    stage: Stage,
}

/// Stores arrays that are shared as if they were not.
mod shared {
    use super::{Arc, Array};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        arrays: &[Option<Arc<Array>>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(arrays.iter().map(Option::as_deref))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(
        deserializer: D,
    ) -> Result<Vec<Option<Arc<Array>>>, D::Error> {
        let arrays = Vec::<Option<Array>>::deserialize(deserializer)?;
        Ok(arrays.into_iter().map(|array| array.map(Arc::new)).collect())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Stage {
    Sampling,
    Decoding,
    Done(Picture),
}

/// What is to be answered.
enum Pending<'a> {
    /// The text of the condition of this index.
    Text(usize, &'a [Chunk]),
    /// A row for each part of the prompt and, if there is guidance, one for the negative prompt.
    Denoise(Level, bool),
    Decode,
    Nothing(&'a Picture),
}

impl Trajectory {
    /// An image about to be made. Refuses what this model cannot do, naming field and value.
    pub fn new(spec: ImageSpec, model: &ModelFacts) -> Result<Self, TrajectoryError> {
        spec.check(model)?;
        let shape = spec.latent_shape(model)?;
        let conditions = Conditions::new(&spec, &model.tokenizer, &model.embeddings)?;
        let sampling = spec.sampling(model);
        let levels = sampling.levels(model.betas);
        sampling.check(&levels)?;
        let (strength, delta) = (spec.subseed_strength, spec.eta_noise_seed_delta);
        let mut noise = ImageNoise::new(spec.noise_source, shape, spec.seeds, strength, delta);
        let sampler = SamplerState::new(&sampling, &levels, noise.initial(), &mut noise);
        Ok(Self {
            features: vec![None; conditions.rows(true)],
            conditions,
            clip_skip: spec.clip_skip,
            cfg_scale: spec.cfg_scale * spec.sampler.guidance_factor(),
            shortcuts: spec.shortcuts,
            steps: spec.calls() as usize,
            seed: spec.seeds.seed,
            denoiser: sampling.denoiser(levels, model.prediction),
            sampler,
            noise,
            downscale: model.downscale,
            adapters: spec.adapters,
            stage: Stage::Sampling,
        })
    }

    /// What is needed next: the same again until it is answered. Fails if the latent has become infinite, as too high
    /// a `cfg_scale` makes it.
    #[expect(clippy::should_implement_trait, reason = "it repeats itself until answered: no iterator")]
    pub fn next(&mut self) -> Result<Step, TrajectoryError> {
        let pending = self.pending();
        if !matches!(pending, Pending::Nothing(_)) {
            check_finite("the sampler", self.result().data())?;
        }
        Ok(match pending {
            Pending::Text(_, chunks) => Step::EncodeText(TextQuery {
                chunks: chunks.iter().map(|chunk| chunk.tokens.clone()).collect(),
                embeddings: chunks.iter().map(|chunk| chunk.embeddings.clone()).collect(),
                clip_skip: self.clip_skip,
                adapters: self.adapters.as_slice().into(),
            }),
            Pending::Denoise(level, guided) => {
                let (input, timestep) = self.denoiser.input(self.sampler.latent(), level);
                let latent = Arc::new(input);
                let adapters: Arc<[AdapterUse]> = self.adapters.as_slice().into();
                let row = |(which, context): (usize, &Arc<Array>)| DenoiseRow {
                    latent: Arc::clone(&latent),
                    timestep,
                    context: Arc::clone(context),
                    depth: self.depth(which),
                    self_attention: self.self_attention(),
                    adapters: adapters.clone(),
                };
                let contexts = self.conditions.contexts(self.sampler.calls(), guided);
                Step::Denoise(DenoiseQuery { rows: contexts.enumerate().map(row).collect() })
            }
            Pending::Decode => Step::Decode(DecodeQuery { latent: Arc::new(self.result().clone()) }),
            Pending::Nothing(picture) => Step::Done(picture.clone()),
        })
    }

    /// Takes the answer to the step that [`Trajectory::next`] gives. Refuses one of another kind or shape, and one with
    /// values that are not numbers.
    pub fn answer(&mut self, answer: Answer) -> Result<(), TrajectoryError> {
        match (self.pending(), answer) {
            (Pending::Text(which, _), Answer::Text(vectors)) => self.conditions.take_text(which, vectors),
            (Pending::Denoise(level, guided), Answer::Output(rows)) => self.take_output(level, guided, rows),
            (Pending::Decode, Answer::Decoded(pixels)) => self.take_pixels(&pixels),
            (pending, answer) => Err(TrajectoryError::answer(pending.wants(), kind(&answer))),
        }
    }

    /// Sampler steps done, and in all. Those of DDIM and its kin are those they make, which may differ from those asked for.
    pub fn progress(&self) -> (u32, u32) {
        (self.sampler.steps_done() as u32, self.sampler.steps() as u32)
    }

    /// The newest estimate of the clean latent, `[channels, height, width]`, for previews.
    pub fn denoised(&self) -> Option<&Array> {
        self.sampler.denoised()
    }

    /// Stops sampling: the next step decodes the newest estimate, or, where there is none yet, the noise.
    pub fn finish_early(&mut self) {
        if matches!(self.stage, Stage::Sampling) {
            self.stage = Stage::Decoding;
            self.features.fill(None);
        }
    }

    fn pending(&self) -> Pending<'_> {
        let level = match (&self.stage, self.sampler.level()) {
            (Stage::Done(picture), _) => return Pending::Nothing(picture),
            (Stage::Decoding, _) | (Stage::Sampling, None) => return Pending::Decode,
            (Stage::Sampling, Some(level)) => level,
        };
        let guided = self.is_guided(level);
        match self.conditions.next_text(guided) {
            Some((which, chunks)) => Pending::Text(which, chunks),
            None => Pending::Denoise(level, guided),
        }
    }

    /// Whether the next step takes the negative prompt.
    fn is_guided(&self, level: Level) -> bool {
        let sigma = match level {
            Level::Sigma(sigma) => sigma,
            Level::Timestep(timestep) => self.denoiser.levels().sigma_at(timestep),
        };
        !self.shortcuts.skip_guidance(self.sampler.calls(), self.steps, sigma)
    }

    /// How pixels attend to each other at the next step. Sizes of tiles are drawn anew for each, by the picture's seed.
    fn self_attention(&self) -> SelfAttention {
        let shortcuts = &self.shortcuts;
        let tiles = shortcuts.hypertile_enable_unet.then(|| Tiles {
            edge: tile_edge(self.sampler.latent().shape(), self.downscale, shortcuts.hypertile_max_tile_unet),
            choices: shortcuts.hypertile_swap_size_unet as usize,
            max_level: shortcuts.hypertile_max_depth_unet as usize,
            seed: mix(self.seed, self.sampler.calls() as u64),
        });
        SelfAttention { merged: shortcuts.token_merging_ratio, tiles }
    }

    /// How much of the UNet the next step takes for a row. Every so many steps it is the whole; between, it is so for a row that
    /// was left out at the last whole one.
    fn depth(&self, which: usize) -> Depth {
        let interval = self.shortcuts.deepcache_interval.max(1) as usize;
        let stages = self.shortcuts.deepcache_depth.max(1) as usize;
        let call = self.sampler.calls();
        let is_last = self.sampler.calls_needed() == Some(call + 1);
        match &self.features[which] {
            Some(features) if !call.is_multiple_of(interval) => {
                Depth::Reuse { stages, features: features.clone() }
            }
            _ if (call + 1).is_multiple_of(interval) || is_last => Depth::Whole,
            _ => Depth::Keep { stages },
        }
    }

    /// The latent to decode: where the sampler arrived, or its best guess from where it is.
    fn result(&self) -> &Array {
        match (&self.stage, self.sampler.level(), self.sampler.denoised()) {
            (Stage::Decoding, Some(_), Some(denoised)) => denoised,
            _ => self.sampler.latent(),
        }
    }

    fn take_output(
        &mut self,
        level: Level,
        guided: bool,
        answer: Vec<RowOutput>,
    ) -> Result<(), TrajectoryError> {
        let rows = self.conditions.rows(guided);
        let latent = self.sampler.latent();
        let odd = answer.iter().find(|row| row.output.shape() != latent.shape());
        if odd.is_some() || answer.len() != rows {
            let shape = odd.map_or(latent.shape(), |row| row.output.shape());
            let wanted = format!("{rows} UNet outputs {:?}", latent.shape());
            return Err(TrajectoryError::answer(wanted, format!("{} of {shape:?}", answer.len())));
        }
        for (which, row) in answer.iter().enumerate() {
            check_finite("Unet", row.output.data())?;
            if row.features.is_none() && matches!(self.depth(which), Depth::Keep { .. }) {
                return Err(TrajectoryError::answer("the features of a whole run", "none"));
            }
        }
        let estimates: Vec<Vec<f32>> = (answer.iter())
            .map(|row| self.denoiser.estimate(latent.data(), row.output.data(), level))
            .collect();
        let unconditional = self.conditions.unconditional(&estimates);
        let mut estimate = latent.clone();
        estimate.data_mut().copy_from_slice(&self.conditions.guide(&estimates, self.cfg_scale));
        self.keep_features(answer);
        self.sampler.advance(estimate, unconditional, &mut self.noise);
        if self.sampler.level().is_none() {
            self.features.fill(None);
        }
        Ok(())
    }

    /// Keeps the features that later steps will use, and drops those that none will.
    fn keep_features(&mut self, answer: Vec<RowOutput>) {
        let interval = self.shortcuts.deepcache_interval.max(1) as usize;
        let call = self.sampler.calls();
        if call.is_multiple_of(interval) {
            self.features.fill(None);
        }
        for (which, row) in answer.into_iter().enumerate() {
            if let (Depth::Keep { .. }, Some(features)) = (self.depth(which), row.features) {
                self.features[which] = Some(features);
            }
        }
        if (call + 1).is_multiple_of(interval) {
            self.features.fill(None);
        }
    }

    fn take_pixels(&mut self, pixels: &Array) -> Result<(), TrajectoryError> {
        let cells = |axis: usize| self.sampler.latent().shape().get(axis).copied().unwrap_or(0);
        let (height, width) = (cells(1) * self.downscale, cells(2) * self.downscale);
        if pixels.shape() != [3, height, width] {
            let wanted = format!("pixels [3, {height}, {width}]");
            return Err(TrajectoryError::answer(wanted, format!("{:?}", pixels.shape())));
        }
        check_finite("VAE", pixels.data())?;
        self.stage = Stage::Done(Picture::from_decoded(pixels)?);
        Ok(())
    }
}

/// Least edge of HyperTile's tiles, in latent pixels: the greatest power of two that divides the picture's width and height,
/// but no more than `most` pixels and no less than 128.
fn tile_edge(latent: &[usize], downscale: usize, most: u32) -> usize {
    let powers = latent.iter().skip(1).map(|&cells| 1 << (cells * downscale).trailing_zeros().min(16));
    let edge = powers.min().unwrap_or(1).min(most as usize);
    edge.max(LEAST_TILE) / downscale.max(1)
}

impl Pending<'_> {
    fn wants(&self) -> &'static str {
        match self {
            Self::Text(..) => "text vectors",
            Self::Denoise(..) => "UNet outputs",
            Self::Decode => "pixels",
            Self::Nothing(_) => "nothing more",
        }
    }
}

fn kind(answer: &Answer) -> &'static str {
    match answer {
        Answer::Text(_) => "text vectors",
        Answer::Output(_) => "UNet outputs",
        Answer::Decoded(_) => "pixels",
    }
}
