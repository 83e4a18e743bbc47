//! `POST /sdapi/v1/extra-single-image` and `extra-batch-images`: pictures enlarged.

use crate::app::App;
use crate::body::{JsonBody, WITH_PICTURES};
use crate::clock;
use crate::error::Failure;
use axum::Json;
use axum::extract::State;
use impasto_api::{
    ApiError, ExtrasBatchRequest, ExtrasBatchResponse, ExtrasFields, ExtrasSingleRequest,
    ExtrasSingleResponse, Fault, ValidationErrors,
};
use impasto_domain::python_float;
use impasto_imaging::{
    Format, ImagingError, Rgb, decode, decode_base64, encode_base64, encode_picture, read_metadata,
};

/// Pictures to enlarge may have so many pixels.
const MOST_PIXELS: u64 = 1 << 26;
/// Enlarged ones may have so many.
const MOST_ENLARGED: f64 = (1_u64 << 28) as f64;

/// Enlarges a picture.
#[utoipa::path(
    post,
    path = "/sdapi/v1/extra-single-image",
    tag = "sdapi",
    request_body = ExtrasSingleRequest,
    responses(
        (status = 200, body = ExtrasSingleResponse),
        (status = 422, description = "A field cannot be used", body = ValidationErrors),
        (status = 500, description = "No such upscaler, or not a picture", body = Fault)
    )
)]
pub(crate) async fn single(
    State(app): State<App>,
    JsonBody(body): JsonBody<WITH_PICTURES>,
) -> Result<Json<ExtrasSingleResponse>, Failure> {
    let request = ExtrasSingleRequest::from_json(body)?;
    let work = move || enlarge(&app, &request.how, &request.image);
    let (image, info) = tokio::task::spawn_blocking(work).await??;
    Ok(Json(ExtrasSingleResponse { html_info: html(&info), image }))
}

/// Enlarges several pictures.
#[utoipa::path(
    post,
    path = "/sdapi/v1/extra-batch-images",
    tag = "sdapi",
    request_body = ExtrasBatchRequest,
    responses(
        (status = 200, body = ExtrasBatchResponse),
        (status = 422, description = "A field cannot be used", body = ValidationErrors),
        (status = 500, description = "No such upscaler, or not a picture", body = Fault)
    )
)]
pub(crate) async fn batch(
    State(app): State<App>,
    JsonBody(body): JsonBody<WITH_PICTURES>,
) -> Result<Json<ExtrasBatchResponse>, Failure> {
    let request = ExtrasBatchRequest::from_json(body)?;
    let work = move || {
        let files = request.image_list.iter().map(|file| enlarge(&app, &request.how, &file.data));
        files.collect::<Result<Vec<_>, Failure>>()
    };
    let made = tokio::task::spawn_blocking(work).await??;
    let html_info = made.last().map(|(_, info)| html(info)).unwrap_or_default();
    Ok(Json(ExtrasBatchResponse { html_info, images: made.into_iter().map(|(image, _)| image).collect() }))
}

/// A picture file in base64, enlarged, and what was done.
fn enlarge(app: &App, how: &ExtrasFields, image: &str) -> Result<(String, String), Failure> {
    let unreadable = |error: ImagingError| match error {
        ImagingError::Link(_) => ApiError::http(500, format!("Requests not allowed: {error}")),
        other => ApiError::http(500, format!("Invalid encoded image: {other}")),
    };
    let wrong = |error: ImagingError| ApiError::exception("RuntimeError", error.to_string());
    for name in [&how.upscaler_1, &how.upscaler_2] {
        if !app.engine().enlarger().knows(name) {
            let message = format!("could not find upscaler named {name}");
            return Err(ApiError::exception("AssertionError", message).into());
        }
    }
    let file = decode_base64(image).map_err(unreadable)?;
    let picture = decode(&file, MOST_PIXELS).map_err(unreadable)?.to_rgb();
    let metadata = read_metadata(&file, MOST_PIXELS).unwrap_or_default();
    let factor = how.factor(picture.size());
    let pixels = f64::from(picture.width()) * f64::from(picture.height()) * factor * factor;
    if pixels > MOST_ENLARGED {
        let message = format!("upscaling_resize {factor} makes more than {MOST_ENLARGED} pixels");
        return Err(
            ApiError::field(&["upscaling_resize"], message, "value_error", Some(&factor.into())).into()
        );
    }
    let options = app.options();
    let tiles = [options.esrgan_tile, options.esrgan_tile_overlap];
    let run = |name: &str| -> Result<Rgb, Failure> {
        Ok(app.engine().enlarger().enlarge(name, &picture, factor, tiles, &mut |_, _| true)?)
    };
    let mut told = Vec::new();
    let mut made = picture.clone();
    if how.upscaler_1 != "None" {
        made = run(&how.upscaler_1)?;
        told.push(if how.resize_mode == 1 {
            format!("Postprocess upscale to: {}x{}", how.upscaling_resize_w, how.upscaling_resize_h)
        } else {
            format!("Postprocess upscale by: {}", python_float(factor))
        });
        told.push(format!("Postprocess upscaler: {}", how.upscaler_1));
        if let Some(second) = how.second() {
            let over = run(second)?;
            made = made.blend(&over, how.extras_upscaler_2_visibility as f32).map_err(wrong)?;
            told.push(format!("Postprocess upscaler 2: {second}"));
        }
        if let Some((width, height)) = how.crop() {
            made = made.centered(width, height).map_err(wrong)?;
            told.push(format!("Postprocess crop to: {}x{}", made.width(), made.height()));
        }
    }
    if how.gfpgan_visibility > 0.0 || how.codeformer_visibility > 0.0 {
        told.push(missing_restorer(app, how));
    }
    let info = told.join(", ");
    let format = Format::from_name(&options.samples_format, options.jpeg_quality).unwrap_or(Format::Png);
    let kept = metadata.texts().filter(|(key, _)| *key != "postprocessing");
    let texts: Vec<(&str, &str)> = kept.chain([("postprocessing", info.as_str())]).collect();
    let file = encode_picture(&made, format, texts).map_err(wrong)?;
    tracing::debug!(width = made.width(), height = made.height(), at = %clock::now(), "enlarged a picture");
    Ok((encode_base64(&file), info))
}

/// What is told of faces that were to be restored.
fn missing_restorer(app: &App, how: &ExtrasFields) -> String {
    let (name, folder) = if how.gfpgan_visibility > 0.0 {
        ("GFPGAN", "models/GFPGAN")
    } else {
        ("CodeFormer", "models/Codeformer")
    };
    let folder = app.settings().data_dir.join(folder);
    format!(
        "faces are as they were: {name} cannot be run in this version; its file would belong into {}",
        folder.display()
    )
}

/// A line of text as A1111's page shows it.
fn html(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<p>{escaped}</p>")
}
