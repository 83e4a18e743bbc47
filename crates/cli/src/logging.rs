//! The log, on stderr: `IMPASTO_LOG` says how much, as `info` or `impasto_engine=debug,warn`.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// The environment variable that says how much is logged.
const VARIABLE: &str = "IMPASTO_LOG";

/// Starts logging. What the server does is of interest, of a single command only what goes wrong.
pub(crate) fn start(is_server: bool) -> anyhow::Result<()> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| {
            crate::failure::usage(
                format!("{VARIABLE} is {text:?}: {error}"),
                "set it to error, warn, info, debug or trace, perhaps by target: impasto_engine=debug,warn",
            )
        })?,
        Err(_) => EnvFilter::new(if is_server { "info" } else { "warn" }),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}
