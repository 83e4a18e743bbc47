//! `GET /sdapi/v1/progress`: how far the newest job of A1111's clients is. Jobs of our own interface have their own
//! routes, and are not theirs to stop.

use crate::app::App;
use crate::clock;
use crate::error::Failure;
use crate::runs::RunView;
use axum::Json;
use axum::extract::{Query, State};
use impasto_api::{ApiError, Progress, ProgressState};
use impasto_engine::Picture;
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
    let Some((_, view)) = app.runs().seen(app.engine()).pop() else { return Ok(Json(Progress::idle())) };
    let options = app.options();
    let shown = options.live_previews_enable && !skip;
    let every = options.show_progress_every_n_steps;
    let preview = view.shown().filter(|_| shown).and_then(|status| app.preview_to_show(status, every));
    let image = match preview {
        Some(picture) => {
            tokio::task::spawn_blocking(move || as_base64(&picture, preview_format(&options))).await?
        }
        None => None,
    };
    Ok(Json(Progress::working(state_of(&view), view.elapsed.as_secs_f64(), image)))
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

fn state_of(view: &RunView) -> ProgressState {
    let shown = view.shown();
    let from_picture = shown.is_some_and(|status| status.request.from_picture.is_some());
    ProgressState {
        interrupted: view.interrupted,
        job: if from_picture { "scripts_img2img" } else { "scripts_txt2img" }.to_owned(),
        job_count: view.batches,
        job_timestamp: clock::timestamp(clock::now() - view.elapsed),
        job_no: view.done,
        sampling_step: shown.map_or(0, |status| status.step),
        sampling_steps: shown.map_or(0, |status| status.steps),
        ..ProgressState::default()
    }
}

fn as_base64(picture: &Arc<Picture>, format: Format) -> Option<String> {
    let pixels = Pixels { width: picture.width, height: picture.height, rgb: &picture.rgb };
    encode(pixels, format, None).ok().map(|file| encode_base64(&file))
}
