//! What one image is to be, and what must be known of the model to make it.

use crate::prompt::{EmbeddingWord, ExtraNetworks, Timeline};
use crate::sampler::Sampling;
use crate::{AdapterUse, TrajectoryError};
use impasto_domain::{
    Asides, Conditioning, FromPicture, GenerationRequest, Hires, NoiseSource, PromptRules, RefinedPass,
    Refiner, Sampler, SamplerOptions, Schedule, Seeds, Shortcuts,
};
use impasto_models::Tokenizer;
use impasto_weights::Prediction;
use std::sync::Arc;

/// One image of a request, with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSpec {
    /// What is wanted, without the tags of extra networks.
    pub prompt: String,
    /// What is not wanted.
    pub negative_prompt: String,
    /// How the prompts are read.
    pub prompt_rules: PromptRules,
    /// The networks that the prompt's tags ask for. Who answers the queries applies them.
    pub networks: ExtraNetworks,
    /// Those of the networks that were found, by what answers to their queries.
    pub adapters: Vec<AdapterUse>,
    /// What changes the text encoder, if that is not the same.
    pub text_adapters: Option<Vec<AdapterUse>>,
    /// What the second pass's own prompt asks for, if it has one.
    pub second_networks: Option<ExtraNetworks>,
    /// Those of its networks that were found.
    pub second_adapters: Vec<AdapterUse>,
    /// Pixels asked for; the picture has them rounded down to whole latent cells.
    pub width: u32,
    /// Pixels asked for.
    pub height: u32,
    /// Sampler steps asked for.
    pub steps: u32,
    /// Strength of classifier-free guidance.
    pub cfg_scale: f64,
    /// How the latent is moved.
    pub sampler: Sampler,
    /// How noise levels are spread.
    pub schedule: Schedule,
    /// Seeds of this image.
    pub seeds: Seeds,
    /// How far the noise is turned towards the variation noise, 0 to 1.
    pub subseed_strength: f64,
    /// Text encoder layers to stop before the end, 1 for none skipped.
    pub clip_skip: u32,
    /// Whose random numbers to use.
    pub noise_source: NoiseSource,
    /// Noise multiplier; `None` means the sampler's own.
    pub eta: Option<f64>,
    /// Added to the seed for the noise drawn during sampling.
    pub eta_noise_seed_delta: i64,
    /// How sampling differs from what sampler and schedule do by themselves.
    pub sampler_options: SamplerOptions,
    /// Ways to do less work than the exact run.
    pub shortcuts: Shortcuts,
    /// The pictures to begin from, if not from noise alone.
    pub from_picture: Option<Arc<FromPicture>>,
    /// A second pass.
    pub hires: Option<Hires>,
    /// Another model for the last steps.
    pub refiner: Option<Refiner>,
    /// Width and height in pixels of the picture whose noise lies in the middle of this one's.
    pub seed_resize_from: Option<(u32, u32)>,
    /// Whether the picture goes on beyond its edges as on the other side.
    pub tiling: bool,
    /// How much of what is painted anew is hidden from models made for inpainting, 0 to 1.
    pub inpainting_mask_weight: f64,
    /// Pictures that are wanted beside the finished one.
    pub asides: Asides,
    /// Number of the image within its request.
    pub index: u32,
    /// Calls of the model in the pass before, if this is a second.
    pub calls_before: Option<u32>,
}

/// What a trajectory must know of a model.
#[derive(Debug, Clone)]
pub struct ModelFacts {
    /// Text to tokens.
    pub tokenizer: Arc<Tokenizer>,
    /// Names that stand for vectors in texts.
    pub embeddings: Arc<[EmbeddingWord]>,
    /// Channels of a latent, 4.
    pub latent_channels: usize,
    /// Pixels along the edge of a latent cell, 8.
    pub downscale: usize,
    /// What the UNet's output means.
    pub prediction: Prediction,
    /// What a latent is larger by than what the autoencoder gives, 0.18215.
    pub latent_scale: f32,
    /// What the UNet is told of a picture.
    pub conditioning: Conditioning,
    /// First and last beta of the scaled-linear schedule, 0.00085 and 0.012.
    pub betas: (f64, f64),
    /// Layers of the text encoder, which bound `clip_skip`.
    pub text_layers: usize,
    /// Whether the model is of the XL family, for which one schedule has numbers of its own.
    pub is_xl: bool,
}

/// The models of an image.
#[derive(Debug, Clone, Copy)]
pub struct Models<'a> {
    /// The one that begins.
    pub first: &'a ModelFacts,
    /// That of the second pass, if it is another.
    pub second: Option<&'a ModelFacts>,
    /// The one that makes the last steps, if there is one.
    pub refiner: Option<&'a ModelFacts>,
}

impl<'a> From<&'a ModelFacts> for Models<'a> {
    fn from(first: &'a ModelFacts) -> Self {
        Self { first, second: None, refiner: None }
    }
}

/// Most values of a latent; far beyond any request that the limits let through.
const MAX_LATENT: usize = 1 << 26;

impl ImageSpec {
    /// Image `index` of a request. `native` is the model's own width and height.
    pub fn of(request: &GenerationRequest, index: u32, native: (u32, u32)) -> Self {
        let asked = |prompt: &str| {
            let (text, networks) = ExtraNetworks::take_from(prompt);
            (text, if request.disable_extra_networks { ExtraNetworks::default() } else { networks })
        };
        let (prompt, networks) = asked(&request.prompt);
        let second_prompt = request.hires.as_ref().and_then(|hires| hires.prompt.as_deref());
        Self {
            prompt,
            negative_prompt: request.negative_prompt.clone(),
            prompt_rules: request.prompt_rules,
            networks,
            adapters: Vec::new(),
            text_adapters: None,
            second_networks: second_prompt.map(|prompt| asked(prompt).1),
            second_adapters: Vec::new(),
            width: request.width.unwrap_or(native.0),
            height: request.height.unwrap_or(native.1),
            steps: request.steps,
            cfg_scale: request.cfg_scale,
            sampler: request.sampler,
            schedule: request.schedule,
            seeds: request.seeds(index),
            subseed_strength: request.subseed_strength,
            clip_skip: request.clip_skip,
            noise_source: request.noise_source,
            eta: request.eta,
            eta_noise_seed_delta: request.eta_noise_seed_delta,
            sampler_options: request.sampler_options,
            shortcuts: request.shortcuts,
            from_picture: request.from_picture.clone(),
            hires: request.hires.clone(),
            refiner: request.refiner.clone(),
            seed_resize_from: request.seed_resize_from,
            tiling: request.tiling,
            inpainting_mask_weight: request.inpainting_mask_weight,
            asides: request.asides,
            index,
            calls_before: None,
        }
    }

    /// The second pass, as an image of its own, and what was asked of it.
    pub(crate) fn second_pass(&self) -> Option<(Self, &Hires)> {
        let hires = self.hires.as_ref()?;
        let (width, height) = hires.sizes((self.width, self.height)).target;
        let prompt = hires.prompt.as_deref().map(|prompt| ExtraNetworks::take_from(prompt).0);
        let shortcuts = Shortcuts {
            token_merging_ratio: match hires.token_merging_ratio {
                0.0 => self.shortcuts.token_merging_ratio,
                own => own,
            },
            hypertile_enable_unet: self.shortcuts.hypertile_enable_unet_secondpass,
            ..self.shortcuts
        };
        let adapters = if prompt.is_some() { &self.second_adapters } else { &self.adapters };
        let pass = Self {
            adapters: adapters.clone(),
            prompt: prompt.unwrap_or_else(|| self.prompt.clone()),
            negative_prompt: hires.negative_prompt.clone().unwrap_or_else(|| self.negative_prompt.clone()),
            width,
            height,
            steps: hires.steps_after(self.steps),
            sampler: hires.sampler.unwrap_or(self.sampler),
            schedule: hires.schedule.unwrap_or(self.schedule),
            from_picture: None,
            hires: None,
            calls_before: Some(self.calls()),
            text_adapters: hires.first_networks.then(|| self.adapters.clone()),
            shortcuts,
            refiner: self.refiner_of(true).cloned(),
            ..self.clone()
        };
        Some((pass, hires))
    }

    /// The model that makes the last steps of the first pass, or of the second.
    pub(crate) fn refiner_of(&self, second: bool) -> Option<&Refiner> {
        let takes = |pass: RefinedPass| match pass {
            RefinedPass::First => !second,
            RefinedPass::Second => second,
            RefinedPass::Both => true,
        };
        self.refiner.as_ref().filter(|refiner| self.hires.is_none() || takes(refiner.pass))
    }

    /// What numbers in the prompts' schedules count: calls of the model, of which samplers of second order make two a step.
    pub(crate) fn timeline(&self) -> Timeline {
        Timeline { calls: self.calls(), before: self.calls_before, old: self.prompt_rules.old_scheduling }
    }

    /// Calls of the model as A1111 counts them.
    pub(crate) fn calls(&self) -> u32 {
        self.steps.saturating_mul(if self.sampler.is_second_order() { 2 } else { 1 })
    }

    /// How the latent is to be sampled.
    pub(crate) fn sampling(&self, model: &ModelFacts) -> Sampling {
        Sampling {
            sampler: self.sampler,
            schedule: self.schedule,
            steps: self.steps,
            eta: self.eta,
            options: self.sampler_options,
            is_xl: model.is_xl,
        }
    }

    /// `[channels, height, width]` of the latent, if the model can make such a picture.
    pub(crate) fn latent_shape(&self, model: &ModelFacts) -> Result<[usize; 3], TrajectoryError> {
        let cells = |field, pixels: u32| match (pixels as usize).checked_div(model.downscale) {
            Some(cells) if cells > 0 => Ok(cells),
            _ => Err(TrajectoryError::request(
                field,
                pixels,
                format!("is below this model's {} pixels", model.downscale),
            )),
        };
        let shape = [model.latent_channels, cells("height", self.height)?, cells("width", self.width)?];
        let size = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        match size {
            Some(size) if size <= MAX_LATENT => Ok(shape),
            _ => Err(TrajectoryError::request(
                "size",
                format!("{}x{}", self.width, self.height),
                "is too large for one picture",
            )),
        }
    }

    /// Refuses numbers that no formula can use.
    pub(crate) fn check(&self, model: &ModelFacts) -> Result<(), TrajectoryError> {
        let refuse = TrajectoryError::request;
        if !(1..=MAX_STEPS).contains(&self.steps) {
            return Err(refuse(
                "steps",
                self.steps,
                format!("is out of range: allowed are 1 to {MAX_STEPS}"),
            ));
        }
        let layers = model.text_layers as u32;
        if !(1..=layers).contains(&self.clip_skip) {
            let problem = format!("is out of range: this model's text encoder allows 1 to {layers}");
            return Err(refuse("clip_skip", self.clip_skip, problem));
        }
        let eta = self.eta.unwrap_or(0.0);
        for (field, value, holds) in [
            ("cfg_scale", self.cfg_scale, self.cfg_scale.is_finite()),
            ("subseed_strength", self.subseed_strength, (0.0..=1.0).contains(&self.subseed_strength)),
            ("eta", eta, eta.is_finite() && eta >= 0.0),
        ] {
            if !holds {
                return Err(TrajectoryError::request(field, value, "is out of range"));
            }
        }
        Ok(())
    }
}

/// Most sampler steps: one for each of the noise levels that a model is trained on.
const MAX_STEPS: u32 = 1000;
