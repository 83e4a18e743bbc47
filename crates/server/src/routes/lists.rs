//! The lists of `/sdapi/v1`.

use crate::app::App;
use crate::compose::World;
use crate::error::Failure;
use axum::Json;
use axum::extract::State;
use impasto_api::{
    LATENT_UPSCALE_MODES, NameItem, SamplerItem, SchedulerItem, ScriptInfo, ScriptsList, SdModelItem,
};
use serde_json::Value;

/// All samplers.
#[utoipa::path(get, path = "/sdapi/v1/samplers", tag = "sdapi", responses((status = 200, body = Vec<SamplerItem>)))]
pub(crate) async fn samplers() -> Json<Vec<SamplerItem>> {
    Json(impasto_api::samplers())
}

/// All schedules.
#[utoipa::path(get, path = "/sdapi/v1/schedulers", tag = "sdapi", responses((status = 200, body = Vec<SchedulerItem>)))]
pub(crate) async fn schedulers() -> Json<Vec<SchedulerItem>> {
    Json(impasto_api::schedulers())
}

/// Ways to enlarge a latent.
#[utoipa::path(get, path = "/sdapi/v1/latent-upscale-modes", tag = "sdapi", responses((status = 200, body = Vec<NameItem>)))]
pub(crate) async fn latent_upscale_modes() -> Json<Vec<NameItem>> {
    Json(LATENT_UPSCALE_MODES.map(|name| NameItem { name }).into())
}

/// All scripts by their titles: those that are always on, then those to choose.
#[utoipa::path(get, path = "/sdapi/v1/scripts", tag = "sdapi", responses((status = 200, body = ScriptsList)))]
pub(crate) async fn scripts() -> Json<ScriptsList> {
    Json(ScriptsList::all())
}

/// What scripts take.
#[utoipa::path(get, path = "/sdapi/v1/script-info", tag = "sdapi", responses((status = 200, body = Vec<ScriptInfo>)))]
pub(crate) async fn script_info(State(app): State<App>) -> Result<Json<Vec<ScriptInfo>>, Failure> {
    // The folders of models and upscalers are looked through.
    let facts = tokio::task::spawn_blocking(move || impasto_scripts::facts(&World(&app))).await?;
    Ok(Json(facts.into_iter().map(ScriptInfo::from).collect()))
}

/// All models.
#[utoipa::path(get, path = "/sdapi/v1/sd-models", tag = "sdapi", responses((status = 200, body = Vec<SdModelItem>)))]
pub(crate) async fn sd_models(State(app): State<App>) -> Json<Vec<SdModelItem>> {
    let models = app.engine().models();
    let items = models.iter().map(|model| SdModelItem {
        title: model.title.clone(),
        model_name: model.name.clone(),
        hash: model.short_hash().map(str::to_owned),
        sha256: model.sha256.clone(),
        filename: model.filename.clone(),
        config: None,
    });
    Json(items.collect())
}

/// Looks for new model files.
#[utoipa::path(post, path = "/sdapi/v1/refresh-checkpoints", tag = "sdapi", responses((status = 200, description = "Done")))]
pub(crate) async fn refresh_checkpoints(State(app): State<App>) -> Result<Json<Value>, Failure> {
    tokio::task::spawn_blocking(move || app.engine().refresh_models()).await?;
    Ok(Json(Value::Null))
}
