//! The developer interface: `cargo xtask COMMAND`. One file a command; each is a plain function.
//!
//! It is a program rather than a shell script so that it runs where Rust runs and can read what `cargo` says.

mod apt;
mod check;
mod chromium;
mod docs;
mod goldens;
mod house;
mod layers;
mod process;
mod real_weights;
mod tally;
mod test;
mod web;

use anyhow::bail;
use std::process::ExitCode;

/// A command: its name, its line in the help, and what it does with the rest of the command line.
struct Command {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        help: "install what the tests need, run them all, print `N passed, N failed`",
        run: test::run,
    },
    Command {
        name: "check",
        help: "formatting, lints, docs, layers, house rules, drift, licences (--quick: no compiler)",
        run: check::run,
    },
    Command { name: "layers", help: "which crate may depend on which", run: layers::run },
    Command { name: "web", help: "build the page (--test: also check it and run its tests)", run: web::run },
    Command {
        name: "openapi",
        help: "write docs/openapi.json from the server's routes (--check: only compare)",
        run: docs::openapi,
    },
    Command {
        name: "docs",
        help: "the same, and docs/settings.md from the table of settings",
        run: docs::run,
    },
    Command {
        name: "goldens",
        help: "make goldens/ anew: goldens PYTHON, of an environment with reference/requirements.txt",
        run: goldens::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> anyhow::Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        process::say(&help());
        return Ok(());
    };
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(rest),
        None => bail!("no command {name:?}\n{}", help()),
    }
}

fn help() -> String {
    let lines = COMMANDS.iter().map(|command| format!("  {:<8} {}", command.name, command.help));
    std::iter::once("cargo xtask COMMAND".to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
}
