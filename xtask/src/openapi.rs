//! `docs/openapi.json` as the program prints it.

use crate::process;
use anyhow::{Context as _, bail};

const PATH: &str = "docs/openapi.json";

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let printed =
        process::capture(&mut process::cargo(["run", "--quiet", "--package=impasto-cli", "--", "openapi"]))?;
    let path = process::root().join(PATH);
    if !arguments.iter().any(|argument| argument == "--check") {
        return std::fs::write(&path, printed).with_context(|| format!("cannot write {PATH}"));
    }
    let written = std::fs::read_to_string(&path).with_context(|| format!("cannot read {PATH}"))?;
    if printed != written {
        bail!("{PATH} is not what the program prints: run `cargo xtask openapi` and look at the difference");
    }
    process::say(&format!("{PATH}: up to date"));
    Ok(())
}
