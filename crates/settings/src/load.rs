//! Names of settings elsewhere, and `impasto.toml`.

use crate::{Options, ServeSettings, SettingsError};
use serde_json::Value;

/// The environment variable of a setting: `IMPASTO_PORT`.
pub fn variable_name(name: &str) -> String {
    format!("IMPASTO_{}", name.to_ascii_uppercase())
}

/// The flag of a setting, without the dashes before it: `data-dir`.
pub fn flag_name(name: &str) -> String {
    name.replace('_', "-")
}

/// Reads an `impasto.toml`: settings at the top, options in the table `[options]`. What it does not name has its
/// default. Unknown names are errors.
pub fn from_toml(text: &str) -> Result<(ServeSettings, Options), SettingsError> {
    let file: toml::Table = toml::from_str(text).map_err(|error| SettingsError::Toml(error.to_string()))?;
    let (mut settings, mut options) = (ServeSettings::default(), Options::default());
    for (name, value) in &file {
        match value {
            toml::Value::Table(table) if name == "options" => {
                for (name, value) in table {
                    options.set(name, &as_json(value))?;
                }
            }
            value => settings.set(name, &as_json(value))?,
        }
    }
    Ok((settings, options))
}

fn as_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(flag) => Value::from(*flag),
        // No setting is a list, a table or a date; as text they are refused with what was found.
        other => Value::Array(vec![Value::from(other.to_string())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_settings_and_options() {
        let (settings, options) =
            from_toml("port = 8000\ndata_dir = \"/data\"\n[options]\njpeg_quality = 90\n").unwrap();
        assert_eq!((settings.port, settings.data_dir), (Some(8000), "/data".into()));
        assert_eq!(options.jpeg_quality, 90);
        assert_eq!(from_toml("").unwrap(), (ServeSettings::default(), Options::default()));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (text, message) in [
            ("prot = 1", "unknown setting \"prot\"; docs/settings.md lists all"),
            ("options = 1", "unknown setting \"options\"; docs/settings.md lists all"),
            ("port = [1]", "setting port is [\"[1]\"], which is not an integer from 0 to 65535"),
            ("[options]\nport = 1", "unknown setting \"port\"; docs/settings.md lists all"),
        ] {
            assert_eq!(from_toml(text).unwrap_err().to_string(), message);
        }
        assert!(matches!(from_toml("port ="), Err(SettingsError::Toml(_))));
    }

    #[test]
    fn names_elsewhere_follow_from_the_name() {
        assert_eq!(variable_name("data_dir"), "IMPASTO_DATA_DIR");
        assert_eq!(flag_name("data_dir"), "data-dir");
    }
}
