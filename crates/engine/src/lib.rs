//! Resident models and the step loop; submit, cancel, watch.
//!
//! The engine owns the backend and the models in memory, and runs its step loop on a thread of its own. It knows nothing
//! of HTTP, users or databases. Everybody else holds an [`Engine`], which has no type parameter, and follows jobs through
//! a [`Watcher`].

mod adapters;
mod autoencoder;
mod catalog;
mod config;
mod denoise;
mod embeddings;
mod enlarge;
mod error;
mod handle;
mod job;
mod job_models;
mod library;
mod memory;
mod prepared;
mod preview;
mod recent;
mod resident;
mod shared;
mod small;
mod status;
mod tokenizers;
mod upscale;
mod vae;
mod worker;

pub use catalog::{BuiltinContent, BuiltinModel};
pub use config::{EngineConfig, EngineStats, SubmitOptions};
pub use embeddings::{EmbeddingInfo, EmbeddingList};
pub use enlarge::{Enlarger, PLAIN_UPSCALERS};
pub use error::EngineError;
pub use handle::{Engine, Watcher};
pub use impasto_diffusion::{Picture, PromptSide, TokenCount};
pub use impasto_weights::EmbeddingTraining;
pub use library::{FileKind, Library, LibraryFile};
pub use memory::available_bytes;
pub use prepared::PreparedWeights;
pub use status::{FinishedImage, JobId, JobState, JobStatus, ModelEntry, Stop};
pub use upscale::Upscalers;
pub use vae::VaeFile;
