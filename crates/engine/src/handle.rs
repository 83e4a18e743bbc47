//! The handle by which everybody else speaks with the engine's thread.

use crate::adapters::{Adapters, add_defaults};
use crate::catalog::{Catalog, Inspected};
use crate::config::{EngineConfig, EngineStats, SubmitOptions};
use crate::embeddings::{EmbeddingList, Embeddings};
use crate::enlarge::Enlarger;
use crate::job::Job;
use crate::job_models::{JobModel, JobModels};
use crate::library::{FileKind, Library};
use crate::memory::{available_bytes, working_bytes};
use crate::prepared::PreparedWeights;
use crate::resident::Residents;
use crate::shared::{CloseOnDrop, Shared};
use crate::small::{SmallNetworks, TINY_DECODER, TINY_ENCODER, missing};
use crate::tokenizers::Tokenizers;
use crate::vae;
use crate::worker::Worker;
use crate::{EngineError, JobId, JobStatus, ModelEntry, Stop};
use impasto_diffusion::{
    EmbeddingWord, ImageSpec, PromptSide, TokenCount, check_prompts, count_tokens, is_latent_upscaler,
};
use impasto_domain::{
    Conditioning, Decoding, GenerationRequest, Precision, PromptRules, RequestError, RequestLimits,
};
use impasto_tensor::Backend;
use impasto_weights::StableDiffusionConfig;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Bytes of upscalers' files whose networks are kept in memory.
const UPSCALER_BYTES: u64 = 512 << 20;

/// How much longer than asked a shutdown waits for the step at work.
const LAST_STEP: Duration = Duration::from_secs(2);

/// What the engine's thread is told.
pub(crate) enum Command {
    Submit(Box<Job>),
    Stop(JobId, Stop),
    Load(Arc<ModelEntry>, Precision),
    Unload,
    Shutdown(Instant),
}

struct Inner {
    shared: Arc<Shared>,
    catalog: Arc<Catalog>,
    library: Arc<Library>,
    enlarger: Enlarger,
    tokenizers: Tokenizers,
    embeddings: Embeddings,
    commands: Mutex<Sender<Command>>,
    limits: RequestLimits,
    precision: Precision,
    queue_limit: usize,
    /// Counts the jobs accepted, so that no two ids are alike.
    accepted: AtomicU64,
    description: String,
}

/// A handle of the engine. Cloning it gives another handle of the same engine; no call waits for a step to end.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("backend", &self.inner.description).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine's thread on a backend.
    pub fn start<B: Backend>(backend: B, config: EngineConfig) -> Result<Self, EngineError> {
        let backend = Arc::new(backend);
        let description = backend.describe();
        let form = backend.prepared_form();
        let prepared = config
            .cache_dir
            .as_deref()
            .zip(form)
            .map(|(cache, form)| Arc::new(PreparedWeights::new(cache, form)));
        let catalog = Arc::new(Catalog::new(config.models_dir, config.cache_dir.as_deref(), config.builtin));
        let library = Arc::new(Library::new(config.data_dir, config.cache_dir.as_deref()));
        let enlarger = Enlarger::new(backend.clone(), library.clone(), UPSCALER_BYTES);
        let small = SmallNetworks::new(backend.clone(), library.clone());
        let shared = Arc::new(Shared::default());
        let (commands, received) = channel();
        let worker = Worker::new(
            Residents::new(backend, catalog.clone(), prepared, config.model_bytes),
            enlarger.clone(),
            small,
            shared.clone(),
            received,
        );
        let closing = CloseOnDrop::new(shared.clone());
        std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                let _closing = closing;
                worker.run();
            })
            .map_err(|error| EngineError::Start(error.to_string()))?;
        let inner = Inner {
            shared,
            catalog,
            library,
            enlarger,
            tokenizers: Tokenizers::default(),
            embeddings: Embeddings::default(),
            commands: Mutex::new(commands),
            limits: config.limits,
            precision: config.precision,
            queue_limit: config.queue_limit,
            accepted: AtomicU64::new(0),
            description,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Accepts a request, or says why not. Model, size, precision and seeds are filled in.
    pub fn submit(
        &self,
        mut request: GenerationRequest,
        options: SubmitOptions,
    ) -> Result<Watcher, EngineError> {
        let (entry, config) = self.model_for(&request)?;
        let native = entry.native_size.unwrap_or((512, 512));
        let network_comments = add_defaults(&self.inner.library, &mut request);
        request.validate(&self.inner.limits, native)?;
        check_clip_skip(&request, config.text.layers as u32)?;
        if let Some(hires) = &request.hires
            && !is_latent_upscaler(&hires.upscaler)
            && !self.inner.enlarger.knows(&hires.upscaler)
        {
            return Err(EngineError::UnknownUpscaler(hires.upscaler.clone()));
        }
        let tokenizer = || self.inner.tokenizers.get(config.text.vocabulary);
        let first_image = ImageSpec::of(&request, 0, native);
        let words = self.embedding_words(&config)?;
        let used = check_prompts(&first_image, tokenizer, &words)?;
        check_beginning(&request, &config)?;
        request.width.get_or_insert(native.0);
        request.height.get_or_insert(native.1);
        request.model = Some(entry.title.clone());
        let precision = *request.precision.get_or_insert(self.inner.precision);
        let (models, vae_comments) =
            self.models_for(&mut request, (entry.clone(), config.clone()), precision)?;
        request.draw_seeds(random);
        self.check_memory(&request, &entry, &config)?;
        let waiting = self.inner.shared.waiting();
        if waiting >= self.inner.queue_limit {
            return Err(EngineError::QueueFull { limit: self.inner.queue_limit });
        }
        // Random, so that ids of an earlier run of the program are not taken for ours; the count keeps them apart.
        let id = JobId(random() << 16 | self.inner.accepted.fetch_add(1, Ordering::Relaxed) & 0xffff);
        let position = waiting + self.inner.shared.running();
        let mut adapters = Adapters::of(&self.inner.library, &first_image);
        adapters.embedding_hashes = Embeddings::hashes(&self.inner.library, &used);
        let small_comments = self.check_small(&mut request);
        let more = network_comments
            .into_iter()
            .chain(vae_comments)
            .chain(small_comments)
            .chain(comments_on(&request));
        adapters.comments = adapters.comments.iter().cloned().chain(more).collect();
        let comments = adapters.comments.clone();
        let first = JobStatus { comments, ..Job::first_status(id, Arc::new(request), position) };
        let (sender, receiver) = watch::channel(Arc::new(first.clone()));
        self.inner.shared.jobs().insert(id, sender.clone());
        if let Err(error) =
            self.send(Command::Submit(Box::new(Job::new(&first, models, options, adapters, sender))))
        {
            self.inner.shared.jobs().remove(id);
            return Err(error);
        }
        self.inner.shared.wait();
        Ok(Watcher { id, receiver })
    }

    fn model_for(&self, request: &GenerationRequest) -> Result<Inspected, EngineError> {
        let catalog = &self.inner.catalog;
        let entry = match &request.model {
            Some(name) => catalog.find(name).ok_or_else(|| EngineError::UnknownModel(name.clone()))?,
            None => catalog.default_model()?,
        };
        catalog.inspect(&entry)
    }

    /// The models that a request asks for, beginning with the first, and what is wrong with their autoencoders; the names of the others
    /// become titles.
    fn models_for(
        &self,
        request: &mut GenerationRequest,
        first: Inspected,
        precision: Precision,
    ) -> Result<(JobModels, Vec<String>), EngineError> {
        let mut comments = Vec::new();
        let choice = request.vae.clone();
        let mut model = |(entry, config): Inspected| {
            let tokenizer = self.inner.tokenizers.get(config.text.vocabulary)?;
            let words = self.embedding_words(&config)?;
            let vae = vae::find(&self.inner.library, &choice, &entry, &config.vae);
            comments.extend(vae.comment.filter(|comment| !comments.contains(comment)));
            Ok::<_, EngineError>(JobModel::new((entry, config), precision, tokenizer, words, vae.file))
        };
        let catalog = &self.inner.catalog;
        let first = model(first)?;
        let mut other = |name: &mut String| {
            let entry = catalog.find_closest(name).ok_or_else(|| EngineError::UnknownModel(name.clone()))?;
            name.clone_from(&entry.title);
            model(catalog.inspect(&entry)?)
        };
        let second =
            request.hires.as_mut().and_then(|hires| hires.model.as_mut()).map(&mut other).transpose()?;
        let refiner = request.refiner.as_mut().map(|refiner| other(&mut refiner.checkpoint)).transpose()?;
        let is_other = |model: &JobModel| model.key != first.key;
        let models = JobModels { second: second.filter(is_other), refiner: refiner.filter(is_other), first };
        Ok((models, comments))
    }

    /// Leaves the small networks that are not there to autoencoders; answers what is to be said of that.
    fn check_small(&self, request: &mut GenerationRequest) -> Vec<String> {
        let encodes = request.from_picture.is_some() || request.hires.is_some();
        let vae = &mut request.vae;
        let uses = [(&mut vae.decode, TINY_DECODER, true), (&mut vae.encode, TINY_ENCODER, encodes)];
        let mut comments = Vec::new();
        for (method, place, used) in uses {
            if *method == Decoding::Taesd
                && let Some(problem) = missing(&self.inner.library, place).filter(|_| used)
            {
                *method = Decoding::Full;
                comments.push(format!("TAESD is left out: {problem}; the autoencoder is used"));
            }
        }
        comments
    }

    fn check_memory(
        &self,
        request: &GenerationRequest,
        entry: &ModelEntry,
        config: &StableDiffusionConfig,
    ) -> Result<(), EngineError> {
        let (Some(width), Some(height), Some(free)) = (request.width, request.height, available_bytes())
        else {
            return Ok(());
        };
        // Models in memory make room for this one, and if it is among them, its weights are there already.
        let resident = self.inner.shared.resident_bytes();
        let (width, height) =
            request.hires.as_ref().map_or((width, height), |hires| hires.sizes((width, height)).target);
        let working = working_bytes(config, (width, height), request);
        let needed = working.saturating_add(entry.bytes);
        if needed <= free + resident {
            return Ok(());
        }
        Err(EngineError::TooLarge {
            images: request.image_count(),
            width,
            height,
            needed_mib: needed >> 20,
            available_mib: (free + resident) >> 20,
        })
    }

    fn send(&self, command: Command) -> Result<(), EngineError> {
        if !self.is_alive() {
            return Err(EngineError::Stopped);
        }
        let commands = self.inner.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.send(command).map_err(|_| EngineError::Stopped)
    }

    /// Follows a job; also one that ended a while ago.
    pub fn watch(&self, id: JobId) -> Option<Watcher> {
        let receiver = self.inner.shared.jobs().get(id)?.subscribe();
        Some(Watcher { id, receiver })
    }

    /// Snapshots of all jobs still known, newest last.
    pub fn jobs(&self) -> Vec<Arc<JobStatus>> {
        self.inner.shared.jobs().statuses()
    }

    /// Ends a job before its time; `false` when there is no such job or it has ended.
    pub fn stop(&self, id: JobId, how: Stop) -> bool {
        let ended = self.inner.shared.jobs().get(id).is_none_or(|status| status.borrow().state.is_final());
        !ended && self.send(Command::Stop(id, how)).is_ok()
    }

    /// Forgets the models in memory that no job uses.
    pub fn unload(&self) -> Result<(), EngineError> {
        self.send(Command::Unload)
    }

    /// Begins to load the model that is used where a request names none, and answers which that is.
    pub fn load_default(&self) -> Result<Arc<ModelEntry>, EngineError> {
        let entry = self.inner.catalog.default_model()?;
        self.send(Command::Load(entry.clone(), self.inner.precision))?;
        Ok(entry)
    }

    /// The files beside checkpoints.
    pub fn library(&self) -> &Library {
        &self.inner.library
    }

    /// What enlarges pictures. Its work is done by whoever calls it.
    pub fn enlarger(&self) -> &Enlarger {
        &self.inner.enlarger
    }

    /// The models that can be used.
    pub fn models(&self) -> Vec<Arc<ModelEntry>> {
        self.inner.catalog.entries()
    }

    /// Looks for new model files.
    pub fn refresh_models(&self) {
        self.inner.catalog.refresh();
    }

    /// The model that answers to a name, by exact match of title, name, file name, base name or hash.
    pub fn find_model(&self, name: &str) -> Option<Arc<ModelEntry>> {
        self.inner.catalog.find(name)
    }

    /// The model whose title has a text in it, if none has it as a name.
    pub fn find_closest_model(&self, name: &str) -> Option<Arc<ModelEntry>> {
        self.inner.catalog.find_closest(name)
    }

    /// The model used where a request names none.
    pub fn default_model(&self) -> Option<Arc<ModelEntry>> {
        self.inner.catalog.default_model().ok()
    }

    /// Makes a model the one used where a request names none.
    pub fn set_default_model(&self, name: &str) -> Result<Arc<ModelEntry>, EngineError> {
        self.inner.catalog.set_default(name)
    }

    /// A model's entry with what its file's header tells, such as the native size. Takes no time to speak of.
    pub fn open_model(&self, entry: &ModelEntry) -> Result<Arc<ModelEntry>, EngineError> {
        self.inner.catalog.inspect(entry).map(|(entry, _)| entry)
    }

    /// A model's entry with native size and hash. Reads the whole file unless its hash is cached: seconds.
    pub fn inspect_model(&self, entry: &ModelEntry) -> Result<Arc<ModelEntry>, EngineError> {
        self.inner.catalog.inspect(entry)?;
        self.inner.catalog.hashed(entry)
    }

    /// How many tokens a prompt has in the model used where a request names none.
    pub fn count_tokens(
        &self,
        prompt: &str,
        side: PromptSide,
        steps: u32,
        rules: PromptRules,
    ) -> Result<TokenCount, EngineError> {
        let (_, config) = self.model_for(&GenerationRequest::default())?;
        let tokenizer = self.inner.tokenizers.get(config.text.vocabulary)?;
        let words = self.embedding_words(&config)?;
        Ok(count_tokens(prompt, side, steps, rules, &tokenizer, &words)?)
    }

    /// The embeddings of the data root, for the model used where a request names none.
    pub fn embeddings(&self) -> Result<EmbeddingList, EngineError> {
        let (_, config) = self.model_for(&GenerationRequest::default())?;
        Ok(self.inner.embeddings.list(&self.inner.library, config.text.width))
    }

    /// How prompts call the embeddings that a model can use.
    fn embedding_words(&self, config: &StableDiffusionConfig) -> Result<Arc<[EmbeddingWord]>, EngineError> {
        if self.inner.library.files(FileKind::Embedding).is_empty() {
            return Ok(Arc::default());
        }
        let tokenizer = self.inner.tokenizers.get(config.text.vocabulary)?;
        Ok(self.inner.embeddings.words(&self.inner.library, &tokenizer, config.text.width))
    }

    /// What requests may ask for.
    pub fn limits(&self) -> &RequestLimits {
        &self.inner.limits
    }

    /// The backend in a few words.
    pub fn describe(&self) -> &str {
        &self.inner.description
    }

    /// Figures for monitoring.
    pub fn stats(&self) -> EngineStats {
        self.inner.shared.stats()
    }

    /// Whether the engine's thread runs.
    pub fn is_alive(&self) -> bool {
        !self.inner.shared.has_stopped()
    }

    /// Accepts nothing more, lets running jobs end within `finish_within`, cancels the rest, and waits for that. A step
    /// that takes much longer is left behind.
    pub fn shutdown(&self, finish_within: Duration) {
        let deadline = Instant::now() + finish_within;
        // An engine that has stopped already needs no telling.
        let _ = self.send(Command::Shutdown(deadline));
        while self.is_alive() {
            if Instant::now() > deadline + LAST_STEP {
                tracing::warn!("a step takes too long to wait for");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Refuses to skip more layers than the model's text encoder has.
fn check_clip_skip(request: &GenerationRequest, layers: u32) -> Result<(), RequestError> {
    if request.clip_skip <= layers {
        return Ok(());
    }
    Err(RequestError {
        field: "clip_skip",
        value: request.clip_skip.to_string(),
        problem: format!("is out of range: this model's text encoder has {layers} layers"),
    })
}

/// Refuses to follow instructions about a picture where there is none.
fn check_beginning(request: &GenerationRequest, config: &StableDiffusionConfig) -> Result<(), RequestError> {
    let inputs = Conditioning::of_channels(config.unet.in_channels, config.vae.latent_channels);
    if request.from_picture.is_some() || inputs != Some(Conditioning::Instructions) {
        return Ok(());
    }
    Err(RequestError {
        field: "init_images",
        value: "of no pictures".to_owned(),
        problem: "will not do: this model follows instructions about a picture (image to image)".to_owned(),
    })
}

/// What of a request is left undone, and why.
fn comments_on(request: &GenerationRequest) -> Option<String> {
    request.restore_faces.then(|| {
        "faces are as they were: no network that restores them can be run yet; GFPGAN's file would belong into \
         models/GFPGAN, CodeFormer's into models/Codeformer"
            .to_owned()
    })
}

/// 64 bits that differ from call to call and from run to run. Not for secrets.
fn random() -> u64 {
    RandomState::new().hash_one(Instant::now())
}

/// Follows one job.
#[derive(Debug)]
pub struct Watcher {
    id: JobId,
    receiver: watch::Receiver<Arc<JobStatus>>,
}

impl Watcher {
    /// The job's name.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The newest snapshot.
    pub fn status(&mut self) -> Arc<JobStatus> {
        self.receiver.borrow_and_update().clone()
    }

    /// The next snapshot; at once the last one when the job has ended.
    pub async fn changed(&mut self) -> Arc<JobStatus> {
        let ended = self.receiver.borrow().state.is_final();
        if !ended {
            // An error means that the engine is gone; the last snapshot is what there is then.
            let _ = self.receiver.changed().await;
        }
        self.status()
    }

    /// The last snapshot, once the job has ended.
    pub async fn finished(mut self) -> Arc<JobStatus> {
        // An error means that the engine is gone, which it only is after a last snapshot.
        let _ = self.receiver.wait_for(|status| status.state.is_final()).await;
        self.status()
    }
}
