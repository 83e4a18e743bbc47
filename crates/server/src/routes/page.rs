//! The page, from files that the build put into the program. Without them, `/` says how to get them.

use crate::app::App;
use crate::error::Failure;
use axum::extract::State;
use axum::http::{Method, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

/// A file of the page: path, media type, contents.
type File = (&'static str, &'static str, &'static [u8]);

/// The files of `web/dist`, written by `build.rs`; empty if the page could not be built.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Names of files below it change with their contents.
const HASHED: &str = "assets/";

const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; \
                      object-src 'none'; base-uri 'self'; frame-ancestors 'self'";

const MISSING: &str = "<!doctype html><html lang=\"en\"><title>Impasto</title>\
<body style=\"font:16px/1.5 sans-serif;max-width:40em;margin:4em auto;padding:0 1em\">\
<h1>Impasto is running, without its page</h1>\
<p>The page was not part of this build, because Node or npm was missing or failed. Install Node 20 or newer, then build \
again: <code>cargo run --release</code>.</p>\
<p>The interfaces work all the same: <a href=\"docs\">what there is</a>.</p>";

/// A file of the page; the answer to every path that no other route has.
pub(crate) async fn file(State(app): State<App>, method: Method, uri: Uri) -> Response {
    let asked = !app.settings().nowebui && matches!(method, Method::GET | Method::HEAD);
    match uri.path() {
        "/" if asked => find("index.html").map_or_else(|| Html(MISSING).into_response(), answer),
        // Links of the page are relative, so that its path has to end with a slash.
        path if asked && path == app.link_prefix() => {
            let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            Redirect::permanent(&format!("{path}/{query}")).into_response()
        }
        path => match find(path.trim_start_matches('/')).filter(|_| asked) {
            Some(file) => answer(file),
            None => Failure(super::plain(404, "Not Found")).into_response(),
        },
    }
}

fn find(path: &str) -> Option<File> {
    FILES.iter().find(|(name, ..)| *name == path).copied()
}

fn answer((path, media_type, contents): File) -> Response {
    let caching = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, caching),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, contents).into_response()
}
