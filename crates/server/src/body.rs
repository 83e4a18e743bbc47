//! Reading a request's body as JSON, of bounded size and in bounded time.

use crate::App;
use crate::error::Failure;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use impasto_api::{ApiError, ValidationError};
use serde_json::Value;
use std::time::Duration;

/// Most values of a body: a list of small numbers takes some fifty times its bytes once it is read.
const MOST_VALUES: usize = 1 << 18;
/// Most bytes of a body without pictures.
pub(crate) const WITHOUT_PICTURES: u64 = 2 << 20;
/// The setting alone bounds a body that carries pictures, since they are read as one text.
pub(crate) const WITH_PICTURES: u64 = u64::MAX;

/// A request's body of at most `MOST` bytes, and never more than the settings allow. What type it says it has does not
/// matter.
pub(crate) struct JsonBody<const MOST: u64 = WITHOUT_PICTURES>(pub(crate) Value);

impl<const MOST: u64> FromRequest<App> for JsonBody<MOST> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let most = MOST.min(app.settings().max_body_bytes);
        let too_large = || ApiError::http(413, format!("the body is larger than {most} bytes"));
        let announced =
            request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|bytes: u64| bytes > most) {
            return Err(too_large().into());
        }
        let seconds = app.settings().request_timeout;
        let body = Limited::new(request.into_body(), usize::try_from(most).unwrap_or(usize::MAX)).collect();
        let bytes = match tokio::time::timeout(Duration::from_secs(seconds), body).await {
            Err(_) => {
                return Err(ApiError::http(408, format!("the body did not come within {seconds} s")).into());
            }
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large().into()),
            Ok(Err(error)) => return Err(ApiError::http(400, format!("the body broke off: {error}")).into()),
            Ok(Ok(body)) => body.to_bytes(),
        };
        if bytes.is_empty() {
            return Err(ApiError::field(&[], "field required", "value_error.missing", None).into());
        }
        if values(&bytes) > MOST_VALUES {
            return Err(ApiError::http(413, format!("the body has more than {MOST_VALUES} values")).into());
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| not_json(&bytes, &error).into())
    }
}

/// How many values JSON text has, or more: what separates them, outside of strings.
fn values(bytes: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for &byte in bytes {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b',' | b':' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
        escaped = quoted && !escaped && byte == b'\\';
    }
    count
}

fn not_json(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    let line_start: usize = bytes
        .split_inclusive(|&byte| byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    let position = line_start + error.column().saturating_sub(1);
    ApiError::Validation(vec![ValidationError {
        loc: vec![Value::from("body"), Value::from(position)],
        msg: error.to_string(),
        kind: "value_error.jsondecode".to_owned(),
        input: None,
    }])
}

#[cfg(test)]
mod tests {
    use super::values;

    #[test]
    fn values_are_counted_outside_of_strings() {
        for (text, count) in [("7", 1), (r#"{"a":[1,2],"b,[":"\\","c":"\",[,"}"#, 9), (r#""\\","#, 2)] {
            assert_eq!(values(text.as_bytes()), count, "{text}");
        }
    }
}
