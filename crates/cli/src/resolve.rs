//! What the settings are: the table's defaults, then `impasto.toml`, then the environment, then flags.

use crate::failure::usage;
use crate::setting_flags::SettingFlags;
use anyhow::Context as _;
use impasto_settings::{Options, ServeSettings, flag_name, from_toml, variable_name};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The settings file's name in the data root.
const FILE_NAME: &str = "impasto.toml";
const DATA_DIR: &str = "data_dir";

/// Settings with every default filled in.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Those of the program.
    pub(crate) serve: ServeSettings,
    /// Defaults of what clients may change.
    pub(crate) options: Options,
}

impl Settings {
    /// Reads the settings file and the environment, and lets flags win.
    pub(crate) fn resolve(flags: &SettingFlags) -> anyhow::Result<Self> {
        Self::resolve_with(flags, |name| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(error) => Err(usage(format!("{name}: {error}"), "give it as UTF-8")),
        })
    }

    fn resolve_with(
        flags: &SettingFlags,
        variable: impl Fn(&str) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<Self> {
        let (mut serve, options) = match file(flags, &variable)? {
            Some((path, text)) => from_toml(&text).map_err(|error| {
                usage(format!("{}: {error}", path.display()), "docs/settings.md lists what can stand there")
            })?,
            None => Default::default(),
        };
        for row in ServeSettings::rows() {
            let name = variable_name(row.name);
            if let Some(value) = variable(&name)? {
                set(&mut serve, row.name, value, &name)?;
            }
        }
        for row in ServeSettings::rows() {
            if let Some(value) = flags.get(row.name) {
                set(&mut serve, row.name, value.to_owned(), &format!("--{}", flag_name(row.name)))?;
            }
        }
        Ok(Self { serve, options })
    }

    /// The data root.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.serve.data_dir
    }

    /// The folder of checkpoints.
    pub(crate) fn models_dir(&self) -> PathBuf {
        self.data_dir().join("models/Stable-diffusion")
    }

    /// Where to listen.
    pub(crate) fn address(&self) -> SocketAddr {
        let host = if self.serve.listen { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        SocketAddr::new(IpAddr::V4(host), self.serve.effective_port())
    }

    /// Whether other machines can connect.
    pub(crate) fn listens_beyond_loopback(&self) -> bool {
        !self.address().ip().is_loopback()
    }
}

fn set(serve: &mut ServeSettings, name: &str, value: String, origin: &str) -> anyhow::Result<()> {
    serve
        .set(name, &Value::String(value))
        .map_err(|error| usage(format!("{origin}: {error}"), "docs/settings.md lists all settings"))
}

/// The settings file: the one named, which has to be there, or the data root's, if it is there.
fn file(
    flags: &SettingFlags,
    variable: impl Fn(&str) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<Option<(PathBuf, String)>> {
    let named = match &flags.config {
        Some(path) => Some(path.clone()),
        None => variable(&variable_name("config"))?.map(PathBuf::from),
    };
    if let Some(path) = named {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(Some((path, text)));
    }
    let data_dir = match flags.get(DATA_DIR) {
        Some(path) => PathBuf::from(path),
        None => variable(&variable_name(DATA_DIR))?.map_or(ServeSettings::default().data_dir, PathBuf::from),
    };
    let path = data_dir.join(FILE_NAME);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: SettingFlags,
    }

    fn resolve(line: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let flags = Line::try_parse_from([&["impasto"], line].concat()).unwrap().flags;
        Settings::resolve_with(&flags, |name| {
            Ok(environment.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn later_sources_win() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), "port = 1\nthreads = 1\nmax_edge = 1024\n").unwrap();
        let environment = [("IMPASTO_DATA_DIR", root), ("IMPASTO_PORT", "2"), ("IMPASTO_THREADS", "2")];
        let settings = resolve(&["--port", "3"], &environment).unwrap();
        assert_eq!((settings.serve.port, settings.serve.threads), (Some(3), 2));
        assert_eq!((settings.serve.max_edge, settings.serve.max_steps), (1024, 1000));
        assert_eq!(settings.data_dir(), folder.path());
    }

    #[test]
    fn a_named_file_must_be_there() {
        let missing = ["--config", "/no/such/impasto.toml"];
        assert!(resolve(&missing, &[]).is_err());
        assert!(resolve(&[], &[("IMPASTO_CONFIG", "/no/such/impasto.toml")]).is_err());
        assert!(resolve(&["--data-dir", "/no/such"], &[]).is_ok());
    }

    #[test]
    fn switches_and_their_effects() {
        let settings = resolve(&["--nowebui", "--data-dir=/no/such"], &[]).unwrap();
        assert_eq!(settings.address().to_string(), "127.0.0.1:7861");
        let settings = resolve(&["--listen", "--data-dir=/no/such"], &[]).unwrap();
        assert_eq!(settings.address().to_string(), "0.0.0.0:7860");
        assert!(settings.listens_beyond_loopback());
        let off = [("IMPASTO_LISTEN", "1")];
        assert!(!resolve(&["--listen=false", "--data-dir=/no/such"], &off).unwrap().serve.listen);
    }

    #[test]
    fn a_bad_value_names_where_it_came_from() {
        let root = "--data-dir=/no/such";
        let message = |line: &[&str], environment: &[(&str, &str)]| {
            resolve(&[&[root], line].concat(), environment).unwrap_err().to_string()
        };
        assert!(message(&["--port=x"], &[]).starts_with("--port: setting port is \"x\""));
        assert!(message(&[], &[("IMPASTO_PORT", "70000")]).starts_with("IMPASTO_PORT: setting port"));
    }
}
