//! The shapes in which errors are told: those of A1111's own handler, and those of the library it stands on.

use impasto_domain::RequestError;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Why a request is refused or failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApiError {
    /// Fields of the body cannot be used. Status 422.
    #[error("{0:?}")]
    Validation(Vec<ValidationError>),
    /// Something went wrong inside; named as Python names it, which clients look for. Status 500.
    #[error("{name}: {message}")]
    Exception {
        /// `KeyError`, `TypeError`, `RuntimeError`, ...
        name: &'static str,
        /// What went wrong.
        message: String,
    },
    /// A refusal with a reason.
    #[error("{detail}")]
    Http {
        /// HTTP status.
        status: u16,
        /// The reason.
        detail: String,
    },
    /// A refusal that comes before any route: no such path, no such method.
    #[error("{detail}")]
    Plain {
        /// HTTP status.
        status: u16,
        /// The reason.
        detail: String,
    },
}

/// One field that cannot be used.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ValidationError {
    /// Where it is: `["body", "steps"]`.
    #[schema(value_type = Vec<Value>)]
    pub loc: Vec<Value>,
    /// What is wrong with it.
    pub msg: String,
    /// The kind of error, such as `type_error.integer`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The value found there, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
}

/// The body of an answer with status 422 to a body whose fields cannot be used.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ValidationErrors {
    /// One for each field.
    pub detail: Vec<ValidationError>,
}

/// The body of other answers that tell an error.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Fault {
    /// `HTTPException` for refusals, otherwise the kind of error.
    pub error: String,
    /// The reason of a refusal.
    pub detail: String,
    /// Empty.
    pub body: String,
    /// What went wrong, for other errors.
    pub errors: String,
}

impl ApiError {
    /// A field that has the wrong type or value.
    pub fn field(path: &[&str], msg: impl Into<String>, kind: &str, input: Option<&Value>) -> Self {
        let loc = std::iter::once("body").chain(path.iter().copied()).map(Value::from).collect();
        Self::Validation(vec![ValidationError {
            loc,
            msg: msg.into(),
            kind: kind.to_owned(),
            input: input.map(shortened),
        }])
    }

    /// An error inside, by Python's name for it.
    pub fn exception(name: &'static str, message: impl Into<String>) -> Self {
        Self::Exception { name, message: message.into() }
    }

    /// A refusal.
    pub fn http(status: u16, detail: impl Into<String>) -> Self {
        Self::Http { status, detail: detail.into() }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Validation(_) => 422,
            Self::Exception { .. } => 500,
            Self::Http { status, .. } | Self::Plain { status, .. } => *status,
        }
    }

    /// The body.
    pub fn body(&self) -> Value {
        let fault = |error: &str, detail: &str, errors: &str| json!({ "error": error, "detail": detail, "body": "", "errors": errors });
        match self {
            Self::Validation(errors) => json!({ "detail": errors }),
            Self::Exception { name, message } => fault(name, "", message),
            Self::Http { detail, .. } => fault("HTTPException", detail, ""),
            Self::Plain { detail, .. } => json!({ "detail": detail }),
        }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let input = serde_json::from_str(&error.value).unwrap_or_else(|_| Value::from(error.value.as_str()));
        let message = error.to_string();
        // The one field of the engine's request that comes from an option alone.
        let path: &[&str] = match error.field {
            "clip_skip" => &["override_settings", "CLIP_stop_at_last_layers"],
            field => &[field],
        };
        Self::field(path, message, "value_error", Some(&input))
    }
}

/// A value as it is told back: what is long is cut, what is nested is named.
pub(crate) fn shortened(value: &Value) -> Value {
    const LONGEST: usize = 80;
    match value {
        Value::String(text) if text.chars().count() > LONGEST => {
            Value::from(format!("{}...", text.chars().take(LONGEST).collect::<String>()))
        }
        Value::Array(items) => Value::from(format!("a list of {}", items.len())),
        Value::Object(items) => Value::from(format!("an object of {}", items.len())),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_known_shapes() {
        let long = Value::from("x".repeat(100));
        let error =
            ApiError::field(&["steps"], "value is not a valid integer", "type_error.integer", Some(&long));
        assert_eq!(error.status(), 422);
        let body = error.body().to_string();
        assert!(
            body.starts_with(
                r#"{"detail":[{"loc":["body","steps"],"msg":"value is not a valid integer","type":"type_error.integer","input":"xxx"#
            ) && body.ends_with(r#"..."}]}"#),
            "{body}"
        );
        insta::assert_snapshot!(
            ApiError::exception("KeyError", "'x'").body(),
            @r#"{"error":"KeyError","detail":"","body":"","errors":"'x'"}"#
        );
        insta::assert_snapshot!(
            ApiError::http(404, "Image not found").body(),
            @r#"{"error":"HTTPException","detail":"Image not found","body":"","errors":""}"#
        );
        let plain = ApiError::Plain { status: 404, detail: "Not Found".to_owned() };
        insta::assert_snapshot!(plain.body(), @r#"{"detail":"Not Found"}"#);
    }

    #[test]
    fn a_clip_skip_is_told_by_its_option() {
        let problem = "is out of range: allowed are 1 to 3".to_owned();
        let error = RequestError { field: "clip_skip", value: "12".to_owned(), problem };
        let body = ApiError::from(error).body();
        assert_eq!(
            body["detail"][0]["loc"],
            json!(["body", "override_settings", "CLIP_stop_at_last_layers"])
        );
    }

    #[test]
    fn refused_values_are_named() {
        let error = RequestError {
            field: "width",
            value: "0".to_owned(),
            problem: "is out of range: allowed are 8 to 2048".to_owned(),
        };
        insta::assert_snapshot!(
            ApiError::from(error).body(),
            @r#"{"detail":[{"loc":["body","width"],"msg":"width 0 is out of range: allowed are 8 to 2048","type":"value_error","input":0}]}"#
        );
    }
}
