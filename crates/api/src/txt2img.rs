//! The body of `POST /sdapi/v1/txt2img`: A1111's fields in A1111's order, of which some only matter to what is not
//! there yet. They are read, told back and, where they would change the picture, refused.

use crate::ApiError;
use crate::infotext::take_infotext;
use impasto_domain::InfotextRules;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Declares a request's fields with their defaults, and how it is read from a JSON object.
macro_rules! request {
    (
        $(#[doc = $about:literal])+
        pub struct $struct:ident {
            $( $(#[doc = $doc:literal])+ $(#[schema($($schema:tt)+)])? $field:ident: $type:ty = $default:expr; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
        #[serde(default)]
        #[schema(default)]
        pub struct $struct {
            $($(#[doc = $doc])+ $(#[schema($($schema)+)])? pub $field: $type,)+
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $struct {
            pub(crate) fn read(body: &mut Map<String, Value>) -> Result<Self, Vec<$crate::ValidationError>> {
                let mut errors = Vec::new();
                let read = Self {
                    $($field: $crate::coerce::read_field(body, stringify!($field), $default, &mut errors),)+
                };
                if errors.is_empty() { Ok(read) } else { Err(errors) }
            }
        }
    };
}

pub(crate) use request;

type Dict = Map<String, Value>;

request! {
    /// A request for pictures from text. Unknown fields are ignored; `"3"` and `3.7` will do for 3.
    pub struct Txt2ImgRequest {
        /// What is wanted.
        prompt: Option<String> = Some(String::new());
        /// What is not wanted.
        negative_prompt: Option<String> = Some(String::new());
        /// Names of styles. Unknown ones are ignored.
        styles: Option<Vec<String>> = None;
        /// Seed of the first picture; -1 draws one.
        seed: Option<i64> = Some(-1);
        /// Seed of the variation; -1 draws one.
        subseed: Option<i64> = Some(-1);
        /// Strength of the variation, 0 to 1.
        subseed_strength: Option<f64> = Some(0.0);
        /// Height of a picture whose noise is laid into the middle of this one's; both sides must be above 0.
        seed_resize_from_h: Option<i64> = Some(-1);
        /// Width of that picture.
        seed_resize_from_w: Option<i64> = Some(-1);
        /// Sampler, with or without a schedule's name after it.
        sampler_name: Option<String> = None;
        /// Schedule.
        scheduler: Option<String> = None;
        /// Pictures made together.
        batch_size: Option<i64> = Some(1);
        /// Batches after each other.
        n_iter: Option<i64> = Some(1);
        /// Sampler steps.
        steps: Option<i64> = Some(50);
        /// Strength of guidance.
        cfg_scale: Option<f64> = Some(7.0);
        /// Pixels; the model's native width if absent.
        width: Option<i64> = None;
        /// Pixels; the model's native height if absent.
        height: Option<i64> = None;
        /// Faces stay as they are, which is told.
        restore_faces: Option<bool> = None;
        /// Whether the picture goes on beyond its edges as on the other side; null means the option.
        tiling: Option<bool> = None;
        /// Has no effect: `save_images` decides.
        do_not_save_samples: Option<bool> = Some(false);
        /// Has no effect: `save_images` decides.
        do_not_save_grid: Option<bool> = Some(false);
        /// Noise of ancestral samplers and DDIM; null means the option.
        eta: Option<f64> = None;
        /// How much is made anew in the second pass, 0 to 1; null means 0.7.
        denoising_strength: Option<f64> = None;
        /// No negative prompt on every other step below this sigma; null means the option.
        s_min_uncond: Option<f64> = None;
        /// Noise added before each step and taken away again; null means the option.
        s_churn: Option<f64> = None;
        /// Highest sigma at which that is done; null means the option, 0 no bound.
        s_tmax: Option<f64> = None;
        /// Lowest sigma at which that is done; null means the option.
        s_tmin: Option<f64> = None;
        /// What added noise is multiplied with; null means the option.
        s_noise: Option<f64> = None;
        /// Options for this request alone, by name.
        #[schema(value_type = Option<Object>)]
        override_settings: Option<Dict> = None;
        /// Has no effect: a request never changes options for others.
        override_settings_restore_afterwards: Option<bool> = Some(true);
        /// Model that makes the last steps.
        refiner_checkpoint: Option<String> = None;
        /// Share of the way after which it takes over, 0 to 1; null means at once.
        refiner_switch_at: Option<f64> = None;
        /// Whether the networks that the prompt's tags ask for are left out.
        disable_extra_networks: Option<bool> = Some(false);
        /// Has no effect.
        firstpass_image: Option<String> = None;
        /// Has no effect.
        #[schema(value_type = Option<Object>)]
        comments: Option<Dict> = None;
        /// Whether there is a second pass, which makes the picture larger.
        enable_hr: Option<bool> = Some(false);
        /// Width of the first pass, if `width` is that of the second. An older way to ask.
        firstphase_width: Option<i64> = Some(0);
        /// Height of the first pass, likewise.
        firstphase_height: Option<i64> = Some(0);
        /// How much larger the second pass makes it, where no size is given.
        hr_scale: Option<f64> = Some(2.0);
        /// What enlarges: a latent upscale mode or an upscaler; null means `Latent`.
        hr_upscaler: Option<String> = None;
        /// Steps of the second pass; 0 for as many as of the first.
        hr_second_pass_steps: Option<i64> = Some(0);
        /// Width after the second pass; 0 for what follows from the rest.
        hr_resize_x: Option<i64> = Some(0);
        /// Height after the second pass, likewise.
        hr_resize_y: Option<i64> = Some(0);
        /// Model of the second pass, if another.
        hr_checkpoint_name: Option<String> = None;
        /// Sampler of the second pass, if another.
        hr_sampler_name: Option<String> = None;
        /// Schedule of the second pass, if another.
        hr_scheduler: Option<String> = None;
        /// Prompt of the second pass, if another.
        hr_prompt: Option<String> = Some(String::new());
        /// Negative prompt of the second pass, if another.
        hr_negative_prompt: Option<String> = Some(String::new());
        /// A name for the job, by which `/internal/progress` tells of it.
        force_task_id: Option<String> = None;
        /// Older name of `sampler_name`.
        sampler_index: String = "Euler".to_owned();
        /// Script that makes many requests of this one, by its title; `/sdapi/v1/scripts` lists them.
        script_name: Option<String> = None;
        /// Its arguments in order; `/sdapi/v1/script-info` tells of them. Those missing at the end are as usual.
        script_args: Vec<Value> = Vec::new();
        /// Whether the answer has the pictures.
        send_images: bool = true;
        /// Whether to write the pictures to the data root.
        save_images: bool = false;
        /// Arguments of scripts that are always on, by name.
        #[schema(value_type = Object)]
        alwayson_scripts: Dict = Map::new();
        /// An infotext; it gives values to fields that are absent.
        infotext: Option<String> = None;
    }
}

impl Txt2ImgRequest {
    /// Reads a request's body, and its infotext by the usual rules.
    pub fn from_json(body: Value) -> Result<Self, ApiError> {
        Self::from_json_by(body, &InfotextRules::default())
    }

    /// Reads a request's body, and its infotext by these rules.
    pub fn from_json_by(body: Value, rules: &InfotextRules) -> Result<Self, ApiError> {
        let mut body = match body {
            Value::Object(body) => body,
            other => {
                return Err(ApiError::field(
                    &[],
                    "value is not a valid dict",
                    "type_error.dict",
                    Some(&other),
                ));
            }
        };
        take_infotext(&mut body, rules);
        Self::read(&mut body).map_err(ApiError::Validation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_body_is_the_default() {
        assert_eq!(Txt2ImgRequest::from_json(json!({})), Ok(Txt2ImgRequest::default()));
    }

    #[test]
    fn unknown_fields_are_ignored_and_nulls_taken() {
        let body =
            json!({ "url": "x", "auth": "y", "prompt": "cat", "styles": null, "seed": null, "eta": 0 });
        let read = Txt2ImgRequest::from_json(body).unwrap();
        assert_eq!((read.prompt.as_deref(), read.seed, read.eta), (Some("cat"), None, Some(0.0)));
    }

    #[test]
    fn every_bad_field_is_told() {
        let body = json!({ "steps": "many", "send_images": null, "prompt": [], "sampler_index": null });
        let error = Txt2ImgRequest::from_json(body).unwrap_err();
        insta::assert_snapshot!(error.body(), @r#"{"detail":[{"loc":["body","prompt"],"msg":"str type expected","type":"type_error.str","input":"a list of 0"},{"loc":["body","steps"],"msg":"value is not a valid integer","type":"type_error.integer","input":"many"},{"loc":["body","sampler_index"],"msg":"none is not an allowed value","type":"type_error.none.not_allowed","input":null},{"loc":["body","send_images"],"msg":"none is not an allowed value","type":"type_error.none.not_allowed","input":null}]}"#);
        let error = Txt2ImgRequest::from_json(json!([])).unwrap_err();
        insta::assert_snapshot!(error.body(), @r#"{"detail":[{"loc":["body"],"msg":"value is not a valid dict","type":"type_error.dict","input":"a list of 0"}]}"#);
    }

    #[test]
    fn infotexts_fill_absent_fields() {
        let infotext = "a cat\nNegative prompt: dog\nSteps: 7, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4.5, \
                        Seed: 9, Size: 256x128, Clip skip: 2, ENSD: 5";
        let body = json!({ "infotext": infotext, "seed": 3, "override_settings": { "randn_source": "CPU" } });
        let read = Txt2ImgRequest::from_json(body).unwrap();
        assert_eq!(read.prompt.as_deref(), Some("a cat"));
        assert_eq!(
            (read.seed, read.steps, read.width, read.height),
            (Some(3), Some(7), Some(256), Some(128))
        );
        assert_eq!(read.cfg_scale, Some(4.5));
        assert_eq!(
            Value::Object(read.override_settings.unwrap()),
            json!({
                "randn_source": "CPU", "CLIP_stop_at_last_layers": "2", "eta_noise_seed_delta": "5",
                "sigma_max": "0", "sigma_min": "0", "rho": "0", "refiner_switch_by_sample_steps": "False",
                "sd_vae_encode_method": "Full", "sd_vae_decode_method": "Full"
            })
        );
    }
}
