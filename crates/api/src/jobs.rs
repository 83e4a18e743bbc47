//! Our own interface: jobs, models, and what the page needs to know of the server.

use crate::{ApiError, Txt2ImgRequest};
use impasto_domain::InfotextRules;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The body of `POST /api/v1/jobs`: a kind, and the fields of that kind's request.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobSubmission {
    /// `txt2img`.
    pub kind: String,
    /// The fields stand beside `kind`.
    #[serde(flatten)]
    pub request: Txt2ImgRequest,
}

impl JobSubmission {
    /// Reads a request's body, and its infotext by the usual rules.
    pub fn from_json(body: Value) -> Result<Self, ApiError> {
        Self::from_json_by(body, &InfotextRules::default())
    }

    /// Reads a request's body, and its infotext by these rules.
    pub fn from_json_by(body: Value, rules: &InfotextRules) -> Result<Self, ApiError> {
        let kind = match body.get("kind") {
            Some(Value::String(kind)) if kind == "txt2img" => kind.clone(),
            Some(other) => {
                let message = format!("kind {other} is unknown: allowed is \"txt2img\"");
                return Err(ApiError::field(&["kind"], message, "value_error", Some(other)));
            }
            None if body.is_object() => {
                return Err(ApiError::field(&["kind"], "field required", "value_error.missing", None));
            }
            None => {
                return Err(ApiError::field(
                    &[],
                    "value is not a valid dict",
                    "type_error.dict",
                    Some(&body),
                ));
            }
        };
        Ok(Self { kind, request: Txt2ImgRequest::from_json_by(body, rules)? })
    }
}

/// Where a picture was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeptPicture {
    /// Path below the data root.
    pub path: String,
}

/// The answer to `POST /api/v1/jobs`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Accepted {
    /// The job's name.
    pub id: String,
    /// `queued`, or already `running`.
    pub state: &'static str,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    pub state: &'static str,
    /// Jobs before it, while it is queued.
    pub position: usize,
    /// Sampler steps made in the batch at work.
    pub step: u32,
    /// Sampler steps of a batch.
    pub steps: u32,
    /// Batches finished.
    pub batches_done: u32,
    /// Batches in all.
    pub batch_count: u32,
    /// Share that is done, 0 to 1.
    pub progress: f32,
    /// Seconds since it began.
    pub elapsed: f64,
    /// Seconds it will still take; null before the first step.
    pub eta: Option<f64>,
    /// What is wanted.
    pub prompt: String,
    /// What is not wanted.
    pub negative_prompt: String,
    /// The model's title.
    pub model: Option<String>,
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// Link to the newest preview, if there is one.
    pub preview: Option<String>,
    /// Finished pictures.
    pub images: Vec<JobImage>,
    /// Whether it was interrupted or skipped.
    pub interrupted: bool,
    /// What was left out of what was asked, and why.
    pub comments: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Link to its events.
    pub events: String,
}

/// A finished picture.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobImage {
    /// Its number in the job, from 0.
    pub index: u32,
    /// Link to its file.
    pub url: String,
    /// Seed of its noise.
    pub seed: u64,
    /// Seed of its variation.
    pub subseed: u64,
    /// The settings it was made with.
    pub infotext: String,
}

/// What the event `preview` carries.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobPreview {
    /// Counts previews of the job from 1.
    pub number: u64,
    /// The picture as a `data:` link.
    pub image: String,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Model {
    /// Its name and short hash; what requests may give as `sd_model_checkpoint`.
    pub title: String,
    /// Its name.
    pub name: String,
    /// Short hash, once computed.
    pub hash: Option<String>,
    /// SHA-256, once computed.
    pub sha256: Option<String>,
    /// Bytes of its file.
    pub bytes: u64,
    /// Width it was trained at, once known.
    pub native_width: Option<u32>,
    /// Height it was trained at, once known.
    pub native_height: Option<u32>,
    /// Strength of guidance that its maker recommends, if so and once known.
    pub cfg_scale: Option<f64>,
    /// Why it cannot be used, if so.
    pub problem: Option<String>,
    /// Whether it is used where a request names none.
    pub is_default: bool,
}

/// What the page needs to know of the server.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ServerInfo {
    /// Program and version.
    pub version: String,
    /// What computes, in words.
    pub backend: String,
    /// Title of the model that is used where a request names none.
    pub default_model: Option<String>,
    /// That model's native width.
    pub native_width: Option<u32>,
    /// That model's native height.
    pub native_height: Option<u32>,
    /// Strength of guidance that that model's maker recommends.
    pub cfg_scale: Option<f64>,
    /// What requests may ask for.
    pub limits: Limits,
    /// All samplers.
    pub samplers: Vec<SamplerName>,
    /// All schedules.
    pub schedulers: Vec<ScheduleName>,
}

/// What requests may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Limits {
    /// Most pixels along one edge.
    pub max_edge: u32,
    /// Most pixels of one picture.
    pub max_pixels: u64,
    /// Most steps.
    pub max_steps: u32,
    /// Most pictures of one request.
    pub max_images: u32,
    /// Most bytes of a prompt.
    pub max_prompt_bytes: usize,
}

/// A sampler's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SamplerName {
    /// For requests and for people.
    pub name: &'static str,
}

/// A schedule's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScheduleName {
    /// For requests.
    pub name: &'static str,
    /// For people.
    pub label: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kind_and_its_fields_are_read() {
        let read =
            JobSubmission::from_json(json!({ "kind": "txt2img", "prompt": "cat", "steps": "5" })).unwrap();
        assert_eq!((read.request.prompt.as_deref(), read.request.steps), (Some("cat"), Some(5)));
        let refusal = |body: Value| JobSubmission::from_json(body).unwrap_err().body().to_string();
        insta::assert_snapshot!(refusal(json!({ "kind": "video" })), @r#"{"detail":[{"loc":["body","kind"],"msg":"kind \"video\" is unknown: allowed is \"txt2img\"","type":"value_error","input":"video"}]}"#);
        insta::assert_snapshot!(refusal(json!({})), @r#"{"detail":[{"loc":["body","kind"],"msg":"field required","type":"value_error.missing"}]}"#);
        insta::assert_snapshot!(refusal(json!(5)), @r#"{"detail":[{"loc":["body"],"msg":"value is not a valid dict","type":"type_error.dict","input":5}]}"#);
    }
}
