//! A flag for each row of the table of settings, made from the table.
//!
//! Flags are kept as typed. What a value must be is the table's matter, and it is asked when settings are resolved.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use impasto_settings::{Bound, Row, ServeSettings, flag_name};
use serde_json::Value;
use std::path::PathBuf;

const CONFIG: &str = "config";
const HEADING: &str = "Settings (also in impasto.toml, and as IMPASTO_NAME in the environment)";

/// Settings given as flags, by their names in the table.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingFlags {
    given: Vec<(&'static str, String)>,
    /// The settings file to read instead of the data root's.
    pub(crate) config: Option<PathBuf>,
}

impl SettingFlags {
    /// What was typed for a setting.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }
}

fn argument(row: &Row) -> Arg {
    let argument = Arg::new(row.name)
        .long(flag_name(row.name))
        .help(help(row))
        .help_heading(HEADING)
        .global(true)
        .hide_short_help(true)
        // Numbers may be negative, and are then refused with what is allowed.
        .allow_hyphen_values(true);
    match (row.bound, &row.default) {
        (_, Value::Bool(_)) => {
            argument.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL")
        }
        (Bound::OneOf(choices), _) => {
            argument.value_parser(PossibleValuesParser::new(choices)).value_name("NAME")
        }
        (Bound::Secret, _) => argument.value_name("USER:PASSWORD,..."),
        _ => argument.value_name(value_name(row)),
    }
}

fn help(row: &Row) -> String {
    let doc = row.doc.trim_end_matches('.');
    match &row.default {
        Value::Null | Value::Bool(_) => doc.to_owned(),
        Value::String(text) => format!("{doc} [default: {text}]"),
        other => format!("{doc} [default: {other}]"),
    }
}

fn value_name(row: &Row) -> &'static str {
    match row.kind {
        "a path" => "PATH",
        "an integer" | "a number" => "NUMBER",
        _ => "TEXT",
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("PATH")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Settings file to read instead of impasto.toml in the data root")
            .help_heading(HEADING)
            .global(true)
            .hide_short_help(true);
        ServeSettings::rows().iter().fold(command.arg(config), |command, row| command.arg(argument(row)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = ServeSettings::rows()
            .iter()
            .filter_map(|row| Some((row.name, matches.get_one::<String>(row.name)?.clone())))
            .collect();
        Ok(Self { given, config: matches.get_one::<PathBuf>(CONFIG).cloned() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
