//! Hashes kept between runs, because hashing a checkpoint of 4 GB takes seconds. A file is taken for unchanged while
//! its path, size and time of modification are.

use crate::{FileHash, hash_file, hash_tensors};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

/// A JSON file of hashes. A missing or damaged one is an empty cache; one that cannot be written costs time only.
#[derive(Debug)]
pub struct HashCache {
    file: Option<PathBuf>,
    hash: fn(&Path) -> io::Result<FileHash>,
    records: Mutex<BTreeMap<String, Record>>,
}

/// What was hashed, and the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    version: Version,
    sha256: String,
}

/// By what a changed file is told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Version {
    /// Bytes.
    size: u64,
    /// Time of modification, nanoseconds since 1970.
    modified: u64,
}

impl HashCache {
    /// The cache kept in `file`, whose folder need not exist yet; without one, hashes are kept for this run only.
    pub fn open(file: Option<PathBuf>) -> Self {
        Self::of(file, |path| hash_file(path))
    }

    /// The same for hashes of tensors alone ([`hash_tensors`]).
    pub fn of_tensors(file: Option<PathBuf>) -> Self {
        Self::of(file, |path| hash_tensors(path))
    }

    fn of(file: Option<PathBuf>, hash: fn(&Path) -> io::Result<FileHash>) -> Self {
        let text = file.as_ref().and_then(|file| fs::read(file).ok());
        let records = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, hash, records: Mutex::new(records) }
    }

    /// The hash of a file that was hashed before and has not changed since. Never reads the file itself.
    pub fn known(&self, path: &Path) -> Option<FileHash> {
        let version = version(path).ok()?;
        let records = self.lock();
        let record = records.get(&key(path))?;
        let intact =
            record.sha256.len() == 64 && record.sha256.bytes().all(|digit| digit.is_ascii_hexdigit());
        (record.version == version && intact).then(|| FileHash { sha256: record.sha256.clone() })
    }

    /// The hash of a file, from the cache or by reading the file.
    pub fn hash(&self, path: &Path) -> io::Result<FileHash> {
        if let Some(hash) = self.known(path) {
            return Ok(hash);
        }
        let before = version(path)?;
        let hash = (self.hash)(path)?;
        // A file written to while it was read has some hash now and another one soon.
        if version(path)? == before {
            let record = Record { version: before, sha256: hash.sha256.clone() };
            let mut records = self.lock();
            records.insert(key(path), record);
            if let Some(file) = &self.file {
                // The cache saves time; a disk that is full or read-only must not keep a model from loading.
                let _ = save(file, &records);
            }
        }
        Ok(hash)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        // The map is whole after every statement, so a thread that panicked has not spoilt it.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn version(path: &Path) -> io::Result<Version> {
    let about = fs::metadata(path)?;
    let modified = about.modified()?.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    Ok(Version { size: about.len(), modified: u64::try_from(modified).unwrap_or(u64::MAX) })
}

/// Writes beside the old file and renames, so that a reader or a crash sees one of the two, whole.
fn save(file: &Path, records: &BTreeMap<String, Record>) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut next = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut next, records)?;
    next.flush()?;
    next.persist(file).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn remembers_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("m.safetensors");
        let file = folder.path().join("cache").join("hashes.json");
        fs::write(&model, b"abc").unwrap();
        let cache = HashCache::open(Some(file.clone()));
        assert_eq!(cache.known(&model), None);
        let hash = cache.hash(&model).unwrap();
        assert_eq!(HashCache::open(Some(file.clone())).known(&model), Some(hash.clone()));

        // Same size and time: believed without reading.
        let time = fs::metadata(&model).unwrap().modified().unwrap();
        fs::write(&model, b"abd").unwrap();
        fs::File::options().write(true).open(&model).unwrap().set_modified(time).unwrap();
        assert_eq!(cache.hash(&model).unwrap(), hash);

        let later = SystemTime::now() + Duration::from_secs(5);
        fs::File::options().write(true).open(&model).unwrap().set_modified(later).unwrap();
        assert_eq!(cache.known(&model), None);
        assert_eq!(cache.hash(&model).unwrap(), hash_file(&model).unwrap());
        assert!(cache.hash(&folder.path().join("absent")).is_err());

        let unsaved = HashCache::open(None);
        let hash = unsaved.hash(&model).unwrap();
        assert_eq!(unsaved.known(&model), Some(hash));
    }

    #[test]
    fn survives_damage_and_a_folder_that_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("m");
        fs::write(&model, b"abc").unwrap();
        for text in ["", "{", "[]", "{\"m\":{\"size\":-1}}", "\0"] {
            let file = folder.path().join("hashes.json");
            fs::write(&file, text).unwrap();
            assert_eq!(
                HashCache::open(Some(file.clone())).hash(&model).unwrap(),
                hash_file(&model).unwrap(),
                "{text}"
            );
            assert!(HashCache::open(Some(file.clone())).known(&model).is_some());
        }
        let blocked = model.join("hashes.json");
        assert!(HashCache::open(Some(blocked)).hash(&model).is_ok());
    }

    #[test]
    fn serves_threads() {
        let folder = tempfile::tempdir().unwrap();
        let cache = HashCache::open(Some(folder.path().join("hashes.json")));
        let paths: Vec<PathBuf> = (0..8).map(|n| folder.path().join(format!("{n}.pt"))).collect();
        for path in &paths {
            fs::write(path, path.to_string_lossy().as_bytes()).unwrap();
        }
        std::thread::scope(|scope| {
            for path in &paths {
                scope.spawn(|| cache.hash(path).unwrap());
            }
        });
        let again = HashCache::open(Some(folder.path().join("hashes.json")));
        for path in &paths {
            assert_eq!(again.known(path), Some(hash_file(path).unwrap()));
        }
    }
}
