//! The page: its packages from the lockfile, its bundle, its own checks and unit tests.

use crate::process;
use crate::tally::Tally;
use anyhow::{Context as _, bail};
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    build()?;
    if arguments.iter().any(|argument| argument == "--test") {
        let mut tally = Tally::default();
        test(&mut tally)?;
        if !tally.finish() {
            bail!("the page's tests failed");
        }
    }
    Ok(())
}

/// Whether Node and npm are there.
pub(crate) fn has_node() -> bool {
    process::exists("node") && process::exists("npm")
}

pub(crate) fn folder() -> PathBuf {
    process::root().join("web")
}

/// `npm` in web/. Playwright never downloads a browser: the system's is used.
pub(crate) fn npm(arguments: &[&str]) -> Command {
    let mut command = process::command("npm", arguments);
    command.current_dir(folder()).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    command
}

/// Builds web/dist.
pub(crate) fn build() -> anyhow::Result<()> {
    install()?;
    process::run(&mut npm(&["run", "build"]))
}

/// Writes the page's client from docs/openapi.json.
pub(crate) fn client() -> anyhow::Result<()> {
    install()?;
    process::run(&mut npm(&["run", "client"]))
}

/// `npm ci`, unless what is installed is as new as the lockfile.
fn install() -> anyhow::Result<()> {
    if !has_node() {
        bail!("Node is missing: install Node 20.19 or newer with npm, see https://nodejs.org/");
    }
    let changed = |name: &str| std::fs::metadata(folder().join(name)).and_then(|data| data.modified());
    let lockfile = changed("package-lock.json").context("web/package-lock.json is missing")?;
    if changed("node_modules/.package-lock.json").is_ok_and(|installed| installed >= lockfile) {
        return Ok(());
    }
    process::run(&mut npm(&["ci", "--no-audit", "--no-fund"]))
}

/// Type checks and unit tests of the page.
pub(crate) fn test(tally: &mut Tally) -> anyhow::Result<()> {
    tally.add_check("web: npm run check", &process::run(&mut npm(&["run", "check"])));
    let (ended_well, lines) = process::watch(&mut npm(&["run", "test"]))?;
    tally.add("web: npm run test", ended_well, &lines);
    Ok(())
}
