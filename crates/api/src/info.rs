//! What comes back with pictures, and what is said of a picture that is sent.

use crate::{ApiError, Txt2ImgRequest};
use impasto_domain::{InfotextValue, infotext_settings};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The answer to `POST /sdapi/v1/txt2img`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Txt2ImgResponse {
    /// Picture files in base64, without a prefix.
    pub images: Vec<String>,
    /// The request, with defaults.
    pub parameters: Txt2ImgRequest,
    /// What was made, as a JSON object in a text.
    pub info: String,
}

/// The answer to `POST /sdapi/v1/img2img`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Img2ImgResponse {
    /// Picture files in base64, without a prefix.
    pub images: Vec<String>,
    /// The request, with defaults, and without its pictures unless it asks for them.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// What was made, as a JSON object in a text.
    pub info: String,
}

/// What `info` holds, in its order.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the names are A1111's; the fields only carry them")]
pub struct Txt2ImgInfo {
    pub prompt: String,
    pub all_prompts: Vec<String>,
    pub negative_prompt: String,
    pub all_negative_prompts: Vec<String>,
    pub seed: u64,
    pub all_seeds: Vec<u64>,
    pub subseed: u64,
    pub all_subseeds: Vec<u64>,
    pub subseed_strength: f64,
    pub width: u32,
    pub height: u32,
    pub sampler_name: &'static str,
    pub cfg_scale: f64,
    pub steps: u32,
    pub batch_size: u32,
    pub restore_faces: bool,
    pub face_restoration_model: Option<String>,
    pub sd_model_name: String,
    pub sd_model_hash: Option<String>,
    pub sd_vae_name: Option<String>,
    pub sd_vae_hash: Option<String>,
    pub seed_resize_from_w: i64,
    pub seed_resize_from_h: i64,
    pub denoising_strength: Option<f64>,
    pub extra_generation_params: Map<String, Value>,
    pub index_of_first_image: u32,
    pub infotexts: Vec<String>,
    pub styles: Vec<String>,
    pub job_timestamp: String,
    pub clip_skip: u32,
    pub is_using_inpainting_conditioning: bool,
    pub version: &'static str,
    /// What was left out of what was asked, and why. A1111 tells that on its page only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<String>,
}

/// The body of `POST /sdapi/v1/png-info`.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
pub struct PngInfoRequest {
    /// A picture file in base64, with or without a `data:` prefix.
    pub image: String,
}

impl PngInfoRequest {
    /// Reads a request's body.
    pub fn from_json(mut body: Value) -> Result<Self, ApiError> {
        if let Some(Value::String(image)) = body.get_mut("image") {
            return Ok(Self { image: std::mem::take(image) });
        }
        Err(match body.get("image") {
            Some(Value::Null) => ApiError::field(
                &["image"],
                "none is not an allowed value",
                "type_error.none.not_allowed",
                None,
            ),
            Some(other) => ApiError::field(&["image"], "str type expected", "type_error.str", Some(other)),
            None if body.is_object() => {
                ApiError::field(&["image"], "field required", "value_error.missing", None)
            }
            None => ApiError::field(&[], "value is not a valid dict", "type_error.dict", Some(&body)),
        })
    }
}

/// The answer to `POST /sdapi/v1/png-info`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PngInfo {
    /// The infotext, or nothing.
    pub info: String,
    /// All other texts in the file.
    #[schema(value_type = Object)]
    pub items: Map<String, Value>,
    /// The infotext in parts, with defaults for what it does not say.
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
}

/// Keys of infotexts that A1111 has from fields of a request.
const NOT_EXTRA: &[&str] = &[
    "Steps",
    "Sampler",
    "CFG scale",
    "Image CFG scale",
    "Seed",
    "Face restoration",
    "Size",
    "Model hash",
    "Model",
    "VAE hash",
    "VAE",
    "Variation seed",
    "Variation seed strength",
    "Seed resize from",
    "Conditional mask weight",
    "Clip skip",
    "ENSD",
    "Token merging ratio",
    "Token merging ratio hr",
    "Init image hash",
    "RNG",
    "Tiling",
    "Version",
    "User",
];

/// What an infotext says beyond the fields of a request: numbers as numbers, all else as text.
pub fn extra_generation_params(infotext: &str) -> Map<String, Value> {
    let extra = |(key, value): &(String, String)| {
        !NOT_EXTRA.contains(&key.as_str()) && (key != "Schedule type" || value != "Automatic")
    };
    let value = |text: String| {
        let whole = text.parse::<i64>().map(Value::from);
        whole.or_else(|_| text.parse::<f64>().map(Value::from)).unwrap_or_else(|_| Value::from(text))
    };
    let settings = infotext_settings(infotext).into_iter().filter(extra);
    settings.map(|(key, text)| (key, value(text))).collect()
}

impl PngInfo {
    /// Puts the parts together.
    pub fn new(info: String, items: Vec<(String, String)>, parameters: Vec<(String, InfotextValue)>) -> Self {
        let parameters = parameters.into_iter().map(|(key, value)| {
            let value = match value {
                InfotextValue::Text(text) => Value::from(text),
                InfotextValue::Integer(number) => Value::from(number),
                InfotextValue::Flag(flag) => Value::from(flag),
                InfotextValue::List(names) => Value::from(names),
            };
            (key, value)
        });
        Self {
            info,
            items: items.into_iter().map(|(key, text)| (key, Value::from(text))).collect(),
            parameters: parameters.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_beyond_fields_is_extra() {
        let text = "cat\nSteps: 3, Sampler: Euler, Schedule type: Karras, CFG scale: 7.0, Seed: 1, Size: 8x8, \
                    Denoising strength: 0.5, Hires upscale: 2.0, Hires steps: 4, Hires upscaler: Latent, \
                    Lora hashes: \"a: 01, b: 02\", Version: v1.10.1";
        let told = serde_json::to_string(&extra_generation_params(text)).unwrap();
        assert_eq!(
            told,
            r#"{"Schedule type":"Karras","Denoising strength":0.5,"Hires upscale":2.0,"Hires steps":4,"Hires upscaler":"Latent","Lora hashes":"a: 01, b: 02"}"#
        );
        assert!(extra_generation_params("cat\nSteps: 3, Schedule type: Automatic, Seed: 1").is_empty());
    }
    use serde_json::json;

    #[test]
    fn a_picture_is_required() {
        let refusal = |body: Value| PngInfoRequest::from_json(body).unwrap_err().body().to_string();
        insta::assert_snapshot!(refusal(json!({})), @r#"{"detail":[{"loc":["body","image"],"msg":"field required","type":"value_error.missing"}]}"#);
        insta::assert_snapshot!(refusal(json!({ "image": 5 })), @r#"{"detail":[{"loc":["body","image"],"msg":"str type expected","type":"type_error.str","input":5}]}"#);
        insta::assert_snapshot!(refusal(json!("x")), @r#"{"detail":[{"loc":["body"],"msg":"value is not a valid dict","type":"type_error.dict","input":"x"}]}"#);
    }
}
