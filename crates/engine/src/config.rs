//! What the engine is set up with, and what it tells of itself.

use crate::catalog::BuiltinModel;
use impasto_domain::{Decoding, Precision, RequestLimits};
use std::path::PathBuf;

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Folder laid out as A1111's, whose autoencoders, adapters, embeddings and upscalers may be used.
    pub data_dir: Option<PathBuf>,
    /// Folder of checkpoints, or one checkpoint.
    pub models_dir: Option<PathBuf>,
    /// Folder for what may be computed again: hashes, prepared weights.
    pub cache_dir: Option<PathBuf>,
    /// Models inside the program.
    pub builtin: Vec<BuiltinModel>,
    /// What a request may ask for.
    pub limits: RequestLimits,
    /// How models are held where a request does not say.
    pub precision: Precision,
    /// Bytes of prepared weights to keep in memory.
    pub model_bytes: u64,
    /// Most jobs that may wait.
    pub queue_limit: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            data_dir: None,
            models_dir: None,
            cache_dir: None,
            builtin: Vec::new(),
            limits: RequestLimits::default(),
            precision: Precision::F32,
            model_bytes: 8 << 30,
            queue_limit: 256,
        }
    }
}

/// What is to be known of a job beyond what is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubmitOptions {
    /// Cancel the job when its last [`Watcher`] is dropped.
    pub cancel_when_unwatched: bool,
    /// How previews are made while somebody watches, if they are.
    pub previews: Option<Decoding>,
}

/// Figures of the engine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EngineStats {
    /// Jobs that wait.
    pub queued: usize,
    /// Jobs that take turns.
    pub running: usize,
    /// Sampler steps made, over all images.
    pub steps_total: u64,
    /// Pictures decoded.
    pub images_total: u64,
    /// Seconds spent in turns.
    pub busy_seconds_total: f64,
    /// Models in memory.
    pub resident_models: usize,
    /// Bytes of their prepared weights.
    pub resident_bytes: u64,
}
