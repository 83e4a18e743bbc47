//! Finding a Chromium for the browser tests, or installing the system's package.

use crate::{apt, process};
use std::path::PathBuf;

/// Names under which systems install it.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// Its path; the error says how to get one.
pub(crate) fn find_or_install() -> Result<PathBuf, String> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let how = "install Chromium (Debian, Ubuntu: apt-get install chromium) and run again";
    apt::install("chromium", how).map_err(|why| format!("no Chromium found, and {why}"))?;
    find().ok_or_else(|| "apt-get installed chromium, but it does not start".to_owned())
}

fn find() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .flat_map(|folder| NAMES.iter().map(move |name| folder.join(name)))
        .find(|path| path.to_str().is_some_and(process::exists))
}
