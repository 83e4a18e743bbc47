//! `GET /sdapi/v1/progress`: how far the newest job of A1111's clients is. Jobs of our own interface have their own
//! routes, and are not theirs to stop.

use crate::app::App;
use crate::clock;
use crate::error::Failure;
use axum::Json;
use axum::extract::{Query, State};
use impasto_api::{ApiError, Progress, ProgressState};
use impasto_engine::{JobStatus, Picture};
use impasto_imaging::{Format, Pixels, encode, encode_base64};
use impasto_settings::Options;
use std::collections::HashMap;
use std::sync::Arc;

/// How far the newest job at work is.
#[utoipa::path(
    get,
    path = "/sdapi/v1/progress",
    tag = "sdapi",
    params(("skip_current_image" = Option<bool>, Query, description = "Leave the preview out")),
    responses((status = 200, body = Progress))
)]
pub(crate) async fn progress(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Progress>, Failure> {
    let skip = match query.get("skip_current_image").map(|value| value.to_lowercase()) {
        None => false,
        Some(value) => match value.as_str() {
            "1" | "on" | "t" | "true" | "y" | "yes" => true,
            "0" | "off" | "f" | "false" | "n" | "no" => false,
            _ => return Err(not_a_flag(&value).into()),
        },
    };
    let Some(status) = app.jobs_of_sdapi().pop() else { return Ok(Json(Progress::idle())) };
    let options = app.options();
    let shown = options.live_previews_enable && !skip;
    let preview =
        if shown { app.preview_to_show(&status, options.show_progress_every_n_steps) } else { None };
    let image = match preview {
        Some(picture) => {
            tokio::task::spawn_blocking(move || as_base64(&picture, preview_format(&options))).await?
        }
        None => None,
    };
    Ok(Json(Progress::working(state_of(&status), status.elapsed.as_secs_f64(), image)))
}

/// The file format of previews.
pub(crate) fn preview_format(options: &Options) -> Format {
    Format::from_name(&options.live_previews_image_format, options.jpeg_quality).unwrap_or(Format::Png)
}

fn not_a_flag(value: &str) -> ApiError {
    let mut error = ApiError::field(
        &["skip_current_image"],
        "value could not be parsed to a boolean",
        "type_error.bool",
        Some(&value.into()),
    );
    if let ApiError::Validation(errors) = &mut error
        && let Some(place) = errors.first_mut().and_then(|error| error.loc.first_mut())
    {
        *place = "query".into();
    }
    error
}

fn state_of(status: &JobStatus) -> ProgressState {
    ProgressState {
        interrupted: status.interrupted,
        job: "scripts_txt2img".to_owned(),
        job_count: status.request.batch_count,
        job_timestamp: clock::timestamp(clock::now() - status.elapsed),
        job_no: status.batches_done,
        sampling_step: status.step,
        sampling_steps: status.steps,
        ..ProgressState::default()
    }
}

fn as_base64(picture: &Arc<Picture>, format: Format) -> Option<String> {
    let pixels = Pixels { width: picture.width, height: picture.height, rgb: &picture.rgb };
    encode(pixels, format, None).ok().map(|file| encode_base64(&file))
}
