//! The models that can be used: files below the model folder and those inside the program.
//!
//! A file is listed by its name alone; it is opened when somebody asks for it, and its hash is computed once and cached
//! by size and modification time.

use crate::{EngineError, ModelEntry};
use impasto_weights::{Checkpoint, FileHash, HashCache, StableDiffusionConfig, WeightsError, hash_bytes};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the file names of models inside the program begin with.
pub(crate) const BUILTIN: &str = "builtin:";

/// A model inside the program.
#[derive(Debug, Clone)]
pub struct BuiltinModel {
    /// The name it is listed under, such as `impasto-demo.safetensors`.
    pub file_name: &'static str,
    /// Its tensors.
    pub content: BuiltinContent,
}

/// Where the tensors of a model inside the program come from.
#[derive(Debug, Clone)]
pub enum BuiltinContent {
    /// A whole safetensors file.
    Bytes(&'static [u8]),
    /// Pseudo-random weights of these sizes, for measuring.
    Random(Arc<StableDiffusionConfig>),
}

impl BuiltinModel {
    /// Opens it.
    pub fn open(&self) -> Result<Checkpoint, WeightsError> {
        match &self.content {
            BuiltinContent::Bytes(bytes) => Checkpoint::from_bytes(self.file_name, *bytes),
            BuiltinContent::Random(config) => Ok(Checkpoint::random(config)),
        }
    }

    /// Bytes of the file, or of one that would hold the same.
    fn bytes(&self) -> u64 {
        match &self.content {
            BuiltinContent::Bytes(bytes) => bytes.len() as u64,
            BuiltinContent::Random(config) => Checkpoint::random(config).bytes(),
        }
    }

    /// The hash of what tells it from others: of random weights, that is their sizes.
    fn hash(&self) -> FileHash {
        match &self.content {
            BuiltinContent::Bytes(bytes) => hash_bytes(bytes),
            BuiltinContent::Random(config) => hash_bytes(format!("{config:?}").as_bytes()),
        }
    }
}

/// Where a model's bytes are.
#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Builtin(BuiltinModel),
}

/// A model's entry with its native size, and the sizes of its networks.
pub(crate) type Inspected = (Arc<ModelEntry>, Arc<StableDiffusionConfig>);

#[derive(Debug, Clone)]
struct Listed {
    source: Source,
    entry: Arc<ModelEntry>,
    config: Option<Arc<StableDiffusionConfig>>,
}

#[derive(Debug, Default)]
struct State {
    listed: Vec<Listed>,
    default: Option<String>,
}

/// The list of models, shared by the engine's handle and its thread.
#[derive(Debug)]
pub(crate) struct Catalog {
    folder: Option<PathBuf>,
    builtin: Vec<BuiltinModel>,
    hashes: HashCache,
    state: Mutex<State>,
}

impl Catalog {
    /// A catalog of `builtin` models and of the checkpoints below `folder`, scanned once. `folder` may be a checkpoint itself.
    pub(crate) fn new(folder: Option<PathBuf>, cache: Option<&Path>, builtin: Vec<BuiltinModel>) -> Self {
        let hashes = HashCache::open(cache.map(|cache| cache.join("hashes.json")));
        let catalog = Self { folder, builtin, hashes, state: Mutex::default() };
        catalog.refresh();
        catalog
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the folder again. What is known of unchanged files is kept.
    pub(crate) fn refresh(&self) {
        let mut files = Vec::new();
        if let Some(folder) = &self.folder {
            if folder.is_file() {
                files.push(folder.clone());
            }
            find_checkpoints(folder, &mut HashSet::new(), &mut files);
            files.sort();
        }
        let mut state = self.state();
        let known: HashMap<String, Listed> =
            state.listed.drain(..).map(|listed| (listed.entry.filename.clone(), listed)).collect();
        let folder = self.folder.as_deref().unwrap_or_else(|| Path::new(""));
        let folder = if folder.is_file() { folder.parent().unwrap_or(folder) } else { folder };
        let from_files = files.into_iter().map(|path| self.list_file(folder, path));
        let from_program = self.builtin.iter().cloned().map(list_builtin);
        state.listed = from_files
            .chain(from_program)
            .map(|listed| match known.get(&listed.entry.filename) {
                Some(old)
                    if old.entry.bytes == listed.entry.bytes && old.entry.sha256 == listed.entry.sha256 =>
                {
                    old.clone()
                }
                _ => listed,
            })
            .collect();
    }

    fn list_file(&self, folder: &Path, path: PathBuf) -> Listed {
        let relative = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        let sha256 = self.hashes.known(&path).map(|hash| hash.sha256);
        let filename = path.to_string_lossy().into_owned();
        let entry = entry(&relative, filename, bytes, sha256);
        Listed { source: Source::File(path), entry: Arc::new(entry), config: None }
    }

    /// All models, files first.
    pub(crate) fn entries(&self) -> Vec<Arc<ModelEntry>> {
        self.state().listed.iter().map(|listed| listed.entry.clone()).collect()
    }

    /// The model a client means: exact matches of title, name, file name, base name or hash.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<ModelEntry>> {
        let state = self.state();
        state.listed.iter().map(|listed| &listed.entry).find(|entry| answers_to(entry, name)).cloned()
    }

    /// The model that a name of an infotext or of a script means: an exact match, else the shortest title that has the name
    /// in it, also without the hash behind it.
    pub(crate) fn find_closest(&self, name: &str) -> Option<Arc<ModelEntry>> {
        if let Some(entry) = self.find(name) {
            return Some(entry);
        }
        let entries = self.entries();
        let without_hash = name.rsplit_once(" [").map_or(name, |(name, _)| name);
        [name, without_hash].into_iter().filter(|name| !name.is_empty()).find_map(|name| {
            let having = entries.iter().filter(|entry| entry.title.contains(name));
            having.min_by_key(|entry| entry.title.len()).cloned()
        })
    }

    /// The model used where a request names none: the chosen one, else the first that can be read.
    pub(crate) fn default_model(&self) -> Result<Arc<ModelEntry>, EngineError> {
        let chosen = self.state().default.clone();
        if let Some(entry) = chosen.and_then(|name| self.find(&name)) {
            return Ok(entry);
        }
        let mut outcome = Err(EngineError::NoModel);
        for entry in self.entries() {
            match self.inspect(&entry) {
                Ok((entry, _)) => return Ok(entry),
                // What is wrong with the first model says more than that there is none.
                Err(error) if matches!(outcome, Err(EngineError::NoModel)) => outcome = Err(error),
                Err(_) => {}
            }
        }
        outcome
    }

    /// Makes a model the one used where a request names none.
    pub(crate) fn set_default(&self, name: &str) -> Result<Arc<ModelEntry>, EngineError> {
        let entry = self.find(name).ok_or_else(|| EngineError::UnknownModel(name.to_owned()))?;
        let (entry, _) = self.inspect(&entry)?;
        self.state().default = Some(entry.filename.clone());
        Ok(entry)
    }

    /// Opens a model's file.
    pub(crate) fn open(&self, entry: &ModelEntry) -> Result<Checkpoint, EngineError> {
        let source = self.source(entry)?;
        let opened = match &source {
            Source::File(path) => Checkpoint::open(path),
            Source::Builtin(builtin) => builtin.open(),
        };
        opened.map_err(|error| bad_model(entry, error.to_string()))
    }

    fn source(&self, entry: &ModelEntry) -> Result<Source, EngineError> {
        let state = self.state();
        let listed = state.listed.iter().find(|listed| listed.entry.filename == entry.filename);
        let listed = listed.ok_or_else(|| EngineError::UnknownModel(entry.title.clone()))?;
        Ok(listed.source.clone())
    }

    /// Reads the sizes of a model's networks, once; remembers what is wrong if they cannot be read.
    pub(crate) fn inspect(&self, entry: &ModelEntry) -> Result<Inspected, EngineError> {
        if let Some(known) = self.inspected(entry) {
            return Ok(known);
        }
        let config = self
            .open(entry)
            .and_then(|checkpoint| checkpoint.config().map_err(|error| bad_model(entry, error.to_string())));
        let config = match config {
            Ok(config) => Arc::new(config),
            Err(error) => {
                self.update(entry, |listed| {
                    Arc::make_mut(&mut listed.entry).problem = Some(problem_of(&error));
                });
                return Err(error);
            }
        };
        let (width, height) = config.native_size;
        let updated = self.update(entry, |listed| {
            let entry = Arc::make_mut(&mut listed.entry);
            entry.native_size = Some((width as u32, height as u32));
            entry.cfg_scale = config.cfg_scale;
            entry.problem = None;
            listed.config = Some(config.clone());
        });
        let entry = updated.ok_or_else(|| EngineError::UnknownModel(entry.title.clone()))?;
        Ok((entry, config))
    }

    /// What an earlier look at the file gave. A file that could not be read is looked at again.
    fn inspected(&self, entry: &ModelEntry) -> Option<Inspected> {
        let state = self.state();
        let listed = state.listed.iter().find(|listed| listed.entry.filename == entry.filename)?;
        Some((listed.entry.clone(), listed.config.clone()?))
    }

    /// The model's entry with its hash, computed now unless it is cached. Takes seconds for large files.
    pub(crate) fn hashed(&self, entry: &ModelEntry) -> Result<Arc<ModelEntry>, EngineError> {
        if let Some(known) = self.find(&entry.filename).filter(|known| known.sha256.is_some()) {
            return Ok(known);
        }
        let hash = match self.source(entry)? {
            Source::File(path) => {
                self.hashes.hash(&path).map_err(|error| bad_model(entry, error.to_string()))?
            }
            Source::Builtin(builtin) => builtin.hash(),
        };
        let updated = self.update(entry, |listed| {
            let entry = Arc::make_mut(&mut listed.entry);
            let relative = entry.title.split(" [").next().unwrap_or_default().to_owned();
            entry.title = format!("{relative} [{}]", hash.short());
            entry.sha256 = Some(hash.sha256.clone());
        });
        updated.ok_or_else(|| EngineError::UnknownModel(entry.title.clone()))
    }

    fn update(&self, entry: &ModelEntry, change: impl FnOnce(&mut Listed)) -> Option<Arc<ModelEntry>> {
        let mut state = self.state();
        let listed = state.listed.iter_mut().find(|listed| listed.entry.filename == entry.filename)?;
        change(listed);
        Some(listed.entry.clone())
    }
}

fn bad_model(entry: &ModelEntry, problem: String) -> EngineError {
    EngineError::BadModel { name: entry.title.clone(), problem }
}

fn problem_of(error: &EngineError) -> String {
    match error {
        EngineError::BadModel { problem, .. } => problem.clone(),
        other => other.to_string(),
    }
}

fn list_builtin(builtin: BuiltinModel) -> Listed {
    let filename = format!("{BUILTIN}{}", builtin.file_name);
    let entry = entry(builtin.file_name, filename, builtin.bytes(), None);
    Listed { source: Source::Builtin(builtin), entry: Arc::new(entry), config: None }
}

fn entry(relative: &str, filename: String, bytes: u64, sha256: Option<String>) -> ModelEntry {
    let stem = relative.rsplit_once('.').map_or(relative, |(stem, _)| stem);
    let short = sha256.as_deref().and_then(|hash| hash.get(..10));
    ModelEntry {
        title: short.map_or_else(|| relative.to_owned(), |short| format!("{relative} [{short}]")),
        name: stem.replace('/', "_"),
        filename,
        sha256,
        bytes,
        native_size: None,
        cfg_scale: None,
        problem: None,
    }
}

/// Whether a client may mean this model by `name`.
fn answers_to(entry: &ModelEntry, name: &str) -> bool {
    let relative = entry.title.split(" [").next().unwrap_or_default();
    let base = Path::new(relative).file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let mut aliases = vec![entry.title.as_str(), relative, &entry.name, &entry.filename, &base];
    aliases.extend(entry.sha256.as_deref());
    aliases.extend(entry.short_hash());
    aliases.contains(&name)
}

/// Checkpoints below `folder`; separate VAE files, hidden files and what cannot be read are left out. Folders reached
/// twice, through links, are looked into once.
fn find_checkpoints(folder: &Path, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) {
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
            find_checkpoints(&path, seen, found);
        } else if path.is_file() && is_checkpoint(&name) {
            found.push(path);
        }
    }
}

/// Whether a file of this lower-case name is a checkpoint and no separate VAE.
fn is_checkpoint(name: &str) -> bool {
    match name.rsplit_once('.') {
        Some((stem, "safetensors" | "ckpt" | "pt")) => {
            !stem.is_empty() && stem.rsplit_once('.').is_none_or(|(_, inner)| inner != "vae")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_answer_to_their_aliases() {
        let hash = "0123456789abcdef".repeat(4);
        let entry =
            entry("sub/fine.model.safetensors", "/m/sub/fine.model.safetensors".into(), 1, Some(hash));
        assert_eq!(entry.title, "sub/fine.model.safetensors [0123456789]");
        assert_eq!(entry.name, "sub_fine.model");
        for alias in [
            "sub/fine.model.safetensors [0123456789]",
            "sub/fine.model.safetensors",
            "sub_fine.model",
            "fine.model",
            "0123456789",
        ] {
            assert!(answers_to(&entry, alias), "{alias}");
        }
        assert!(!answers_to(&entry, "fine"));
    }

    #[test]
    fn random_weights_are_a_model_like_others() {
        let config = Arc::new(StableDiffusionConfig::stable_diffusion_1_5());
        let content = BuiltinContent::Random(config.clone());
        let random = BuiltinModel { file_name: "random.safetensors", content };
        let catalog = Catalog::new(None, None, vec![random]);
        let (entry, found) = catalog.inspect(&catalog.find("random").unwrap()).unwrap();
        assert_eq!((found, entry.native_size, entry.bytes), (config, Some((512, 512)), 2_132_470_614));
        assert_eq!(catalog.hashed(&entry).unwrap().short_hash().unwrap().len(), 10);
    }

    #[test]
    fn lists_checkpoints_and_leaves_out_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        for name in ["b.safetensors", "sub/A.CKPT", "x.vae.pt", "notes.txt", ".hidden.ckpt", ".pt"] {
            std::fs::write(folder.path().join(name), b"nonsense").unwrap();
        }
        let catalog = Catalog::new(Some(folder.path().to_owned()), None, Vec::new());
        let names: Vec<String> = catalog.entries().iter().map(|entry| entry.name.clone()).collect();
        assert_eq!(names, ["b", "sub_A"]);
        let entry = catalog.find("b").unwrap();
        assert!(matches!(catalog.inspect(&entry), Err(EngineError::BadModel { .. })));
        assert!(catalog.find("b").unwrap().problem.is_some());
        assert!(matches!(catalog.default_model(), Err(EngineError::BadModel { .. })));
        #[cfg(unix)]
        for name in ["loop", "sub/loop"] {
            std::os::unix::fs::symlink(folder.path(), folder.path().join(name)).unwrap();
        }
        catalog.refresh();
        assert_eq!(catalog.entries().len(), 2);
        let alone = Catalog::new(Some(folder.path().join("sub/A.CKPT")), None, Vec::new());
        let names: Vec<String> = alone.entries().iter().map(|entry| entry.name.clone()).collect();
        assert_eq!(names, ["A"]);
        std::fs::remove_file(folder.path().join("b.safetensors")).unwrap();
        catalog.refresh();
        assert!(catalog.find("b").is_none());
    }
}
