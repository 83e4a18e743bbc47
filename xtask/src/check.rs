//! Everything that can be said of the code without running its tests.

use crate::{docs, house, layers, process};
use anyhow::bail;

/// Name of a check, whether it needs the compiler, and the check.
type Check = (&'static str, bool, fn() -> anyhow::Result<()>);

const CHECKS: &[Check] = &[
    ("format", false, format),
    ("layers", false, || layers::run(&[])),
    ("house rules", false, house::run),
    ("licences and advisories", false, deny),
    ("lints", true, || {
        process::run(&mut process::cargo(["clippy", "--workspace", "--all-targets", "--", "--deny=warnings"]))
    }),
    ("documentation", true, || {
        let mut doc = process::cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
        process::run(doc.env("RUSTDOCFLAGS", "--deny=warnings"))
    }),
    ("generated pages", true, || docs::run(&["--check".to_owned()])),
];

/// Runs every check, also after one has failed; `--quick` leaves out those that compile.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let mut failed = Vec::new();
    for (name, compiles, check) in CHECKS {
        if *compiles && quick {
            continue;
        }
        if let Err(error) = check() {
            process::say(&format!("{name}: {error:#}"));
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    process::say("all checks hold");
    Ok(())
}

fn format() -> anyhow::Result<()> {
    if !process::exists("rustfmt") {
        process::say("skipped: format: rustfmt is missing (rustup component add rustfmt)");
        return Ok(());
    }
    process::run(&mut process::cargo(["fmt", "--all", "--check"]))
}

fn deny() -> anyhow::Result<()> {
    if !process::exists("cargo-deny") {
        process::say("skipped: licences and advisories: cargo-deny is missing (cargo install cargo-deny)");
        return Ok(());
    }
    process::run(&mut process::cargo(["deny", "--all-features", "check"]))
}
