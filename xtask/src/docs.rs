//! The pages of docs/ that are written by programs: `openapi.json` from the routes, `compatibility.md` from them and all other tables,
//! `settings.md` from the table of settings.
//! The page's client follows from the first.

use crate::{process, web};
use anyhow::{Context as _, bail};

const OPENAPI: &str = "docs/openapi.json";
const SETTINGS: &str = "docs/settings.md";
const COMPATIBILITY: &str = "docs/compatibility.md";

/// Writes all of them.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    update(SETTINGS, &impasto_settings::render_markdown(), arguments)?;
    openapi(arguments)
}

/// Writes the description of the HTTP interface, what there is of A1111's, and the page's client.
pub(crate) fn openapi(arguments: &[String]) -> anyhow::Result<()> {
    // With the features that the whole workspace asks for, as the tests are built: nothing is built twice.
    process::run(&mut process::cargo(["build", "--quiet", "--workspace", "--bin=impasto"]))?;
    let program =
        process::target_folder()?.join("debug").join(format!("impasto{}", std::env::consts::EXE_SUFFIX));
    let program = program.to_str().context("the path of the target folder is no text")?;
    update(OPENAPI, &process::capture(&mut process::command(program, ["openapi"]))?, arguments)?;
    let page = process::capture(&mut process::command(program, ["openapi", "--compatibility"]))?;
    update(COMPATIBILITY, &page, arguments)?;
    // Whether the client is up to date, the page's own tests ask.
    if is_check(arguments) {
        return Ok(());
    }
    web::client()
}

fn is_check(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| argument == "--check")
}

/// Writes a page, or with `--check` only compares.
fn update(name: &str, fresh: &str, arguments: &[String]) -> anyhow::Result<()> {
    let path = process::root().join(name);
    if !is_check(arguments) {
        std::fs::write(&path, fresh).with_context(|| format!("cannot write {name}"))?;
        process::say(&format!("{name}: written"));
        return Ok(());
    }
    let written = std::fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
    if fresh != written {
        bail!("{name} is stale: run `cargo xtask docs` and look at the difference");
    }
    process::say(&format!("{name}: up to date"));
    Ok(())
}
