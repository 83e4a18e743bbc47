//! Models in memory: loaded on demand beside the step loop, the least recently used dropped when the byte limit is
//! passed.

use crate::adapters::LoadedAdapters;
use crate::autoencoder::Autoencoder;
use crate::catalog::Catalog;
use crate::embeddings;
use crate::job::{Job, ModelKey};
use crate::job_models::JobModel;
use crate::library::path_of;
use crate::prepared::PreparedWeights;
use crate::preview::LatentToRgb;
use crate::recent::Recent;
use crate::vae::VaeFile;
use crate::{EngineError, ModelEntry};
use impasto_diffusion::{AdapterUse, CHUNK_TOKENS, EncodeQuery, TextQuery};
use impasto_domain::Precision;
use impasto_models::{
    AdapterSet, Edges, ModelError, StableDiffusion, TokenVectors, UNetContext, UNetTime, VaeEncoder,
};
use impasto_tensor::{Array, Backend};
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// Chunks of text whose vectors are kept per model. One's take 236 KB at full width.
const TEXT_CHUNKS: usize = 128;
/// Tokens of text whose keys and values are kept per model, those of all layers. One's take 100 KB at full width.
pub(crate) const CONTEXT_TOKENS: usize = 16 * CHUNK_TOKENS;
/// Diffusion times kept per model. One takes 81 KB at full width.
const TIMES: usize = 128;

/// Embeddings whose vectors are kept per model. One's take 230 KB at most at full width.
const EMBEDDINGS: usize = 64;

/// Autoencoders of files that are kept per model. One takes 335 MB at full width, or half of that as halves.
const AUTOENCODERS: usize = 2;

/// Something, and the adapters with which it was made.
type Changed<T> = (T, Arc<[AdapterUse]>);

/// A model that is ready to run.
pub(crate) struct Resident<B: Backend> {
    pub(crate) networks: StableDiffusion<B>,
    encoder: Option<VaeEncoder<B>>,
    /// Autoencoders in the place of the model's own.
    autoencoders: Recent<String, Autoencoder<B>>,
    backend: Arc<B>,
    catalog: Arc<Catalog>,
    pub(crate) latent_to_rgb: LatentToRgb,
    /// Text vectors by what was asked, `[chunks, 77, features]`.
    texts: Recent<TextQuery, Array>,
    pub(crate) adapters: LoadedAdapters<B>,
    /// Vectors of embeddings.
    embeddings: Recent<String, Array>,
    /// What the UNet makes of texts, `[tokens, features]`.
    contexts: Recent<Changed<Arc<Array>>, UNetContext<B>>,
    /// What the UNet makes of diffusion times.
    times: Recent<Changed<f32>, UNetTime<B>>,
    entry: Arc<ModelEntry>,
    /// Computes the file's hash beside the first steps.
    hashing: Option<JoinHandle<Result<Arc<ModelEntry>, EngineError>>>,
    bytes: u64,
    used: u64,
}

impl<B: Backend> Resident<B> {
    /// Whether the file's hash is known, or known to be unknowable.
    pub(crate) fn is_hashed(&self) -> bool {
        self.hashing.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The model's entry, with its hash: waits for that if need be.
    pub(crate) fn entry(&mut self) -> Arc<ModelEntry> {
        if let Some(hashing) = self.hashing.take() {
            match hashing.join() {
                Ok(Ok(entry)) => self.entry = entry,
                Ok(Err(error)) => {
                    tracing::warn!(model = %self.entry.title, %error, "the model's hash is unknown");
                }
                Err(_) => tracing::error!(model = %self.entry.title, "hashing the model panicked"),
            }
        }
        self.entry.clone()
    }

    /// A model's entry with its hash, if that is known by now.
    pub(crate) fn latest(&self, entry: &Arc<ModelEntry>) -> Arc<ModelEntry> {
        self.catalog.find(&entry.filename).unwrap_or_else(|| entry.clone())
    }

    /// The latent `[channels, height, width]` of pixels. The encoder is loaded when it is first wanted, since
    /// text to image has no use for it.
    pub(crate) fn encode_image(
        &mut self,
        query: &EncodeQuery,
        vae: Option<&VaeFile>,
    ) -> Result<Array, EngineError> {
        let title = self.entry.title.clone();
        let problem = |problem: String| EngineError::BadModel { name: title.clone(), problem };
        let other = vae.map(|vae| self.autoencoder(vae)).transpose()?;
        let encoder = match (&other, &mut self.encoder) {
            (Some(other), _) => other.encoder().map_err(|error| problem(error.to_string()))?,
            (None, Some(encoder)) => encoder,
            (None, none) => {
                let checkpoint = self.catalog.open(&self.entry)?;
                let loaded = StableDiffusion::load_encoder(&self.backend, &checkpoint);
                none.insert(loaded.map_err(|error| problem(error.to_string()))?)
            }
        };
        let encode = || encoder.encode_mean_with(&Array::stack(&[&*query.pixels])?, edges(query.tiling));
        let latent = encode().map_err(|error| problem(error.to_string()))?;
        latent.unstack().pop().ok_or_else(|| problem("its encoder gave no latent".to_owned()))
    }

    /// Pixels `[n, 3, 8 height, 8 width]` of latents, by an autoencoder in the place of the model's own if there is to be one.
    pub(crate) fn decode(
        &mut self,
        latents: &Array,
        edges: Edges,
        vae: Option<&VaeFile>,
    ) -> Result<Array, EngineError> {
        let other = vae.map(|vae| self.autoencoder(vae)).transpose()?;
        let decoder = other.as_ref().map_or(&self.networks.decoder, |other| &other.decoder);
        decoder.decode_with(latents, edges).map_err(|error| EngineError::Failed(error.to_string()))
    }

    fn autoencoder(&mut self, vae: &VaeFile) -> Result<Arc<Autoencoder<B>>, EngineError> {
        let load = || Autoencoder::load(&self.backend, &vae.id, &self.networks.config.vae);
        let loaded = self.autoencoders.get_or_make(|id| *id == vae.id, || vae.id.clone(), |_| 1, load);
        loaded.map_err(|error| EngineError::Failed(format!("VAE {}: {error}", vae.name)))
    }

    /// The vectors of a text, from memory where it was asked before.
    pub(crate) fn encode(&mut self, query: &TextQuery) -> Result<Arc<Array>, ModelError> {
        let adapters = self.adapters.set(&query.adapters)?;
        let skip = query.clip_skip as usize;
        let mut placed = Vec::new();
        for (sequence, chunk) in query.embeddings.iter().enumerate() {
            for embedding in chunk {
                placed.push((sequence, embedding.at, self.embedding(&embedding.id)?));
            }
        }
        let replaced: Vec<TokenVectors<'_>> = (placed.iter())
            .map(|(sequence, at, vectors)| TokenVectors { sequence: *sequence, at: *at, vectors })
            .collect();
        let encode = || self.networks.text.encode_with(&query.chunks, skip, adapters.as_deref(), &replaced);
        self.texts.get_or_make(|known| known == query, || query.clone(), |_| query.chunks.len(), encode)
    }

    fn embedding(&mut self, id: &str) -> Result<Arc<Array>, ModelError> {
        let load = || embeddings::load(path_of(id)).map(|vectors| vectors.first).map_err(ModelError::Input);
        self.embeddings.get_or_make(|known| known == id, || id.to_owned(), |_| 1, load)
    }

    /// What the UNet makes of a text's vectors, from memory where they were used before.
    pub(crate) fn context(
        &mut self,
        text: &Arc<Array>,
        adapters: &Arc<[AdapterUse]>,
        set: Option<&AdapterSet<B>>,
    ) -> Result<Arc<UNetContext<B>>, ModelError> {
        let tokens = text.shape().first().copied().unwrap_or(0);
        let prepare = || self.networks.unet.prepare_context_with(text, set);
        let key = || (text.clone(), adapters.clone());
        self.contexts.get_or_make(
            |(known, with)| with == adapters && is_same(known, text),
            key,
            |_| tokens,
            prepare,
        )
    }

    /// What the UNet makes of a diffusion time, from memory where it was used before.
    pub(crate) fn time(
        &mut self,
        timestep: f32,
        adapters: &Arc<[AdapterUse]>,
        set: Option<&AdapterSet<B>>,
    ) -> Result<Arc<UNetTime<B>>, ModelError> {
        let prepare = || self.networks.unet.prepare_time_with(timestep, None, set);
        let is_it = |(known, with): &Changed<f32>| known.to_bits() == timestep.to_bits() && with == adapters;
        self.times.get_or_make(is_it, || (timestep, adapters.clone()), |_| 1, prepare)
    }
}

/// Whether two arrays are equal to the last bit. Images of one batch have texts of their own that are.
fn is_same(a: &Arc<Array>, b: &Arc<Array>) -> bool {
    let same_bits = || a.data().iter().zip(b.data()).all(|(a, b)| a.to_bits() == b.to_bits());
    Arc::ptr_eq(a, b) || (a.shape() == b.shape() && same_bits())
}

/// A thread that loads a model.
type Loading<B> = JoinHandle<Result<Resident<B>, EngineError>>;

/// The models in memory.
pub(crate) struct Residents<B: Backend> {
    backend: Arc<B>,
    catalog: Arc<Catalog>,
    /// Where weights that were prepared ahead may be.
    prepared: Option<Arc<PreparedWeights>>,
    models: HashMap<ModelKey, Resident<B>>,
    /// The model being loaded, by a thread of its own so that jobs of others go on.
    loading: Option<(ModelKey, Loading<B>)>,
    limit: u64,
    clock: u64,
}

impl<B: Backend> Residents<B> {
    /// No models yet, and at most `limit` bytes of them unless one alone is larger.
    pub(crate) fn new(
        backend: Arc<B>,
        catalog: Arc<Catalog>,
        prepared: Option<Arc<PreparedWeights>>,
        limit: u64,
    ) -> Self {
        Self { backend, catalog, prepared, models: HashMap::new(), loading: None, limit, clock: 0 }
    }

    /// Number and bytes of the models in memory.
    pub(crate) fn size(&self) -> (usize, u64) {
        (self.models.len(), self.models.values().map(|model| model.bytes).sum())
    }

    /// Whether the models of these jobs can be in memory together. One alone always can, or else it could never be used.
    pub(crate) fn fit_together<'a>(&self, jobs: impl Iterator<Item = &'a Job>) -> bool {
        let bytes = |model: &JobModel| {
            self.models.get(&model.key).map_or(model.entry.bytes, |resident| resident.bytes)
        };
        let wanted: HashMap<&ModelKey, u64> =
            jobs.map(|job| (&job.model().key, bytes(job.model()))).collect();
        wanted.len() <= 1 || wanted.values().sum::<u64>() <= self.limit
    }

    /// The model `key` of a catalog's `entry` if it is in memory; else it is being loaded from now on, or will be when the one
    /// before it is. Models not in `in_use` may be dropped for it.
    pub(crate) fn get(
        &mut self,
        key: &ModelKey,
        entry: &ModelEntry,
        in_use: &[&ModelKey],
    ) -> Result<Option<&mut Resident<B>>, EngineError> {
        self.clock += 1;
        // What a job at work waits for is left to its own question, so that it learns why loading failed.
        let mine = |other: &ModelKey| other == key || !in_use.contains(&other);
        let finished = self.loading.take_if(|(other, loading)| mine(other) && loading.is_finished());
        if let Some((loaded, loading)) = finished {
            let outcome = loading.join();
            match outcome.unwrap_or_else(|_| Err(EngineError::Failed("loading panicked".to_owned()))) {
                Ok(model) => {
                    self.models.insert(loaded, model);
                }
                Err(error) if loaded == *key => return Err(error),
                Err(error) => {
                    tracing::warn!(model = %loaded, %error, "a model that nobody waits for failed to load");
                }
            }
        }
        if !self.models.contains_key(key) && self.loading.is_none() {
            // Weights are kept about as wide as the file has them.
            self.make_room(entry.bytes, in_use);
            self.loading = Some((key.clone(), self.start_loading(key, entry)?));
        }
        let clock = self.clock;
        let mut model = self.models.get_mut(key);
        if let Some(model) = &mut model {
            model.used = clock;
        }
        Ok(model)
    }

    /// Whether the hashes of a job's models are known, as far as they are in memory, or known to be unknowable.
    pub(crate) fn are_hashed(&self, job: &Job) -> bool {
        job.models.all().all(|model| self.models.get(&model.key).is_none_or(Resident::is_hashed))
    }

    /// Forgets all models that are not in use.
    pub(crate) fn unload(&mut self, in_use: &[&ModelKey]) {
        self.models.retain(|key, _| in_use.contains(&key));
    }

    fn make_room(&mut self, bytes: u64, in_use: &[&ModelKey]) {
        while self.size().1 + bytes > self.limit {
            let oldest = self
                .models
                .iter()
                .filter(|(key, _)| !in_use.contains(key))
                .min_by_key(|(_, model)| model.used)
                .map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            tracing::info!(model = %oldest, "dropped from memory to make room");
            self.models.remove(&oldest);
        }
    }

    fn start_loading(&self, key: &ModelKey, entry: &ModelEntry) -> Result<Loading<B>, EngineError> {
        let (backend, catalog, entry) = (self.backend.clone(), self.catalog.clone(), entry.clone());
        let (precision, prepared) = (key.precision, self.prepared.clone());
        std::thread::Builder::new()
            .name("load".into())
            .spawn(move || load(&backend, &catalog, prepared.as_deref(), &entry, precision))
            .map_err(|error| EngineError::Failed(format!("no thread to load the model with: {error}")))
    }
}

fn load<B: Backend>(
    backend: &Arc<B>,
    catalog: &Arc<Catalog>,
    prepared: Option<&PreparedWeights>,
    entry: &ModelEntry,
    precision: Precision,
) -> Result<Resident<B>, EngineError> {
    let began = Instant::now();
    let mut checkpoint = catalog.open(entry)?;
    // The hash may have become known since the job was accepted.
    let known = catalog.find(&entry.filename);
    let kept = prepared.zip(known).and_then(|(prepared, known)| prepared.open(&known, precision));
    let was_prepared = kept.is_some();
    if let Some(kept) = kept {
        checkpoint.keep_prepared_in(Arc::new(kept));
    }
    let problem = |problem: String| EngineError::BadModel { name: entry.title.clone(), problem };
    let before = backend.weight_bytes();
    let networks = StableDiffusion::load(backend.clone(), &checkpoint, tensor_precision(precision))
        .map_err(|error| problem(error.to_string()))?;
    let bytes = backend.weight_bytes().saturating_sub(before) as u64;
    let latent_to_rgb = checkpoint
        .metadata()
        .get("impasto.latent_rgb")
        .and_then(|text| LatentToRgb::from_metadata(text, networks.config.vae.latent_channels))
        .unwrap_or_default();
    let config = networks.config.clone();
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(model = %entry.title, precision = precision.name(), was_prepared, bytes, seconds, "loaded a model");
    Ok(Resident {
        networks,
        encoder: None,
        autoencoders: Recent::new(AUTOENCODERS),
        backend: backend.clone(),
        catalog: catalog.clone(),
        latent_to_rgb,
        adapters: LoadedAdapters::new(backend.clone(), Arc::new(checkpoint), &config),
        embeddings: Recent::new(EMBEDDINGS),
        texts: Recent::new(TEXT_CHUNKS),
        contexts: Recent::new(CONTEXT_TOKENS),
        times: Recent::new(TIMES),
        entry: Arc::new(entry.clone()),
        hashing: start_hashing(catalog, entry),
        bytes,
        used: 0,
    })
}

/// What is beyond the edges of a picture.
pub(crate) fn edges(tiling: bool) -> Edges {
    if tiling { Edges::GoOn } else { Edges::Ends }
}

/// What the backend calls a precision.
fn tensor_precision(precision: Precision) -> impasto_tensor::Precision {
    match precision {
        Precision::F32 => impasto_tensor::Precision::F32,
        Precision::Int8 => impasto_tensor::Precision::Int8,
    }
}

fn start_hashing(
    catalog: &Arc<Catalog>,
    entry: &ModelEntry,
) -> Option<JoinHandle<Result<Arc<ModelEntry>, EngineError>>> {
    if entry.sha256.is_some() {
        return None;
    }
    let (catalog, entry) = (catalog.clone(), entry.clone());
    std::thread::Builder::new().name("hash".into()).spawn(move || catalog.hashed(&entry)).ok()
}
