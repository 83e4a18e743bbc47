//! What the description says of every route alike: the refusals of what stands around them.

use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ContentBuilder, OneOfBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// Refusals that any request may meet: status, why, and the shape of the body.
const ANY: &[(&str, &str, &str)] = &[
    ("400", "The request names no host, or broke off", "Fault"),
    ("401", "No user, or not the right password", "Fault"),
    ("403", "It comes from a page of others", "Fault"),
];
/// Refusals that a request with a body may meet beside them.
const WITH_BODY: &[(&str, &str, &str)] =
    &[("408", "The body did not come in time", "Fault"), ("413", "The body is too large", "Fault")];
/// Why a body or query is refused: by its fields, or as a whole.
const UNUSABLE: &str = "422";
/// Requests that make work are refused while the program ends.
const ENDING: (&str, &str, &str) = ("503", "The program is about to end", "Fault");

/// Adds them where a route does not say them itself.
pub(super) fn add_common(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let mut more = ANY.to_vec();
            if operation.request_body.is_some() {
                more.extend(WITH_BODY);
            }
            if operation.responses.responses.contains_key("429") {
                more.push(ENDING);
            }
            let answers = &mut operation.responses.responses;
            for (status, why, shape) in more {
                let answer = || RefOr::T(answer(why, Ref::from_schema_name(shape)));
                answers.entry(status.to_owned()).or_insert_with(answer);
            }
            if operation.request_body.is_some() || has_query(operation.parameters.as_deref()) {
                let shapes = ["ValidationErrors", "Fault"].map(Ref::from_schema_name);
                let either = shapes.into_iter().fold(OneOfBuilder::new(), OneOfBuilder::item);
                answers.insert(UNUSABLE.to_owned(), RefOr::T(answer("A field cannot be used", either)));
            }
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, .. } = item;
    [get, put, post, delete].into_iter().flatten()
}

fn has_query(parameters: Option<&[RefOr<Parameter>]>) -> bool {
    let is_query = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(parameter) if matches!(parameter.parameter_in, ParameterIn::Query));
    parameters.is_some_and(|parameters| parameters.iter().any(is_query))
}

fn answer(why: &str, shape: impl Into<RefOr<Schema>>) -> Response {
    let body = ContentBuilder::new().schema(Some(shape)).build();
    ResponseBuilder::new().description(why).content("application/json", body).build()
}
