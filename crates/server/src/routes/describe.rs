//! What the description says of every route alike: the refusals of what stands around them.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// Refusals that any request may meet: status, why, and the shape of the body.
const ANY: &[(&str, &str, &str)] = &[
    ("400", "The request names no host, or broke off", "Fault"),
    ("401", "No user, or not the right password", "Fault"),
    ("403", "It comes from a page of others", "Fault"),
];
/// Refusals that a request with a body may meet beside them.
const WITH_BODY: &[(&str, &str, &str)] = &[
    ("408", "The body did not come in time", "Fault"),
    ("413", "The body is too large", "Fault"),
    ("422", "The body or a field of it cannot be used", "ValidationErrors"),
];
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
            for (status, why, shape) in more {
                let answer = || RefOr::T(answer(why, shape));
                operation.responses.responses.entry(status.to_owned()).or_insert_with(answer);
            }
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, .. } = item;
    [get, put, post, delete].into_iter().flatten()
}

fn answer(why: &str, shape: &str) -> Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(shape))).build();
    ResponseBuilder::new().description(why).content("application/json", body).build()
}
