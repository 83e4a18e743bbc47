//! Bodies of routes for what is not in this version.

use crate::ApiError;
use crate::coerce::read_field;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The body of `POST /sdapi/v1/interrogate`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InterrogateRequest {
    /// A picture in base64.
    pub image: String,
    /// `clip` or `deepdanbooru`.
    #[schema(default = "clip")]
    pub model: String,
}

impl InterrogateRequest {
    /// Reads a request's body.
    pub fn from_json(body: Value) -> Result<Self, ApiError> {
        let Value::Object(mut body) = body else {
            return Err(ApiError::field(&[], "value is not a valid dict", "type_error.dict", Some(&body)));
        };
        let mut errors = Vec::new();
        let read = Self {
            image: read_field(&mut body, "image", String::new(), &mut errors),
            model: read_field(&mut body, "model", "clip".to_owned(), &mut errors),
        };
        if errors.is_empty() { Ok(read) } else { Err(ApiError::Validation(errors)) }
    }
}

/// An answer in a few words.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Info {
    /// The words.
    pub info: String,
}
