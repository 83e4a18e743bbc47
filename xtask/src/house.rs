//! House rules that no lint knows: file heads, file lengths, where `unsafe` may stand.

use crate::process;
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};

/// Most lines of a file before its tests.
const LONGEST_FILE: usize = 500;

/// Where `unsafe` may be written: kernels, and mapping files.
const UNSAFE_CRATES: &[&str] = &["crates/cpu/", "crates/weights/src/prepared.rs"];

pub(crate) fn run() -> anyhow::Result<()> {
    let listing =
        process::capture(&mut process::command("git", ["ls-files", "-co", "--exclude-standard", "*.rs"]))?;
    let mut files = 0;
    let mut wrong = Vec::new();
    for path in listing.lines().map(Path::new) {
        let full = process::root().join(path);
        // Deleted, but not yet from the index.
        if !full.is_file() {
            continue;
        }
        let text =
            std::fs::read_to_string(&full).with_context(|| format!("cannot read {}", path.display()))?;
        files += 1;
        wrong.extend(violations(path, &text).into_iter().map(|what| format!("{}: {what}", path.display())));
    }
    if !wrong.is_empty() {
        bail!("broken:\n  {}", wrong.join("\n  "));
    }
    process::say(&format!("house rules: {files} files, all kept"));
    Ok(())
}

fn violations(path: &Path, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    // An attribute for the whole file may stand before the head.
    let head = text.lines().find(|line| !line.is_empty() && !line.starts_with("#!["));
    if !head.is_some_and(|line| line.starts_with("//!")) {
        wrong.push("does not open with `//!`, saying what it is".to_owned());
    }
    let length = production_lines(text);
    if length > LONGEST_FILE && !is_test(path) {
        wrong.push(format!("{length} lines before its tests, at most {LONGEST_FILE}"));
    }
    if !UNSAFE_CRATES.iter().any(|folder| path.starts_with(folder)) && text.lines().any(has_unsafe) {
        wrong.push("`unsafe` outside tensor, cpu and weights".to_owned());
    }
    wrong
}

fn production_lines(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

fn is_test(path: &Path) -> bool {
    let folders: PathBuf = path.into();
    folders.components().any(|part| part.as_os_str() == "tests")
}

/// Whether a line of code begins something unsafe. Words in comments and strings do not.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let code = code.split('"').next().unwrap_or_default();
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|start| code.contains(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_breaks_the_rules() {
        let good = "//! A file.\nfn f() {}\n#[cfg(test)]\nmod tests {}\n";
        assert!(violations(Path::new("crates/api/src/a.rs"), good).is_empty());
        let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(LONGEST_FILE));
        assert_eq!(violations(Path::new("crates/api/src/a.rs"), &long).len(), 1);
        assert!(violations(Path::new("crates/api/tests/it/a.rs"), &long).is_empty());
        assert_eq!(violations(Path::new("crates/api/src/a.rs"), "fn f() {}\n").len(), 1);
        let raw = "//! Raw.\nfn f() { unsafe { g() } }\n";
        assert_eq!(violations(Path::new("crates/api/src/a.rs"), raw).len(), 1);
        assert!(violations(Path::new("crates/cpu/src/a.rs"), raw).is_empty());
        assert!(violations(Path::new("crates/api/src/a.rs"), "//! No.\n// unsafe { }\n").is_empty());
    }
}
