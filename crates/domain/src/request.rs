//! A request for pictures, with every default filled in, and the check that it makes sense.

use crate::{
    Asides, DefaultNetworks, FromPicture, Hires, InfotextOptions, NoiseSource, Precision, PromptRules,
    Refiner, Sampler, SamplerOptions, Schedule, Shortcuts, SoftInpainting, VaeChoice,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Fewest pixels along an edge: one of the latent.
const LEAST_EDGE: u32 = 8;
/// Widest blur of a mask, in pixels.
const MOST_BLUR: u32 = 256;
/// Most layers of a known text encoder.
const MOST_LAYERS: u32 = 12;

/// A request for pictures from text. Every image of it becomes one trajectory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationRequest {
    /// Title, file name or hash of a model; `None` means the one chosen in the options.
    pub model: Option<String>,
    /// What is wanted.
    pub prompt: String,
    /// What is not wanted.
    pub negative_prompt: String,
    /// Pixels; `None` means the model's native width. Latents have an eighth of it, rounded down.
    pub width: Option<u32>,
    /// Pixels; `None` means the model's native height.
    pub height: Option<u32>,
    /// Sampler steps.
    pub steps: u32,
    /// Strength of classifier-free guidance (Ho and Salimans 2022); 1 is none.
    pub cfg_scale: f64,
    /// How the latent is moved at each step.
    pub sampler: Sampler,
    /// How noise levels are spread.
    pub schedule: Schedule,
    /// Seed of the first image; `None` draws one.
    pub seed: Option<u64>,
    /// Seed of the variation noise of the first image; `None` draws one.
    pub subseed: Option<u64>,
    /// How far the noise is turned towards the variation noise, 0 to 1.
    pub subseed_strength: f64,
    /// Images that share one model call.
    pub batch_size: u32,
    /// Batches after each other.
    pub batch_count: u32,
    /// Text encoder layers to stop before the end, 1 for none skipped.
    pub clip_skip: u32,
    /// Whose random numbers to use.
    pub noise_source: NoiseSource,
    /// Multiplier of the noise added at each step; `None` means the sampler's own: see [`Sampler::default_eta`].
    pub eta: Option<f64>,
    /// Added to the seed for the noise drawn during sampling.
    pub eta_noise_seed_delta: i64,
    /// The pictures to begin from, if not from noise alone.
    #[serde(default)]
    pub from_picture: Option<Arc<FromPicture>>,
    /// A second pass.
    #[serde(default)]
    pub hires: Option<Hires>,
    /// Another model for the last steps.
    #[serde(default)]
    pub refiner: Option<Refiner>,
    /// Width and height in pixels of the picture whose noise is laid into the middle of this one's.
    #[serde(default)]
    pub seed_resize_from: Option<(u32, u32)>,
    /// Whether the picture goes on beyond its edges as on the other side.
    #[serde(default)]
    pub tiling: bool,
    /// Whether faces are to be made clearer. No network for it can be run: it is told, and the picture is as it is.
    #[serde(default)]
    pub restore_faces: bool,
    /// How much of what is painted anew is hidden from models made for inpainting, 0 to 1.
    #[serde(default = "one")]
    pub inpainting_mask_weight: f64,
    /// Whether the networks that the prompt's tags ask for are left out. The tags never are part of the prompt.
    #[serde(default)]
    pub disable_extra_networks: bool,
    /// Pictures that are wanted beside the finished ones.
    #[serde(default)]
    pub asides: Asides,
    /// How the prompts are read.
    #[serde(default)]
    pub prompt_rules: PromptRules,
    /// How sampling differs from what sampler and schedule do by themselves.
    #[serde(default)]
    pub sampler_options: SamplerOptions,
    /// Ways to do less work than the exact run.
    #[serde(default)]
    pub shortcuts: Shortcuts,
    /// How the denoising network is held; `None` means the way that the program was started with.
    #[serde(default)]
    pub precision: Option<Precision>,
    /// Which autoencoder to use.
    #[serde(default)]
    pub vae: VaeChoice,
    /// Networks that every prompt has beside those of its tags.
    #[serde(default)]
    pub networks: DefaultNetworks,
    /// What infotexts leave out.
    #[serde(default)]
    pub infotext: InfotextOptions,
}

fn one() -> f64 {
    1.0
}

impl Default for GenerationRequest {
    fn default() -> Self {
        Self {
            model: None,
            prompt: String::new(),
            negative_prompt: String::new(),
            width: None,
            height: None,
            steps: 20,
            cfg_scale: 7.0,
            sampler: Sampler::Euler,
            schedule: Schedule::Automatic,
            seed: None,
            subseed: None,
            subseed_strength: 0.0,
            batch_size: 1,
            batch_count: 1,
            clip_skip: 1,
            noise_source: NoiseSource::Gpu,
            eta: None,
            eta_noise_seed_delta: 0,
            from_picture: None,
            hires: None,
            refiner: None,
            seed_resize_from: None,
            tiling: false,
            restore_faces: false,
            inpainting_mask_weight: 1.0,
            disable_extra_networks: false,
            asides: Asides::default(),
            prompt_rules: PromptRules::default(),
            sampler_options: SamplerOptions::default(),
            shortcuts: Shortcuts::default(),
            precision: None,
            vae: VaeChoice::default(),
            networks: DefaultNetworks::default(),
            infotext: InfotextOptions::default(),
        }
    }
}

/// Bounds beyond which a request is refused before any work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Most pixels along one edge.
    pub max_edge: u32,
    /// Most pixels of one picture.
    pub max_pixels: u64,
    /// Most steps.
    pub max_steps: u32,
    /// Most pictures of one request, batch size times batch count.
    pub max_images: u32,
    /// Most bytes of a prompt or negative prompt.
    pub max_prompt_bytes: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            max_edge: 2048,
            max_pixels: 2048 * 2048,
            max_steps: 1000,
            max_images: 256,
            max_prompt_bytes: 1 << 20,
        }
    }
}

impl RequestLimits {
    /// The width or height that is asked for, if it is within bounds by itself.
    pub fn edge(&self, field: &'static str, value: i64) -> Result<u32, RequestError> {
        let most = (self.max_pixels / u64::from(LEAST_EDGE)).min(self.max_edge.into());
        whole(field, value, LEAST_EDGE, most as u32)
    }

    /// The steps that are asked for, if they are within bounds.
    pub fn steps(&self, value: i64) -> Result<u32, RequestError> {
        whole("steps", value, 1, self.max_steps)
    }

    /// The batch size or batch count that is asked for, if it is within bounds by itself.
    pub fn pictures(&self, field: &'static str, value: i64) -> Result<u32, RequestError> {
        whole(field, value, 1, self.max_images)
    }
}

/// A field of a request that makes no sense or goes beyond a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value} {problem}")]
pub struct RequestError {
    /// The field's name in requests.
    pub field: &'static str,
    /// The value found there.
    pub value: String,
    /// What is wrong with it and what is allowed.
    pub problem: String,
}

/// The seeds of one image of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeds {
    /// Seed of the noise.
    pub seed: u64,
    /// Seed of the variation noise.
    pub subseed: u64,
}

impl GenerationRequest {
    /// How many images the request asks for.
    pub fn image_count(&self) -> u32 {
        self.batch_size.saturating_mul(self.batch_count)
    }

    /// How much of a picture is made anew, in the pass that begins from one.
    pub fn denoising_strength(&self) -> Option<f64> {
        let second = self.hires.as_ref().map(|hires| hires.denoising_strength);
        second.or(self.from_picture.as_ref().map(|source| source.denoising_strength))
    }

    /// Steps of all passes as they are asked for.
    pub fn total_steps(&self) -> u32 {
        let second = self.hires.as_ref().map_or(0, |hires| hires.steps_after(self.steps));
        self.steps.saturating_add(second)
    }

    /// The seeds of image `index`. Seeds count up over the whole job unless there is a variation, where only
    /// subseeds do. Undrawn seeds count as 0: see [`GenerationRequest::draw_seeds`].
    pub fn seeds(&self, index: u32) -> Seeds {
        let step = u64::from(index);
        let seed = self.seed.unwrap_or(0);
        Seeds {
            seed: if self.subseed_strength == 0.0 { seed.wrapping_add(step) } else { seed },
            subseed: self.subseed.unwrap_or(0).wrapping_add(step),
        }
    }

    /// Replaces absent seeds with what `draw` gives, in the range that A1111 draws from.
    pub fn draw_seeds(&mut self, mut draw: impl FnMut() -> u64) {
        const SEEDS: u64 = 4_294_967_294;
        self.seed.get_or_insert_with(|| draw() % SEEDS);
        self.subseed.get_or_insert_with(|| draw() % SEEDS);
    }

    /// Whether the request can be worked on. `native` is the model's own width and height.
    pub fn validate(&self, limits: &RequestLimits, native: (u32, u32)) -> Result<(), RequestError> {
        let width = self.width.unwrap_or(native.0);
        let height = self.height.unwrap_or(native.1);
        limits.edge("width", width.into())?;
        limits.edge("height", height.into())?;
        limits.steps(self.steps.into())?;
        limits.pictures("batch_size", self.batch_size.into())?;
        limits.pictures("n_iter", self.batch_count.into())?;
        whole("clip_skip", self.clip_skip.into(), 1, MOST_LAYERS)?;
        // Of two fields that go too far together, the second is blamed.
        let beside = |field, value: u32, least: u32, most: u64, other: &str, given: u32| {
            let problem = format!("is out of range: allowed are {least} to {most} with {other} {given}");
            check(field, &value, u64::from(value) <= most, problem)
        };
        beside("height", height, LEAST_EDGE, limits.max_pixels / u64::from(width), "width", width)?;
        let batches = limits.max_images / self.batch_size;
        beside("n_iter", self.batch_count, 1, batches.into(), "batch_size", self.batch_size)?;
        self.validate_beginning(limits, (width, height))?;
        check("cfg_scale", &self.cfg_scale, self.cfg_scale.is_finite(), "must be a finite number")?;
        let strength = self.subseed_strength;
        let share = "is out of range: allowed are 0 to 1";
        check("subseed_strength", &strength, (0.0..=1.0).contains(&strength), share)?;
        let eta = self.eta.unwrap_or(0.0);
        let noise = "is out of range: allowed are finite numbers of at least 0";
        check("eta", &eta, eta.is_finite() && eta >= 0.0, noise)?;
        let weight = self.inpainting_mask_weight;
        check("inpainting_mask_weight", &weight, (0.0..=1.0).contains(&weight), share)?;
        if let Some((width, height)) = self.seed_resize_from {
            limits.edge("seed_resize_from_w", width.into())?;
            limits.edge("seed_resize_from_h", height.into())?;
        }
        let switch_at = self.refiner.as_ref().and_then(|refiner| refiner.switch_at).unwrap_or(0.0);
        check("refiner_switch_at", &switch_at, (0.0..=1.0).contains(&switch_at), share)?;
        let SamplerOptions { sigma_min, sigma_max, .. } = self.sampler_options;
        let below = "must be below sigma_max";
        check("sigma_min", &sigma_min, sigma_max == 0.0 || sigma_min < sigma_max, below)?;
        let ranges = self.sampler_options.ranges().into_iter().chain(self.shortcuts.ranges());
        for (field, value, [least, most]) in ranges {
            let problem = format!("is out of range: allowed are {least} to {most}");
            check(field, &value, (least..=most).contains(&value), problem)?;
        }
        for (field, text) in [("prompt", &self.prompt), ("negative_prompt", &self.negative_prompt)] {
            let most = limits.max_prompt_bytes;
            let problem = format!("bytes are out of range: allowed are 0 to {most}");
            check(field, &text.len(), text.len() <= most, problem)?;
        }
        Ok(())
    }
}

impl GenerationRequest {
    /// Checks what a picture begins from, and its second pass.
    fn validate_beginning(&self, limits: &RequestLimits, size: (u32, u32)) -> Result<(), RequestError> {
        let share = "is out of range: allowed are 0 to 1";
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        if let Some(source) = &self.from_picture {
            let strength = source.denoising_strength;
            check("denoising_strength", &strength, is_share(strength), share)?;
            let pictures = source.images.len();
            let most = self.batch_size.max(1) as usize;
            let problem = format!("pictures are out of range: allowed are 1 to {most}, the batch size");
            check("init_images", &pictures, (1..=most).contains(&pictures), problem)?;
            for (field, value) in [
                ("initial_noise_multiplier", source.noise_multiplier),
                ("img2img_extra_noise", source.extra_noise),
            ] {
                let problem = "is out of range: allowed are 0 to 10";
                check(field, &value, (0.0..=10.0).contains(&value), problem)?;
            }
            let scale = source.image_cfg_scale.unwrap_or(1.0);
            check("image_cfg_scale", &scale, scale.is_finite(), "must be a finite number")?;
            let soft = source.inpainting.as_ref().and_then(|inpainting| inpainting.soft);
            for (field, value, [least, most]) in soft.iter().flat_map(SoftInpainting::numbers) {
                let problem = format!("is out of range: allowed are {least} to {most}");
                check(field, &value, (least..=most).contains(&value), problem)?;
            }
            let blur = source
                .inpainting
                .as_ref()
                .map_or(0, |inpainting| inpainting.blur.into_iter().max().unwrap_or(0));
            check(
                "mask_blur",
                &blur,
                blur <= MOST_BLUR,
                format!("is out of range: allowed are 0 to {MOST_BLUR}"),
            )?;
        }
        let Some(hires) = &self.hires else { return Ok(()) };
        let merged = hires.token_merging_ratio;
        let most = "is out of range: allowed are 0 to 0.9";
        check("token_merging_ratio_hr", &merged, (0.0..=0.9).contains(&merged), most)?;
        let strength = hires.denoising_strength;
        check("denoising_strength", &strength, is_share(strength), share)?;
        let scale = hires.scale;
        check("hr_scale", &scale, (0.05..=16.0).contains(&scale), "is out of range: allowed are 0.05 to 16")?;
        if hires.steps > 0 {
            limits
                .steps(hires.steps.into())
                .map_err(|error| RequestError { field: "hr_second_pass_steps", ..error })?;
        }
        let sizes = hires.sizes(size);
        for (width, height) in [sizes.target, sizes.enlarged] {
            let fits = limits.edge("hr_resize_x", width.into()).is_ok()
                && limits.edge("hr_resize_y", height.into()).is_ok()
                && u64::from(width) * u64::from(height) <= limits.max_pixels;
            let problem = format!(
                "is out of range: allowed are {LEAST_EDGE} to {} pixels along an edge, and {} in all",
                limits.max_edge, limits.max_pixels
            );
            check("hr_resize_x", &format!("{width}x{height}"), fits, problem)?;
        }
        Ok(())
    }
}

fn whole(field: &'static str, value: i64, least: u32, most: u32) -> Result<u32, RequestError> {
    let problem = format!("is out of range: allowed are {least} to {most}");
    check(field, &value, (i64::from(least)..=i64::from(most)).contains(&value), problem)?;
    Ok(value as u32)
}

fn check(
    field: &'static str,
    value: &impl ToString,
    holds: bool,
    problem: impl Into<String>,
) -> Result<(), RequestError> {
    if holds {
        Ok(())
    } else {
        Err(RequestError { field, value: value.to_string(), problem: problem.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_count_up_unless_varied() {
        let mut request = GenerationRequest { seed: Some(5), subseed: Some(9), ..Default::default() };
        assert_eq!(request.seeds(2), Seeds { seed: 7, subseed: 11 });
        request.subseed_strength = 0.5;
        assert_eq!(request.seeds(2), Seeds { seed: 5, subseed: 11 });
    }

    #[test]
    fn refuses_nonsense_naming_field_and_value() {
        let limits = RequestLimits::default();
        let (sound, usual) = (GenerationRequest::default(), SamplerOptions::default());
        assert_eq!(sound.validate(&limits, (512, 512)), Ok(()));
        let cases = [
            (
                GenerationRequest { width: Some(0), ..sound.clone() },
                "width 0 is out of range: allowed are 8 to 2048",
            ),
            (
                GenerationRequest { steps: 0, ..sound.clone() },
                "steps 0 is out of range: allowed are 1 to 1000",
            ),
            (
                GenerationRequest { width: Some(2048), height: Some(2049), ..sound.clone() },
                "height 2049 is out of range: allowed are 8 to 2048",
            ),
            (
                GenerationRequest { cfg_scale: f64::NAN, ..sound.clone() },
                "cfg_scale NaN must be a finite number",
            ),
            (
                GenerationRequest { batch_size: 1 << 20, batch_count: 1 << 20, ..sound.clone() },
                "batch_size 1048576 is out of range: allowed are 1 to 256",
            ),
            (
                GenerationRequest { batch_count: 257, ..sound.clone() },
                "n_iter 257 is out of range: allowed are 1 to 256",
            ),
            (
                GenerationRequest { batch_size: 100, batch_count: 3, ..sound.clone() },
                "n_iter 3 is out of range: allowed are 1 to 2 with batch_size 100",
            ),
            (
                GenerationRequest { batch_size: 0, ..sound.clone() },
                "batch_size 0 is out of range: allowed are 1 to 256",
            ),
            (
                GenerationRequest { subseed_strength: 2.0, ..sound.clone() },
                "subseed_strength 2 is out of range: allowed are 0 to 1",
            ),
            (
                GenerationRequest { eta: Some(-1.0), ..sound.clone() },
                "eta -1 is out of range: allowed are finite numbers of at least 0",
            ),
            (
                GenerationRequest {
                    shortcuts: Shortcuts { s_min_uncond: 15.5, ..Shortcuts::default() },
                    ..sound.clone()
                },
                "s_min_uncond 15.5 is out of range: allowed are 0 to 15",
            ),
            (
                GenerationRequest {
                    sampler_options: SamplerOptions { sigma_min: 5.0, sigma_max: 5.0, ..usual },
                    ..sound.clone()
                },
                "sigma_min 5 must be below sigma_max",
            ),
            (
                GenerationRequest {
                    sampler_options: SamplerOptions { uni_pc_order: 51, ..usual },
                    ..sound.clone()
                },
                "uni_pc_order 51 is out of range: allowed are 1 to 50",
            ),
            (
                GenerationRequest { clip_skip: 13, ..sound.clone() },
                "clip_skip 13 is out of range: allowed are 1 to 12",
            ),
            (
                GenerationRequest { negative_prompt: "a".repeat((1 << 20) + 1), ..sound.clone() },
                "negative_prompt 1048577 bytes are out of range: allowed are 0 to 1048576",
            ),
        ];
        for (request, message) in cases {
            let error = request.validate(&limits, (512, 512)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
    #[test]
    fn a_picture_of_too_many_pixels_is_blamed_on_its_height() {
        let limits = RequestLimits { max_pixels: 1 << 16, ..RequestLimits::default() };
        let request = GenerationRequest { width: Some(2048), ..GenerationRequest::default() };
        assert_eq!(request.validate(&limits, (64, 32)), Ok(()));
        let error = request.validate(&limits, (64, 64)).unwrap_err();
        assert_eq!(error.to_string(), "height 64 is out of range: allowed are 8 to 32 with width 2048");
    }
}
