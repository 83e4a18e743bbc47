//! Installing a package of the system, where that can be done without asking.

use crate::process;

/// Installs `package` by apt-get, as root or through a sudo that asks no password. An error says why not, and ends with `how` to get it.
pub(crate) fn install(package: &str, how: &str) -> Result<(), String> {
    if !process::exists("apt-get") {
        return Err(format!("there is no apt-get; {how}"));
    }
    let is_root = process::capture(&mut process::command("id", ["-u"])).is_ok_and(|id| id.trim() == "0");
    let prefix: &[&str] = if is_root { &[] } else { &["sudo", "--non-interactive"] };
    for arguments in [&["update", "-q"][..], &["install", "-q", "-y", "--no-install-recommends", package]] {
        let words: Vec<&str> = [prefix, &["apt-get"], arguments].concat();
        let (program, rest) = words.split_first().ok_or("empty command")?;
        process::run(process::command(program, rest).env("DEBIAN_FRONTEND", "noninteractive"))
            .map_err(|error| format!("{error:#}; {how}"))?;
    }
    Ok(())
}
