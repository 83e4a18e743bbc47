//! `impasto doctor`: what this machine offers, what is wrong with the set-up, and how to mend it.

mod checks;
mod machine;

use crate::failure::failure;
use crate::output;
use crate::resolve::Settings;
use serde_json::json;

/// How a finding bears on the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    /// As it should be.
    Good,
    /// It works, but.
    Warning,
    /// It will not work.
    Bad,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// What one check found.
#[derive(Debug)]
struct Finding {
    severity: Severity,
    /// What is the case.
    found: String,
    /// How to mend it, where there is something to mend.
    help: Option<String>,
}

impl Finding {
    fn good(found: impl Into<String>) -> Self {
        Self { severity: Severity::Good, found: found.into(), help: None }
    }

    fn warning(found: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, found: found.into(), help: Some(help.into()) }
    }

    fn bad(found: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Bad, found: found.into(), help: Some(help.into()) }
    }
}

pub(crate) fn run(settings: &Settings, as_json: bool) -> anyhow::Result<()> {
    let findings: Vec<(&str, Finding)> =
        checks::CHECKS.iter().map(|(what, check)| (*what, check(settings))).collect();
    if as_json {
        let rows = findings.iter().map(|(what, finding)| {
            json!({
                "what": what,
                "state": finding.severity.word(),
                "found": finding.found,
                "help": finding.help,
            })
        });
        output::print_json(&rows.collect::<serde_json::Value>())?;
    } else {
        for (what, finding) in &findings {
            output::print(&format!("{what:<12} {:<8} {}", finding.severity.word(), finding.found))?;
            if let Some(help) = &finding.help {
                output::print(&format!("{:<12} help:    {help}", ""))?;
            }
        }
    }
    let bad: Vec<&str> = findings
        .iter()
        .filter(|(_, finding)| finding.severity == Severity::Bad)
        .map(|(what, _)| *what)
        .collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(failure(format!("this will not work: {}", bad.join(", ")), "the help lines above say how to mend it"))
}
