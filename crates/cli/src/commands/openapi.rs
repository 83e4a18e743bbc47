//! `impasto openapi`: the description of the HTTP interface, as the server serves it.

use crate::output;
use anyhow::anyhow;

pub(crate) fn run(compatibility: bool) -> anyhow::Result<()> {
    if compatibility {
        let page = impasto_server::compatibility_page();
        let page = page.map_err(|unknown| anyhow!("nothing is known of {}", unknown.join(", ")))?;
        return Ok(output::print(page.trim_end())?);
    }
    output::print_json(&serde_json::to_value(impasto_server::openapi())?)
}
