//! `POST /sdapi/v1/txt2img`: submits a job and waits for it.

use crate::answer::{Asked, answer};
use crate::app::App;
use crate::body::{JsonBody, WITH_PICTURES};
use crate::compose::{begin, paint, script_of, unworded};
use crate::error::Failure;
use crate::sent::Allowance;
use axum::Json;
use axum::extract::State;
use impasto_api::{Fault, Txt2ImgRequest, Txt2ImgResponse, ValidationErrors, infotext_of};
use impasto_scripts::Tab;
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
    let rules = app.infotext_rules(infotext_of(&body)).await?;
    let request = Txt2ImgRequest::from_json_by(body, &rules)?;
    let options = app.options_for(&request)?;
    let styles = app.styles_of(&request).await?;
    let permit = app.decoding().await;
    let script = script_of(&request, Tab::Text)?;
    let prepare = {
        let (app, options) = (app.clone(), options.clone());
        move || {
            let _permit = permit;
            let composed = script.map(|_| unworded(&request, &options));
            let limits = app.engine().limits();
            let mut generation = match &composed {
                Some((request, options)) => request.to_generation(options, limits, &[])?,
                None => request.to_generation(&options, limits, &styles)?,
            };
            let first = request.firstpass_image.as_deref().filter(|file| !file.is_empty());
            if let (Some(hires), Some(file)) = (&mut generation.hires, first) {
                hires.first_picture = Some(Arc::new(Allowance::default().bitmap(file)?));
            }
            let generation = Arc::new(generation);
            let composition = script.map(|script| {
                begin(&app, (script, Tab::Text), &request, &options, styles, (*generation).clone())
            });
            Ok::<_, Failure>((request, generation, composition.transpose()?))
        }
    };
    let (mut request, generation, composition) = tokio::task::spawn_blocking(prepare).await??;
    let asked = Asked::of(&request);
    let name = request.force_task_id.as_deref();
    let results = paint(&app, generation, composition, &asked, &options, name).await?;
    request.width = results.first_request().width.map(i64::from);
    request.height = results.first_request().height.map(i64::from);
    let made = tokio::task::spawn_blocking(move || answer(&app, &asked, &options, &results));
    let (images, info) = made.await??;
    Ok(Json(Txt2ImgResponse { images, parameters: request, info }))
}
