//! `/api/v1/jobs`: accepting, listing and ending jobs.

use crate::app::App;
use crate::body::JsonBody;
use crate::error::Failure;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use impasto_api::{Accepted, ApiError, Fault, Job, JobImage, JobSubmission, ValidationErrors, infotext_of};
use impasto_engine::{JobId, JobStatus, Stop};
use std::sync::Arc;

/// Accepts a job, to be followed by its events.
#[utoipa::path(
    post,
    path = "/api/v1/jobs",
    tag = "jobs",
    request_body = JobSubmission,
    responses(
        (status = 202, body = Accepted),
        (status = 422, description = "A field cannot be used", body = ValidationErrors),
        (status = 429, description = "Too many jobs wait", body = Fault),
        (status = 500, description = "It came to an error", body = Fault)
    )
)]
pub(crate) async fn submit(
    State(app): State<App>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Accepted>), Failure> {
    let rules = app.infotext_rules(infotext_of(&body)).await?;
    let request = JobSubmission::from_json_by(body, &rules)?.request;
    // Here, other than at /sdapi, a model that is not there is an error: the client chose it from our list.
    let asked = request.override_settings.as_ref().and_then(|overrides| overrides.get("sd_model_checkpoint"));
    if let Some(name) = asked.filter(|name| !name.is_null())
        && name.as_str().is_none_or(|name| app.find_model(name).is_none())
    {
        let path = ["override_settings", "sd_model_checkpoint"];
        return Err(
            ApiError::field(&path, format!("model {name} not found"), "value_error", Some(name)).into()
        );
    }
    let options = app.options_for(&request)?;
    let mut watcher = app.submit(&request, &options, false).await?;
    let status = watcher.status();
    // Previews are made while somebody watches; clients that ask from time to time are to see them too.
    tokio::spawn(watcher.finished());
    Ok((StatusCode::ACCEPTED, Json(Accepted { id: status.id.to_string(), state: status.state.name() })))
}

/// Running, waiting and lately ended jobs, newest first.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", responses((status = 200, body = Vec<Job>)))]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<Job>> {
    let prefix = app.link_prefix();
    Json(app.engine().jobs().iter().rev().map(|status| describe(&prefix, status)).collect())
}

/// One job.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's name")),
    responses((status = 200, body = Job), (status = 404, description = "No such job", body = Fault))
)]
pub(crate) async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Job>, Failure> {
    Ok(Json(describe(&app.link_prefix(), &*find(&app, &id)?)))
}

/// Cancels a job. Of one that has ended, nothing changes.
#[utoipa::path(
    delete,
    path = "/api/v1/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's name")),
    responses((status = 200, body = Job), (status = 404, description = "No such job", body = Fault))
)]
pub(crate) async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Job>, Failure> {
    stop(&app, &id, Stop::Cancel)
}

/// Ends a job; what there is of its pictures is kept.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/interrupt",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's name")),
    responses((status = 200, body = Job), (status = 404, description = "No such job", body = Fault))
)]
pub(crate) async fn interrupt(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Job>, Failure> {
    stop(&app, &id, Stop::Interrupt)
}

/// Ends a job's batch at work; it goes on with the next.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/skip",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's name")),
    responses((status = 200, body = Job), (status = 404, description = "No such job", body = Fault))
)]
pub(crate) async fn skip(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Job>, Failure> {
    stop(&app, &id, Stop::Skip)
}

fn stop(app: &App, id: &str, how: Stop) -> Result<Json<Job>, Failure> {
    let status = find(app, id)?;
    app.engine().stop(status.id, how);
    Ok(Json(describe(&app.link_prefix(), &*find(app, id)?)))
}

/// The job of this name.
pub(crate) fn find(app: &App, id: &str) -> Result<Arc<JobStatus>, ApiError> {
    let unknown =
        || ApiError::http(404, format!("job {id:?} not found; jobs are forgotten some time after they end"));
    let id: JobId = id.parse().map_err(|_| unknown())?;
    Ok(app.engine().watch(id).ok_or_else(unknown)?.status())
}

/// A job in the words of the interface. Paths of its links start with `prefix`.
pub(crate) fn describe(prefix: &str, status: &JobStatus) -> Job {
    let id = status.id;
    let images = status.images.iter().map(|image| JobImage {
        index: image.index,
        url: format!("{prefix}/api/v1/jobs/{id}/images/{}.png", image.index),
        seed: image.seed,
        subseed: image.subseed,
        infotext: image.infotext.clone(),
    });
    let preview = status.preview.as_ref();
    Job {
        id: id.to_string(),
        state: status.state.name(),
        position: status.position,
        step: status.step,
        steps: status.steps,
        batches_done: status.batches_done,
        batch_count: status.request.batch_count,
        progress: status.progress,
        elapsed: status.elapsed.as_secs_f64(),
        eta: status.eta.map(|eta| eta.as_secs_f64()),
        prompt: status.request.prompt.clone(),
        negative_prompt: status.request.negative_prompt.clone(),
        model: status.request.model.clone(),
        width: status.request.width,
        height: status.request.height,
        preview: preview
            .map(|_| format!("{prefix}/api/v1/jobs/{id}/preview?number={}", status.preview_number)),
        images: images.collect(),
        interrupted: status.interrupted,
        comments: status.comments.to_vec(),
        error: status.error.clone(),
        events: format!("{prefix}/api/v1/jobs/{id}/events"),
    }
}
