//! An open checkpoint: the mapped file, its tensors by canonical name, and what is known about it. Nothing here
//! interprets numbers; loading a network is the models' matter.

use crate::architecture::StableDiffusionConfig;
use crate::container::{Container, sniff};
use crate::detect::detect;
use crate::entry::{Data, Element, Entries};
use crate::facts::{Facts, add_sidecars};
use crate::kind::{ModelKind, kind};
use crate::names::canonical;
use crate::{WeightsError, pickle, safetensors_file};
use impasto_tensor::WeightView;
use memmap2::Mmap;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

/// A model file, mapped into memory. Tensors are read from the disk when they are first touched.
pub struct Checkpoint {
    file: String,
    source: Source,
    container: Container,
    entries: Entries,
    metadata: BTreeMap<String, String>,
}

/// Where the bytes are.
enum Source {
    /// A file, kept open so that its length can be asked again.
    Mapped { map: Mmap, handle: File },
    /// Part of the program.
    Static(&'static [u8]),
}

impl Checkpoint {
    /// Opens a model file of any supported container, told by its content. Only the header is read.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let io = |source| WeightsError::Io { file: file.clone(), source };
        // Asked before opening, because opening a named pipe waits for a writer.
        let about = std::fs::metadata(path).map_err(io)?;
        if !about.is_file() {
            return Err(WeightsError::Foreign { file, found: irregular(path, about.is_dir()) });
        }
        let handle = File::open(path).map_err(io)?;
        // SAFETY: the map is read-only and handed out as plain bytes, for which any value is valid. Other programs
        // may write to the file, which makes wrong numbers, no more. One that shortens it would make reading past
        // its new end fault: model files are replaced by renaming, never cut in place, and `tensor` asks the
        // length again before each view.
        let map = unsafe { Mmap::map(&handle) }.map_err(io)?;
        let mut checkpoint = Self::read(file, Source::Mapped { map, handle })?;
        add_sidecars(&mut checkpoint.metadata, path);
        Ok(checkpoint)
    }

    /// A checkpoint that is part of the program. `name` stands in messages.
    pub fn from_static(name: &str, bytes: &'static [u8]) -> Result<Self, WeightsError> {
        Self::read(name.to_owned(), Source::Static(bytes))
    }

    fn read(file: String, source: Source) -> Result<Self, WeightsError> {
        let bytes = source.bytes();
        let container = sniff(bytes).map_err(|fault| fault.at(&file, Container::Safetensors))?;
        let (entries, metadata) = match container {
            Container::Safetensors => safetensors_file::read(bytes),
            Container::TorchZip => pickle::read_zip(bytes).map(|entries| (entries, BTreeMap::new())),
            Container::TorchLegacy => pickle::read_legacy(bytes).map(|entries| (entries, BTreeMap::new())),
        }
        .map_err(|fault| fault.at(&file, container))?;
        Ok(Self { file, source, container, entries: canonical(entries), metadata })
    }

    /// The file's name without its folder.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The file's format.
    pub fn container(&self) -> Container {
        self.container
    }

    /// Canonical names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this canonical name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// A tensor as it is stored, by canonical name. Pointwise convolutions of the UNet and the autoencoder always have
    /// four dimensions, [out, in, 1, 1], even where the file has them as matrices.
    pub fn tensor(&self, name: &str) -> Result<WeightView<'_>, WeightsError> {
        let missing = || WeightsError::Missing { file: self.file.clone(), tensor: name.to_owned() };
        let entry = self.entries.get(name).ok_or_else(missing)?;
        let dtype = match &entry.element {
            Element::Readable(dtype) => *dtype,
            Element::Other(other) => {
                let problem = format!("{other} elements in `{name}`");
                return Err(WeightsError::Unsupported {
                    file: self.file.clone(),
                    container: self.container,
                    problem,
                });
            }
        };
        let damaged =
            |problem| WeightsError::Damaged { file: self.file.clone(), container: self.container, problem };
        let bytes = match &entry.data {
            Data::Copied(bytes) => bytes,
            Data::InFile(range) => {
                self.source
                    .check_length()
                    .map_err(|source| WeightsError::Io { file: self.file.clone(), source })?;
                self.source
                    .bytes()
                    .get(range.clone())
                    .ok_or_else(|| damaged(format!("`{name}` lies outside")))?
            }
        };
        WeightView::new(dtype, entry.shape.clone(), bytes)
            .map_err(|error| damaged(format!("`{name}`: {error}")))
    }

    /// Lets the system take back the memory behind a tensor that has been copied elsewhere. It can still be read; its
    /// pages then come from the file again. Without this, a loaded model would be resident twice for a while.
    pub fn release(&self, name: &str) {
        #[cfg(unix)]
        if let (Source::Mapped { map, .. }, Some(entry)) = (&self.source, self.entries.get(name))
            && let Data::InFile(range) = &entry.data
            && range.end <= map.len()
        {
            // SAFETY: the map is read-only and backed by a file, so dropping its pages loses nothing. A refusal of the
            // system costs memory only.
            let _ = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
        }
    }

    /// The file's own metadata, overridden by what `NAME.json` and `NAME.yaml` beside it say.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Which model the tensors make up, told by their names.
    pub fn kind(&self) -> ModelKind {
        kind(&self.entries)
    }

    /// The configuration of a Stable Diffusion 1.x checkpoint. Every tensor it implies is present then, with the
    /// implied shape and a float type.
    pub fn config(&self) -> Result<StableDiffusionConfig, WeightsError> {
        let file = || self.file.clone();
        let kind = self.kind();
        if kind != ModelKind::StableDiffusion1 {
            return Err(WeightsError::Kind { file: file(), kind });
        }
        let facts = Facts::read(&self.metadata).map_err(|odd| WeightsError::Fact {
            file: file(),
            key: odd.key.to_owned(),
            value: odd.value,
            wanted: odd.wanted.to_owned(),
        })?;
        detect(&self.entries, &facts).map_err(|problems| WeightsError::Layout { file: file(), problems })
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.source.bytes().len() as u64
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("file", &self.file)
            .field("container", &self.container)
            .field("bytes", &self.bytes())
            .field("tensors", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Source {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped { map, .. } => map,
            Self::Static(bytes) => bytes,
        }
    }

    /// Whether the file still has the length that was mapped.
    fn check_length(&self) -> io::Result<()> {
        if let Self::Mapped { map, handle } = self {
            let length = handle.metadata()?.len();
            if length < map.len() as u64 {
                let message = format!("it was cut to {length} bytes while in use, from {}", map.len());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
        }
        Ok(())
    }
}

/// What a path that is no regular file is.
fn irregular(path: &Path, folder: bool) -> String {
    let found = match (folder, path.join("model_index.json").exists()) {
        (true, true) => "a diffusers folder",
        (true, false) => "a folder",
        (false, _) => "not a regular file",
    };
    found.to_owned()
}
