//! `impasto openapi`: the description of the HTTP interface, as the server serves it.

use crate::output;

pub(crate) fn run() -> anyhow::Result<()> {
    output::print_json(&serde_json::to_value(impasto_server::openapi())?)
}
