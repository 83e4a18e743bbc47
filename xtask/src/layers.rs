//! The layers: which crate may depend on which, checked against `cargo metadata`.
//!
//! Arrows are transitive, so the table names only the nearest ones. `impasto-settings` may be used by the service
//! crates; `impasto-testkit` is for tests only. Only the program names a concrete backend.

use crate::process;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A crate, and those it may depend on with all that they may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    // Foundation.
    ("domain", &[]),
    ("settings", &[]),
    ("tensor", &[]),
    ("imaging", &[]),
    ("weights", &["tensor"]),
    // Kernels.
    ("cpu", &["tensor"]),
    // Models.
    ("models", &["tensor", "weights"]),
    ("diffusion", &["models", "domain", "imaging"]),
    ("scripts", &["domain", "imaging"]),
    // Service.
    ("engine", &["diffusion", "settings"]),
    ("api", &["domain", "scripts", "settings"]),
    ("server", &["api", "engine", "settings"]),
    ("cli", &["server", "engine", "cpu", "settings"]),
    // For tests.
    ("testkit", &["tensor", "weights"]),
    ("fuzz", &["api", "diffusion"]),
];

const PREFIX: &str = "impasto-";
const TEST_ONLY: &str = "testkit";
/// Backends under test stand beside each other: a crate's tests may use the fast one, its code may not.
const TEST_BACKEND: &str = "cpu";

/// One dependency of a crate on another of this workspace.
#[derive(Debug)]
struct Arrow {
    from: String,
    to: String,
    dev: bool,
}

pub(crate) fn run(_arguments: &[String]) -> anyhow::Result<()> {
    let metadata = process::capture(&mut process::cargo(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata wrote no JSON")?;
    let arrows = arrows(&metadata)?;
    let wrong = violations(&arrows);
    if !wrong.is_empty() {
        bail!("forbidden:\n  {}", wrong.join("\n  "));
    }
    process::say(&format!("layers: {} arrows, all allowed", arrows.len()));
    Ok(())
}

fn arrows(metadata: &Value) -> anyhow::Result<Vec<Arrow>> {
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut arrows = Vec::new();
    for package in packages {
        let Some(from) = package["name"].as_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(to) = dependency["name"].as_str().and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            let dev = dependency["kind"].as_str() == Some("dev");
            arrows.push(Arrow { from: from.to_owned(), to: to.to_owned(), dev });
        }
    }
    Ok(arrows)
}

fn violations(arrows: &[Arrow]) -> Vec<String> {
    let closure: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(name, _)| (*name, reachable(name))).collect();
    arrows
        .iter()
        .filter_map(|Arrow { from, to, dev }| {
            let Some(allowed) = closure.get(from.as_str()) else {
                return Some(format!("{from} has no row in xtask/src/layers.rs"));
            };
            // A crate may name itself to turn on a feature for its own tests.
            let for_tests = *dev && (to == TEST_ONLY || to == TEST_BACKEND || to == from);
            (!allowed.contains(to.as_str()) && !for_tests).then(|| format!("{from} may not depend on {to}"))
        })
        .collect()
}

/// Everything `name` may depend on.
fn reachable(name: &'static str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut open = vec![name];
    while let Some(next) = open.pop() {
        let targets = ARROWS.iter().find(|(from, _)| *from == next).map_or(&[][..], |(_, to)| to);
        open.extend(targets.iter().filter(|target| found.insert(**target)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: &str, to: &str, dev: bool) -> Arrow {
        Arrow { from: from.to_owned(), to: to.to_owned(), dev }
    }

    #[test]
    fn nothing_points_up() {
        assert!(violations(&[arrow("cli", "tensor", false), arrow("engine", "models", false)]).is_empty());
        for (from, to) in
            [("models", "diffusion"), ("engine", "cpu"), ("tensor", "testkit"), ("new", "domain")]
        {
            assert_eq!(violations(&[arrow(from, to, false)]).len(), 1, "{from} -> {to}");
        }
        assert!(violations(&[arrow("tensor", "testkit", true), arrow("engine", "cpu", true)]).is_empty());
        assert_eq!(violations(&[arrow("tensor", "models", true)]).len(), 1);
    }

    #[test]
    fn the_table_has_no_circle() {
        for (name, _) in ARROWS {
            assert!(!reachable(name).contains(name), "{name} reaches itself");
        }
    }
}
