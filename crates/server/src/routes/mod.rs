//! All routes, one file a resource, and what stands around every one of them.

mod absent;
mod control;
mod describe;
mod docs;
mod events;
mod extras;
mod files;
mod health;
mod img2img;
mod jobs;
mod lists;
mod models;
mod options;
mod page;
mod pictures;
mod png_info;
mod progress;
mod tasks;
mod tokens;
mod txt2img;

use crate::app::App;
use crate::error::Failure;
use crate::{auth, guard};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use impasto_api::ApiError;
use std::any::Any;
use std::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Impasto",
        description = "Pictures from text. `/sdapi/v1` is AUTOMATIC1111's interface, `/api/v1` our own: a job is accepted \
                       at once and followed by its events.",
        license(name = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "jobs", description = "Our own interface"),
        (name = "sdapi", description = "A1111's interface"),
        (name = "server", description = "The server itself")
    )
)]
struct Description;

/// The description of all interfaces, in OpenAPI 3.1.
pub fn openapi() -> utoipa::openapi::OpenApi {
    describe::add_common(documented().into_openapi())
}

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(jobs::submit, jobs::list))
        .routes(routes!(jobs::show, jobs::cancel))
        .routes(routes!(jobs::interrupt))
        .routes(routes!(jobs::skip))
        .routes(routes!(events::events))
        .routes(routes!(pictures::image))
        .routes(routes!(pictures::keep))
        .routes(routes!(pictures::preview))
        .routes(routes!(models::models))
        .routes(routes!(models::model))
        .routes(routes!(models::info))
        .routes(routes!(tokens::count_tokens))
        .routes(routes!(txt2img::txt2img))
        .routes(routes!(img2img::img2img))
        .routes(routes!(extras::single))
        .routes(routes!(extras::batch))
        .routes(routes!(progress::progress))
        .routes(routes!(control::interrupt))
        .routes(routes!(control::skip))
        .routes(routes!(lists::samplers))
        .routes(routes!(lists::schedulers))
        .routes(routes!(lists::scripts))
        .routes(routes!(lists::script_info))
        .routes(routes!(lists::sd_models))
        .routes(routes!(lists::refresh_checkpoints))
        .routes(routes!(lists::latent_upscale_modes))
        .routes(routes!(files::upscalers))
        .routes(routes!(files::prompt_styles))
        .routes(routes!(files::sd_vae))
        .routes(routes!(files::hypernetworks))
        .routes(routes!(files::loras))
        .routes(routes!(files::embeddings))
        .routes(routes!(files::face_restorers))
        .routes(routes!(files::realesrgan_models))
        .routes(routes!(files::extensions))
        .routes(routes!(files::refresh_vae))
        .routes(routes!(files::refresh_embeddings))
        .routes(routes!(files::refresh_loras))
        .routes(routes!(options::show, options::change))
        .routes(routes!(control::unload))
        .routes(routes!(control::reload))
        .routes(routes!(control::cmd_flags))
        .routes(routes!(control::server_stop))
        .routes(routes!(control::server_kill))
        .routes(routes!(control::server_restart))
        .routes(routes!(control::quicksettings_hint))
        .routes(routes!(tasks::task_progress))
        .routes(routes!(tasks::pending_tasks))
        .routes(routes!(absent::interrogate))
        .routes(routes!(absent::create_embedding))
        .routes(routes!(absent::create_hypernetwork))
        .routes(routes!(absent::train_embedding))
        .routes(routes!(absent::train_hypernetwork))
        .routes(routes!(png_info::png_info))
        .routes(routes!(health::memory))
        .routes(routes!(health::ping))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// All routes with everything around them. The last layer is the outermost.
pub(crate) fn router(app: &App) -> Router {
    let (routes, document) = documented().split_for_parts();
    let routes =
        routes
            .merge(docs::router(describe::add_common(document), app.settings().subpath.as_deref()))
            .fallback(page::file)
            .method_not_allowed_fallback(|| async { Failure(plain(405, "Method Not Allowed")) })
            .layer(CompressionLayer::new().compress_when(
                SizeAbove::new(1000).and(NotForContentType::IMAGES).and(NotForContentType::SSE),
            ))
            .layer(from_fn_with_state(app.clone(), auth::require_user));
    let routes = match app.guard().cors() {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes
        .layer(from_fn_with_state(app.clone(), guard::refuse_foreign_pages))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn_with_state(app.clone(), finish_answer))
        .with_state(app.clone())
}

fn plain(status: u16, detail: &str) -> ApiError {
    ApiError::Plain { status, detail: detail.to_owned() }
}

/// Takes the time, counts the answer, and adds what every answer carries.
async fn finish_answer(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let seconds = begun.elapsed().as_secs_f64();
    let status = response.status().as_u16();
    app.requests().count(status);
    tracing::debug!(%method, path, status, seconds, "answered");
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&format!("{seconds:.4}")) {
        headers.insert("x-process-time", value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "a request's handler panicked");
    Failure(ApiError::exception("RuntimeError", "internal error; the server's log has more")).into_response()
}
