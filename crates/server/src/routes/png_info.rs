//! `POST /sdapi/v1/png-info`: what a picture's file says of how it was made.

use crate::body::{JsonBody, WITH_PICTURES};
use crate::error::Failure;
use crate::sent::{file, unusable};
use axum::Json;
use impasto_api::{ApiError, Fault, PngInfo, PngInfoRequest, ValidationErrors};
use impasto_domain::parse_infotext;
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
pub(crate) async fn png_info(JsonBody(body): JsonBody<WITH_PICTURES>) -> Result<Json<PngInfo>, Failure> {
    let request = PngInfoRequest::from_json(body)?;
    let read = move || {
        let metadata = read_metadata(&file(&request.image)?, MOST_PIXELS).map_err(unusable)?;
        let info = metadata.infotext.unwrap_or_default();
        let parameters = parse_infotext(&info);
        Ok::<_, ApiError>(PngInfo::new(info, metadata.items, parameters))
    };
    Ok(Json(tokio::task::spawn_blocking(read).await??))
}
