//! What can be wrong with a setting.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No setting has this name.
    #[error("unknown setting {0:?}; docs/settings.md lists all")]
    Unknown(String),
    /// The value is of another type or out of range.
    #[error("setting {name} is {value}, which is not {expected}")]
    BadValue {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What can be given.
        expected: String,
    },
    /// The settings file is not TOML.
    #[error("the settings file is not valid TOML: {0}")]
    Toml(String),
    /// The options file is no JSON object.
    #[error("{path} is not a JSON object: {problem}; mend it or move it away")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
