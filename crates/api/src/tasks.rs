//! Jobs by the names that A1111's clients gave them.

use crate::ApiError;
use crate::coerce::read_field;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The body of `POST /internal/progress`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TaskProgressRequest {
    /// The job's name: what `force_task_id` said.
    pub id_task: String,
    /// Number of the newest preview that the client has; -1 for none.
    #[schema(default = -1)]
    pub id_live_preview: i64,
    /// Whether a preview is wanted.
    #[schema(default = true)]
    pub live_preview: bool,
}

impl TaskProgressRequest {
    /// Reads a request's body.
    pub fn from_json(body: Value) -> Result<Self, ApiError> {
        let Value::Object(mut body) = body else {
            return Err(ApiError::field(&[], "value is not a valid dict", "type_error.dict", Some(&body)));
        };
        if body.get("id_task").is_none_or(Value::is_null) {
            return Err(ApiError::field(&["id_task"], "field required", "value_error.missing", None));
        }
        let mut errors = Vec::new();
        let read = Self {
            id_task: read_field(&mut body, "id_task", String::new(), &mut errors),
            id_live_preview: read_field(&mut body, "id_live_preview", -1, &mut errors),
            live_preview: read_field(&mut body, "live_preview", true, &mut errors),
        };
        if errors.is_empty() { Ok(read) } else { Err(ApiError::Validation(errors)) }
    }
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TaskProgress {
    /// Whether it is being worked on.
    pub active: bool,
    /// Whether it waits.
    pub queued: bool,
    /// Whether it has ended.
    pub completed: bool,
    /// 0 to 1, while it is being worked on.
    pub progress: Option<f64>,
    /// Seconds it will still take, once that can be told.
    pub eta: Option<f64>,
    /// A preview as a `data:` link, if there is one that the client does not have.
    pub live_preview: Option<String>,
    /// Number of the newest preview; -1 if there is none to show.
    pub id_live_preview: i64,
    /// What to tell whoever waits.
    pub textinfo: Option<String>,
}

impl TaskProgress {
    /// A job that nobody knows, or knows yet.
    pub fn waiting() -> Self {
        Self {
            active: false,
            queued: false,
            completed: false,
            progress: None,
            eta: None,
            live_preview: None,
            id_live_preview: -1,
            textinfo: Some("Waiting...".to_owned()),
        }
    }

    /// A job that is the `place`th of `count` that wait.
    pub fn queued(place: usize, count: usize) -> Self {
        Self { queued: true, textinfo: Some(format!("In queue: {place}/{count}")), ..Self::waiting() }
    }

    /// A job that has ended.
    pub fn completed() -> Self {
        Self { completed: true, ..Self::waiting() }
    }

    /// A job at work since `elapsed` seconds, with a preview and its number.
    pub fn working(progress: f64, elapsed: f64, preview: Option<(String, i64)>) -> Self {
        let (live_preview, number) = preview.map_or((None, -1), |(link, number)| (Some(link), number));
        Self {
            active: true,
            progress: Some(progress),
            eta: (progress > 0.0).then(|| elapsed / progress - elapsed),
            live_preview,
            id_live_preview: number,
            textinfo: None,
            ..Self::waiting()
        }
    }
}

/// The answer to `GET /internal/pending-tasks`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PendingTasks {
    /// How many wait.
    pub size: usize,
    /// Their names, the next first.
    pub tasks: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_are_read_leniently_but_need_a_name() {
        let read =
            TaskProgressRequest::from_json(json!({ "id_task": "task(a)", "id_live_preview": "3" })).unwrap();
        assert_eq!((read.id_task.as_str(), read.id_live_preview, read.live_preview), ("task(a)", 3, true));
        for body in
            [json!({}), json!([]), json!({ "id_task": null }), json!({ "id_task": "a", "live_preview": [] })]
        {
            assert!(TaskProgressRequest::from_json(body).is_err());
        }
    }

    #[test]
    fn keys_are_a1111s() {
        insta::assert_snapshot!(serde_json::to_string(&TaskProgress::working(0.5, 4.0, None)).unwrap(), @r#"{"active":true,"queued":false,"completed":false,"progress":0.5,"eta":4.0,"live_preview":null,"id_live_preview":-1,"textinfo":null}"#);
        assert_eq!(TaskProgress::queued(1, 3).textinfo.as_deref(), Some("In queue: 1/3"));
    }
}
