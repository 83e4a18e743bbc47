//! Pictures and previews of jobs, as files.

use super::jobs::find;
use crate::app::App;
use crate::disk::{Disk, file_of, format_of, pixels_of};
use crate::error::Failure;
use crate::log::append;
use crate::save::Kind;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use impasto_api::{ApiError, Fault, KeptPicture};
use impasto_domain::python_float;
use impasto_engine::{FinishedImage, JobStatus, Picture};
use impasto_imaging::{Format, Pixels, encode};
use impasto_settings::Options;
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
    let image = picture(&status, &number)?;
    let infotext = app.options().enable_pnginfo.then(|| image.infotext.clone());
    // A job's pictures never change.
    png(image.picture.clone(), infotext, "private, max-age=86400, immutable").await
}

/// The picture of a number, with or without `.png`.
fn picture<'a>(status: &'a JobStatus, number: &str) -> Result<&'a FinishedImage, ApiError> {
    let index: Option<u32> = number.strip_suffix(".png").unwrap_or(number).parse().ok();
    let image = status.images.iter().find(|image| Some(image.index) == index);
    image.ok_or_else(|| ApiError::http(404, format!("job {} has no picture {number:?}", status.id)))
}

/// Keeps a finished picture in the folder that the options name (`outdir_save`), with a line in its `log.csv`.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/images/{number}/keep",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's name"),
        ("number" = String, Path, description = "The picture's number")
    ),
    responses(
        (status = 200, description = "It is there", body = KeptPicture),
        (status = 404, description = "No such picture", body = Fault),
        (status = 500, description = "It cannot be written", body = Fault)
    )
)]
pub(crate) async fn keep(
    State(app): State<App>,
    Path((id, number)): Path<(String, String)>,
) -> Result<Json<KeptPicture>, Failure> {
    let status = find(&app, &id)?;
    let options = app.options();
    // Where pictures of other kinds go does not matter.
    let options =
        Options { save_to_dirs: options.use_save_to_dirs_for_ui, outdir_samples: String::new(), ..options };
    let write = move || {
        let image = picture(&status, &number)?;
        let format = format_of(&options.samples_format, &options);
        let file = file_of(pixels_of(image), &image.infotext, format, &options)?;
        let root = &app.settings().data_dir;
        let disk = Disk { root, options: &options, status: &status, styles: &[] };
        let path =
            disk.save((Kind::Picture, &options.outdir_save), image.into(), (&file, format.suffix()))?;
        if options.save_write_log_csv {
            log(&root.join(&options.outdir_save), &status, image, &path)?;
        }
        let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        Ok::<_, ApiError>(Json(KeptPicture { path }))
    };
    Ok(tokio::task::spawn_blocking(write).await??)
}

fn log(
    folder: &std::path::Path,
    status: &JobStatus,
    image: &FinishedImage,
    path: &std::path::Path,
) -> Result<(), ApiError> {
    let request = &status.request;
    let model = status.model.as_deref();
    let [seed, width, height, steps] = [
        image.seed,
        u64::from(image.picture.width),
        u64::from(image.picture.height),
        u64::from(request.steps),
    ]
    .map(|number| number.to_string());
    let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy();
    append(
        &folder.join("log.csv"),
        [
            &request.prompt,
            &seed,
            &width,
            &height,
            request.sampler.name(),
            &python_float(request.cfg_scale),
            &steps,
            &name,
            &request.negative_prompt,
            model.map(|model| model.name.as_str()).unwrap_or_default(),
            model.and_then(|model| model.short_hash()).unwrap_or_default(),
        ],
    )
    .map_err(|error| ApiError::exception("OSError", format!("cannot write to log.csv: {error}")))
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
