//! The lists of `/sdapi/v1` that come from files of the data root, and looking at its folders again.

use crate::app::App;
use crate::error::Failure;
use crate::styles::read_styles;
use axum::Json;
use axum::extract::State;
use impasto_api::{
    EmbeddingItem, EmbeddingItems, FaceRestorerItem, Fault, HypernetworkItem, LoraItem, REALESRGAN,
    RealesrganItem, SdVaeItem, StyleItem, UpscalerItem, opened_metadata,
};
use impasto_domain::Style;
use impasto_engine::{EmbeddingInfo, EmbeddingTraining, FileKind, LibraryFile, PLAIN_UPSCALERS};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Autoencoders of their own.
#[utoipa::path(get, path = "/sdapi/v1/sd-vae", tag = "sdapi", responses((status = 200, body = Vec<SdVaeItem>)))]
pub(crate) async fn sd_vae(State(app): State<App>) -> Result<Json<Vec<SdVaeItem>>, Failure> {
    let item = |file: &LibraryFile| SdVaeItem { model_name: file.file_name.clone(), filename: path_of(file) };
    list(app, FileKind::Vae, item).await
}

/// Ways to enlarge pictures: filters, then networks by name.
#[utoipa::path(get, path = "/sdapi/v1/upscalers", tag = "sdapi", responses((status = 200, body = Vec<UpscalerItem>)))]
pub(crate) async fn upscalers(State(app): State<App>) -> Result<Json<Vec<UpscalerItem>>, Failure> {
    /// What A1111 says of upscalers whose factor it does not know.
    const SCALE: f64 = 4.0;
    let plain = PLAIN_UPSCALERS.map(|name| UpscalerItem {
        name: name.to_owned(),
        model_name: None,
        model_path: None,
        model_url: None,
        scale: SCALE,
    });
    let item = |file: &LibraryFile| UpscalerItem {
        name: file.name.clone(),
        model_name: Some(file.name.clone()),
        model_path: Some(path_of(file)),
        model_url: None,
        scale: SCALE,
    };
    let Json(networks) = list(app, FileKind::Upscaler, item).await?;
    Ok(Json(plain.into_iter().chain(networks).collect()))
}

/// Styles, from `styles.csv` of the data root.
#[utoipa::path(
    get,
    path = "/sdapi/v1/prompt-styles",
    tag = "sdapi",
    responses((status = 200, body = Vec<StyleItem>), (status = 500, description = "The file cannot be read", body = Fault))
)]
pub(crate) async fn prompt_styles(State(app): State<App>) -> Result<Json<Vec<StyleItem>>, Failure> {
    let data_dir = app.settings().data_dir.clone();
    let styles = tokio::task::spawn_blocking(move || read_styles(&data_dir)).await??;
    let item = |style: Style| StyleItem {
        name: style.name,
        prompt: style.prompt,
        negative_prompt: style.negative_prompt,
    };
    Ok(Json(styles.into_iter().map(item).collect()))
}

/// Hypernetworks.
#[utoipa::path(get, path = "/sdapi/v1/hypernetworks", tag = "sdapi", responses((status = 200, body = Vec<HypernetworkItem>)))]
pub(crate) async fn hypernetworks(State(app): State<App>) -> Result<Json<Vec<HypernetworkItem>>, Failure> {
    let item = |file: &LibraryFile| HypernetworkItem { name: file.name.clone(), path: path_of(file) };
    list(app, FileKind::Hypernetwork, item).await
}

/// LoRA files and their kin.
#[utoipa::path(get, path = "/sdapi/v1/loras", tag = "sdapi", responses((status = 200, body = Vec<LoraItem>)))]
pub(crate) async fn loras(State(app): State<App>) -> Result<Json<Vec<LoraItem>>, Failure> {
    let item = |file: &LibraryFile| LoraItem {
        name: file.name.clone(),
        alias: file.alias().to_owned(),
        path: path_of(file),
        metadata: opened_metadata(&file.metadata),
    };
    list(app, FileKind::Lora, item).await
}

/// Embeddings, for the model used where a request names none.
#[utoipa::path(
    get,
    path = "/sdapi/v1/embeddings",
    tag = "sdapi",
    responses((status = 200, body = EmbeddingItems), (status = 500, description = "There is no model", body = Fault))
)]
pub(crate) async fn embeddings(State(app): State<App>) -> Result<Json<EmbeddingItems>, Failure> {
    let list = tokio::task::spawn_blocking(move || app.engine().embeddings()).await??;
    let items = |infos: Vec<EmbeddingInfo>| infos.into_iter().map(embedding_item).collect();
    Ok(Json(EmbeddingItems { loaded: items(list.loaded), skipped: items(list.skipped) }))
}

fn embedding_item(info: EmbeddingInfo) -> (String, EmbeddingItem) {
    let EmbeddingTraining { step, sd_checkpoint, sd_checkpoint_name } = info.training;
    let (shape, vectors) = (info.width, info.vectors);
    (info.name, EmbeddingItem { step, sd_checkpoint, sd_checkpoint_name, shape, vectors })
}

/// Ways to restore faces, and where their networks belong.
#[utoipa::path(get, path = "/sdapi/v1/face-restorers", tag = "sdapi", responses((status = 200, body = Vec<FaceRestorerItem>)))]
pub(crate) async fn face_restorers(State(app): State<App>) -> Json<Vec<FaceRestorerItem>> {
    let models = app.settings().data_dir.join("models");
    let item = |(name, folder): (&'static str, &str)| FaceRestorerItem {
        name,
        cmd_dir: models.join(folder).to_string_lossy().into_owned(),
    };
    Json([("CodeFormer", "Codeformer"), ("GFPGAN", "GFPGAN")].map(item).into())
}

/// The Real-ESRGAN networks that A1111 knows by name, and where their files belong.
#[utoipa::path(get, path = "/sdapi/v1/realesrgan-models", tag = "sdapi", responses((status = 200, body = Vec<RealesrganItem>)))]
pub(crate) async fn realesrgan_models(State(app): State<App>) -> Json<Vec<RealesrganItem>> {
    let folder = app.settings().data_dir.join("models/RealESRGAN");
    let item = |(name, file, scale): (&'static str, &str, u32)| RealesrganItem {
        name,
        path: folder.join(file).to_string_lossy().into_owned(),
        scale,
    };
    Json(REALESRGAN.map(item).into())
}

/// Extensions: none, since nothing foreign is executed.
#[utoipa::path(get, path = "/sdapi/v1/extensions", tag = "sdapi", responses((status = 200, description = "An empty list", body = Vec<Object>)))]
pub(crate) async fn extensions() -> Json<Value> {
    Json(json!([]))
}

/// Looks for new autoencoders.
#[utoipa::path(post, path = "/sdapi/v1/refresh-vae", tag = "sdapi", responses((status = 200, description = "Done")))]
pub(crate) async fn refresh_vae(State(app): State<App>) -> Result<Json<Value>, Failure> {
    refresh(app, FileKind::Vae).await
}

/// Looks for new embeddings.
#[utoipa::path(post, path = "/sdapi/v1/refresh-embeddings", tag = "sdapi", responses((status = 200, description = "Done")))]
pub(crate) async fn refresh_embeddings(State(app): State<App>) -> Result<Json<Value>, Failure> {
    refresh(app, FileKind::Embedding).await
}

/// Looks for new LoRA files.
#[utoipa::path(post, path = "/sdapi/v1/refresh-loras", tag = "sdapi", responses((status = 200, description = "Done")))]
pub(crate) async fn refresh_loras(State(app): State<App>) -> Result<Json<Value>, Failure> {
    refresh(app, FileKind::Lora).await
}

/// All files of a kind. The folder may have to be read.
async fn list<T: Send + 'static>(
    app: App,
    kind: FileKind,
    item: impl Fn(&LibraryFile) -> T + Send + 'static,
) -> Result<Json<Vec<T>>, Failure> {
    let list = move || {
        let files: Arc<[Arc<LibraryFile>]> = app.engine().library().files(kind);
        files.iter().map(|file| item(file)).collect()
    };
    Ok(Json(tokio::task::spawn_blocking(list).await?))
}

async fn refresh(app: App, kind: FileKind) -> Result<Json<Value>, Failure> {
    tokio::task::spawn_blocking(move || app.engine().library().refresh(kind)).await?;
    Ok(Json(Value::Null))
}

fn path_of(file: &LibraryFile) -> String {
    let path: &Path = &file.path;
    path.to_string_lossy().into_owned()
}
