//! `POST /api/v1/tokens`: how many tokens a prompt has.

use crate::app::App;
use crate::body::JsonBody;
use crate::error::Failure;
use crate::styles::read_styles;
use axum::Json;
use axum::extract::State;
use impasto_api::{ApiError, Fault, Tokens, TokensRequest, ValidationErrors, prompt_rules};
use impasto_domain::{merge_styles, without_comments};
use impasto_engine::PromptSide;

/// Counts the tokens of a prompt as a picture would be made of it, with its styles and without its comments, in the
/// vocabulary of the default model.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "jobs",
    request_body = TokensRequest,
    responses(
        (status = 200, body = Tokens),
        (status = 422, description = "A field cannot be used", body = ValidationErrors),
        (status = 500, description = "There is no model, or the styles cannot be read", body = Fault)
    )
)]
pub(crate) async fn count_tokens(
    State(app): State<App>,
    JsonBody(body): JsonBody,
) -> Result<Json<Tokens>, Failure> {
    let request = TokensRequest::from_json(body)?;
    Ok(Json(tokio::task::spawn_blocking(move || count(&app, &request)).await??))
}

fn count(app: &App, request: &TokensRequest) -> Result<Tokens, Failure> {
    let limits = app.engine().limits();
    let steps = limits.steps(request.steps).map_err(ApiError::from)?;
    let names = request.styles.as_deref().unwrap_or_default();
    let styles = if names.is_empty() { Vec::new() } else { read_styles(&app.settings().data_dir)? };
    let texts = names.iter().map(|name| {
        let style = styles.iter().find(|style| style.name == *name);
        style.map_or("", |style| if request.negative { &style.negative_prompt } else { &style.prompt })
    });
    let merged =
        merge_styles(&request.prompt, texts, limits.max_prompt_bytes, "prompt").map_err(ApiError::from)?;
    let text = if app.options().enable_prompt_comments { without_comments(&merged) } else { merged };
    let side = if request.negative { PromptSide::Negative } else { PromptSide::Positive };
    let tokens = app.engine().count_tokens(&text, side, steps, prompt_rules(&app.options()))?;
    Ok(Tokens { count: tokens.count, limit: tokens.limit })
}
