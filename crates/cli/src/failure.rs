//! How the program ends: exit codes, and errors of one line with one line of help.
//!
//! Commands return `anyhow::Result`. An error that knows what to do about it is an [`Advised`] somewhere in the chain.

use crate::output;
use std::fmt;
use std::process::ExitCode;

/// Exit code of a command line that makes no sense.
const USAGE: u8 = 2;

/// An error with what to do about it.
#[derive(Debug)]
pub(crate) struct Advised {
    message: String,
    help: String,
    is_usage: bool,
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Advised {}

/// A failure: the program was asked something sensible and could not do it.
pub(crate) fn failure(message: impl Into<String>, help: impl Into<String>) -> anyhow::Error {
    Advised { message: message.into(), help: help.into(), is_usage: false }.into()
}

/// A command line or a setting that makes no sense.
pub(crate) fn usage(message: impl Into<String>, help: impl Into<String>) -> anyhow::Error {
    Advised { message: message.into(), help: help.into(), is_usage: true }.into()
}

/// Says on stderr what went wrong; the exit code for it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    // `impasto models list | head` has done its work when head has seen enough.
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    output::complain(&format!("error: {}", one_line(&format!("{error:#}"))));
    let advised = error.chain().find_map(|cause| cause.downcast_ref::<Advised>());
    if let Some(advised) = advised {
        output::complain(&format!("help: {}", one_line(&advised.help)));
    }
    if advised.is_some_and(|advised| advised.is_usage) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}

/// Ends a command line that clap refused, or that asked for help or the version.
pub(crate) fn report_arguments(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Help or version: clap colours it where stdout is a terminal.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(one_line);
    let message = paragraphs.next().unwrap_or_default();
    output::complain(&message);
    let tip = paragraphs.find_map(|paragraph| paragraph.strip_prefix("tip: ").map(str::to_owned));
    output::complain(&format!(
        "help: {}",
        tip.as_deref().unwrap_or("`--help` after a command lists what it takes")
    ));
    ExitCode::from(USAGE)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn help_survives_context() {
        let error: anyhow::Result<()> = Err(failure("no model", "put one there"));
        let error = error.context("cannot start").unwrap_err();
        assert_eq!(format!("{error:#}"), "cannot start: no model");
        assert!(error.chain().any(<dyn std::error::Error>::is::<Advised>));
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let closed = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::from(closed).context("cannot write")));
        assert!(!is_broken_pipe(&anyhow::anyhow!("broken pipe")));
    }
}
