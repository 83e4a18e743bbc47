//! The two streams: results to stdout, everything else to stderr.

use std::io::Write as _;

/// A line of result. Fails when nobody reads any more.
pub(crate) fn print(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// A line about the work. Where nobody listens there is nobody to tell.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A value as indented JSON.
pub(crate) fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    Ok(print(&serde_json::to_string_pretty(value)?)?)
}
