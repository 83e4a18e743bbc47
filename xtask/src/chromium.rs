//! Finding a Chromium for the browser tests, or installing the system's package.

use crate::process;

/// Names under which systems install it.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// The program's name; the error says how to get one.
pub(crate) fn find_or_install() -> Result<&'static str, String> {
    if let Some(found) = find() {
        return Ok(found);
    }
    install()?;
    find().ok_or_else(|| "apt-get installed chromium, but it does not start".to_owned())
}

fn find() -> Option<&'static str> {
    NAMES.iter().copied().find(|name| process::exists(name))
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
