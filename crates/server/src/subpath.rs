//! Serving below a path, for proxies that hand the whole path on. Requests without it are served too, for proxies that
//! remove it, which is what A1111's setting of the same name expects.

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use tower::Layer as _;
use tower::util::MapRequestLayer;

/// Removes `subpath` from the paths of requests, before routes are looked up.
pub(crate) fn strip(subpath: Option<&str>, router: Router) -> Router {
    let Some(subpath) = subpath.map(|path| path.trim_matches('/')).filter(|path| !path.is_empty()) else {
        return router;
    };
    let prefix = format!("/{subpath}");
    let rewrite = move |mut request: Request| {
        if let Some(uri) = without(&prefix, request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    };
    Router::new().fallback_service(MapRequestLayer::new(rewrite).layer(router))
}

fn without(prefix: &str, uri: &Uri) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(prefix)?;
    if rest.starts_with('/') { rest.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_path_is_removed() {
        let rest = |uri: &'static str| without("/sd", &Uri::from_static(uri)).map(|uri| uri.to_string());
        assert_eq!(rest("/sd/docs?x=1"), Some("/docs?x=1".to_owned()));
        assert_eq!(rest("/sd/"), Some("/".to_owned()));
        for uri in ["/sdapi/v1/options", "/docs", "/sd"] {
            assert_eq!(rest(uri), None, "{uri}");
        }
    }
}
