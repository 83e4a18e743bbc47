//! The files beside checkpoints that a data root has: autoencoders, adapters, embeddings, upscalers.
//!
//! A folder is read when it is first asked for and when somebody says that it has changed. What is known of a file that has
//! kept its size and time of change is kept, so that looking again at thousands of files costs their directory entries only.

use impasto_weights::{Checkpoint, HashCache};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// An autoencoder to use instead of a checkpoint's own.
    Vae,
    /// A LoRA or one of its kin.
    Lora,
    /// A textual inversion.
    Embedding,
    /// A hypernetwork.
    Hypernetwork,
    /// An upscaler of the ESRGAN family.
    Upscaler,
}

/// Folders below the data root, endings in lower case, and the least that a name has to have in it.
struct Place {
    kind: FileKind,
    folders: &'static [&'static str],
    suffixes: &'static [&'static str],
    /// What a file's name has before its ending.
    mark: &'static str,
}

const PLACES: &[Place] = &[
    Place {
        kind: FileKind::Vae,
        folders: &["models/VAE"],
        suffixes: &["ckpt", "pt", "safetensors"],
        mark: "",
    },
    Place {
        kind: FileKind::Vae,
        folders: &["models/Stable-diffusion"],
        suffixes: &["ckpt", "pt", "safetensors"],
        mark: ".vae",
    },
    Place {
        kind: FileKind::Lora,
        folders: &["models/Lora", "models/LyCORIS"],
        suffixes: &["pt", "ckpt", "safetensors"],
        mark: "",
    },
    Place {
        kind: FileKind::Embedding,
        folders: &["embeddings"],
        suffixes: &["pt", "bin", "safetensors", "png", "webp"],
        mark: "",
    },
    Place {
        kind: FileKind::Hypernetwork,
        folders: &["models/hypernetworks"],
        suffixes: &["pt", "safetensors"],
        mark: "",
    },
    Place {
        kind: FileKind::Upscaler,
        folders: &["models/ESRGAN", "models/RealESRGAN"],
        suffixes: &["pt", "pth", "safetensors"],
        mark: "",
    },
];

/// A file of the library.
#[derive(Debug, Clone, PartialEq)]
pub struct LibraryFile {
    /// Its name without folder and ending.
    pub name: String,
    /// Its name with ending, without folder.
    pub file_name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its time of change.
    pub modified: SystemTime,
    /// What a safetensors file says of itself.
    pub metadata: BTreeMap<String, String>,
}

impl LibraryFile {
    /// Where it is, after what tells it from a file that was there before: size, time of change, path, joined by colons.
    pub(crate) fn id(&self) -> String {
        let modified = self.modified.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        format!("{}:{modified}:{}", self.bytes, self.path.display())
    }

    /// The name that the file's maker gave an adapter, or else the file's.
    pub fn alias(&self) -> &str {
        let given = self.metadata.get("ss_output_name").map(String::as_str);
        given.filter(|name| !name.is_empty() && *name != "None").unwrap_or(&self.name)
    }
}

/// The path in a file's [`LibraryFile::id`].
pub(crate) fn path_of(id: &str) -> &Path {
    Path::new(id.splitn(3, ':').nth(2).unwrap_or_default())
}

/// The files of a data root, and the hashes known of them.
#[derive(Debug)]
pub struct Library {
    root: Option<PathBuf>,
    hashes: HashCache,
    /// Of adapters, without the headers of their files.
    tensor_hashes: HashCache,
    listed: Mutex<HashMap<FileKind, Arc<[Arc<LibraryFile>]>>>,
}

impl Library {
    /// The library of a data root, whose hashes are kept in `cache`.
    pub fn new(root: Option<PathBuf>, cache: Option<&Path>) -> Self {
        let hashes = HashCache::open(cache.map(|cache| cache.join("file-hashes.json")));
        let tensor_hashes = HashCache::of_tensors(cache.map(|cache| cache.join("adapter-hashes.json")));
        Self { root, hashes, tensor_hashes, listed: Mutex::default() }
    }

    /// All files of a kind, by name.
    pub fn files(&self, kind: FileKind) -> Arc<[Arc<LibraryFile>]> {
        let known = self.lock().get(&kind).cloned();
        known.unwrap_or_else(|| self.refresh(kind))
    }

    /// Looks at the folders of a kind again.
    pub fn refresh(&self, kind: FileKind) -> Arc<[Arc<LibraryFile>]> {
        let known = self.lock().get(&kind).cloned().unwrap_or_default();
        let known: HashMap<&Path, &Arc<LibraryFile>> =
            known.iter().map(|file| (file.path.as_path(), file)).collect();
        let mut files = Vec::new();
        for place in PLACES.iter().filter(|place| place.kind == kind) {
            for folder in self.root.iter().flat_map(|root| place.folders.iter().map(|name| root.join(name))) {
                find(&folder, place, &mut HashSet::new(), &mut |path| files.extend(look(path, &known)));
            }
        }
        files.sort_by(|a, b| (a.name.to_lowercase(), &a.path).cmp(&(b.name.to_lowercase(), &b.path)));
        let files: Arc<[Arc<LibraryFile>]> = files.into();
        self.lock().insert(kind, files.clone());
        files
    }

    /// The file at a path below the data root, looked at now.
    pub(crate) fn at(&self, path: &str) -> Option<Arc<LibraryFile>> {
        look(self.root.as_ref()?.join(path), &HashMap::new())
    }

    /// The file that a client means: by its name with or without ending, or by the name its maker gave it.
    pub fn find(&self, kind: FileKind, name: &str) -> Option<Arc<LibraryFile>> {
        let files = self.files(kind);
        let exact = files.iter().find(|file| file.name == name || file.file_name == name);
        exact.or_else(|| files.iter().find(|file| file.alias() == name)).cloned()
    }

    /// The SHA-256 of a whole file, from the cache or by reading it.
    pub fn sha256(&self, file: &LibraryFile) -> std::io::Result<String> {
        Ok(self.hashes.hash(&file.path)?.sha256)
    }

    /// The first twelve digits by which infotexts name an adapter: of its maker's hash, or else of the hash of its tensors, from
    /// the cache or by reading it.
    pub fn adapter_hash(&self, file: &LibraryFile) -> std::io::Result<String> {
        let told = file.metadata.get("sshs_model_hash").filter(|hash| hash.len() >= 12 && hash.is_ascii());
        let mut hash = match told {
            Some(hash) => hash.clone(),
            None => self.tensor_hashes.hash(&file.path)?.sha256,
        };
        hash.truncate(12);
        Ok(hash)
    }

    /// The adapters whose hashes are known without reading them, by the first twelve digits.
    pub fn adapters_by_hash(&self) -> BTreeMap<String, Arc<LibraryFile>> {
        let known = |file: &Arc<LibraryFile>| {
            let told = file.metadata.get("sshs_model_hash").cloned();
            let hash = told.or_else(|| Some(self.tensor_hashes.known(&file.path)?.sha256))?;
            Some((hash.get(..12)?.to_owned(), file.clone()))
        };
        self.files(FileKind::Lora).iter().filter_map(known).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FileKind, Arc<[Arc<LibraryFile>]>>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls `found` for each file below `folder` that belongs to `place`. Hidden files, and what cannot be read, are left out; folders
/// reached twice, through links, are looked into once.
fn find(folder: &Path, place: &Place, seen: &mut HashSet<PathBuf>, found: &mut impl FnMut(PathBuf)) {
    let Ok(real) = folder.canonicalize() else { return };
    if !seen.insert(real) {
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            find(&path, place, seen, found);
        } else if let Some((stem, suffix)) = name.rsplit_once('.')
            && place.suffixes.contains(&suffix)
            && stem.ends_with(place.mark)
        {
            found(path);
        }
    }
}

/// What is to be known of a file, from `known` if it has not changed.
fn look(path: PathBuf, known: &HashMap<&Path, &Arc<LibraryFile>>) -> Option<Arc<LibraryFile>> {
    let about = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let (bytes, modified) = (about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH));
    if let Some(same) =
        known.get(path.as_path()).filter(|file| (file.bytes, file.modified) == (bytes, modified))
    {
        return Some(Arc::clone(same));
    }
    let file_name = path.file_name()?.to_string_lossy().into_owned();
    let name = path.file_stem()?.to_string_lossy().into_owned();
    let is_safetensors = path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("safetensors"));
    let metadata = is_safetensors
        .then(|| Checkpoint::open(&path).ok().map(|opened| opened.metadata().clone()))
        .flatten()
        .unwrap_or_default();
    Some(Arc::new(LibraryFile { name, file_name, path, bytes, modified, metadata }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[Arc<LibraryFile>]) -> Vec<&str> {
        files.iter().map(|file| file.file_name.as_str()).collect()
    }

    fn library(files: &[&str]) -> (tempfile::TempDir, Library) {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name.as_bytes()).unwrap();
        }
        let library = Library::new(Some(folder.path().to_owned()), None);
        (folder, library)
    }

    #[test]
    fn each_kind_has_its_places() {
        let (_folder, library) = library(&[
            "models/VAE/sharp.pt",
            "models/Stable-diffusion/model.vae.safetensors",
            "models/Stable-diffusion/model.safetensors",
            "models/Lora/sub/b.safetensors",
            "models/LyCORIS/A.pt",
            "models/Lora/notes.txt",
            "models/Lora/.hidden.pt",
            "embeddings/style.PNG",
            "models/hypernetworks/h.pt",
            "models/ESRGAN/x4.pth",
        ]);
        assert_eq!(names(&library.files(FileKind::Vae)), ["model.vae.safetensors", "sharp.pt"]);
        assert_eq!(names(&library.files(FileKind::Lora)), ["A.pt", "b.safetensors"]);
        assert_eq!(names(&library.files(FileKind::Embedding)), ["style.PNG"]);
        assert_eq!(names(&library.files(FileKind::Hypernetwork)), ["h.pt"]);
        assert_eq!(names(&library.files(FileKind::Upscaler)), ["x4.pth"]);
        assert!(Library::new(None, None).files(FileKind::Lora).is_empty());
        for name in ["b", "b.safetensors"] {
            assert_eq!(library.find(FileKind::Lora, name).unwrap().name, "b");
        }
        assert!(library.find(FileKind::Lora, "sharp").is_none());
    }

    #[test]
    fn files_are_seen_when_the_folder_is_looked_at_again() {
        let (folder, library) = library(&["models/Lora/a.pt"]);
        let before = library.files(FileKind::Lora);
        std::fs::write(folder.path().join("models/Lora/b.pt"), "b").unwrap();
        assert_eq!(names(&library.files(FileKind::Lora)), ["a.pt"]);
        let after = library.refresh(FileKind::Lora);
        assert_eq!(names(&after), ["a.pt", "b.pt"]);
        assert!(Arc::ptr_eq(&before[0], &after[0]));
        std::fs::remove_file(folder.path().join("models/Lora/a.pt")).unwrap();
        assert_eq!(names(&library.refresh(FileKind::Lora)), ["b.pt"]);
    }
}
