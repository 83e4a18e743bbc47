//! `POST /sdapi/v1/interrupt` and `skip`: they mean whatever runs for A1111's clients, not one job: what
//! `/sdapi/v1/progress` shows, and its like. Jobs of our own interface have their own routes.

use crate::app::App;
use axum::Json;
use axum::extract::State;
use impasto_engine::Stop;
use serde_json::{Value, json};

/// Ends the jobs at work; their pictures so far are answered.
#[utoipa::path(post, path = "/sdapi/v1/interrupt", operation_id = "sdapi_interrupt", tag = "sdapi", responses((status = 200, description = "Done")))]
pub(crate) async fn interrupt(State(app): State<App>) -> Json<Value> {
    stop(&app, Stop::Interrupt);
    Json(json!({}))
}

/// Ends the batches at work; the jobs go on with the next.
#[utoipa::path(post, path = "/sdapi/v1/skip", operation_id = "sdapi_skip", tag = "sdapi", responses((status = 200, description = "Done")))]
pub(crate) async fn skip(State(app): State<App>) -> Json<Value> {
    stop(&app, Stop::Skip);
    Json(Value::Null)
}

fn stop(app: &App, how: Stop) {
    for job in app.jobs_of_sdapi() {
        app.engine().stop(job.id, how);
    }
}
