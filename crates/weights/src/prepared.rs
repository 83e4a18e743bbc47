//! Files of prepared weights: what a backend made of a model's weights, kept so that the next start of the program maps it into
//! memory instead of making it again.
//!
//! A file is a line of [`MAGIC`], the pieces, each at the start of a line, an index in JSON, and a tail that says where the
//! index is. It is written under another name and renamed when it is whole, and never changed after that. The index repeats
//! what the file is for, so that one of another model, form or precision is not taken for it.

use impasto_tensor::{PreparedStore, SharedBytes};
use memmap2::{Advice, Mmap};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pieces begin at multiples of this: a cache line.
const LINE: usize = 64;
/// The first line of a file.
const MAGIC: &[u8; LINE] = b"impasto prepared weights, first form                            ";
/// Start and length of the index.
const TAIL: usize = 16;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    /// What the pieces were made of, by whom and how.
    purpose: String,
    /// Start and end of each.
    pieces: BTreeMap<String, Range<usize>>,
}

/// A file of prepared weights in memory.
pub struct PreparedFile {
    map: Arc<Mmap>,
    pieces: BTreeMap<String, Range<usize>>,
}

impl PreparedFile {
    /// Maps a file. Nothing if there is none, if it is for another `purpose`, or if it is damaged.
    pub fn open(path: &Path, purpose: &str) -> Option<Self> {
        let file = File::open(path).ok()?;
        // SAFETY: such files are renamed into place when they are whole and never written to again by this program, and the
        // folder is its own.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        // Advice only: it lets a cold file be read ahead.
        #[cfg(unix)]
        let _ = map.advise(Advice::WillNeed);
        let index = index_of(&map)?;
        let fits = |range: &Range<usize>| {
            range.start.is_multiple_of(LINE) && range.start <= range.end && range.end <= map.len()
        };
        let sound = index.purpose == purpose && index.pieces.values().all(fits);
        sound.then(|| Self { map: Arc::new(map), pieces: index.pieces })
    }
}

fn index_of(bytes: &[u8]) -> Option<Index> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (_, tail) = rest.split_at_checked(rest.len().checked_sub(TAIL)?)?;
    let number = |at: usize| {
        let digits = tail.get(at..at + 8)?.first_chunk()?;
        usize::try_from(u64::from_le_bytes(*digits)).ok()
    };
    let (start, length) = (number(0)?, number(8)?);
    serde_json::from_slice(bytes.get(start..start.checked_add(length)?)?).ok()
}

impl PreparedStore for PreparedFile {
    fn find(&self, name: &str, length: usize) -> Option<SharedBytes> {
        let range = self.pieces.get(name).filter(|range| range.len() == length)?;
        SharedBytes::new(self.map.clone(), range.clone())
    }

    /// A file that is complete takes nothing more.
    fn keep(&self, _name: &str, _bytes: &[u8]) {}
}

impl fmt::Debug for PreparedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedFile({} pieces, {} bytes)", self.pieces.len(), self.map.len())
    }
}

/// A file of prepared weights in the making.
pub struct PreparedWriter {
    path: PathBuf,
    state: Mutex<State>,
    /// Told the bytes kept so far.
    progress: Box<dyn Fn(u64) + Send + Sync>,
}

struct State {
    file: BufWriter<tempfile::NamedTempFile>,
    /// Bytes written.
    length: usize,
    index: Index,
    /// The first thing that went wrong.
    error: Option<io::Error>,
}

impl State {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len();
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let start = self.length;
        self.write(bytes)?;
        self.index.pieces.insert(name.to_owned(), start..self.length);
        let padding = self.length.next_multiple_of(LINE) - self.length;
        self.write(&[0; LINE][..padding])
    }
}

impl PreparedWriter {
    /// Begins a file that will be at `path` once it is finished; its folder is made if need be.
    pub fn create(
        path: &Path,
        purpose: &str,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let file = tempfile::Builder::new().prefix("prepared-").suffix(".new").tempfile_in(folder)?;
        let index = Index { purpose: purpose.to_owned(), ..Index::default() };
        let mut state =
            State { file: BufWriter::with_capacity(1 << 20, file), length: 0, index, error: None };
        state.write(MAGIC)?;
        Ok(Self { path: path.to_owned(), state: Mutex::new(state), progress: Box::new(progress) })
    }

    /// Puts the file in its place and answers how many bytes it has. Whatever went wrong since [`PreparedWriter::create`] is
    /// told here, and leaves nothing behind.
    pub fn finish(self) -> io::Result<u64> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let (start, index) = (state.length, serde_json::to_vec(&state.index)?);
        state.write(&index)?;
        state.write(&(start as u64).to_le_bytes())?;
        state.write(&(index.len() as u64).to_le_bytes())?;
        let file = state.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(state.length as u64)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PreparedStore for PreparedWriter {
    fn find(&self, _name: &str, _length: usize) -> Option<SharedBytes> {
        None
    }

    fn keep(&self, name: &str, bytes: &[u8]) {
        let mut state = self.lock();
        if state.error.is_none() {
            state.error = state.append(name, bytes).err();
        }
        let length = state.length;
        drop(state);
        (self.progress)(length as u64);
    }
}

impl fmt::Debug for PreparedWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedWriter({})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &Path) {
        let writer = PreparedWriter::create(path, "model a", |_| {}).unwrap();
        writer.keep("one", &[1; 100]);
        writer.keep("two", &[2; 64]);
        writer.finish().unwrap();
    }

    #[test]
    fn what_is_kept_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/file");
        written(&path);
        let file = PreparedFile::open(&path, "model a").unwrap();
        let (one, two) = (file.find("one", 100).unwrap(), file.find("two", 64).unwrap());
        drop(file);
        assert_eq!((&*one, &*two), (&[1; 100][..], &[2; 64][..]));
        assert_eq!(two.as_ptr().align_offset(LINE), 0);
    }

    #[test]
    fn nothing_else_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(PreparedFile::open(&path, "model a").is_none());
        written(&path);
        assert!(PreparedFile::open(&path, "model b").is_none());
        let file = PreparedFile::open(&path, "model a").unwrap();
        assert!(file.find("one", 99).is_none() && file.find("three", 1).is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn damaged_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        written(&path);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(PreparedFile::open(&path, "model a").is_none(), "{length}");
        }
        for (from, to) in [("\"end\":164", "\"end\":999"), ("\"start\":64", "\"start\":65")] {
            let at = whole.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            let mut changed = whole.clone();
            changed[at..at + to.len()].copy_from_slice(to.as_bytes());
            fs::write(&path, changed).unwrap();
            assert!(PreparedFile::open(&path, "model a").is_none(), "{to}");
        }
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let writer = PreparedWriter::create(&folder.path().join("file"), "model a", |_| {}).unwrap();
        writer.keep("one", &[1; 100]);
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
