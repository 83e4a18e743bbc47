//! One way from noise to a latent: the queries to the text encoder and the UNet, and what their answers do.

use crate::TrajectoryError;
use crate::conditions::Conditions;
use crate::denoiser::{Denoiser, Level};
use crate::error::check_finite;
use crate::kept::Kept;
use crate::noise::ImageNoise;
use crate::prompt::Chunk;
use crate::refining::Refining;
use crate::sampler::{InitialLatent, SamplerState, Sampling};
use crate::spec::{ImageSpec, Models};
use crate::step::{AdapterUse, DenoiseQuery, DenoiseRow, Depth, ModelSlot, RowOutput, TextQuery};
use impasto_domain::{Conditioning, Shortcuts};
use impasto_models::{SelfAttention, Tiles, mix};
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Least edge of HyperTile's tiles, in pixels of the picture.
const LEAST_TILE: usize = 128;

/// How a latent to begin from is noised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Noising {
    /// How far up the noise levels it goes, 0 to 1.
    pub(crate) denoising_strength: f64,
    /// Whether as many steps are made as were asked for.
    pub(crate) fix_steps: bool,
    /// What the noise is multiplied with.
    pub(crate) noise_multiplier: f64,
    /// Noise beyond that.
    pub(crate) extra_noise: f64,
}

/// One way from noise to a latent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pass {
    conditions: Conditions,
    clip_skip: u32,
    cfg_scale: f64,
    shortcuts: Shortcuts,
    /// Model calls that the steps asked for take, two each with samplers of second order: what prompts and guidance are
    /// scheduled by.
    calls: usize,
    /// The picture's seed.
    seed: u64,
    /// Features of the last whole run of the UNet, row by row, while a step may use them.
    #[serde(with = "shared")]
    features: Vec<Option<Arc<Array>>>,
    denoiser: Denoiser,
    sampling: Sampling,
    noise: ImageNoise,
    /// `[channels, height, width]`.
    shape: [usize; 3],
    /// Pixels along the edge of a latent cell.
    downscale: usize,
    adapters: Vec<AdapterUse>,
    /// What changes the text encoder.
    text_adapters: Vec<AdapterUse>,
    tiling: bool,
    /// Which model is asked.
    slot: ModelSlot,
    /// The one that takes over, until it has.
    refiner: Option<Refining>,
    /// What the model is told beside the latent.
    conditioning: Conditioning,
    /// That, `[channels, height, width]`, once it is known.
    told: Option<Arc<Array>>,
    /// Strength of guidance by the picture, where the model is told of one.
    image_cfg_scale: Option<f64>,
    /// How the latent that it begins from is noised; nothing where it begins from noise alone.
    noising: Option<Noising>,
    /// Nothing until the pass has begun.
    sampler: Option<SamplerState>,
    kept: Option<Kept>,
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

/// What a pass waits for.
pub(crate) enum Wants<'a> {
    /// The vectors of the condition of this index.
    Text(usize, &'a [Chunk]),
    /// A row for each part of the prompt and, if there is guidance, one for the negative prompt.
    Denoise(Level, bool),
    /// Nothing: the latent has arrived, or the pass has not begun.
    Nothing,
}

impl Pass {
    /// A pass that has not begun.
    pub(crate) fn new(
        spec: &ImageSpec,
        models: &Models<'_>,
        slot: ModelSlot,
        noising: Option<Noising>,
    ) -> Result<Self, TrajectoryError> {
        let model = models.second.filter(|_| slot == ModelSlot::Second).unwrap_or(models.first);
        spec.check(model)?;
        let refiner = models.refiner.zip(spec.refiner_of(slot == ModelSlot::Second));
        let refiner =
            refiner.map(|(facts, refiner)| Refining::new(spec, model, facts, refiner)).transpose()?;
        let shape = spec.latent_shape(model)?;
        let conditions = Conditions::new(spec, &model.tokenizer, &model.embeddings)?;
        let sampling = spec.sampling(model);
        let levels = sampling.levels(model.betas);
        sampling.check(&levels)?;
        let (strength, delta) = (spec.subseed_strength, spec.eta_noise_seed_delta);
        let mut noise = ImageNoise::new(spec.noise_source, shape, spec.seeds, strength, delta);
        if let Some((width, height)) = spec.seed_resize_from {
            let cells = [height, width].map(|side| side as usize / model.downscale.max(1));
            noise = noise.resized_from(cells);
        }
        let edits = model.conditioning == Conditioning::Instructions;
        let image_cfg_scale = spec.from_picture.as_ref().and_then(|source| source.image_cfg_scale);
        let image_cfg_scale = image_cfg_scale.filter(|&scale| edits && scale != 1.0);
        Ok(Self {
            features: vec![None; conditions.rows(true) + usize::from(image_cfg_scale.is_some())],
            conditions,
            clip_skip: spec.clip_skip,
            cfg_scale: spec.cfg_scale * spec.sampler.guidance_factor(),
            shortcuts: spec.shortcuts,
            calls: spec.calls() as usize,
            seed: spec.seeds.seed,
            denoiser: sampling.denoiser(levels, model.prediction),
            sampling,
            noise,
            shape,
            downscale: model.downscale,
            adapters: spec.adapters.clone(),
            text_adapters: spec.text_adapters.as_ref().unwrap_or(&spec.adapters).clone(),
            tiling: spec.tiling,
            slot: if models.second.is_some() { slot } else { ModelSlot::First },
            refiner,
            conditioning: model.conditioning,
            told: None,
            image_cfg_scale,
            noising,
            sampler: None,
            kept: None,
        })
    }

    /// Height and width of the latent.
    pub(crate) fn cells(&self) -> [usize; 2] {
        [self.shape[1], self.shape[2]]
    }

    /// Which model is asked next.
    pub(crate) fn slot(&self) -> ModelSlot {
        self.slot
    }

    /// What the model is told beside the latent.
    pub(crate) fn conditioning(&self) -> Conditioning {
        self.conditioning
    }

    /// Takes what the model is told beside the latent, `[channels, height, width]`.
    pub(crate) fn tell(&mut self, told: Array) {
        self.told = Some(Arc::new(told));
    }

    /// The mask at the latent's size, and the latent that it keeps.
    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// Begins from noise alone.
    pub(crate) fn begin(&mut self) {
        let initial = self.noise.initial();
        let levels = self.denoiser.levels();
        self.sampler = Some(SamplerState::new(&self.sampling, levels, initial, &mut self.noise));
        self.change_model();
    }

    /// Begins from a latent, of which a part may be kept.
    pub(crate) fn begin_from(
        &mut self,
        mut latent: Array,
        kept: impl FnOnce(&mut Array, &ImageNoise) -> Option<Kept>,
    ) -> Result<(), TrajectoryError> {
        if latent.shape() != self.shape {
            let wanted = format!("a latent {:?}", self.shape);
            return Err(TrajectoryError::answer(wanted, format!("{:?}", latent.shape())));
        }
        let Some(noising) = self.noising else { return Err(TrajectoryError::answer("nothing", "a latent")) };
        self.kept = kept(&mut latent, &self.noise);
        let initial = InitialLatent {
            latent: &latent,
            noise: self.noise.initial(),
            denoising_strength: noising.denoising_strength,
            fix_steps: noising.fix_steps,
            noise_multiplier: noising.noise_multiplier,
            extra_noise: noising.extra_noise,
        };
        let levels = self.denoiser.levels();
        self.sampler = Some(SamplerState::from_latent(&self.sampling, initial, levels, &mut self.noise));
        self.change_model();
        Ok(())
    }

    /// Lets the other model take over, if it is time.
    fn change_model(&mut self) {
        let Some(level) = self.sampler.as_ref().and_then(SamplerState::level) else { return };
        let timestep = match level {
            Level::Sigma(sigma) => self.denoiser.levels().nearest_timestep(sigma),
            Level::Timestep(timestep) => timestep.trunc(),
        };
        let of_calls = self.calls_made() as f64 / self.calls_in_all().max(1) as f64;
        if let Some(Refining { conditions, denoiser, .. }) =
            self.refiner.take_if(|refiner| refiner.is_time(timestep, of_calls))
        {
            (self.conditions, self.denoiser) = (conditions, denoiser);
            self.slot = ModelSlot::Refiner;
            self.features = vec![None; self.features.len()];
        }
    }

    /// What is needed next.
    pub(crate) fn wants(&self) -> Wants<'_> {
        let Some(level) = self.sampler.as_ref().and_then(SamplerState::level) else { return Wants::Nothing };
        let guided = self.is_guided(level);
        match self.conditions.next_text(guided) {
            Some((which, chunks)) => Wants::Text(which, chunks),
            None => Wants::Denoise(level, guided),
        }
    }

    /// The query for text vectors.
    pub(crate) fn text_query(&self, chunks: &[Chunk]) -> TextQuery {
        TextQuery {
            chunks: chunks.iter().map(|chunk| chunk.tokens.clone()).collect(),
            embeddings: chunks.iter().map(|chunk| chunk.embeddings.clone()).collect(),
            clip_skip: self.clip_skip,
            adapters: self.text_adapters.as_slice().into(),
        }
    }

    /// The query for the UNet's outputs.
    pub(crate) fn denoise_query(&self, level: Level, guided: bool) -> DenoiseQuery {
        let (input, timestep) = self.denoiser.input(&self.seen(level), level);
        let input = Arc::new(input);
        let beside =
            |told: Option<&Array>| told.map_or(input.clone(), |told| Arc::new(stacked(&input, told)));
        let latent = beside(self.told.as_deref());
        let adapters: Arc<[AdapterUse]> = self.adapters.as_slice().into();
        let row = |(which, context): (usize, &Arc<Array>)| DenoiseRow {
            latent: Arc::clone(&latent),
            timestep,
            context: Arc::clone(context),
            depth: self.depth(which),
            self_attention: self.self_attention(),
            adapters: adapters.clone(),
            tiling: self.tiling,
        };
        let contexts = self.conditions.contexts(self.calls_made(), guided);
        let mut rows: Vec<DenoiseRow> = contexts.enumerate().map(row).collect();
        if let (Some(told), true) = (&self.told, self.is_guided_by_picture(guided)) {
            // Neither the prompt nor the picture.
            let latent = beside(Some(&Array::zeros(told.shape())));
            let depth = self.depth(rows.len());
            rows.extend(rows.last().cloned().map(|row| DenoiseRow { latent, depth, ..row }));
        }
        DenoiseQuery { rows }
    }

    /// The latent that the UNet sees. Samplers of training times see what is kept in it; for the others it is put into the
    /// estimate.
    fn seen(&self, level: Level) -> Array {
        let mut latent = self.latent();
        if let (Some(kept), Level::Timestep(_)) = (&self.kept, level) {
            kept.blend(latent.data_mut(), self.sigma(level));
        }
        latent
    }

    fn sigma(&self, level: Level) -> f32 {
        match level {
            Level::Sigma(sigma) => sigma,
            Level::Timestep(timestep) => self.denoiser.levels().sigma_at(timestep),
        }
    }

    /// Whether a row goes without the picture.
    fn is_guided_by_picture(&self, guided: bool) -> bool {
        guided && self.image_cfg_scale.is_some()
    }

    /// Calls from the first step to the last, as A1111 counts them.
    fn calls_in_all(&self) -> usize {
        let steps = self.sampler.as_ref().map_or(0, SamplerState::steps);
        if self.noising.is_none() {
            self.calls
        } else {
            steps * if self.sampling.sampler.is_second_order() { 2 } else { 1 }
        }
    }

    /// The latent as it is; noise before the pass has begun.
    fn latent(&self) -> Array {
        self.sampler.as_ref().map_or_else(|| Array::zeros(self.shape), |sampler| sampler.latent().clone())
    }

    fn calls_made(&self) -> usize {
        self.sampler.as_ref().map_or(0, SamplerState::calls)
    }

    /// Steps done and in all.
    pub(crate) fn progress(&self) -> (u32, u32) {
        self.sampler
            .as_ref()
            .map_or((0, self.sampling.steps), |sampler| (sampler.steps_done() as u32, sampler.steps() as u32))
    }

    /// The newest estimate of the clean latent.
    pub(crate) fn denoised(&self) -> Option<&Array> {
        self.sampler.as_ref()?.denoised()
    }

    /// The latent that came out, or the best guess at it from where the sampler is.
    pub(crate) fn result(&self) -> Result<Array, TrajectoryError> {
        let sampler = self.sampler.as_ref();
        let guess = sampler.filter(|sampler| sampler.level().is_some()).and_then(SamplerState::denoised);
        let mut latent = guess.cloned().unwrap_or_else(|| self.latent());
        check_finite("the sampler", latent.data())?;
        if let Some(kept) = &self.kept {
            kept.finish(latent.data_mut());
        }
        Ok(latent)
    }

    /// Refuses to go on from a latent that is not one of numbers.
    pub(crate) fn check(&self) -> Result<(), TrajectoryError> {
        self.sampler.as_ref().map_or(Ok(()), |sampler| check_finite("the sampler", sampler.latent().data()))
    }

    /// Forgets what only further steps would need.
    pub(crate) fn end(&mut self) {
        self.features.fill(None);
    }

    /// Whether the next step takes the negative prompt.
    fn is_guided(&self, level: Level) -> bool {
        // Rows without prompt and without picture belong together.
        self.image_cfg_scale.is_some()
            || !self.shortcuts.skip_guidance(self.calls_made(), self.calls_in_all(), self.sigma(level))
    }

    /// How pixels attend to each other at the next step. Sizes of tiles are drawn anew for each, by the picture's seed.
    fn self_attention(&self) -> SelfAttention {
        let shortcuts = &self.shortcuts;
        let tiles = shortcuts.hypertile_enable_unet.then(|| Tiles {
            edge: tile_edge(&self.shape, self.downscale, shortcuts.hypertile_max_tile_unet),
            choices: shortcuts.hypertile_swap_size_unet as usize,
            max_level: shortcuts.hypertile_max_depth_unet as usize,
            seed: mix(self.seed, self.calls_made() as u64),
        });
        SelfAttention { merged: shortcuts.token_merging_ratio, tiles }
    }

    /// How much of the UNet the next step takes for a row. Every so many steps it is the whole; between, it is so for a row that
    /// went without guidance at the last whole one.
    fn depth(&self, which: usize) -> Depth {
        let interval = self.shortcuts.deepcache_interval.max(1) as usize;
        let stages = self.shortcuts.deepcache_depth.max(1) as usize;
        let call = self.calls_made();
        let needed = self.sampler.as_ref().and_then(SamplerState::calls_needed);
        match &self.features[which] {
            Some(features) if !call.is_multiple_of(interval) => {
                Depth::Reuse { stages, features: features.clone() }
            }
            _ if (call + 1).is_multiple_of(interval) || needed == Some(call + 1) => Depth::Whole,
            _ => Depth::Keep { stages },
        }
    }

    /// Takes the vectors of a text.
    pub(crate) fn take_text(&mut self, which: usize, vectors: Array) -> Result<(), TrajectoryError> {
        self.conditions.take_text(which, vectors)
    }

    /// Takes the UNet's outputs and makes a step.
    pub(crate) fn take_output(
        &mut self,
        level: Level,
        guided: bool,
        answer: Vec<RowOutput>,
    ) -> Result<(), TrajectoryError> {
        let of_prompts = self.conditions.rows(guided);
        let rows = of_prompts + usize::from(self.is_guided_by_picture(guided));
        let odd = answer.iter().find(|row| row.output.shape() != self.shape);
        if odd.is_some() || answer.len() != rows {
            let shape = odd.map_or(&self.shape[..], |row| row.output.shape());
            let wanted = format!("{rows} UNet outputs {:?}", self.shape);
            return Err(TrajectoryError::answer(wanted, format!("{} of {shape:?}", answer.len())));
        }
        for (which, row) in answer.iter().enumerate() {
            check_finite("Unet", row.output.data())?;
            if row.features.is_none() && matches!(self.depth(which), Depth::Keep { .. }) {
                return Err(TrajectoryError::answer("the features of a whole run", "none"));
            }
        }
        let seen = self.seen(level);
        let estimates: Vec<Vec<f32>> = (answer.iter())
            .map(|row| self.denoiser.estimate(seen.data(), row.output.data(), level))
            .collect();
        let mut guided = self.conditions.guide(&estimates[..of_prompts], self.cfg_scale);
        let mut unconditional = self.conditions.unconditional(&estimates);
        if let (Some([with, without]), Some(scale)) =
            (estimates.get(of_prompts - 1..=of_prompts), self.image_cfg_scale)
        {
            // Brooks, Holynski and Efros 2023, equation 3: guidance begins from the estimate without the picture.
            for ((value, with), without) in guided.iter_mut().zip(with).zip(without) {
                *value += (with - without) * (scale - 1.0) as f32;
            }
            unconditional = Some(without);
        }
        let mut estimate = seen.clone();
        estimate.data_mut().copy_from_slice(&guided);
        if let (Some(kept), Level::Sigma(_)) = (&self.kept, level) {
            kept.blend(estimate.data_mut(), self.sigma(level));
        }
        self.keep_features(answer);
        if let Some(sampler) = &mut self.sampler {
            sampler.advance(estimate, unconditional, &mut self.noise);
            if sampler.level().is_none() {
                self.features.fill(None);
            }
        }
        self.change_model();
        Ok(())
    }

    /// Keeps the features that later steps will use, and drops those that none will.
    fn keep_features(&mut self, answer: Vec<RowOutput>) {
        let interval = self.shortcuts.deepcache_interval.max(1) as usize;
        let call = self.calls_made();
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
}

/// The channels of `first`, then those of `second`, both `[channels, height, width]`.
fn stacked(first: &Array, second: &Array) -> Array {
    let (&[channels, height, width], &[more, ..]) = (first.shape(), second.shape()) else {
        return first.clone();
    };
    let values = [first.data(), second.data()].concat();
    Array::new([channels + more, height, width], values).unwrap_or_else(|_| first.clone())
}

/// Least edge of HyperTile's tiles, in latent pixels: the greatest power of two that divides the picture's width and height,
/// but no more than `most` pixels and no less than 128.
fn tile_edge(latent: &[usize], downscale: usize, most: u32) -> usize {
    let powers = latent.iter().skip(1).map(|&cells| 1 << (cells * downscale).trailing_zeros().min(16));
    let edge = powers.min().unwrap_or(1).min(most as usize);
    edge.max(LEAST_TILE) / downscale.max(1)
}
