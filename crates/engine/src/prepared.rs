//! Which file has a model's prepared weights.

use crate::{EngineError, ModelEntry};
use impasto_domain::Precision;
use impasto_weights::{PreparedFile, PreparedWriter};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

/// Folder below the cache.
const FOLDER: &str = "prepared";
const SUFFIX: &str = "weights";
/// Digits of a model's hash that its files' names have.
const DIGITS: usize = 16;

/// Files of prepared weights of one backend: a file for a model and precision.
#[derive(Debug)]
pub struct PreparedWeights {
    folder: PathBuf,
    /// What the backend calls the form in which it prepares weights.
    form: String,
}

impl PreparedWeights {
    /// The files below a cache folder that a backend of this form can use: see [`impasto_tensor::Backend::prepared_form`].
    pub fn new(cache: &Path, form: String) -> Self {
        Self { folder: cache.join(FOLDER), form }
    }

    /// A model's file; none for a model whose hash is not known.
    pub fn path(&self, entry: &ModelEntry, precision: Precision) -> Option<PathBuf> {
        let digits = entry.sha256.as_ref()?.get(..DIGITS)?;
        Some(self.folder.join(format!("{digits}-{}-{}.{SUFFIX}", self.form, precision.name())))
    }

    /// A model's prepared weights, if there are any.
    pub fn open(&self, entry: &ModelEntry, precision: Precision) -> Option<PreparedFile> {
        PreparedFile::open(&self.path(entry, precision)?, &self.purpose(entry, precision)?)
    }

    /// Begins a model's file. `progress` is told the bytes written so far.
    pub fn create(
        &self,
        entry: &ModelEntry,
        precision: Precision,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<PreparedWriter, EngineError> {
        let unknown = || EngineError::Failed(format!("the hash of {} is not known", entry.title));
        let path = self.path(entry, precision).ok_or_else(unknown)?;
        let purpose = self.purpose(entry, precision).ok_or_else(unknown)?;
        PreparedWriter::create(&path, &purpose, progress)
            .map_err(|error| EngineError::Failed(format!("cannot write {}: {error}", path.display())))
    }

    /// Removes the files that are none of `wanted`: of models that are gone, and of earlier forms. Answers how many there
    /// were and their bytes.
    pub fn remove_others(&self, wanted: &HashSet<PathBuf>) -> io::Result<(usize, u64)> {
        let mut removed = (0, 0);
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(removed),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|suffix| suffix == SUFFIX) && !wanted.contains(&path) {
                removed = (removed.0 + 1, removed.1 + path.metadata()?.len());
                std::fs::remove_file(&path)?;
            }
        }
        Ok(removed)
    }

    /// What a file says that it is for.
    fn purpose(&self, entry: &ModelEntry, precision: Precision) -> Option<String> {
        Some(format!("{} {} {}", entry.sha256.as_ref()?, self.form, precision.name()))
    }
}
