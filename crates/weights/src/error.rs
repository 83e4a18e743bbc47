//! What can go wrong with a model file. Not what is wrong with a model's pictures: numbers are never judged here.

use crate::{Container, ModelKind};
use std::io;

/// What to do about a container with something that is not read.
fn advice(container: Container) -> &'static str {
    match container {
        Container::Ncnn => "",
        _ => "; save it again as .safetensors",
    }
}

/// What the messages below recommend.
const SUPPORTED: &str = "Stable Diffusion 1.x checkpoints in the original layout, one file each: .safetensors, \
                         or .ckpt/.pt written by torch.save";

/// Why a model file cannot be used. `file` is the name without its folder.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The operating system refused.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The content is something else than a container of tensors.
    #[error("{file} is {found}; supported are {SUPPORTED}")]
    Foreign {
        /// The file.
        file: String,
        /// What it is, with its article.
        found: String,
    },
    /// The container contradicts itself or ends early.
    #[error("{file} is a damaged {container}: {problem}; copy or download it again")]
    Damaged {
        /// The file.
        file: String,
        /// What it began as.
        container: Container,
        /// What was found and what was wanted.
        problem: String,
    },
    /// A pickle asks for something outside the allow-list. Nothing was executed.
    #[error(
        "{file} was refused and nothing in it was executed: its pickle asks for `{global}`, which no plain \
         checkpoint needs; use a .safetensors version of it"
    )]
    Refused {
        /// The file.
        file: String,
        /// Module and name of what would have been called.
        global: String,
    },
    /// A sound container with a feature that is not read.
    #[error("{file} is a {container} with {problem}, which is not supported{}", advice(*container))]
    Unsupported {
        /// The file.
        file: String,
        /// What it is.
        container: Container,
        /// The feature, as a noun.
        problem: String,
    },
    /// Tensors, but not those of a Stable Diffusion 1.x checkpoint.
    #[error("{file} is {kind}, which is not supported as a checkpoint; supported are {SUPPORTED}")]
    Kind {
        /// The file.
        file: String,
        /// What it is.
        kind: ModelKind,
    },
    /// Tensors, but not those of an upscaler that can be run.
    #[error(
        "{file} is {kind}, which is not supported as an upscaler; supported are ESRGAN and Real-ESRGAN networks (RRDB, compact)"
    )]
    Upscaler {
        /// The file.
        file: String,
        /// What it is.
        kind: ModelKind,
    },
    /// Tensors, but not those of an autoencoder that fits the checkpoint.
    #[error("{file} is no autoencoder for this checkpoint: {problems}")]
    Autoencoder {
        /// The file.
        file: String,
        /// The first few tensors that are missing or odd, or the size that does not fit.
        problems: String,
    },
    /// Tensors, but not those of a hypernetwork.
    #[error("{file} is no hypernetwork that can be used: {problem}")]
    Hypernetwork {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A checkpoint whose tensors do not form its networks.
    #[error("{file} is {kind}, but not a complete one: {problems}")]
    Layout {
        /// The file.
        file: String,
        /// What it is.
        kind: ModelKind,
        /// The first few tensors that are missing or odd.
        problems: String,
    },
    /// A metadata value of our own that cannot be meant.
    #[error("{file}: `{key}` is `{value}`, wanted {wanted}")]
    Fact {
        /// The file.
        file: String,
        /// The metadata key.
        key: String,
        /// What it says.
        value: String,
        /// What it may say.
        wanted: String,
    },
    /// A tensor that is not there.
    #[error("{file} has no tensor `{tensor}`")]
    Missing {
        /// The file.
        file: String,
        /// The canonical name asked for.
        tensor: String,
    },
}

/// An error of a reader that does not know which file it reads.
#[derive(Debug, PartialEq)]
pub(crate) enum Fault {
    /// See [`WeightsError::Io`].
    Io(io::ErrorKind),
    /// See [`WeightsError::Foreign`].
    Foreign(String),
    /// See [`WeightsError::Damaged`].
    Damaged(String),
    /// See [`WeightsError::Refused`].
    Refused(String),
    /// See [`WeightsError::Unsupported`].
    Unsupported(String),
}

impl Fault {
    /// A [`Fault::Damaged`].
    pub(crate) fn damaged(problem: impl Into<String>) -> Self {
        Self::Damaged(problem.into())
    }

    /// The public error, with the file's name.
    pub(crate) fn at(self, file: &str, container: Container) -> WeightsError {
        let file = file.to_owned();
        match self {
            Self::Io(io::ErrorKind::UnexpectedEof) => WeightsError::cut(file),
            Self::Io(kind) => WeightsError::Io { file, source: kind.into() },
            Self::Foreign(found) => WeightsError::Foreign { file, found },
            Self::Damaged(problem) => WeightsError::Damaged { file, container, problem },
            Self::Refused(global) => WeightsError::Refused { file, global },
            Self::Unsupported(problem) => WeightsError::Unsupported { file, container, problem },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

impl WeightsError {
    /// A file that is shorter than it was when it was opened.
    pub(crate) fn cut(file: String) -> Self {
        let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read");
        Self::Io { file, source }
    }
}
