//! Finding a Chromium for the browser tests, or installing the system's package.

use crate::process;
use std::path::PathBuf;

/// Names under which systems install it.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// Its path; the error says how to get one.
pub(crate) fn find_or_install() -> Result<PathBuf, String> {
    if let Some(found) = find() {
        return Ok(found);
    }
    install()?;
    find().ok_or_else(|| "apt-get installed chromium, but it does not start".to_owned())
}

fn find() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .flat_map(|folder| NAMES.iter().map(move |name| folder.join(name)))
        .find(|path| path.to_str().is_some_and(process::exists))
}

/// By apt-get, as root or through a sudo that asks no password.
fn install() -> Result<(), String> {
    let how = "install Chromium (Debian, Ubuntu: apt-get install chromium) and run again";
    if !process::exists("apt-get") {
        return Err(format!("no Chromium found; {how}"));
    }
    let is_root = process::capture(&mut process::command("id", ["-u"])).is_ok_and(|id| id.trim() == "0");
    let prefix: &[&str] = if is_root { &[] } else { &["sudo", "--non-interactive"] };
    for arguments in [&["update", "-q"][..], &["install", "-q", "-y", "--no-install-recommends", "chromium"]]
    {
        let words: Vec<&str> = [prefix, &["apt-get"], arguments].concat();
        let (program, rest) = words.split_first().ok_or("empty command")?;
        process::run(process::command(program, rest).env("DEBIAN_FRONTEND", "noninteractive"))
            .map_err(|error| format!("no Chromium found, and {error:#}; {how}"))?;
    }
    Ok(())
}
