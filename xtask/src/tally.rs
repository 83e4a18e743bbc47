//! Counting tests from what their runners print.

use crate::process;

/// What came of all tests so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    /// What could not be run, and why.
    skipped: Vec<String>,
    /// Runners that ended badly.
    broken: Vec<String>,
}

impl Tally {
    /// Adds what a runner printed. A runner that ended badly without naming a failed test counts as one.
    pub(crate) fn add(&mut self, what: &str, ended_well: bool, lines: &[String]) {
        let (passed, failed) = counts(lines);
        self.passed += passed;
        self.failed += failed.max(usize::from(!ended_well));
        if !ended_well {
            self.broken.push(what.to_owned());
        }
    }

    /// Adds one check of our own.
    pub(crate) fn add_check(&mut self, what: &str, result: &anyhow::Result<()>) {
        match result {
            Ok(()) => {
                self.passed += 1;
                process::say(&format!("{what} ... ok"));
            }
            Err(error) => {
                self.failed += 1;
                self.broken.push(what.to_owned());
                process::say(&format!("{what} ... FAILED: {error:#}"));
            }
        }
    }

    /// Notes what could not be run.
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        process::say(&format!("skipped: {what}: {why}"));
        self.skipped.push(what.to_owned());
    }

    /// Prints the sum; whether all is well.
    pub(crate) fn finish(&self) -> bool {
        for what in &self.broken {
            process::say(&format!("failed: {what}"));
        }
        for what in &self.skipped {
            process::say(&format!("not run: {what}"));
        }
        process::say(&format!("{} passed, {} failed", self.passed, self.failed));
        self.failed == 0
    }
}

/// Sums the result lines of `cargo test` (`test result: ok. 3 passed; 0 failed; ..`), Vitest
/// (`Tests  1 failed | 3 passed (4)`) and Node's runner (`ℹ pass 3`, `ℹ fail 1`).
fn counts(lines: &[String]) -> (usize, usize) {
    let mut sum = (0, 0);
    for line in lines {
        let line = without_colours(line);
        let line = line.trim();
        if line.starts_with("test result:") || line.starts_with("Tests ") {
            sum.0 += number_before(line, "passed");
            sum.1 += number_before(line, "failed");
        } else if let Some(line) = line.strip_prefix("ℹ ") {
            sum.0 += number_after(line, "pass ");
            sum.1 += number_after(line, "fail ");
        }
    }
    sum
}

/// The number behind a line's first word; 0 if the line begins otherwise.
fn number_after(line: &str, word: &str) -> usize {
    line.strip_prefix(word).and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
}

/// The number in front of `word`; 0 if there is none.
fn number_before(line: &str, word: &str) -> usize {
    let words: Vec<&str> = line.split([' ', ';', ',', '|']).filter(|part| !part.is_empty()).collect();
    words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

/// The line without terminal colours (`ESC [ .. m`).
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_runners_results() {
        for (line, wanted) in [
            ("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out", (12, 0)),
            ("test result: FAILED. 3 passed; 2 failed; 0 ignored", (3, 2)),
            (
                "\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[31m1 failed\u{1b}[39m | \u{1b}[32m34 passed\u{1b}[39m (35)",
                (34, 1),
            ),
            (" Test Files  3 passed (3)", (0, 0)),
            ("ℹ pass 7", (7, 0)),
            ("\u{1b}[34mℹ fail 1\u{1b}[39m", (0, 1)),
            ("ℹ tests 8", (0, 0)),
            ("it says that all passed", (0, 0)),
        ] {
            assert_eq!(counts(&[line.to_owned()]), wanted, "{line}");
        }
    }

    #[test]
    fn a_broken_runner_is_a_failure() {
        let mut tally = Tally::default();
        tally.add("no output", false, &[]);
        assert_eq!((tally.passed, tally.failed), (0, 1));
        tally.add("one failed", false, &["test result: FAILED. 1 passed; 1 failed;".to_owned()]);
        assert_eq!((tally.passed, tally.failed), (1, 2));
    }
}
