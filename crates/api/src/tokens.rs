//! `POST /api/v1/tokens`: how long a prompt is in the text encoder's measure.

use crate::ApiError;
use crate::coerce::read_field;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The body of `POST /api/v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
pub struct TokensRequest {
    /// The prompt.
    pub prompt: String,
    /// Whether it is the negative prompt, which has no `AND` and no extra networks.
    #[schema(required = false, default = false)]
    pub negative: bool,
    /// Names of styles to merge in first. Unknown ones are ignored.
    pub styles: Option<Vec<String>>,
    /// Sampler steps, of which the numbers in `[from:to:0.5]` are shares.
    #[schema(required = false, default = 20)]
    pub steps: i64,
}

impl TokensRequest {
    /// Reads a request's body.
    pub fn from_json(mut body: Value) -> Result<Self, ApiError> {
        let Some(fields) = body.as_object_mut() else {
            return Err(ApiError::field(&[], "value is not a valid dict", "type_error.dict", Some(&body)));
        };
        if !fields.contains_key("prompt") {
            return Err(ApiError::field(&["prompt"], "field required", "value_error.missing", None));
        }
        let mut errors = Vec::new();
        let read = Self {
            prompt: read_field(fields, "prompt", String::new(), &mut errors),
            negative: read_field(fields, "negative", false, &mut errors),
            styles: read_field(fields, "styles", None, &mut errors),
            steps: read_field(fields, "steps", 20, &mut errors),
        };
        if errors.is_empty() { Ok(read) } else { Err(ApiError::Validation(errors)) }
    }
}

/// Tokens of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tokens {
    /// Tokens of the longest text that the prompt stands for, with what fills chunks before the last.
    pub count: usize,
    /// Tokens that its chunks have room for: the next multiple of 75.
    pub limit: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_prompt_is_all_that_is_needed() {
        let read = |body| TokensRequest::from_json(body).map_err(|error| error.body().to_string());
        let plain = TokensRequest { prompt: "cat".to_owned(), negative: false, styles: None, steps: 20 };
        assert_eq!(read(json!({ "prompt": "cat", "styles": null })), Ok(plain.clone()));
        let all = json!({ "prompt": "cat", "negative": 1, "styles": ["oil"], "steps": "30" });
        let wanted =
            TokensRequest { negative: true, styles: Some(vec!["oil".to_owned()]), steps: 30, ..plain };
        assert_eq!(read(all), Ok(wanted));
        insta::assert_snapshot!(read(json!({})).unwrap_err(), @r#"{"detail":[{"loc":["body","prompt"],"msg":"field required","type":"value_error.missing"}]}"#);
        insta::assert_snapshot!(read(json!({ "prompt": null, "steps": "x" })).unwrap_err(), @r#"{"detail":[{"loc":["body","prompt"],"msg":"none is not an allowed value","type":"type_error.none.not_allowed","input":null},{"loc":["body","steps"],"msg":"value is not a valid integer","type":"type_error.integer","input":"x"}]}"#);
        insta::assert_snapshot!(read(json!([])).unwrap_err(), @r#"{"detail":[{"loc":["body"],"msg":"value is not a valid dict","type":"type_error.dict","input":"a list of 0"}]}"#);
    }
}
