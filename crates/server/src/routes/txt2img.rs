//! `POST /sdapi/v1/txt2img`: submits a job and waits for it.

use crate::answer::{Asked, answer, wait_for};
use crate::app::App;
use crate::body::JsonBody;
use crate::error::Failure;
use axum::Json;
use axum::extract::State;
use impasto_api::{Fault, Txt2ImgRequest, Txt2ImgResponse, ValidationErrors};

/// Makes pictures from text and answers with them. The job ends when the client hangs up.
#[utoipa::path(
    post,
    path = "/sdapi/v1/txt2img",
    tag = "sdapi",
    request_body = Txt2ImgRequest,
    responses(
        (status = 200, body = Txt2ImgResponse),
        (status = 422, description = "A field cannot be used", body = ValidationErrors),
        (status = 429, description = "Too many jobs wait", body = Fault),
        (status = 500, description = "It came to an error", body = Fault)
    )
)]
pub(crate) async fn txt2img(
    State(app): State<App>,
    JsonBody(body): JsonBody,
) -> Result<Json<Txt2ImgResponse>, Failure> {
    let mut request = Txt2ImgRequest::from_json(body)?;
    let options = app.options_for(&request)?;
    let watcher = app.submit(&request, &options, true).await?;
    let status = wait_for(&app, watcher, request.force_task_id.as_deref()).await?;
    request.width = status.request.width.map(i64::from);
    request.height = status.request.height.map(i64::from);
    let asked = Asked::of(&request);
    let made = tokio::task::spawn_blocking(move || answer(&app, &asked, &options, &status));
    let (images, info) = made.await??;
    Ok(Json(Txt2ImgResponse { images, parameters: request, info }))
}
