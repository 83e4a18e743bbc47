//! `GET /api/v1/jobs/{id}/events`: a job's snapshots as server-sent events.
//!
//! Events are the differences between two snapshots, so a slow reader misses steps and previews, never the end.

use super::jobs::{describe, find};
use crate::app::App;
use crate::error::Failure;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use impasto_api::{ApiError, Fault, JobPreview};
use impasto_engine::{JobState, JobStatus, Picture, Watcher};
use impasto_imaging::{Format, Pixels, encode, encode_base64};
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

/// What happens to a job: `queued`, `started` and `step` carry the job, `preview` a picture; `finished`, `failed` and
/// `cancelled` carry the job and are the last.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/events",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's name")),
    responses(
        (status = 200, description = "Events", body = JobPreview, content_type = "text/event-stream"),
        (status = 404, description = "No such job", body = Fault)
    )
)]
pub(crate) async fn events(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let status = find(&app, &id)?;
    let watcher = app.engine().watch(status.id);
    let watcher = watcher.ok_or_else(|| ApiError::http(404, format!("job {id:?} not found")))?;
    let feed = Feed { prefix: app.link_prefix(), watcher, last: None, ready: VecDeque::new(), ended: false };
    Ok(Sse::new(stream::unfold(feed, Feed::next)).keep_alive(KeepAlive::default()))
}

struct Feed {
    /// What the paths of links start with.
    prefix: String,
    watcher: Watcher,
    last: Option<Arc<JobStatus>>,
    ready: VecDeque<Event>,
    ended: bool,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            if self.ended {
                return None;
            }
            let status = match &self.last {
                None => self.watcher.status(),
                Some(_) => self.watcher.changed().await,
            };
            // The same snapshot again means that the engine is gone.
            self.ended =
                status.state.is_final() || self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &status));
            let last = self.last.replace(status.clone());
            let name = event_name(last.as_deref(), &status);
            self.ready.extend(name.and_then(|name| event(name, &describe(&self.prefix, &status))));
            if let Some(picture) = new_preview(last.as_deref(), &status) {
                let number = status.preview_number;
                let event = tokio::task::spawn_blocking(move || preview_event(number, &picture)).await;
                self.ready.extend(event.ok().flatten());
            }
        }
    }
}

/// What a snapshot is called after another; nothing if it tells nothing new.
fn event_name(last: Option<&JobStatus>, status: &JobStatus) -> Option<&'static str> {
    match (status.state, last) {
        (JobState::Done, _) => Some("finished"),
        (JobState::Failed, _) => Some("failed"),
        (JobState::Cancelled, _) => Some("cancelled"),
        (JobState::Queued, Some(last)) if last.position == status.position => None,
        (JobState::Queued, _) => Some("queued"),
        (JobState::Running, Some(last)) if last.state == JobState::Running => {
            let at = |status: &JobStatus| (status.step, status.batches_done, status.images.len());
            (at(last) != at(status)).then_some("step")
        }
        (JobState::Running, _) => Some("started"),
    }
}

fn new_preview(last: Option<&JobStatus>, status: &JobStatus) -> Option<Arc<Picture>> {
    let before = last.map_or(0, |last| last.preview_number);
    let new = status.preview_number != before && !status.state.is_final();
    status.preview.clone().filter(|_| new)
}

fn preview_event(number: u64, picture: &Picture) -> Option<Event> {
    let pixels = Pixels { width: picture.width, height: picture.height, rgb: &picture.rgb };
    let file = encode(pixels, Format::Png, None).ok()?;
    event("preview", &JobPreview { number, image: format!("data:image/png;base64,{}", encode_base64(&file)) })
}

fn event(name: &str, data: &impl Serialize) -> Option<Event> {
    Event::default().event(name).json_data(data).ok()
}
