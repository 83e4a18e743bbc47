//! `/sdapi/v1/options`: all options, and changing some.

use crate::app::App;
use crate::body::JsonBody;
use crate::error::Failure;
use axum::Json;
use axum::extract::State;
use impasto_api::{ApiError, Fault, ValidationErrors};
use impasto_settings::{Options, SettingsError};
use serde_json::{Map, Value};

const MODEL: &str = "sd_model_checkpoint";
/// Follows from the model; what clients send back of it is not looked at.
const MODEL_HASH: &str = "sd_checkpoint_hash";

/// All options by name.
#[utoipa::path(get, path = "/sdapi/v1/options", operation_id = "sdapi_options", tag = "sdapi", responses((status = 200, description = "Options by name", body = Object)))]
pub(crate) async fn show(State(app): State<App>) -> Json<Value> {
    Json(Value::Object(values(&app)))
}

fn values(app: &App) -> Map<String, Value> {
    let mut values = app.options().show();
    let model = app.engine().default_model();
    values.insert(MODEL.to_owned(), model.as_ref().map(|model| model.title.clone()).into());
    let hash = model.and_then(|model| model.sha256.clone()).unwrap_or_default();
    values.insert(MODEL_HASH.to_owned(), hash.into());
    values
}

/// Changes options. Those before one that cannot be changed are changed.
#[utoipa::path(
    post,
    path = "/sdapi/v1/options",
    tag = "sdapi",
    request_body = Object,
    responses(
        (status = 200, description = "Done"),
        (status = 422, description = "A value cannot be used", body = ValidationErrors),
        (status = 500, description = "An option or the model is not known", body = Fault)
    )
)]
pub(crate) async fn change(State(app): State<App>, JsonBody(body): JsonBody) -> Result<Json<Value>, Failure> {
    let Value::Object(changes) = body else {
        return Err(ApiError::field(&[], "value is not a valid dict", "type_error.dict", Some(&body)).into());
    };
    // The file is written to disk.
    tokio::task::spawn_blocking(move || apply(&app, &changes)).await??;
    Ok(Json(Value::Null))
}

fn apply(app: &App, changes: &Map<String, Value>) -> Result<(), Failure> {
    let current = values(app);
    let model = app.engine().default_model();
    let mut options = app.options();
    let mut outcome = Ok(());
    for (name, value) in changes {
        let same = current.get(name) == Some(value) || (value.is_null() && !current.contains_key(name));
        if same || name == MODEL_HASH {
            continue;
        }
        outcome = set(app, &mut options, name, value);
        if outcome.is_err() {
            break;
        }
    }
    let mut file = app.options_file();
    if file.options() != &options
        && let Err(error) = file.replace(options)
    {
        // What is not kept does not hold: the engine goes back to the model it had.
        if let Some(model) = model {
            app.engine().set_default_model(&model.filename)?;
        }
        return Err(ApiError::exception("OSError", error.to_string()).into());
    }
    outcome
}

fn set(app: &App, options: &mut Options, name: &str, value: &Value) -> Result<(), Failure> {
    if name == MODEL {
        // Null names no model, so that the one in use stays.
        if value.is_null() {
            return Ok(());
        }
        let asked = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let found = app.find_model(&asked);
        let model = app.engine().set_default_model(found.as_ref().map_or(&asked, |model| &model.filename))?;
        options.sd_model_checkpoint = Some(model.title.clone());
        return Ok(());
    }
    options.set(name, value).map_err(|error| match error {
        SettingsError::Unknown(name) => ApiError::exception("KeyError", format!("'{name}'")).into(),
        other => ApiError::field(&[name], other.to_string(), "value_error", Some(value)).into(),
    })
}
