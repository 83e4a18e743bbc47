//! Keeps web pages of others from driving a server that trusts its machine.
//!
//! A page can make a browser send requests here (cross-site request forgery), and by rebinding a name to 127.0.0.1 it
//! can read the answers. The first always tells its `Origin`, the second its `Host`; both are checked.

use crate::error::Failure;
use crate::{App, ServerError};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use impasto_api::ApiError;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

/// Which hosts and origins are let through.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Origins of others that are let through, in lower case; `*` for all.
    origins: Vec<String>,
    /// Whether the server is meant for this machine alone, so that only its names are right.
    loopback: bool,
}

impl Guard {
    /// Reads the setting `cors_allow_origins`.
    pub(crate) fn new(origins: Option<&str>, loopback: bool) -> Result<Self, ServerError> {
        let read = |origin: &str| {
            let origin = origin.trim().trim_end_matches('/').to_ascii_lowercase();
            let sound =
                origin == "*" || (authority_of(&origin).is_some() && HeaderValue::from_str(&origin).is_ok());
            if sound { Ok(origin) } else { Err(ServerError::BadOrigin(origin)) }
        };
        let origins =
            origins.iter().flat_map(|origins| origins.split(',')).map(read).collect::<Result<_, _>>()?;
        Ok(Self { origins, loopback })
    }

    /// The layer that tells browsers what they may read; none if nothing is allowed.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        if self.origins.is_empty() {
            return None;
        }
        let origins = if self.allows_all() {
            AllowOrigin::mirror_request()
        } else {
            AllowOrigin::list(self.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
        };
        Some(
            CorsLayer::new()
                .allow_origin(origins)
                .allow_methods(AllowMethods::mirror_request())
                .allow_headers(AllowHeaders::mirror_request())
                .allow_credentials(true),
        )
    }

    fn allows_all(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());
        let host = uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
        let host = host.or_else(|| text(header::HOST));
        // With several, or with a user in it, a proxy may take another host for the one that was meant (RFC 9112, 3.2).
        if headers.get_all(header::HOST).iter().count() > 1
            || host.as_ref().is_some_and(|host| host.contains('@'))
        {
            return Err(ApiError::http(400, "a request must name one host, without a user"));
        }
        if let Some(host) = &host
            && self.loopback
            && !is_loopback(host)
            && !self.origins.iter().any(|origin| authority_of(origin) == Some(host))
        {
            return Err(ApiError::http(
                403,
                format!(
                    "host {host:?} is not this machine; name its origin in cors_allow_origins to allow it"
                ),
            ));
        }
        if let Some(origin) = text(header::ORIGIN)
            && !self.allows_all()
            && !self.origins.contains(&origin)
            && !host.as_deref().is_some_and(|host| is_same(&origin, host))
        {
            return Err(ApiError::http(403, format!("origin {origin:?} is not in cors_allow_origins")));
        }
        Ok(())
    }
}

/// `host:port` of an origin.
fn authority_of(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let sound = !scheme.is_empty() && !authority.is_empty() && !authority.contains(['/', '?', '#', '@']);
    sound.then_some(authority)
}

/// Whether a page of `origin` came from `host`. Default ports may be left out.
fn is_same(origin: &str, host: &str) -> bool {
    let default = if origin.starts_with("https:") { ":443" } else { ":80" };
    let without = |authority: &str| authority.strip_suffix(default).unwrap_or(authority).to_owned();
    authority_of(origin).is_some_and(|authority| without(authority) == without(host))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Refuses requests that a foreign page makes.
pub(crate) async fn refuse_foreign_pages(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.guard().check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Failure(error).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(guard: &Guard, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        guard.check(&Uri::from_static("/sdapi/v1/txt2img"), &headers).is_ok()
    }

    #[test]
    fn on_loopback_only_this_machines_names_are_right() {
        let guard = Guard::new(None, true).unwrap();
        for host in ["localhost:7860", "127.0.0.1:7860", "LOCALHOST", "[::1]:7860", "127.0.0.2"] {
            assert!(passes(&guard, host, None), "{host}");
        }
        for host in [
            "127.0.0.1:7860@evil.example",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:7860",
            "192.168.0.7",
            "",
        ] {
            assert!(!passes(&guard, host, None), "{host}");
        }
    }

    #[test]
    fn only_one_host_may_be_named() {
        let guard = Guard::new(None, false).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("art.example"));
        assert!(guard.check(&Uri::from_static("/"), &headers).is_ok());
        headers.append(header::HOST, HeaderValue::from_static("art.example"));
        assert_eq!(guard.check(&Uri::from_static("/"), &headers).unwrap_err().status(), 400);
    }

    #[test]
    fn pages_of_others_are_refused() {
        let guard = Guard::new(None, true).unwrap();
        assert!(passes(&guard, "127.0.0.1:7860", Some("http://127.0.0.1:7860")));
        assert!(passes(&guard, "localhost", Some("http://localhost:80")));
        for origin in ["https://evil.example", "null", "http://localhost:7860", "http://127.0.0.1:7861", "?"]
        {
            assert!(!passes(&guard, "127.0.0.1:7860", Some(origin)), "{origin}");
        }
        let public = Guard::new(None, false).unwrap();
        assert!(passes(&public, "art.example", Some("https://art.example")));
        assert!(!passes(&public, "art.example", Some("https://evil.example")));
    }

    #[test]
    fn allowed_origins_pass_with_their_hosts() {
        let guard = Guard::new(Some("https://art.example, http://localhost:5173/"), true).unwrap();
        assert!(passes(&guard, "127.0.0.1:7860", Some("http://localhost:5173")));
        assert!(passes(&guard, "art.example", Some("https://art.example")));
        assert!(!passes(&guard, "evil.example", None));
        let open = Guard::new(Some("*"), true).unwrap();
        assert!(passes(&open, "127.0.0.1", Some("https://any.example")));
        assert!(!passes(&open, "evil.example", None));
        for bad in ["art.example", "https://", "https://a/b", "", "https://a,,"] {
            assert!(Guard::new(Some(bad), true).is_err(), "{bad}");
        }
    }
}
