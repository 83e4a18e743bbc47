//! Pictures and previews of jobs, as files.

use super::jobs::find;
use crate::app::App;
use crate::error::Failure;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use impasto_api::{ApiError, Fault};
use impasto_engine::Picture;
use impasto_imaging::{Format, Pixels, encode};
use std::sync::Arc;

/// A finished picture as a PNG file, with its infotext.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/images/{number}",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's name"),
        ("number" = String, Path, description = "The picture's number, with or without .png")
    ),
    responses(
        (status = 200, description = "A PNG file", content_type = "image/png"),
        (status = 404, description = "No such picture", body = Fault)
    )
)]
pub(crate) async fn image(
    State(app): State<App>,
    Path((id, number)): Path<(String, String)>,
) -> Result<impl IntoResponse, Failure> {
    let status = find(&app, &id)?;
    let index: Option<u32> = number.strip_suffix(".png").unwrap_or(&number).parse().ok();
    let image = status.images.iter().find(|image| Some(image.index) == index);
    let image = image.ok_or_else(|| ApiError::http(404, format!("job {id} has no picture {number:?}")))?;
    let infotext = app.options().enable_pnginfo.then(|| image.infotext.clone());
    // A job's pictures never change.
    png(image.picture.clone(), infotext, "private, max-age=86400, immutable").await
}

/// How a job's first picture at work looks now, as a PNG file.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/preview",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's name")),
    responses(
        (status = 200, description = "A PNG file", content_type = "image/png"),
        (status = 404, description = "No preview yet", body = Fault)
    )
)]
pub(crate) async fn preview(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Failure> {
    let picture = find(&app, &id)?.preview.clone();
    let picture = picture.ok_or_else(|| ApiError::http(404, format!("job {id} has no preview")))?;
    png(picture, None, "no-store").await
}

async fn png(
    picture: Arc<Picture>,
    infotext: Option<String>,
    caching: &'static str,
) -> Result<impl IntoResponse, Failure> {
    let encoded = tokio::task::spawn_blocking(move || {
        let pixels = Pixels { width: picture.width, height: picture.height, rgb: &picture.rgb };
        encode(pixels, Format::Png, infotext.as_deref())
    });
    let file = encoded.await?.map_err(|error| ApiError::exception("RuntimeError", error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, Format::Png.media_type()), (header::CACHE_CONTROL, caching)], file))
}
