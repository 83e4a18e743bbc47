//! One job at work: its images, and the snapshot that its watchers see.

use crate::adapters::Adapters;
use crate::job_models::{JobModel, JobModels};
use crate::{
    EngineError, FinishedImage, JobId, JobState, JobStatus, ModelEntry, Picture, Stop, SubmitOptions,
};
use impasto_diffusion::{ImageSpec, ModelSlot, Trajectory};
use impasto_domain::{
    Conditioning, GenerationRequest, InfotextFacts, PROGRAM_VERSION, Precision, compose_infotext,
};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A model as it is held in memory: of which file, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ModelKey {
    filename: String,
    pub(crate) precision: Precision,
}

impl ModelKey {
    pub(crate) fn new(entry: &ModelEntry, precision: Precision) -> Self {
        Self { filename: entry.filename.clone(), precision }
    }
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.filename, self.precision.name())
    }
}

/// An image of the batch at work.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) index: u32,
    pub(crate) trajectory: Trajectory,
}

/// A job, from its acceptance to its end.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) request: Arc<GenerationRequest>,
    pub(crate) models: JobModels,
    /// Which of them answers the next step.
    slot: ModelSlot,
    pub(crate) options: SubmitOptions,
    /// Images at work; all of one batch.
    pub(crate) batch: Vec<Image>,
    /// First image of the next batch.
    next_image: u32,
    images: Vec<FinishedImage>,
    status: watch::Sender<Arc<JobStatus>>,
    began: Option<Instant>,
    /// Steps made, and of how many, when the job was last told to hurry.
    interrupted: Option<(u32, u32)>,
    /// When the newest preview was made.
    pub(crate) previewed: Option<Instant>,
    preview: Option<Arc<Picture>>,
    preview_number: u64,
    position: usize,
    /// What the prompt's tags ask for.
    adapters: Adapters,
    /// The entry, with its hash once that is known; nothing until the model is in memory.
    loaded: Option<Arc<ModelEntry>>,
}

impl Job {
    /// An accepted job whose watchers follow the sender, which holds its first snapshot.
    pub(crate) fn new(
        first: &JobStatus,
        models: JobModels,
        options: SubmitOptions,
        adapters: Adapters,
        status: watch::Sender<Arc<JobStatus>>,
    ) -> Self {
        Self {
            id: first.id,
            request: first.request.clone(),
            models,
            slot: ModelSlot::First,
            options,
            batch: Vec::new(),
            next_image: 0,
            images: Vec::new(),
            status,
            began: None,
            interrupted: None,
            previewed: None,
            preview: None,
            preview_number: 0,
            position: first.position,
            adapters,
            loaded: None,
        }
    }

    /// The snapshot of a job that was just accepted.
    pub(crate) fn first_status(id: JobId, request: Arc<GenerationRequest>, position: usize) -> JobStatus {
        JobStatus {
            id,
            steps: request.total_steps(),
            request,
            state: JobState::Queued,
            position,
            step: 0,
            batches_done: 0,
            progress: 0.0,
            elapsed: Duration::ZERO,
            eta: None,
            preview: None,
            preview_number: 0,
            images: Vec::new(),
            model: None,
            vae: None,
            conditioning: Conditioning::default(),
            comments: Arc::default(),
            interrupted: false,
            error: None,
        }
    }

    /// Whether nobody watches a job that is not wanted then.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.options.cancel_when_unwatched && self.status.receiver_count() == 0
    }

    /// Whether somebody wants to see unfinished pictures.
    pub(crate) fn wants_previews(&self) -> bool {
        self.options.previews.is_some() && self.status.receiver_count() > 0
    }

    /// Tells watchers how many jobs are before this one.
    pub(crate) fn set_position(&mut self, position: usize) {
        if self.position != position {
            self.position = position;
            self.publish(JobState::Queued, None);
        }
    }

    /// Starts the clock.
    pub(crate) fn begin(&mut self) {
        self.position = 0;
        self.began = Some(Instant::now());
        self.publish(JobState::Running, None);
    }

    /// Tells watchers, once, that the model is there.
    pub(crate) fn loaded(&mut self) {
        if self.loaded.is_none() {
            self.loaded = Some(self.models.first.entry.clone());
            self.publish(JobState::Running, None);
        }
    }

    /// Takes the next batch in hand; `false` when there is none.
    pub(crate) fn begin_batch(&mut self) -> Result<bool, String> {
        let end = self.next_image.saturating_add(self.request.batch_size).min(self.request.image_count());
        let native = self.models.first.entry.native_size.unwrap_or((512, 512));
        for index in self.next_image..end {
            let spec = ImageSpec {
                adapters: self.adapters.uses.clone(),
                second_adapters: self.adapters.second.clone(),
                ..ImageSpec::of(&self.request, index, native)
            };
            let trajectory = Trajectory::new(spec, self.models.facts()).map_err(|error| error.to_string())?;
            self.batch.push(Image { index, trajectory });
        }
        self.next_image = end;
        Ok(!self.batch.is_empty())
    }

    /// The model that answers the next step.
    pub(crate) fn model(&self) -> &JobModel {
        self.models.of(self.slot)
    }

    /// Goes over to the model that the image farthest behind wants.
    pub(crate) fn choose_model(&mut self) {
        let behind = self.batch.iter().min_by_key(|image| image.trajectory.progress().0);
        self.slot = behind.map_or(ModelSlot::First, |image| image.trajectory.model());
    }

    /// Whether an image wants the model that was chosen.
    pub(crate) fn is_its_turn(&self, at: usize) -> bool {
        self.models.of(self.batch[at].trajectory.model()).key == self.model().key
    }

    /// Ends the batch at work, or everything, with what there is by now.
    pub(crate) fn hurry(&mut self, how: Stop) {
        self.interrupted = Some(self.steps());
        for image in &mut self.batch {
            image.trajectory.finish_early();
        }
        if how == Stop::Interrupt {
            self.next_image = self.request.image_count();
        }
    }

    /// Keeps a finished picture. `latest` gives a model's entry with its hash, if that is known.
    pub(crate) fn keep(
        &mut self,
        image: &mut Image,
        picture: Picture,
        latest: impl Fn(&Arc<ModelEntry>) -> Arc<ModelEntry>,
    ) {
        let index = image.index;
        let model = latest(&self.models.first.entry);
        let named = |model: &Option<JobModel>| model.as_ref().map(|model| short_title(&latest(&model.entry)));
        let (refiner, second) = (named(&self.models.refiner), named(&self.models.second));
        let size =
            (self.request.width.unwrap_or(picture.width), self.request.height.unwrap_or(picture.height));
        let infotext = compose_infotext(&InfotextFacts {
            request: &self.request,
            index,
            size,
            model_name: base_name(&model),
            model_hash: model.short_hash(),
            vae_name: self.models.first.vae.as_ref().map(|vae| vae.name.as_str()),
            vae_hash: self.models.first.vae.as_ref().and_then(|vae| vae.hash.as_deref()),
            conditioning: self.models.first.facts.conditioning,
            refiner: refiner.as_deref().filter(|_| image.trajectory.is_refined()),
            hires_model: second.as_deref(),
            lora_hashes: self.adapters.hashes.as_deref(),
            ti_hashes: self.adapters.embedding_hashes.as_deref(),
            version: PROGRAM_VERSION,
        });
        let seeds = self.request.seeds(index);
        self.loaded = Some(model);
        self.images.push(FinishedImage {
            index,
            picture: Arc::new(picture),
            infotext,
            seed: seeds.seed,
            subseed: seeds.subseed,
            asides: image.trajectory.take_asides().into(),
            is_early: image.trajectory.is_early(),
        });
    }

    /// Shows how the first image at work looks.
    pub(crate) fn show(&mut self, picture: Picture) {
        self.preview = Some(Arc::new(picture));
        self.preview_number += 1;
        self.previewed = Some(Instant::now());
    }

    /// Tells watchers how far the job is.
    pub(crate) fn publish_progress(&self) {
        self.publish(JobState::Running, None);
    }

    /// Tells watchers how the job ended.
    pub(crate) fn finish(&self, outcome: Result<(), EngineError>) {
        match outcome {
            Ok(()) => self.publish(JobState::Done, None),
            Err(error) => self.publish(JobState::Failed, Some(error.to_string())),
        }
    }

    /// Tells watchers that the job was cancelled, and why if it was not their wish.
    pub(crate) fn cancel(&self, reason: Option<String>) {
        self.publish(JobState::Cancelled, reason);
    }

    /// Steps made by the image that is farthest behind, and of how many.
    fn steps(&self) -> (u32, u32) {
        let behind = self.batch.iter().map(|image| image.trajectory.progress()).min();
        behind.unwrap_or((0, self.request.total_steps()))
    }

    fn publish(&self, state: JobState, error: Option<String>) {
        let request = &self.request;
        let done = self.images.len() as u32;
        let (step, steps) = match (state, self.interrupted) {
            (JobState::Done, None) => (request.total_steps(), request.total_steps()),
            (JobState::Done, Some(interrupted)) => interrupted,
            _ => self.steps(),
        };
        let batches_done = done / request.batch_size.max(1);
        let share = if self.batch.is_empty() { 0.0 } else { step as f32 / steps.max(1) as f32 };
        let progress = if state == JobState::Done {
            1.0
        } else {
            ((batches_done as f32 + share) / request.batch_count.max(1) as f32).min(1.0)
        };
        let elapsed = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        let eta = (progress > 0.0 && !state.is_final())
            .then(|| elapsed.mul_f32((1.0 - progress).max(0.0) / progress));
        self.status.send_replace(Arc::new(JobStatus {
            id: self.id,
            request: request.clone(),
            state,
            position: self.position,
            step,
            steps,
            batches_done,
            progress,
            elapsed,
            eta,
            preview: self.preview.clone(),
            preview_number: self.preview_number,
            images: if state == JobState::Cancelled { Vec::new() } else { self.images.clone() },
            model: self.loaded.clone(),
            vae: self.models.first.vae.clone(),
            conditioning: self.models.first.facts.conditioning,
            comments: self.adapters.comments.clone(),
            interrupted: self.interrupted.is_some(),
            error,
        }));
    }
}

/// Name and hash, as infotexts give those of models beside the first.
fn short_title(model: &ModelEntry) -> String {
    let name = base_name(model);
    model.short_hash().map_or_else(|| name.to_owned(), |hash| format!("{name} [{hash}]"))
}

/// The name that infotexts give a model: the file's, without folder and suffix.
fn base_name(model: &ModelEntry) -> &str {
    let relative = model.title.split(" [").next().unwrap_or_default();
    let file = relative.rsplit('/').next().unwrap_or_default();
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}
