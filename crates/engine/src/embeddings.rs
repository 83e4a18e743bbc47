//! Textual inversions of the data root: which of them a model can use, by what tokens prompts call them, and their vectors.

use crate::library::{FileKind, Library, LibraryFile};
use impasto_diffusion::EmbeddingWord;
use impasto_imaging::{MOST_PIXELS, decode, decode_base64, hidden_data, read_metadata};
use impasto_models::Tokenizer;
use impasto_weights::{EmbeddingTraining, EmbeddingVectors};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The text of a picture that holds an embedding.
const PICTURE_TEXT: &str = "sd-ti-embedding";
/// Largest picture file that is looked into.
const MOST_BYTES: u64 = 64 << 20;
/// Most vectors of an embedding: a chunk has no more tokens.
const MOST_VECTORS: usize = 75;

/// An embedding as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingInfo {
    /// What prompts call it.
    pub name: String,
    /// Features of a vector.
    pub width: usize,
    /// Number of vectors.
    pub vectors: usize,
    /// How it was trained.
    pub training: EmbeddingTraining,
}

/// The embeddings of a data root, as far as their files can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmbeddingList {
    /// Those that the model can use.
    pub loaded: Vec<EmbeddingInfo>,
    /// Those that belong to other models.
    pub skipped: Vec<EmbeddingInfo>,
}

/// The vectors of a file, if it holds such.
type Read = Option<Arc<EmbeddingVectors>>;

/// What is known of embeddings' files.
#[derive(Debug, Default)]
pub(crate) struct Embeddings(Mutex<HashMap<String, Read>>);

impl Embeddings {
    /// The files of the library that are embeddings, with their vectors.
    fn read(&self, library: &Library) -> Vec<(Arc<LibraryFile>, Arc<EmbeddingVectors>)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let files = library.files(FileKind::Embedding);
        let ids: Vec<String> = files.iter().map(|file| file.id()).collect();
        known.retain(|id, _| ids.contains(id));
        let read = |(file, id): (&Arc<LibraryFile>, String)| {
            let vectors = known.entry(id).or_insert_with(|| {
                let read = load(&file.path);
                if let Err(problem) = &read {
                    tracing::warn!(file = %file.file_name, %problem, "no embedding");
                }
                read.ok().map(Arc::new)
            });
            Some((file.clone(), vectors.clone()?))
        };
        files.iter().zip(ids).filter_map(read).collect()
    }

    /// The embeddings that a text encoder of `width` can use, and the others.
    pub(crate) fn list(&self, library: &Library, width: usize) -> EmbeddingList {
        let mut list = EmbeddingList::default();
        for (file, vectors) in self.read(library) {
            let &[count, features] = vectors.first.shape() else { continue };
            let info = EmbeddingInfo {
                name: file.name.clone(),
                width: features,
                vectors: count,
                training: vectors.training.clone(),
            };
            if suits(&vectors, width) { list.loaded.push(info) } else { list.skipped.push(info) }
        }
        list
    }

    /// How prompts call those that a text encoder of `width` can use.
    pub(crate) fn words(
        &self,
        library: &Library,
        tokenizer: &Tokenizer,
        width: usize,
    ) -> Arc<[EmbeddingWord]> {
        let word = |(file, vectors): (Arc<LibraryFile>, Arc<EmbeddingVectors>)| {
            let tokens = tokenizer.encode(&file.name).into_iter().map(|token| token.id).collect();
            let vectors = vectors.first.shape().first().copied().filter(|_| suits(&vectors, width))?;
            Some(EmbeddingWord { id: file.id(), tokens, vectors })
        };
        self.read(library).into_iter().filter_map(word).collect()
    }

    /// What infotexts say of the embeddings in use.
    pub(crate) fn hashes(library: &Library, used: &[String]) -> Option<String> {
        let files = library.files(FileKind::Embedding);
        let named = files.iter().filter(|file| used.contains(&file.id())).filter_map(|file| {
            let hash = library.sha256(file).ok()?;
            Some(format!("{}: {}", file.name.replace([':', ','], ""), hash.get(..12)?))
        });
        let named: Vec<String> = named.collect();
        (!named.is_empty()).then(|| named.join(", "))
    }
}

/// Whether a text encoder of `width` can use an embedding: one that is for it alone, of no more vectors than fit.
fn suits(vectors: &EmbeddingVectors, width: usize) -> bool {
    let fits =
        matches!(*vectors.first.shape(), [count, features] if count <= MOST_VECTORS && features == width);
    fits && vectors.second.is_none()
}

/// Reads an embedding from a file of tensors, or from a picture.
pub(crate) fn load(path: &Path) -> Result<EmbeddingVectors, String> {
    let suffix = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if !matches!(suffix.as_str(), "png" | "webp") {
        return EmbeddingVectors::open(path).map_err(|error| error.to_string());
    }
    let length = path.metadata().map_err(|error| error.to_string())?.len();
    if length > MOST_BYTES {
        return Err(format!("a picture of {length} bytes, more than {MOST_BYTES}"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let metadata = read_metadata(&bytes, MOST_PIXELS).map_err(|error| error.to_string())?;
    let json = if let Some(text) = metadata.item(PICTURE_TEXT) {
        decode_base64(text).map_err(|error| error.to_string())?
    } else {
        let picture = decode(&bytes, MOST_PIXELS).map_err(|error| error.to_string())?.to_rgb();
        hidden_data(&picture).ok_or("a picture without an embedding in its texts or pixels")?
    };
    EmbeddingVectors::from_json(&json).ok_or_else(|| "a picture whose embedding cannot be read".to_owned())
}
