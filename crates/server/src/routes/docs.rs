//! `/openapi.json`, and a page that shows it. Nothing is loaded from elsewhere.

use crate::app::App;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::{OpenApi, Server};

const PAGE: &str = include_str!("docs.html");

/// The routes of the description.
pub(crate) fn router(mut document: OpenApi, subpath: Option<&str>) -> Router<App> {
    if let Some(subpath) = subpath.map(|path| path.trim_matches('/')).filter(|path| !path.is_empty()) {
        document.servers = Some(vec![Server::new(format!("/{subpath}"))]);
    }
    let json = document.to_json().unwrap_or_default();
    let document = get(|| async move { ([(header::CONTENT_TYPE, "application/json")], json) });
    let page = get(|| async { ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE) });
    Router::new().route("/openapi.json", document).route("/docs", page)
}
