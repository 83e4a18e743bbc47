//! The page docs/settings.md, written from the table.

use crate::value::{Bound, Row};
use crate::{Options, ServeSettings, flag_name, stored, variable_name};
use serde_json::Value;

const INTRODUCTION: &str = "\
# Settings

`cargo xtask docs` writes this page from the table in `crates/settings/src/table.rs`.

## At start

Later ones win: the default, `impasto.toml`, the environment variable, the flag. Where A1111 has a flag of the same name,
it means the same.

| in impasto.toml | flag | environment | value | default | what it does |
|---|---|---|---|---|---|
";

const OPTIONS: &str = "
## While running

Read and changed by `GET` and `POST /sdapi/v1/options`; their names are A1111's. Values are kept in `config.json` of the data
root, where names that Impasto does not know stay as they are. Defaults may be set in the table `[options]` of
`impasto.toml`. A request changes them for itself by `override_settings`.

| option | value | default | what it does |
|---|---|---|---|
";

const STORED: &str = "\
\n## Kept for clients

Options of A1111's that clients may read and change, and that have no effect here.

| option | default | why |
|---|---|---|
";

/// The text of docs/settings.md.
pub fn render_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for row in ServeSettings::rows() {
        page.push_str(&format_row(&[
            code(row.name),
            code(&format!("--{}", flag_name(row.name))),
            code(&variable_name(row.name)),
            row.expected(),
            default(&row),
            row.doc.to_owned(),
        ]));
    }
    page.push_str(OPTIONS);
    for row in Options::rows() {
        page.push_str(&format_row(&[code(row.name), row.expected(), default(&row), row.doc.to_owned()]));
    }
    page.push_str(STORED);
    for (name, usual, why) in stored::rows() {
        let default = match usual.show() {
            Value::Null => String::new(),
            Value::String(text) if text.is_empty() => String::new(),
            Value::String(text) => code(&text),
            other => code(&other.to_string()),
        };
        page.push_str(&format_row(&[code(name), default, why.text().to_owned()]));
    }
    page
}

fn format_row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn default(row: &Row) -> String {
    match &row.default {
        Value::Null => String::new(),
        _ if row.bound == Bound::Secret => String::new(),
        Value::String(text) => code(text),
        other => code(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == render_markdown(), "docs/settings.md is stale: run `cargo xtask docs`");
    }
}
