//! `POST /sdapi/v1/img2img`: pictures from pictures.

use crate::answer::{Asked, answer};
use crate::app::App;
use crate::beginnings::keep;
use crate::body::{JsonBody, WITH_PICTURES};
use crate::compose::{begin, paint, script_of, unworded};
use crate::error::Failure;
use crate::sent::Allowance;
use axum::Json;
use axum::extract::State;
use impasto_api::{
    ApiError, DecodedPictures, Fault, Img2ImgRequest, Img2ImgResponse, ValidationErrors, infotext_of,
};
use impasto_scripts::Tab;
use std::sync::Arc;

/// Makes pictures from pictures and answers with them. The job ends when the client hangs up.
#[utoipa::path(
    post,
    path = "/sdapi/v1/img2img",
    tag = "sdapi",
    request_body = Img2ImgRequest,
    responses(
        (status = 200, body = Img2ImgResponse),
        (status = 404, description = "There is no picture to begin from", body = Fault),
        (status = 422, description = "A field cannot be used", body = ValidationErrors),
        (status = 429, description = "Too many jobs wait", body = Fault),
        (status = 500, description = "It came to an error", body = Fault)
    )
)]
pub(crate) async fn img2img(
    State(app): State<App>,
    JsonBody(body): JsonBody<WITH_PICTURES>,
) -> Result<Json<Img2ImgResponse>, Failure> {
    let rules = app.infotext_rules(infotext_of(&body)).await?;
    let request = Img2ImgRequest::from_json_by(body, &rules)?;
    let options = app.options_for(&request.text)?;
    let styles = app.styles_of(&request.text).await?;
    let permit = app.decoding().await;
    let script = script_of(&request.text, Tab::Picture)?;
    let prepare = {
        let (app, options) = (app.clone(), options.clone());
        move || {
            let _permit = permit;
            let pictures = decoded(&request)?;
            let hash = keep(&app, &pictures, &options)?;
            let limits = app.engine().limits();
            let Some(script) = script else {
                let generation = request.to_generation(&options, limits, &styles, pictures, hash)?;
                return Ok::<_, Failure>((request, Arc::new(generation), None));
            };
            let (text, raw) = unworded(&request.text, &options);
            let unworded = Img2ImgRequest { text, picture: request.picture.clone() };
            let generation = unworded.to_generation(&raw, limits, &[], pictures, hash)?;
            let chosen = (script, Tab::Picture);
            let composition = begin(&app, chosen, &request.text, &options, styles, generation.clone())?;
            Ok((request, Arc::new(generation), Some(composition)))
        }
    };
    let (mut request, generation, composition) = tokio::task::spawn_blocking(prepare).await??;
    let asked = Asked::of(&request.text);
    let name = request.text.force_task_id.as_deref();
    let results = paint(&app, generation, composition, &asked, &options, name).await?;
    request.text.width = results.first_request().width.map(i64::from);
    request.text.height = results.first_request().height.map(i64::from);
    let made = tokio::task::spawn_blocking(move || answer(&app, &asked, &options, &results));
    let (images, info) = made.await??;
    Ok(Json(Img2ImgResponse { images, parameters: request.echo(), info }))
}

/// The pictures of a request.
fn decoded(request: &Img2ImgRequest) -> Result<DecodedPictures, ApiError> {
    let (images, mask) = request.files()?;
    let mut allowance = Allowance::default();
    let images = images.iter().map(|image| allowance.bitmap(image)).collect::<Result<_, _>>()?;
    Ok(DecodedPictures { images, mask: mask.map(|mask| allowance.bitmap(mask)).transpose()? })
}
