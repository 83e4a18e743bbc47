//! What the outside sees of a job: one snapshot, replaced at each change.
//!
//! A watcher holds a [`tokio::sync::watch`] receiver of it. A slow watcher skips snapshots and never misses the last one.

use crate::VaeFile;
use impasto_diffusion::Picture;
use impasto_domain::{AsideKind, Bitmap, Conditioning, GenerationRequest};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Names a job, for as long as the program runs. Printed as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for JobId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Accepted; no step was made yet.
    Queued,
    /// Steps are being made.
    Running,
    /// All pictures that were not skipped are there.
    Done,
    /// It came to an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl JobState {
    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// The name in our own interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Everything known of a job at one moment.
#[derive(Debug, Clone)]
pub struct JobStatus {
    /// Its name.
    pub id: JobId,
    /// What was asked, with model, size and seeds filled in as soon as they are known.
    pub request: Arc<GenerationRequest>,
    /// Where it stands.
    pub state: JobState,
    /// Jobs before it, while it is queued.
    pub position: usize,
    /// Sampler steps made of the images at work.
    pub step: u32,
    /// Sampler steps of one image.
    pub steps: u32,
    /// Batches finished, of `request.batch_count`.
    pub batches_done: u32,
    /// Share of the whole job that is done, 0 to 1.
    pub progress: f32,
    /// Time since its first step.
    pub elapsed: Duration,
    /// Time it will still take, from the time its steps took so far; absent before the first.
    pub eta: Option<Duration>,
    /// How the first image at work looks now; `preview_number` grows with each new one.
    pub preview: Option<Arc<Picture>>,
    /// Counts previews, from 0 for none.
    pub preview_number: u64,
    /// Finished pictures, by index.
    pub images: Vec<FinishedImage>,
    /// The model, once it is loaded.
    pub model: Option<Arc<ModelEntry>>,
    /// The autoencoder in the place of its first model's own.
    pub vae: Option<Arc<VaeFile>>,
    /// What its first model is told of a picture beside the latent.
    pub conditioning: Conditioning,
    /// What is to be said of the request, such as which of its adapters were not found.
    pub comments: Arc<[String]>,
    /// Whether the job was interrupted or skipped, so that pictures may be unfinished or missing.
    pub interrupted: bool,
    /// Why it failed.
    pub error: Option<String>,
}

impl JobStatus {
    /// Bytes of its pictures: those that were made and those that came with the request.
    pub(crate) fn bytes(&self) -> usize {
        let sent = self.request.from_picture.iter().flat_map(|source| {
            source.images.iter().chain(source.inpainting.as_ref().map(|inpainting| &inpainting.mask))
        });
        let first = self.request.hires.iter().filter_map(|hires| hires.first_picture.as_deref());
        let sent: usize = sent.chain(first).map(|bitmap| bitmap.rgba.len()).sum();
        sent + self.images.iter().map(FinishedImage::bytes).sum::<usize>()
    }
}

/// One finished picture.
#[derive(Debug, Clone)]
pub struct FinishedImage {
    /// Its number in the job, from 0.
    pub index: u32,
    /// Its pixels.
    pub picture: Arc<Picture>,
    /// Its settings as A1111 writes them into the file.
    pub infotext: String,
    /// Seed of its noise.
    pub seed: u64,
    /// Seed of its variation noise.
    pub subseed: u64,
    /// Pictures beside it that were asked for.
    pub asides: Arc<[(AsideKind, Bitmap)]>,
    /// Whether it was ended before its time.
    pub is_early: bool,
}

impl FinishedImage {
    /// Bytes of its pictures.
    pub(crate) fn bytes(&self) -> usize {
        let asides = self.asides.iter().map(|(_, bitmap)| bitmap.rgba.len());
        self.picture.rgb.len() + asides.sum::<usize>()
    }
}

/// How a job is to be ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Decode what there is of the batch at work; leave out later batches. The job ends as [`JobState::Done`].
    Interrupt,
    /// Decode what there is of the batch at work and go on with the next.
    Skip,
    /// Throw everything away. The job ends as [`JobState::Cancelled`].
    Cancel,
}

/// A checkpoint that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelEntry {
    /// Path below the model folder, and the short hash once it is known: `sub/name.safetensors [0123456789]`.
    pub title: String,
    /// The path with `/` as `_` and without suffix.
    pub name: String,
    /// Path of the file, or `builtin:NAME` for a model inside the program.
    pub filename: String,
    /// SHA-256 of the whole file, once it was computed.
    pub sha256: Option<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Width and height the model was trained at; absent until the file was opened, or when it cannot be read.
    pub native_size: Option<(u32, u32)>,
    /// Guidance its maker recommends; absent until the file was opened, or where none is said.
    pub cfg_scale: Option<f64>,
    /// Why it cannot be used, if that was found out.
    pub problem: Option<String>,
}

impl ModelEntry {
    /// First 10 hexadecimal digits of the SHA-256, as A1111 shows it.
    pub fn short_hash(&self) -> Option<&str> {
        self.sha256.as_deref().and_then(|hash| hash.get(..10))
    }
}
