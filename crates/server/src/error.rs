//! What keeps the server from starting, and how a refused request is answered.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use impasto_api::ApiError;
use impasto_engine::EngineError;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the server does not start or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Everybody in the network could use the machine.
    #[error(
        "listen without api_auth would let everybody in the network use this machine: set api_auth to user:password"
    )]
    OpenToAll,
    /// A part of `api_auth` has no colon or no name.
    #[error("api_auth must be user:password, several separated by commas; part {0} is not")]
    BadCredentials(usize),
    /// An origin that no browser would send.
    #[error("{0:?} in cors_allow_origins is not an origin such as https://example.org, nor *")]
    BadOrigin(String),
    /// Only one of two settings that need each other.
    #[error("{given} is set without {missing}: HTTPS needs both")]
    HalfTls {
        /// The setting that is there.
        given: &'static str,
        /// The setting that is not.
        missing: &'static str,
    },
    /// A certificate or key that cannot be used.
    #[error("cannot use {path} for HTTPS: {problem}")]
    BadTls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The address is taken or not ours.
    #[error("cannot listen at {address}: {source}; another port can be chosen with --port")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The engine's thread could not be stopped.
    #[error("cannot stop the engine: {0}")]
    Shutdown(String),
}

/// A refused or failed request, as an answer.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) ApiError);

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self(match error {
            EngineError::Invalid(error) => error.into(),
            EngineError::UnknownModel(name) => {
                ApiError::exception("RuntimeError", format!("model '{name}' not found"))
            }
            EngineError::UnknownUpscaler(_) => ApiError::exception("AssertionError", error.to_string()),
            EngineError::TooLarge { .. } => ApiError::exception("OutOfMemoryError", error.to_string()),
            EngineError::QueueFull { .. } => ApiError::http(429, error.to_string()),
            EngineError::Stopped => ApiError::http(503, error.to_string()),
            _ => ApiError::exception("RuntimeError", error.to_string()),
        })
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Self {
        tracing::error!(%error, "a request's work panicked");
        Self(ApiError::exception("RuntimeError", "internal error; the server's log has more"))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0.body())).into_response();
        let extra = match status {
            StatusCode::UNAUTHORIZED => {
                Some((header::WWW_AUTHENTICATE, "Basic realm=\"Impasto\", charset=\"UTF-8\""))
            }
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "5")),
            _ => None,
        };
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
