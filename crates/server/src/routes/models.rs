//! `/api/v1/models`, `/api/v1/models/info` and `/api/v1/info`: what the page needs to know.

use crate::app::App;
use crate::error::Failure;
use axum::Json;
use axum::extract::{Query, State};
use impasto_api::{ApiError, Fault, Limits, Model, SamplerName, ScheduleName, ServerInfo};
use impasto_domain::{PROGRAM_VERSION, Sampler, Schedule};
use impasto_engine::ModelEntry;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Most time for looking into the default model's file; a large one is hashed in the background.
const LOOK: Duration = Duration::from_secs(2);

/// All models.
#[utoipa::path(get, path = "/api/v1/models", tag = "jobs", responses((status = 200, body = Vec<Model>)))]
pub(crate) async fn models(State(app): State<App>) -> Json<Vec<Model>> {
    let default = inspected_default(&app).await;
    Json(app.engine().models().iter().map(|model| describe(model, default.as_deref())).collect())
}

/// One model, with what the header of its file tells. One that cannot be used says why in `problem`.
#[utoipa::path(
    get,
    path = "/api/v1/models/info",
    tag = "jobs",
    params(("name" = Option<String>, Query, description = "Title, file, name or hash; the default model if absent")),
    responses((status = 200, body = Model), (status = 404, description = "No such model", body = Fault))
)]
pub(crate) async fn model(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Model>, Failure> {
    let asked = query.get("name").map(|name| {
        let unknown = || ApiError::http(404, format!("model {name:?} not found"));
        app.find_model(name).ok_or_else(unknown)
    });
    let asked = asked.transpose()?;
    let engine = app.engine().clone();
    // Opening a file may take its time.
    let (model, default) = tokio::task::spawn_blocking(move || {
        let default = engine.default_model();
        let model = asked.or_else(|| default.clone())?;
        // A file that cannot be read is told by its entry's problem.
        let opened = engine.open_model(&model).ok().or_else(|| engine.find_model(&model.filename));
        Some((opened.unwrap_or(model), default))
    })
    .await?
    .ok_or_else(|| ApiError::http(404, "there is no model that can be used"))?;
    Ok(Json(describe(&model, default.as_deref())))
}

fn describe(model: &ModelEntry, default: Option<&ModelEntry>) -> Model {
    Model {
        title: model.title.clone(),
        name: model.name.clone(),
        hash: model.short_hash().map(str::to_owned),
        sha256: model.sha256.clone(),
        bytes: model.bytes,
        native_width: model.native_size.map(|(width, _)| width),
        native_height: model.native_size.map(|(_, height)| height),
        cfg_scale: model.cfg_scale,
        problem: model.problem.clone(),
        is_default: default.is_some_and(|default| default.filename == model.filename),
    }
}

/// What the server is and what it can do.
#[utoipa::path(get, path = "/api/v1/info", tag = "jobs", responses((status = 200, body = ServerInfo)))]
pub(crate) async fn info(State(app): State<App>) -> Json<ServerInfo> {
    let model = inspected_default(&app).await;
    let native_size = model.as_ref().and_then(|model| model.native_size);
    let cfg_scale = model.as_ref().and_then(|model| model.cfg_scale);
    let limits = app.engine().limits();
    Json(ServerInfo {
        version: PROGRAM_VERSION.to_owned(),
        backend: app.engine().describe().to_owned(),
        default_model: model.map(|model| model.title.clone()),
        native_width: native_size.map(|(width, _)| width),
        native_height: native_size.map(|(_, height)| height),
        cfg_scale,
        limits: Limits {
            max_edge: limits.max_edge,
            max_pixels: limits.max_pixels,
            max_steps: limits.max_steps,
            max_images: limits.max_images,
            max_prompt_bytes: limits.max_prompt_bytes,
        },
        samplers: Sampler::all().map(|sampler| SamplerName { name: sampler.name() }).collect(),
        schedulers: Schedule::all()
            .map(|schedule| ScheduleName { name: schedule.name(), label: schedule.label() })
            .collect(),
    })
}

/// The default model, with native size and hash if they can be had quickly.
async fn inspected_default(app: &App) -> Option<Arc<ModelEntry>> {
    let model = app.engine().default_model()?;
    if model.native_size.is_some() && model.sha256.is_some() {
        return Some(model);
    }
    let (engine, entry) = (app.engine().clone(), model.clone());
    let look = tokio::task::spawn_blocking(move || engine.inspect_model(&entry));
    // A file that cannot be read is told by its entry's problem.
    let looked = tokio::time::timeout(LOOK, look).await;
    let inspected = looked.ok().and_then(Result::ok).and_then(Result::ok);
    inspected.or_else(|| app.engine().default_model())
}
