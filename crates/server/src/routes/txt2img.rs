//! `POST /sdapi/v1/txt2img`: submits a job and waits for it.

use crate::answer::{Asked, answer, wait_for};
use crate::app::App;
use crate::body::{JsonBody, WITH_PICTURES};
use crate::error::Failure;
use crate::sent::Allowance;
use axum::Json;
use axum::extract::State;
use impasto_api::{ApiError, Fault, Txt2ImgRequest, Txt2ImgResponse, ValidationErrors, has_infotext};
use std::sync::Arc;

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
    JsonBody(body): JsonBody<WITH_PICTURES>,
) -> Result<Json<Txt2ImgResponse>, Failure> {
    let rules = app.infotext_rules(has_infotext(&body)).await?;
    let request = Txt2ImgRequest::from_json_by(body, &rules)?;
    let options = app.options_for(&request)?;
    let styles = app.styles_of(&request).await?;
    let permit = app.decoding().await;
    let prepare = {
        let (app, options) = (app.clone(), options.clone());
        move || {
            let _permit = permit;
            let mut generation = request.to_generation(&options, app.engine().limits(), &styles)?;
            let first = request.firstpass_image.as_deref().filter(|file| !file.is_empty());
            if let (Some(hires), Some(file)) = (&mut generation.hires, first) {
                hires.first_picture = Some(Arc::new(Allowance::default().bitmap(file)?));
            }
            Ok::<_, ApiError>((request, generation))
        }
    };
    let (mut request, generation) = tokio::task::spawn_blocking(prepare).await??;
    let watcher = app.submit_generation(generation, &options, true).await?;
    let status = wait_for(&app, watcher, request.force_task_id.as_deref()).await?;
    request.width = status.request.width.map(i64::from);
    request.height = status.request.height.map(i64::from);
    let asked = Asked::of(&request);
    let made = tokio::task::spawn_blocking(move || answer(&app, &asked, &options, &status));
    let (images, info) = made.await??;
    Ok(Json(Txt2ImgResponse { images, parameters: request, info }))
}
