//! `/internal/progress` and `/internal/pending-tasks`: jobs of A1111's interface by the names that clients gave them
//! (`force_task_id`).

use super::progress::preview_format;
use crate::app::App;
use crate::body::JsonBody;
use crate::error::Failure;
use crate::runs::RunView;
use axum::Json;
use axum::extract::State;
use impasto_api::{ApiError, PendingTasks, TaskProgress, TaskProgressRequest, ValidationErrors};
use impasto_engine::JobStatus;
use impasto_imaging::{Pixels, encode, encode_base64};
use impasto_settings::Options;

/// How far a job is, by its client's name for it.
#[utoipa::path(
    post,
    path = "/internal/progress",
    tag = "sdapi",
    request_body = TaskProgressRequest,
    responses(
        (status = 200, body = TaskProgress),
        (status = 422, description = "A field cannot be used", body = ValidationErrors)
    )
)]
pub(crate) async fn task_progress(
    State(app): State<App>,
    JsonBody(body): JsonBody,
) -> Result<Json<TaskProgress>, Failure> {
    let request = TaskProgressRequest::from_json(body)?;
    let Some(run) = app.runs().of_name(&request.id_task) else { return Ok(Json(TaskProgress::waiting())) };
    let view = RunView::of(&run, app.engine());
    if view.ended {
        return Ok(Json(TaskProgress::completed()));
    }
    if !view.running {
        let waiting = app.runs().waiting(app.engine());
        let place = waiting.iter().position(|name| *name == request.id_task).map_or(1, |at| at + 1);
        return Ok(Json(TaskProgress::queued(place, waiting.len().max(place))));
    }
    let options = app.options();
    let preview = match view.shown() {
        Some(status) if request.live_preview && options.live_previews_enable => {
            preview(status, request.id_live_preview, &options).await?
        }
        _ => None,
    };
    Ok(Json(TaskProgress::working(view.progress(), view.elapsed.as_secs_f64(), preview)))
}

/// The newest preview and its number, if it is not the one that the client has.
async fn preview(
    status: &JobStatus,
    known: i64,
    options: &Options,
) -> Result<Option<(String, i64)>, Failure> {
    let number = i64::try_from(status.preview_number).unwrap_or(i64::MAX);
    let Some(picture) = status.preview.clone().filter(|_| number != known) else { return Ok(None) };
    let (format, name) = (preview_format(options), options.live_previews_image_format.clone());
    let encode = move || {
        let pixels = Pixels { width: picture.width, height: picture.height, rgb: &picture.rgb };
        encode(pixels, format, None)
            .map(|file| format!("data:image/{name};base64,{}", encode_base64(&file)))
            .map_err(|error| ApiError::exception("RuntimeError", error.to_string()))
    };
    Ok(Some((tokio::task::spawn_blocking(encode).await??, number)))
}

/// Names of the jobs that wait.
#[utoipa::path(get, path = "/internal/pending-tasks", tag = "sdapi", responses((status = 200, body = PendingTasks)))]
pub(crate) async fn pending_tasks(State(app): State<App>) -> Json<PendingTasks> {
    let tasks = app.runs().waiting(app.engine());
    Json(PendingTasks { size: tasks.len(), tasks })
}
