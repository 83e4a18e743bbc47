//! An open checkpoint: the file, its tensors by canonical name, and what is known about it. Nothing here
//! interprets numbers; loading a network is the models' matter.

use crate::architecture::StableDiffusionConfig;
use crate::container::{Container, sniff};
use crate::detect::detect;
use crate::entry::{Data, Element, Entries, Entry, gather};
use crate::error::Fault;
use crate::facts::{Facts, add_sidecars};
use crate::kind::{ModelKind, kind};
use crate::names::canonical;
use crate::source::Source;
use crate::upscaler::ncnn;
use crate::{UpscalerConfig, WeightsError, pickle, random, safetensors_file, upscaler};
use impasto_tensor::{DType, PreparedStore, TensorError, WeightView};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// An open model file. A tensor is read when it is asked for.
pub struct Checkpoint {
    file: String,
    source: Source,
    container: Container,
    entries: Entries,
    metadata: BTreeMap<String, String>,
    /// Where backends keep what they make of the tensors.
    prepared: Option<Arc<dyn PreparedStore>>,
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
        if let Some([text, weights]) = ncnn::pair(path) {
            return Self::read_ncnn(file, &text, &weights);
        }
        let source = File::open(path).and_then(Source::file).map_err(io)?;
        let mut checkpoint = Self::read(file, source)?;
        add_sidecars(&mut checkpoint.metadata, path);
        Ok(checkpoint)
    }

    fn read_ncnn(file: String, text: &Path, weights: &Path) -> Result<Self, WeightsError> {
        let io = |path: &Path, source| {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            WeightsError::Io { file, source }
        };
        let layers = ncnn::read_text(text).map_err(|error| io(text, error))?;
        if !weights.metadata().map_err(|error| io(weights, error))?.is_file() {
            return Err(io(weights, io::ErrorKind::InvalidInput.into()));
        }
        let source = File::open(weights).and_then(Source::file).map_err(|error| io(weights, error))?;
        let container = Container::Ncnn;
        let entries = ncnn::read(&layers, &source).map_err(|fault| fault.at(&file, container))?;
        Ok(Self { file, source, container, entries, metadata: BTreeMap::new(), prepared: None })
    }

    /// A checkpoint in memory, or part of the program. `name` stands in messages.
    pub fn from_bytes(name: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, WeightsError> {
        Self::read(name.to_owned(), Source::Memory(bytes.into()))
    }

    /// A checkpoint of pseudo-random weights, always the same ones for a configuration, as a safetensors file of `f16` would
    /// hold them. A tensor is made when it is asked for; there is no file, and nothing stays in memory. For measuring.
    pub fn random(config: &StableDiffusionConfig) -> Self {
        let entries = random::entries(config);
        let elements: usize = entries.values().map(|entry| entry.shape.iter().product::<usize>()).sum();
        Self {
            file: "random weights".to_owned(),
            source: Source::Made { length: elements * DType::F16.size() },
            container: Container::Safetensors,
            entries,
            metadata: random::metadata(config),
            prepared: None,
        }
    }

    fn read(file: String, source: Source) -> Result<Self, WeightsError> {
        let container = sniff(&source).map_err(|fault| fault.at(&file, Container::Safetensors))?;
        let (entries, metadata) = match container {
            Container::Safetensors => safetensors_file::read(&source),
            Container::TorchZip => pickle::read_zip(&source),
            Container::TorchLegacy => pickle::read_legacy(&source),
            // A pair is known by its names, not by what one file begins with.
            Container::Ncnn => Err(Fault::Foreign("half of an ncnn network".to_owned())),
        }
        .map_err(|fault| fault.at(&file, container))?;
        Ok(Self { file, source, container, entries: canonical(entries), metadata, prepared: None })
    }

    /// The file's name without its folder.
    pub fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn entries(&self) -> &Entries {
        &self.entries
    }

    pub(crate) fn entries_mut(&mut self) -> &mut Entries {
        &mut self.entries
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

    /// From now on backends find in `store` what they made of the tensors, or keep it there.
    pub fn keep_prepared_in(&mut self, store: Arc<dyn PreparedStore>) {
        self.prepared = Some(store);
    }

    /// A tensor as it is stored, by canonical name; it is read from the file when its elements are. Pointwise convolutions of the
    /// UNet and the autoencoder always have four dimensions, [out, in, 1, 1], even where the file has them as matrices.
    pub fn tensor(&self, name: &str) -> Result<WeightView<'_>, WeightsError> {
        let missing = || WeightsError::Missing { file: self.file.clone(), tensor: name.to_owned() };
        let (name, entry) = self.entries.get_key_value(name).ok_or_else(missing)?;
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
        let read = move || {
            self.read_tensor(name, dtype, entry).map_err(|error| TensorError::Weight(error.to_string()))
        };
        let view = WeightView::later(dtype, entry.shape.clone(), read)
            .map_err(|error| self.damaged(format!("`{name}`: {error}")))?;
        Ok(match &self.prepared {
            Some(store) => view.kept_in(store.clone(), name),
            None => view,
        })
    }

    fn read_tensor(&self, name: &str, dtype: DType, entry: &Entry) -> Result<Cow<'_, [u8]>, WeightsError> {
        let read = |range: &Range<usize>| {
            self.source.read(range.clone()).map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => WeightsError::cut(self.file.clone()),
                _ => WeightsError::Io { file: self.file.clone(), source },
            })
        };
        match &entry.data {
            Data::InFile(range) => read(range),
            Data::Strided(range, strides) => gather(&read(range)?, &entry.shape, strides, dtype.size())
                .map(Cow::Owned)
                .ok_or_else(|| self.damaged(format!("`{name}` lies outside its storage"))),
            Data::Made(distribution) => {
                Ok(Cow::Owned(distribution.elements(name, entry.shape.iter().product())))
            }
        }
    }

    fn damaged(&self, problem: String) -> WeightsError {
        WeightsError::Damaged { file: self.file.clone(), container: self.container, problem }
    }

    /// The file's own metadata, in pickles what stands beside the tensors, overridden by what `NAME.json` and `NAME.yaml` beside it say.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Which model the tensors make up, told by their names.
    pub fn kind(&self) -> ModelKind {
        kind(&self.entries)
    }

    /// The configuration of a checkpoint that pictures can be made with, which is one of Stable Diffusion 1.x. Every tensor
    /// it implies is present then, with the implied shape and a float type.
    pub fn config(&self) -> Result<StableDiffusionConfig, WeightsError> {
        match self.kind() {
            ModelKind::StableDiffusion1
            | ModelKind::StableDiffusion1Inpainting
            | ModelKind::InstructPix2Pix => self.networks(),
            kind => Err(WeightsError::Kind { file: self.file.clone(), kind }),
        }
    }

    /// The same of a checkpoint whose networks can be run one by one: of Stable Diffusion 1.x or XL base.
    pub fn networks(&self) -> Result<StableDiffusionConfig, WeightsError> {
        let file = || self.file.clone();
        let kind = self.kind();
        let can_run = matches!(
            kind,
            ModelKind::StableDiffusion1
                | ModelKind::StableDiffusion1Inpainting
                | ModelKind::InstructPix2Pix
                | ModelKind::StableDiffusionXl
        );
        if !can_run {
            return Err(WeightsError::Kind { file: file(), kind });
        }
        let facts = Facts::read(&self.metadata, kind).map_err(|odd| WeightsError::Fact {
            file: file(),
            key: odd.key.to_owned(),
            value: odd.value,
            wanted: odd.wanted.to_owned(),
        })?;
        detect(&self.entries, kind, &facts).map_err(|problems| WeightsError::Layout {
            file: file(),
            kind,
            problems,
        })
    }

    /// The network of an upscaler. Every tensor it implies is present then, with the implied shape and a float type, and no other.
    pub fn upscaler(&self) -> Result<UpscalerConfig, WeightsError> {
        let (file, kind) = (self.file.clone(), self.kind());
        if kind != ModelKind::Upscaler {
            return Err(WeightsError::Upscaler { file, kind });
        }
        upscaler::detect(&self.entries).map_err(|problems| WeightsError::Layout { file, kind, problems })
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.source.len() as u64
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

/// What a path that is no regular file is.
fn irregular(path: &Path, folder: bool) -> String {
    let found = match (folder, path.join("model_index.json").exists()) {
        (true, true) => "a diffusers folder",
        (true, false) => "a folder",
        (false, _) => "not a regular file",
    };
    found.to_owned()
}
