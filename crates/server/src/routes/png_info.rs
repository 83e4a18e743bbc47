//! `POST /sdapi/v1/png-info`: what a picture's file says of how it was made.

use crate::app::App;
use crate::body::{JsonBody, WITH_PICTURES};
use crate::error::Failure;
use crate::sent::{file, unusable};
use axum::Json;
use axum::extract::State;
use impasto_api::{ApiError, Fault, PngInfo, PngInfoRequest, ValidationErrors};
use impasto_domain::{novel_ai_infotext, parse_infotext_by};
use impasto_imaging::read_metadata;

/// Pictures to look into may be larger than those we make.
const MOST_PIXELS: u64 = 1 << 28;

/// The texts in a picture's file.
#[utoipa::path(
    post,
    path = "/sdapi/v1/png-info",
    tag = "sdapi",
    request_body = PngInfoRequest,
    responses(
        (status = 200, body = PngInfo),
        (status = 422, description = "A field cannot be used", body = ValidationErrors),
        (status = 500, description = "Not a picture", body = Fault)
    )
)]
pub(crate) async fn png_info(
    State(app): State<App>,
    JsonBody(body): JsonBody<WITH_PICTURES>,
) -> Result<Json<PngInfo>, Failure> {
    let request = PngInfoRequest::from_json(body)?;
    let read = move || {
        let metadata = read_metadata(&file(&request.image)?, MOST_PIXELS).map_err(unusable)?;
        let novel_ai = metadata
            .novel_ai()
            .and_then(|told| novel_ai_infotext(told.description, told.comment, metadata.size));
        let info = novel_ai.or(metadata.infotext).unwrap_or_default();
        Ok::<_, ApiError>((info, metadata.items))
    };
    let (info, items) = tokio::task::spawn_blocking(read).await??;
    let rules = app.infotext_rules(Some(&info)).await?;
    let parameters = tokio::task::spawn_blocking(move || {
        let parameters = parse_infotext_by(&info, &rules);
        PngInfo::new(info, items, parameters)
    });
    Ok(Json(parameters.await?))
}
