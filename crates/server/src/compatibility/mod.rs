//! The page docs/compatibility.md: everything that AUTOMATIC1111 v1.10.1 has a name for, and what becomes of it here.
//!
//! Its names are `a1111.json`. What we have is read from our own tables: the description of routes, samplers, schedules,
//! scripts, options. What tables cannot tell stands in `notes`. A name that is in neither is an error, which a test finds.

mod notes;

use crate::routes::openapi;
use impasto_api::ScriptsList;
use impasto_settings::{Options, option_without_effect};
use notes::{NOTES, Note};
use serde_json::{Map, Value};
use std::fmt::Write as _;

const NAMES: &str = include_str!("a1111.json");

const INTRODUCTION: &str = "\
# Compatibility with AUTOMATIC1111

`cargo xtask docs` writes this page from the names in v1.10.1 and from the program's own tables.

*works* means what it means there. *differs* is done otherwise on purpose; the reason is here or in [differences.md](differences.md).
*not yet* is refused, said to be absent, or (options) kept without an effect, and says so.
";

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Works,
    Differs,
    NotYet,
}

impl Status {
    fn text(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Differs => "differs",
            Self::NotYet => "not yet",
        }
    }
}

/// A line of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    status: Status,
    about: String,
}

/// The page, or the names that nobody knows.
pub fn compatibility_page() -> Result<String, Vec<String>> {
    let names: Map<String, Value> = serde_json::from_str(NAMES).unwrap_or_default();
    let description = serde_json::to_value(openapi()).unwrap_or_default();
    let (mut page, mut unknown) = (INTRODUCTION.to_owned(), Vec::new());
    for (kind, group) in &names {
        let _ = write!(page, "\n## {}\n", title(kind));
        match group {
            Value::Object(parts) => {
                for (part, list) in parts {
                    let _ = write!(page, "\n### {part}\n");
                    write_table(&mut page, &mut unknown, kind, list, |name| {
                        found(kind, part, name, &description)
                    });
                }
            }
            list => {
                write_table(&mut page, &mut unknown, kind, list, |name| found(kind, "", name, &description));
            }
        }
    }
    let stale =
        NOTES.iter().filter(|note| !named(&names, note)).map(|note| format!("{}: {}", note.kind, note.name));
    unknown.extend(stale);
    if unknown.is_empty() { Ok(page) } else { Err(unknown) }
}

fn title(kind: &str) -> String {
    let mut letters = kind.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn write_table(
    page: &mut String,
    unknown: &mut Vec<String>,
    kind: &str,
    list: &Value,
    find: impl Fn(&str) -> Option<Row>,
) {
    page.push_str("\n| name | here | |\n|---|---|---|\n");
    for name in list.as_array().into_iter().flatten().filter_map(Value::as_str) {
        match find(name) {
            Some(row) => {
                let about = row.about.replace('|', "\\|");
                let _ = writeln!(page, "| `{}` | {} | {about} |", row.name, row.status.text());
            }
            None => unknown.push(format!("{kind}: {name}")),
        }
    }
}

/// Whether a note is about one of the names.
fn named(names: &Map<String, Value>, note: &Note) -> bool {
    let has = |list: &Value| list.as_array().is_some_and(|list| list.iter().any(|name| *name == note.name));
    match names.get(note.kind) {
        Some(Value::Object(parts)) => parts.values().any(has),
        Some(list) => has(list),
        None => false,
    }
}

/// The row of a name: what a note says of it, or what our tables do.
fn found(kind: &str, part: &str, name: &str, description: &Value) -> Option<Row> {
    let row = |status, about: &str| Some(Row { name: name.to_owned(), status, about: about.to_owned() });
    if let Some(note) = NOTES.iter().find(|note| note.kind == kind && note.name == name) {
        return row(note.status, note.about);
    }
    match kind {
        "routes" => row(Status::Works, route(description, name)?["summary"].as_str().unwrap_or_default()),
        "fields" => {
            let schema =
                route(description, part)?["requestBody"]["content"]["application/json"].get("schema")?;
            let about = field(description, schema, name)?;
            row(if about.starts_with("Has no effect") { Status::Differs } else { Status::Works }, &about)
        }
        "samplers" => {
            impasto_api::samplers().iter().find(|sampler| sampler.name == name).and(row(Status::Works, ""))
        }
        "schedulers" => impasto_api::schedulers()
            .iter()
            .find(|schedule| schedule.label == name)
            .and(row(Status::Works, "")),
        "latent upscale modes" => {
            impasto_api::LATENT_UPSCALE_MODES.contains(&name).then_some(()).and(row(Status::Works, ""))
        }
        "upscalers" => {
            impasto_engine::PLAIN_UPSCALERS.contains(&name).then_some(()).and(row(Status::Works, ""))
        }
        "options" => option(name),
        "scripts" | "scripts that are always on" if has_script(name) => row(Status::Works, ""),
        "models and adapters" => by_option(name),
        _ => None,
    }
}

fn route<'a>(description: &'a Value, name: &str) -> Option<&'a Value> {
    let (method, path) = name.split_once(' ')?;
    description["paths"].get(path)?.get(method.to_lowercase())
}

/// What a schema says of a field.
fn field(description: &Value, schema: &Value, name: &str) -> Option<String> {
    let schema = match schema["$ref"].as_str() {
        Some(place) => description.pointer(place.trim_start_matches('#'))?,
        None => schema,
    };
    if let Some(field) = schema["properties"].get(name) {
        return Some(field["description"].as_str().unwrap_or_default().to_owned());
    }
    schema["allOf"].as_array()?.iter().find_map(|part| field(description, part, name))
}

/// Whether `/sdapi/v1/scripts` lists a script.
fn has_script(title: &str) -> bool {
    let ScriptsList { txt2img, img2img } = ScriptsList::all();
    txt2img.iter().chain(&img2img).any(|known| *known == title)
}

/// The row of a kind of file that an option chooses: it works as soon as the option acts.
fn by_option(name: &str) -> Option<Row> {
    let option = match name {
        "VAE files" => "sd_vae",
        "hypernetworks" => "sd_hypernetwork",
        _ => return None,
    };
    let status = self::option(option)?.status;
    Some(Row { name: name.to_owned(), status, about: format!("see the option `{option}`") })
}

fn option(name: &str) -> Option<Row> {
    if let Some((why, is_missing)) = option_without_effect(name) {
        let status = if is_missing { Status::NotYet } else { Status::Differs };
        return Some(Row { name: name.to_owned(), status, about: format!("kept and given back: {why}") });
    }
    let row = Options::rows().into_iter().find(|row| row.name == name)?;
    Some(Row { name: name.to_owned(), status: Status::Works, about: row.doc.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_row_and_the_page_is_up_to_date() {
        let page = compatibility_page().unwrap_or_else(|unknown| {
            panic!(
                "say in notes.rs what becomes of these, or take out what is no name:\n{}",
                unknown.join("\n")
            )
        });
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page, "docs/compatibility.md is stale: run `cargo xtask docs`");
    }

    #[test]
    fn names_that_nobody_knows_are_found() {
        let description = serde_json::to_value(openapi()).unwrap();
        for (kind, part, name) in [
            ("routes", "", "GET /sdapi/v1/nothing"),
            ("fields", "POST /sdapi/v1/txt2img", "nothing"),
            ("samplers", "", "nothing"),
            ("options", "", "nothing"),
            ("scripts", "", "nothing"),
        ] {
            assert_eq!(found(kind, part, name, &description), None, "{kind}");
        }
        let row = found("fields", "POST /sdapi/v1/img2img", "prompt", &description).unwrap();
        assert_eq!((row.status, row.about.as_str()), (Status::Works, "What is wanted."));
    }
}
