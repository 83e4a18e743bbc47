//! `POST /sdapi/v1/interrupt` and `skip`: they mean whatever runs for A1111's clients, not one job: what
//! `/sdapi/v1/progress` shows, and its like. Jobs of our own interface have their own routes.

use crate::app::App;
use crate::error::Failure;
use axum::Json;
use axum::extract::State;
use impasto_api::{ApiError, Fault};
use impasto_engine::Stop;
use impasto_settings::Options;
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

/// Forgets the models in memory that no job uses; they are loaded again when they are wanted.
#[utoipa::path(post, path = "/sdapi/v1/unload-checkpoint", tag = "sdapi", responses((status = 200, description = "Done")))]
pub(crate) async fn unload(State(app): State<App>) -> Result<Json<Value>, Failure> {
    app.engine().unload()?;
    Ok(Json(json!({})))
}

/// Begins to load the model that is used where requests name none.
#[utoipa::path(
    post,
    path = "/sdapi/v1/reload-checkpoint",
    tag = "sdapi",
    responses((status = 200, description = "Done"), (status = 500, description = "There is no model", body = Fault))
)]
pub(crate) async fn reload(State(app): State<App>) -> Result<Json<Value>, Failure> {
    let engine = app.engine().clone();
    // The model's file may have to be opened to find it.
    tokio::task::spawn_blocking(move || engine.load_default()).await??;
    Ok(Json(json!({})))
}

/// Settings that the program was started with, without secrets.
#[utoipa::path(get, path = "/sdapi/v1/cmd-flags", tag = "sdapi", responses((status = 200, description = "Settings by name", body = Object)))]
pub(crate) async fn cmd_flags(State(app): State<App>) -> Json<Value> {
    Json(Value::Object(app.settings().show()))
}

/// Options by name, with what they do.
#[utoipa::path(get, path = "/internal/quicksettings-hint", tag = "sdapi", responses((status = 200, description = "Names and labels", body = Vec<Object>)))]
pub(crate) async fn quicksettings_hint() -> Json<Value> {
    Options::rows().iter().map(|row| json!({ "name": row.name, "label": row.doc })).collect::<Value>().into()
}

/// Ends the program once running jobs are done, within the time that the settings give them.
#[utoipa::path(
    post,
    path = "/sdapi/v1/server-stop",
    tag = "sdapi",
    responses((status = 200, description = "It ends", body = String), (status = 404, description = "Not allowed by the settings"))
)]
pub(crate) async fn server_stop(State(app): State<App>) -> Result<&'static str, Failure> {
    allowed(&app)?;
    app.stop();
    Ok("Stopping.")
}

/// As `server-stop`.
#[utoipa::path(
    post,
    path = "/sdapi/v1/server-kill",
    tag = "sdapi",
    responses((status = 200, description = "It ends"), (status = 404, description = "Not allowed by the settings"))
)]
pub(crate) async fn server_kill(State(app): State<App>) -> Result<Json<Value>, Failure> {
    allowed(&app)?;
    app.stop();
    Ok(Json(Value::Null))
}

/// A program that nothing starts anew cannot be restarted.
#[utoipa::path(
    post,
    path = "/sdapi/v1/server-restart",
    tag = "sdapi",
    responses((status = 404, description = "Not allowed by the settings"), (status = 501, description = "It cannot be restarted"))
)]
pub(crate) async fn server_restart(State(app): State<App>) -> Result<Json<Value>, Failure> {
    allowed(&app)?;
    Err(ApiError::Plain { status: 501, detail: "Not Implemented".to_owned() }.into())
}

/// Where clients may not stop the program, there is no such route.
fn allowed(app: &App) -> Result<(), ApiError> {
    if app.settings().api_server_stop {
        return Ok(());
    }
    Err(ApiError::Plain { status: 404, detail: "Not Found".to_owned() })
}

fn stop(app: &App, how: Stop) {
    for (run, view) in app.runs().seen(app.engine()) {
        // A script ends too, or goes on with its next picture.
        if how == Stop::Interrupt {
            run.interrupt();
        }
        for job in view.jobs {
            app.engine().stop(job.id, how);
        }
    }
}
