//! From a request's body to what the engine is asked: nulls, ranges, options, and what cannot be done yet.

use crate::neutral::asks_for_nothing;
use crate::{ApiError, Txt2ImgRequest};
use impasto_domain::{
    Asides, Decoding, DefaultNetworks, Emphasis, GenerationRequest, Hires, InfotextOptions, NoiseSchedule,
    NoiseSource, Precision, PromptRules, RequestLimits, Sampler, SamplerOptions, Schedule, Shortcuts, Style,
    UniPcSkip, UniPcVariant, VaeChoice, merge_styles, old_first_pass, without_comments,
};
use impasto_scripts::{ALWAYS_ON, SCRIPTS};
use impasto_settings::{Options, SettingsError};
use serde_json::{Map, Value};

/// The options that hold for one request. A model that nobody knows is left out, as clients expect, and so is an option
/// value that asks for what is done anyway; any other option that nobody knows is an error. `find_model` gives the title of the model that answers to a name.
pub fn override_options(
    options: &Options,
    overrides: Option<&Map<String, Value>>,
    find_model: impl Fn(&str) -> Option<String>,
) -> Result<Options, ApiError> {
    let mut options = options.clone();
    for (name, value) in overrides.into_iter().flatten() {
        if name == "sd_model_checkpoint" {
            let found = value.as_str().and_then(&find_model);
            options.sd_model_checkpoint = found.or(options.sd_model_checkpoint);
            continue;
        }
        if asks_for_nothing(name, value) {
            continue;
        }
        options.set(name, value).map_err(|error| match error {
            SettingsError::Unknown(name) => ApiError::exception("KeyError", format!("'{name}'")),
            other => {
                ApiError::field(&["override_settings", name], other.to_string(), "value_error", Some(value))
            }
        })?;
    }
    Ok(options)
}

/// The ways to do less work that the options ask for.
pub fn shortcuts(options: &Options) -> Shortcuts {
    Shortcuts {
        skip_early_cond: options.skip_early_cond,
        skip_late_cond: options.skip_late_cond,
        s_min_uncond: options.s_min_uncond,
        s_min_uncond_all: options.s_min_uncond_all,
        deepcache_interval: options.deepcache_interval,
        deepcache_depth: options.deepcache_depth,
        token_merging_ratio: options.token_merging_ratio,
        hypertile_enable_unet: options.hypertile_enable_unet,
        hypertile_enable_unet_secondpass: options.hypertile_enable_unet_secondpass,
        hypertile_max_depth_unet: options.hypertile_max_depth_unet,
        hypertile_max_tile_unet: options.hypertile_max_tile_unet,
        hypertile_swap_size_unet: options.hypertile_swap_size_unet,
    }
}

/// How the options ask for prompts to be read.
pub fn prompt_rules(options: &Options) -> PromptRules {
    PromptRules {
        emphasis: Emphasis::from_exact_name(&options.emphasis).unwrap_or_default(),
        old_scheduling: options.use_old_scheduling,
        comma_padding_backtrack: options.comma_padding_backtrack,
    }
}

/// The networks that the options want in every prompt.
fn default_networks(options: &Options) -> DefaultNetworks {
    let chosen = |name: &String| Some(name.clone()).filter(|name| !name.is_empty() && name != "None");
    DefaultNetworks {
        hypernetwork: chosen(&options.sd_hypernetwork),
        lora: chosen(&options.sd_lora),
        multiplier: options.extra_networks_default_multiplier,
    }
}

/// The way to show latents that an option names.
pub fn decoding(name: &str) -> Decoding {
    Decoding::from_exact_name(name).unwrap_or_default()
}

/// How the options ask for the denoising network to be held.
pub fn precision(options: &Options) -> Option<Precision> {
    options.precision.as_deref().and_then(Precision::from_exact_name)
}

impl Txt2ImgRequest {
    /// What the engine is to make, under the options that hold for this request and with the styles there are. Whole numbers are within `limits`
    /// then; the rest is checked where the request is accepted.
    pub fn to_generation(
        &self,
        options: &Options,
        limits: &RequestLimits,
        styles: &[Style],
    ) -> Result<GenerationRequest, ApiError> {
        self.refuse_unsupported()?;
        let name = match self.sampler_name.as_deref() {
            None | Some("") => &self.sampler_index,
            Some(name) => name,
        };
        let asked = self.scheduler.as_deref().filter(|name| !name.is_empty());
        let (sampler, schedule) = Sampler::resolve(name, asked);
        let eta = self.eta.or(match sampler {
            _ if sampler.default_eta().is_none() => None,
            _ if sampler.is_timestep_based() => Some(options.eta_ddim),
            _ => Some(options.eta_ancestral),
        });
        let names = self.styles.as_deref().unwrap_or_default();
        let texts = Texts { styles, names, options, limits };
        let [width, height] = self.first_size(options, limits)?;
        let generation = GenerationRequest {
            model: options.sd_model_checkpoint.clone(),
            prompt: texts.read("prompt", self.prompt.as_deref(), |style| &style.prompt)?,
            negative_prompt: texts
                .read("negative_prompt", self.negative_prompt.as_deref(), |style| &style.negative_prompt)?,
            width,
            height,
            steps: limits.steps(required("steps", self.steps)?)?,
            cfg_scale: required("cfg_scale", self.cfg_scale)?,
            sampler,
            schedule,
            seed: seed("seed", self.seed)?,
            subseed: seed("subseed", self.subseed)?,
            subseed_strength: required("subseed_strength", self.subseed_strength)?,
            batch_size: limits.pictures("batch_size", required("batch_size", self.batch_size)?)?,
            batch_count: limits.pictures("n_iter", required("n_iter", self.n_iter)?)?,
            clip_skip: options.clip_stop_at_last_layers,
            noise_source: NoiseSource::from_exact_name(&options.randn_source).unwrap_or_default(),
            eta,
            eta_noise_seed_delta: options.eta_noise_seed_delta,
            prompt_rules: prompt_rules(options),
            from_picture: None,
            hires: self.hires(options, limits)?,
            refiner: self.refiner(options),
            seed_resize_from: self.seed_resize_from(limits)?,
            tiling: self.tiling.unwrap_or(options.tiling),
            restore_faces: self.restore_faces.unwrap_or(options.face_restoration),
            inpainting_mask_weight: options.inpainting_mask_weight,
            disable_extra_networks: self.disable_extra_networks == Some(true),
            asides: asides(options, self.save_images),
            sampler_options: self.sampler_options(options),
            shortcuts: Shortcuts {
                s_min_uncond: self.s_min_uncond.unwrap_or(options.s_min_uncond),
                ..shortcuts(options)
            },
            precision: precision(options),
            vae: VaeChoice {
                name: options.sd_vae.clone(),
                overrides_preferences: options.sd_vae_overrides_per_model_preferences,
                decode: decoding(&options.sd_vae_decode_method),
                encode: decoding(&options.sd_vae_encode_method),
            },
            networks: default_networks(options),
            infotext: InfotextOptions {
                model_name: options.add_model_name_to_info,
                model_hash: options.add_model_hash_to_info,
                vae_name: options.add_vae_name_to_info,
                vae_hash: options.add_vae_hash_to_info,
                lora_hashes: options.lora_add_hashes_to_infotext,
                ti_hashes: options.textual_inversion_add_hashes_to_infotext,
                version: options.add_version_to_infotext,
            },
        };
        // Each picture has the next seed, and clients must be able to send every one of them back.
        let pictures = u64::from(generation.batch_size) * u64::from(generation.batch_count);
        let most = (i64::MAX as u64).saturating_sub(pictures.saturating_sub(1));
        for (field, seed) in [("seed", generation.seed), ("subseed", generation.subseed)] {
            if let Some(seed) = seed.filter(|&seed| seed > most) {
                let message = format!(
                    "{field} {seed} is out of range: allowed are 0 to {most} for {pictures} pictures"
                );
                return Err(ApiError::field(&[field], message, "value_error", Some(&seed.into())));
            }
        }
        Ok(generation)
    }

    /// Width and height of the first pass.
    fn first_size(&self, options: &Options, limits: &RequestLimits) -> Result<[Option<u32>; 2], ApiError> {
        let asked = [("width", self.width), ("height", self.height)];
        let own = match (self.final_size(options), self.width.zip(self.height)) {
            (Some(FinalSize::OfFirstPhase), _) => [self.firstphase_width, self.firstphase_height],
            (Some(FinalSize::Old), Some((width, height))) => {
                let (width, height) = old_first_pass(width, height);
                [Some(width), Some(height)]
            }
            _ => [None; 2],
        };
        let side = |(field, side): (&'static str, Option<i64>), own: Option<i64>| {
            own.filter(|&own| own != 0).or(side).map(|value| limits.edge(field, value)).transpose()
        };
        Ok([side(asked[0], own[0])?, side(asked[1], own[1])?])
    }

    /// Why `width` and `height` are the size of the second pass, if they are.
    fn final_size(&self, options: &Options) -> Option<FinalSize> {
        let first = self.firstphase_width.unwrap_or(0) != 0 || self.firstphase_height.unwrap_or(0) != 0;
        match self.enable_hr {
            Some(true) if first => Some(FinalSize::OfFirstPhase),
            Some(true) if options.use_old_hires_fix_width_height => Some(FinalSize::Old),
            _ => None,
        }
    }

    /// The second pass, if there is to be one.
    fn hires(&self, options: &Options, limits: &RequestLimits) -> Result<Option<Hires>, ApiError> {
        if self.enable_hr != Some(true) {
            return Ok(None);
        }
        let upscaler = self.hr_upscaler.as_deref().unwrap_or("Latent");
        let (across, down) = match self.final_size(options) {
            Some(_) => (self.width, self.height),
            None => (self.hr_resize_x, self.hr_resize_y),
        };
        let side = |field, value: Option<i64>| match value.unwrap_or(0) {
            0 => Ok(0),
            value => limits.edge(field, value),
        };
        let sampler =
            match chosen(self.hr_sampler_name.as_deref(), "Use same sampler") {
                None => None,
                Some(name) => Some(Sampler::from_exact_name(name).ok_or_else(|| {
                    ApiError::exception("AssertionError", format!("bad sampler name: {name}"))
                })?),
            };
        let text = |text: &Option<String>| {
            let text = text.clone().filter(|text| !text.is_empty());
            text.map(|text| if options.enable_prompt_comments { without_comments(&text) } else { text })
        };
        Ok(Some(Hires {
            scale: self.hr_scale.unwrap_or(2.0),
            width: side("hr_resize_x", across)?,
            height: side("hr_resize_y", down)?,
            upscaler: upscaler.to_owned(),
            tiles: [options.esrgan_tile, options.esrgan_tile_overlap],
            steps: u32::try_from(self.hr_second_pass_steps.unwrap_or(0).max(0)).unwrap_or(u32::MAX),
            // A1111's page begins with 0.7, and its interface fails where nothing is said.
            denoising_strength: self.denoising_strength.unwrap_or(0.7),
            sampler,
            schedule: chosen(self.hr_scheduler.as_deref(), "Use same scheduler")
                .and_then(Schedule::from_exact_name),
            prompt: text(&self.hr_prompt),
            negative_prompt: text(&self.hr_negative_prompt),
            model: chosen(self.hr_checkpoint_name.as_deref(), "Use same checkpoint").map(str::to_owned),
            token_merging_ratio: options.token_merging_ratio_hr,
            first_networks: options.hires_fix_use_firstpass_conds,
            first_picture: None,
        }))
    }

    /// How sampling differs from the usual.
    fn sampler_options(&self, options: &Options) -> SamplerOptions {
        SamplerOptions {
            s_churn: self.s_churn.unwrap_or(options.s_churn),
            s_tmin: self.s_tmin.unwrap_or(options.s_tmin),
            s_tmax: self.s_tmax.unwrap_or(options.s_tmax),
            s_noise: self.s_noise.unwrap_or(options.s_noise),
            ..sampler_options(options)
        }
    }

    /// Errors for what would change the picture and cannot be done.
    fn refuse_unsupported(&self) -> Result<(), ApiError> {
        if let Some(name) = self.script_name.as_deref().filter(|name| !name.is_empty()) {
            let detail = format!(
                "script {name:?} is a request of its own kind: send it to /sdapi/v1/txt2img or /sdapi/v1/img2img"
            );
            return Err(ApiError::http(422, detail));
        }
        let is_it = |title: &str, name: &str| title.to_lowercase() == name.to_lowercase();
        for name in self.alwayson_scripts.keys() {
            if ALWAYS_ON.iter().any(|script| is_it(script.title, name)) {
                continue;
            }
            let detail = if SCRIPTS.iter().any(|script| is_it(script.title, name)) {
                "Cannot have a selectable script in the always on scripts params".to_owned()
            } else {
                format!("always on script {name} not found")
            };
            return Err(ApiError::http(422, detail));
        }
        Ok(())
    }
}

/// Older ways to ask for a second pass, which give the size of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FinalSize {
    /// The fields `firstphase_*` give that of the first.
    OfFirstPhase,
    /// The first has the area that models were trained with.
    Old,
}

/// The pictures that the options ask for beside the finished ones.
fn asides(options: &Options, save: bool) -> Asides {
    Asides {
        before_hires: save && options.save_images_before_highres_fix,
        before_color_correction: save && options.save_images_before_color_correction,
        mask: options.return_mask || (save && options.save_mask),
        mask_composite: options.return_mask_composite || (save && options.save_mask_composite),
    }
}

/// How the options ask for sampling to differ from the usual.
pub fn sampler_options(options: &Options) -> SamplerOptions {
    SamplerOptions {
        s_churn: options.s_churn,
        s_tmin: options.s_tmin,
        s_tmax: options.s_tmax,
        s_noise: options.s_noise,
        sigma_min: options.sigma_min,
        sigma_max: options.sigma_max,
        rho: options.rho,
        use_old_karras_scheduler_sigmas: options.use_old_karras_scheduler_sigmas,
        beta_dist_alpha: options.beta_dist_alpha,
        beta_dist_beta: options.beta_dist_beta,
        always_discard_next_to_last_sigma: options.always_discard_next_to_last_sigma,
        sgm_noise_multiplier: options.sgm_noise_multiplier,
        enable_quantization: options.enable_quantization,
        use_downcasted_alpha_bar: options.use_downcasted_alpha_bar,
        sd_noise_schedule: match options.sd_noise_schedule.as_str() {
            "Zero Terminal SNR" => NoiseSchedule::ZeroTerminalSnr,
            _ => NoiseSchedule::Default,
        },
        uni_pc_variant: match options.uni_pc_variant.as_str() {
            "bh2" => UniPcVariant::Bh2,
            "vary_coeff" => UniPcVariant::VaryCoeff,
            _ => UniPcVariant::Bh1,
        },
        uni_pc_skip_type: match options.uni_pc_skip_type.as_str() {
            "time_quadratic" => UniPcSkip::TimeQuadratic,
            "logSNR" => UniPcSkip::LogSnr,
            _ => UniPcSkip::TimeUniform,
        },
        uni_pc_order: options.uni_pc_order,
        uni_pc_lower_order_final: options.uni_pc_lower_order_final,
    }
}

/// A name that was chosen, and not the one that means the same as in the first pass.
fn chosen<'a>(name: Option<&'a str>, same: &str) -> Option<&'a str> {
    name.filter(|name| !name.is_empty() && *name != same)
}

/// How prompts come about.
struct Texts<'a> {
    /// Those there are.
    styles: &'a [Style],
    /// Those asked for.
    names: &'a [String],
    options: &'a Options,
    limits: &'a RequestLimits,
}

impl Texts<'_> {
    /// A prompt with the styles asked for, and without comments.
    fn read(
        &self,
        field: &'static str,
        text: Option<&str>,
        part: impl Fn(&Style) -> &String,
    ) -> Result<String, ApiError> {
        let text = required(field, text)?;
        let find = |name: &String| self.styles.iter().find(|style| style.name == *name);
        let chosen = self.names.iter().filter_map(find).map(|style| part(style).as_str());
        let merged = merge_styles(text, chosen, self.limits.max_prompt_bytes, field)?;
        Ok(if self.options.enable_prompt_comments { without_comments(&merged) } else { merged })
    }
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::exception("TypeError", format!("{field} must not be null")))
}

fn seed(field: &'static str, value: Option<i64>) -> Result<Option<u64>, ApiError> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => u64::try_from(value).map(Some).map_err(|_| {
            let message =
                format!("{field} {value} is out of range: allowed are 0 to {}, and -1 to draw one", i64::MAX);
            ApiError::field(&[field], message, "value_error", Some(&value.into()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impasto_domain::{InfotextFacts, PROGRAM_VERSION, Schedule, compose_infotext};
    use serde_json::json;

    fn convert(body: Value) -> Result<GenerationRequest, ApiError> {
        let request = Txt2ImgRequest::from_json(body)?;
        let known = |name: &str| (name == "demo").then(|| "demo.safetensors [0123456789]".to_owned());
        let options = override_options(&Options::default(), request.override_settings.as_ref(), known)?;
        request.to_generation(&options, &RequestLimits::default(), &[])
    }

    fn refusal(body: Value) -> String {
        convert(body).unwrap_err().body().to_string()
    }

    #[test]
    fn defaults_are_those_of_the_interface() {
        let wanted = GenerationRequest { steps: 50, ..GenerationRequest::default() };
        assert_eq!(convert(json!({})), Ok(wanted));
    }

    #[test]
    fn samplers_and_options_are_resolved() {
        let converted = convert(json!({
            "sampler_name": "", "sampler_index": "Euler a Karras", "prompt": "cat # not dog", "seed": 0, "width": 64,
            "override_settings": {
                "sd_model_checkpoint": "demo", "CLIP_stop_at_last_layers": 2, "randn_source": "CPU", "eta_ancestral": 0.5
            }
        }))
        .unwrap();
        assert_eq!((converted.sampler, converted.schedule), (Sampler::EulerAncestral, Schedule::Karras));
        assert_eq!(converted.model.as_deref(), Some("demo.safetensors [0123456789]"));
        assert_eq!((converted.clip_skip, converted.noise_source), (2, NoiseSource::Cpu));
        assert_eq!((converted.eta, converted.seed, converted.width), (Some(0.5), Some(0), Some(64)));
        assert_eq!(converted.prompt, "cat \n");
        let unknown = convert(
            json!({ "sampler_name": "k_lms", "scheduler": "x", "override_settings": { "sd_model_checkpoint": "x" } }),
        );
        let unknown = unknown.unwrap();
        assert_eq!(
            (unknown.sampler, unknown.schedule, unknown.model),
            (Sampler::DpmPp2m, Schedule::Automatic, None)
        );
        let eta = |name: &str| {
            let options = json!({ "eta_ancestral": 0.5, "eta_ddim": 0.25 });
            convert(json!({ "sampler_name": name, "override_settings": options })).unwrap().eta
        };
        assert_eq!((eta("DPM++ 2M SDE"), eta("DDIM CFG++"), eta("PLMS")), (Some(0.5), Some(0.25), None));
    }

    #[test]
    fn what_clients_send_by_habit_is_taken() {
        let habit = json!({
            "s_churn": 0, "s_tmax": 0, "s_tmin": 0, "s_noise": 1, "s_min_uncond": 0, "restore_faces": false, "tiling": false,
            "enable_hr": false, "hr_scale": 2, "denoising_strength": 0, "seed_resize_from_h": -1, "refiner_checkpoint": "",
            "script_args": [], "alwayson_scripts": { "Sampler": { "args": [] } }, "styles": ["x"], "script_name": null
        });
        assert!(convert(habit).is_ok());
    }

    #[test]
    fn sizes_may_be_those_of_the_second_pass() {
        let sizes = |more: Value| {
            let mut body = json!({ "enable_hr": true, "width": 1024, "height": 512, "hr_resize_x": 64 });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let converted = convert(body).unwrap();
            let second = converted.hires.map(|hires| (hires.width, hires.height));
            (converted.width.unwrap(), converted.height.unwrap(), second)
        };
        let old = json!({ "use_old_hires_fix_width_height": true });
        assert_eq!(sizes(json!({})), (1024, 512, Some((64, 0))));
        assert_eq!(sizes(json!({ "override_settings": old })), (768, 384, Some((1024, 512))));
        assert_eq!(sizes(json!({ "override_settings": old, "enable_hr": false })), (1024, 512, None));
        let first = json!({ "firstphase_width": 256, "firstphase_height": 128 });
        assert_eq!(sizes(first.clone()), (256, 128, Some((1024, 512))));
        let mut both = first;
        both["override_settings"] = old;
        assert_eq!(sizes(both), (256, 128, Some((1024, 512))));
    }

    #[test]
    fn every_picture_has_a_seed_that_can_be_sent_back() {
        assert!(convert(json!({ "seed": i64::MAX })).is_ok());
        assert!(convert(json!({ "seed": i64::MAX - 3, "batch_size": 2, "n_iter": 2 })).is_ok());
        for field in ["seed", "subseed"] {
            let refused = refusal(json!({ (field): i64::MAX - 2, "batch_size": 2, "n_iter": 2 }));
            let most = i64::MAX - 3;
            assert!(refused.contains(&format!("allowed are 0 to {most} for 4 pictures")), "{refused}");
        }
    }

    #[test]
    fn overrides_that_ask_for_nothing_are_taken() {
        for habit in [
            json!({ "sd_vae": "Automatic", "sd_unet": "None", "api_enable_requests": true }),
            json!({ "sd_unet": "None", "s_noise": 1, "token_merging_ratio": 0.0, "emphasis": "Original" }),
        ] {
            let converted = convert(json!({ "override_settings": habit }));
            assert_eq!(converted, convert(json!({})));
        }
        let own = convert(json!({ "override_settings": { "sd_vae": "None" } })).unwrap().vae;
        assert_eq!((own.name.as_str(), own.overrides_preferences), (VaeChoice::OWN, true));
        for asking in [json!({ "tiling": 7 }), json!({ "sd_vae": null })] {
            let refused = refusal(json!({ "override_settings": asking }));
            assert!(refused.starts_with(r#"{"detail":[{"loc":["body","override_settings","#), "{refused}");
        }
    }

    #[test]
    fn shortcuts_are_options_and_go_through_infotexts() {
        let overrides = json!({
            "skip_early_cond": 0.125, "skip_late_cond": 0.25, "s_min_uncond": 2.5, "s_min_uncond_all": true,
            "deepcache_interval": 3, "deepcache_depth": 2, "token_merging_ratio": 0.5, "hypertile_enable_unet": true,
            "hypertile_max_depth_unet": 1, "hypertile_max_tile_unet": 128, "hypertile_swap_size_unet": 2, "precision": "int8"
        });
        let converted = convert(
            json!({ "override_settings": overrides, "seed": 1, "subseed": 2, "width": 64, "height": 64 }),
        );
        let converted = converted.unwrap();
        let wanted = Shortcuts {
            skip_early_cond: 0.125,
            skip_late_cond: 0.25,
            s_min_uncond: 2.5,
            s_min_uncond_all: true,
            deepcache_interval: 3,
            deepcache_depth: 2,
            token_merging_ratio: 0.5,
            hypertile_enable_unet: true,
            hypertile_enable_unet_secondpass: false,
            hypertile_max_depth_unet: 1,
            hypertile_max_tile_unet: 128,
            hypertile_swap_size_unet: 2,
        };
        assert_eq!(converted.shortcuts, wanted);
        let infotext = compose_infotext(&InfotextFacts {
            request: &converted,
            index: 0,
            size: (64, 64),
            model_name: "x",
            model_hash: None,
            vae_name: None,
            vae_hash: None,
            lora_hashes: None,
            ti_hashes: None,
            conditioning: impasto_domain::Conditioning::default(),
            refiner: None,
            hires_model: None,
            version: PROGRAM_VERSION,
        });
        let read_back = convert(json!({ "infotext": infotext })).unwrap();
        assert_eq!((read_back.shortcuts, read_back.precision), (wanted, Some(Precision::Int8)));
        let field = json!({ "s_min_uncond": 1, "override_settings": { "s_min_uncond": 2 } });
        assert_eq!(convert(field).unwrap().shortcuts.s_min_uncond, 1.0);
        let refused = refusal(json!({ "override_settings": { "skip_late_cond": 1.5 } }));
        assert!(
            refused.contains("setting skip_late_cond is 1.5, which is not a number from 0 to 1"),
            "{refused}"
        );
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        insta::assert_snapshot!(refusal(json!({ "steps": null })), @r#"{"error":"TypeError","detail":"","body":"","errors":"steps must not be null"}"#);
        insta::assert_snapshot!(refusal(json!({ "steps": -3 })), @r#"{"detail":[{"loc":["body","steps"],"msg":"steps -3 is out of range: allowed are 1 to 1000","type":"value_error","input":-3}]}"#);
        insta::assert_snapshot!(refusal(json!({ "n_iter": 5_000_000_000_u64 })), @r#"{"detail":[{"loc":["body","n_iter"],"msg":"n_iter 5000000000 is out of range: allowed are 1 to 256","type":"value_error","input":5000000000}]}"#);
        insta::assert_snapshot!(refusal(json!({ "seed": -2 })), @r#"{"detail":[{"loc":["body","seed"],"msg":"seed -2 is out of range: allowed are 0 to 9223372036854775807, and -1 to draw one","type":"value_error","input":-2}]}"#);
        insta::assert_snapshot!(refusal(json!({ "enable_hr": true, "hr_sampler_name": "x" })), @r#"{"error":"AssertionError","detail":"","body":"","errors":"bad sampler name: x"}"#);
        insta::assert_snapshot!(refusal(json!({ "script_name": "x/y/z plot" })), @r#"{"error":"HTTPException","detail":"script \"x/y/z plot\" is a request of its own kind: send it to /sdapi/v1/txt2img or /sdapi/v1/img2img","body":"","errors":""}"#);
        insta::assert_snapshot!(refusal(json!({ "alwayson_scripts": { "Prompt Matrix": {} } })), @r#"{"error":"HTTPException","detail":"Cannot have a selectable script in the always on scripts params","body":"","errors":""}"#);
        insta::assert_snapshot!(refusal(json!({ "alwayson_scripts": { "controlnet": {} } })), @r#"{"error":"HTTPException","detail":"always on script controlnet not found","body":"","errors":""}"#);
        insta::assert_snapshot!(refusal(json!({ "override_settings": { "nonsense": 1 } })), @r#"{"error":"KeyError","detail":"","body":"","errors":"'nonsense'"}"#);
        insta::assert_snapshot!(refusal(json!({ "override_settings": { "CLIP_stop_at_last_layers": 13 } })), @r#"{"detail":[{"loc":["body","override_settings","CLIP_stop_at_last_layers"],"msg":"setting CLIP_stop_at_last_layers is 13, which is not an integer from 1 to 12","type":"value_error","input":13}]}"#);
    }
}
