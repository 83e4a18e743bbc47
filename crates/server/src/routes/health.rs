//! Whether the server lives, is ready, and what it uses.

use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

/// Answers as soon as the program listens.
#[utoipa::path(get, path = "/internal/ping", tag = "server", responses((status = 200, description = "An empty object")))]
pub(crate) async fn ping() -> Json<Value> {
    Json(json!({}))
}

/// Whether the program answers at all.
#[utoipa::path(get, path = "/livez", tag = "server", responses((status = 200, description = "It does")))]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Whether jobs are accepted and there is a model to make them with.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "server",
    responses((status = 200, description = "Yes"), (status = 503, description = "No, and why"))
)]
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    let engine = app.engine();
    if !engine.is_alive() {
        (StatusCode::SERVICE_UNAVAILABLE, "the engine has stopped\n")
    } else if engine.default_model().is_none() {
        (StatusCode::SERVICE_UNAVAILABLE, "there is no model\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

/// Figures in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "server", responses((status = 200, description = "Figures", body = String)))]
pub(crate) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let engine = app.engine();
    let page = app.requests().render(&engine.stats(), engine.is_alive());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page)
}

/// Memory of the program in bytes, as A1111 tells it.
#[utoipa::path(get, path = "/sdapi/v1/memory", tag = "sdapi", responses((status = 200, description = "Bytes", body = Object)))]
pub(crate) async fn memory() -> Json<Value> {
    let ram = match (field("/proc/self/status", "VmRSS:"), field("/proc/meminfo", "MemTotal:")) {
        (Some(used), Some(total)) => {
            json!({ "free": total.saturating_sub(used), "used": used, "total": total })
        }
        _ => json!({ "error": "not known on this system" }),
    };
    Json(json!({ "ram": ram, "cuda": { "error": "unavailable" } }))
}

/// Bytes of a field in one of Linux's tables, which are in KiB.
fn field(path: &str, name: &str) -> Option<u64> {
    let table = std::fs::read_to_string(path).ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
