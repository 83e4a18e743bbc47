//! Routes of A1111's for what is not in this version. They answer in its shapes and say what is missing.

use crate::app::App;
use crate::body::{JsonBody, WITH_PICTURES};
use crate::error::Failure;
use axum::Json;
use axum::extract::State;
use impasto_api::{ApiError, Fault, Info, InterrogateRequest};

/// Networks that describe pictures: the name in requests, what it is, where its files would belong.
const INTERROGATORS: [(&str, &str, &str); 2] = [
    ("clip", "the BLIP and CLIP networks that describe pictures", "models/BLIP"),
    ("deepdanbooru", "the DeepDanbooru network that tags pictures", "models/torch_deepdanbooru"),
];

/// Describes a picture, where there is a network for it; in this version there is none.
#[utoipa::path(
    post,
    path = "/sdapi/v1/interrogate",
    tag = "sdapi",
    request_body = InterrogateRequest,
    responses(
        (status = 404, description = "No picture, or no such network", body = Fault),
        (status = 500, description = "The network's files are not there", body = Fault)
    )
)]
pub(crate) async fn interrogate(
    State(app): State<App>,
    JsonBody(body): JsonBody<WITH_PICTURES>,
) -> Result<Json<Info>, Failure> {
    let request = InterrogateRequest::from_json(body)?;
    if request.image.is_empty() {
        return Err(ApiError::http(404, "Image not found").into());
    }
    let known = INTERROGATORS.iter().find(|(name, ..)| *name == request.model);
    let &(_, what, folder) = known.ok_or_else(|| ApiError::http(404, "Model not found"))?;
    let folder = app.settings().data_dir.join(folder);
    let message =
        format!("{what} cannot be run in this version; their files would belong into {}", folder.display());
    Err(ApiError::exception("RuntimeError", message).into())
}

/// Training is not in this version.
#[utoipa::path(post, path = "/sdapi/v1/create/embedding", tag = "sdapi", responses((status = 200, body = Info)))]
pub(crate) async fn create_embedding() -> Json<Info> {
    not_yet("create embedding error")
}

/// Training is not in this version.
#[utoipa::path(post, path = "/sdapi/v1/create/hypernetwork", tag = "sdapi", responses((status = 200, body = Info)))]
pub(crate) async fn create_hypernetwork() -> Json<Info> {
    not_yet("create hypernetwork error")
}

/// Training is not in this version.
#[utoipa::path(post, path = "/sdapi/v1/train/embedding", tag = "sdapi", responses((status = 200, body = Info)))]
pub(crate) async fn train_embedding() -> Json<Info> {
    not_yet("train embedding error")
}

/// Training is not in this version.
#[utoipa::path(post, path = "/sdapi/v1/train/hypernetwork", tag = "sdapi", responses((status = 200, body = Info)))]
pub(crate) async fn train_hypernetwork() -> Json<Info> {
    not_yet("train hypernetwork error")
}

fn not_yet(what: &str) -> Json<Info> {
    Json(Info { info: format!("{what}: training is not in this version") })
}
