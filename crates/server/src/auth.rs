//! HTTP Basic (RFC 7617) on every route, with users from the settings.

use crate::error::Failure;
use crate::{App, ServerError};
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use impasto_api::ApiError;
use impasto_imaging::decode_base64;
use subtle::{Choice, ConstantTimeEq};

/// Who may use the server.
pub(crate) struct Users(Vec<(String, String)>);

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} users", self.0.len())
    }
}

impl Users {
    /// Reads `user:password,other:password`; each part is split at its first colon.
    pub(crate) fn parse(text: &str) -> Result<Self, ServerError> {
        let parts = text.split(',').enumerate().map(|(index, part)| match part.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                Ok((user.to_owned(), password.to_owned()))
            }
            _ => Err(ServerError::BadCredentials(index + 1)),
        });
        parts.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the pair is known. Takes the same time for every wrong one of its length.
    fn know(&self, user: &str, password: &str) -> bool {
        let equal = |known: &(String, String)| {
            known.0.as_bytes().ct_eq(user.as_bytes()) & known.1.as_bytes().ct_eq(password.as_bytes())
        };
        self.0.iter().fold(Choice::from(0), |any, known| any | equal(known)).into()
    }

    fn check(&self, authorization: Option<&str>) -> Result<(), ApiError> {
        let basic = authorization.and_then(|value| value.split_once(' '));
        let Some((scheme, credentials)) = basic else {
            return Err(ApiError::http(401, "Not authenticated"));
        };
        let pair = decode_base64(credentials).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
        match pair {
            Some((user, password)) if scheme.eq_ignore_ascii_case("basic") && self.know(user, password) => {
                Ok(())
            }
            _ => Err(ApiError::http(401, "Incorrect username or password")),
        }
    }
}

/// Lets only known users through, if users are set at all.
pub(crate) async fn require_user(State(app): State<App>, request: Request, next: Next) -> Response {
    if let Some(users) = app.users() {
        let header = request.headers().get(header::AUTHORIZATION);
        if let Err(error) = users.check(header.and_then(|value| value.to_str().ok())) {
            return Failure(error).into_response();
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use impasto_imaging::encode_base64;

    fn basic(pair: &str) -> String {
        format!("Basic {}", encode_base64(pair.as_bytes()))
    }

    #[test]
    fn passwords_may_have_colons() {
        let users = Users::parse("ann:a:b,bob:\u{fc}").unwrap();
        for pair in ["ann:a:b", "bob:\u{fc}"] {
            assert!(users.check(Some(&basic(pair))).is_ok(), "{pair}");
        }
        for pair in ["ann:a", "ann:", "bob:a:b", "ann:a:bc", "ann", ""] {
            let error = users.check(Some(&basic(pair))).unwrap_err();
            assert_eq!(error.to_string(), "Incorrect username or password", "{pair}");
        }
        assert!(users.check(Some("Bearer YW5uOmE6Yg==")).is_err());
        assert_eq!(users.check(None).unwrap_err().to_string(), "Not authenticated");
    }

    #[test]
    fn half_credentials_are_refused_without_telling_them() {
        for (text, part) in [("ann", 1), ("ann:x,bob", 2), (":x", 1), ("ann:x,", 2), ("", 1), ("ann:", 1)] {
            let error = Users::parse(text).unwrap_err();
            assert!(matches!(error, ServerError::BadCredentials(found) if found == part), "{text}: {error}");
        }
    }
}
