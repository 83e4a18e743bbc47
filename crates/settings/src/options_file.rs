//! `config.json` of the data root: where options live between two runs, under A1111's names.
//!
//! A folder of A1111's has such a file with some three hundred names. Those we do not know are kept as they are.

use crate::{Options, SettingsError};
use serde::Serialize as _;
use serde_json::{Map, Value};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The options and the file they are kept in.
#[derive(Debug)]
pub struct OptionsFile {
    path: Option<PathBuf>,
    options: Options,
    /// Everything in the file, known or not.
    contents: Map<String, Value>,
}

impl OptionsFile {
    /// Options that are kept in memory only.
    pub fn in_memory(options: Options) -> Self {
        Self { path: None, options, contents: Map::new() }
    }

    /// Reads the file if there is one. Values in it replace those of `defaults`; values that cannot be used are left
    /// in the file and returned as messages.
    pub fn open(path: &Path, defaults: Options) -> Result<(Self, Vec<String>), SettingsError> {
        let contents = match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| SettingsError::Json { path: path.to_owned(), problem: error.to_string() })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(source) => return Err(SettingsError::File { what: "read", path: path.to_owned(), source }),
        };
        let mut options = defaults;
        let mut ignored = Vec::new();
        for (name, value) in &contents {
            match options.set(name, value) {
                // What others put there is theirs.
                Ok(()) | Err(SettingsError::Unknown(_)) => {}
                Err(error) => ignored.push(error.to_string()),
            }
        }
        Ok((Self { path: Some(path.to_owned()), options, contents }, ignored))
    }

    /// The options as they are now.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Replaces the options and writes the file: whole or not at all.
    pub fn replace(&mut self, options: Options) -> Result<(), SettingsError> {
        let before = self.options.show();
        let mut contents = self.contents.clone();
        for (name, value) in options.show() {
            if before.get(&name) != Some(&value) {
                contents.insert(name, value);
            }
        }
        if let Some(path) = &self.path {
            write(path, &contents)?;
        }
        self.contents = contents;
        self.options = options;
        Ok(())
    }
}

fn write(path: &Path, contents: &Map<String, Value>) -> Result<(), SettingsError> {
    let failed = |source| SettingsError::File { what: "write", path: path.to_owned(), source };
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    contents
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
        .map_err(|error| failed(error.into()))?;
    let fresh = path.with_extension("json.new");
    let written = (|| {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    })();
    written.map_err(|error| {
        // A part of a file is of no use; if it cannot be removed, the first error is still the one to tell.
        let _ = std::fs::remove_file(&fresh);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_names_and_unusable_values_stay_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(
            &path,
            r#"{"font": "x", "jpeg_quality": 70, "outdir_txt2img_samples": "/abs", "n_rows": -1}"#,
        )
        .unwrap();
        let (mut file, ignored) = OptionsFile::open(&path, Options::default()).unwrap();
        assert_eq!(file.options().jpeg_quality, 70);
        assert_eq!(
            ignored,
            ["setting outdir_txt2img_samples is \"/abs\", which is not a relative path without .."]
        );
        let mut options = file.options().clone();
        options.set("eta_ddim", &json!(0.5)).unwrap();
        file.replace(options.clone()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let written: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert_eq!((&written["font"], &written["n_rows"]), (&json!("x"), &json!(-1)));
        assert_eq!(written["outdir_txt2img_samples"], json!("/abs"));
        assert_eq!(written["eta_ddim"], json!(0.5));
        assert_eq!(OptionsFile::open(&path, Options::default()).unwrap().0.options(), &options);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_absent_file_is_no_error_and_a_broken_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/config.json");
        let (mut file, ignored) = OptionsFile::open(&path, Options::default()).unwrap();
        assert!(ignored.is_empty() && file.options() == &Options::default());
        file.replace(Options { jpeg_quality: 1, ..Options::default() }).unwrap();
        std::fs::write(&path, "[]").unwrap();
        assert!(matches!(OptionsFile::open(&path, Options::default()), Err(SettingsError::Json { .. })));
        let mut memory = OptionsFile::in_memory(Options::default());
        memory.replace(Options { jpeg_quality: 1, ..Options::default() }).unwrap();
        assert_eq!(memory.options().jpeg_quality, 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_changes_nothing_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let (mut file, _) = OptionsFile::open(&path, Options::default()).unwrap();
        file.replace(Options { jpeg_quality: 1, ..Options::default() }).unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("config.json.new")).unwrap();
        let error = file.replace(Options { jpeg_quality: 2, ..Options::default() }).unwrap_err().to_string();
        assert!(error.starts_with("cannot write") && error.contains("No space left"), "{error}");
        assert_eq!(file.options().jpeg_quality, 1);
        assert_eq!(OptionsFile::open(&path, Options::default()).unwrap().0.options().jpeg_quality, 1);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
