//! The `impasto` program.
//!
//! A run is: read the command line, find out what the settings are, do the one thing that was asked. What was typed
//! ([`arguments`]) and what it means ([`resolve`]) are two stages, because reading a command line cannot fail for a
//! missing file, and settings can. Results go to stdout, everything else to stderr; the exit code is 0 if it was done, 1 if
//! not, 2 if it made no sense.

mod arguments;
mod builtin;
mod commands;
mod failure;
mod logging;
mod output;
mod resolve;
mod setting_flags;
mod setup;

use arguments::{Command, LowArguments, ModelsCommand};
use clap::Parser as _;
use commands::{bench, doctor, import, models, openapi, prebuild, serve, txt2img, upscale};
use resolve::Settings;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let started = Instant::now();
    let arguments = match LowArguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::report_arguments(&error),
    };
    match run(arguments, started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

fn run(arguments: LowArguments, started: Instant) -> anyhow::Result<()> {
    let command = arguments.command.unwrap_or(Command::Serve);
    logging::start(matches!(command, Command::Serve))?;
    if let Command::Openapi { compatibility } = command {
        // Asked for by builds, on machines without any settings.
        return openapi::run(compatibility);
    }
    let settings = Settings::resolve(&arguments.settings)?;
    match command {
        Command::Serve => serve::run(&settings),
        Command::Txt2img(arguments) => txt2img::run(&arguments, &settings),
        Command::Upscale(arguments) => upscale::run(&arguments, &settings),
        Command::Models { command: ModelsCommand::List { json } } => models::list(&settings, json),
        Command::Models { command: ModelsCommand::Info { model, json } } => {
            models::info(&settings, &model, json)
        }
        Command::Models { command: ModelsCommand::Prebuild { models } } => prebuild::run(&settings, &models),
        Command::Models { command: ModelsCommand::Import { source, to } } => {
            import::run(&settings, &source, to.as_deref())
        }
        Command::Doctor { json } => doctor::run(&settings, json),
        Command::Openapi { compatibility } => openapi::run(compatibility),
        Command::Bench { command } => bench::run(&command, &settings, started),
    }
}
