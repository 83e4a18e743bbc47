//! Models in memory: loaded on demand, the least recently used dropped when the byte limit is passed.

use crate::catalog::Catalog;
use crate::preview::LatentToRgb;
use crate::{EngineError, ModelEntry};
use impasto_diffusion::{ModelFacts, TextQuery};
use impasto_models::StableDiffusion;
use impasto_tensor::{Array, Backend};
use impasto_weights::StableDiffusionConfig;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// Text vectors kept per model. A prompt's take 236 KB at full width.
const TEXT_CACHE: usize = 64;

/// A model that is ready to run.
pub(crate) struct Resident<B: Backend> {
    pub(crate) networks: StableDiffusion<B>,
    pub(crate) facts: ModelFacts,
    pub(crate) latent_to_rgb: LatentToRgb,
    /// Text vectors by what was asked, `[chunks, 77, features]`.
    texts: HashMap<TextQuery, Array>,
    entry: Arc<ModelEntry>,
    /// Computes the file's hash beside the first steps.
    hashing: Option<JoinHandle<Result<Arc<ModelEntry>, EngineError>>>,
    bytes: u64,
    used: u64,
}

impl<B: Backend> Resident<B> {
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

    /// The vectors of a text, from memory where it was asked before.
    pub(crate) fn encode(&mut self, query: &TextQuery) -> Result<Array, String> {
        if let Some(known) = self.texts.get(query) {
            return Ok(known.clone());
        }
        let vectors = self
            .networks
            .text
            .encode(&query.chunks, query.clip_skip as usize)
            .map_err(|error| error.to_string())?;
        if self.texts.len() >= TEXT_CACHE {
            self.texts.clear();
        }
        self.texts.insert(query.clone(), vectors.clone());
        Ok(vectors)
    }
}

/// The models in memory.
pub(crate) struct Residents<B: Backend> {
    backend: Arc<B>,
    catalog: Arc<Catalog>,
    models: HashMap<String, Resident<B>>,
    limit: u64,
    clock: u64,
}

impl<B: Backend> Residents<B> {
    /// No models yet, and at most `limit` bytes of them unless one alone is larger.
    pub(crate) fn new(backend: Arc<B>, catalog: Arc<Catalog>, limit: u64) -> Self {
        Self { backend, catalog, models: HashMap::new(), limit, clock: 0 }
    }

    /// Number and bytes of the models in memory.
    pub(crate) fn size(&self) -> (usize, u64) {
        (self.models.len(), self.models.values().map(|model| model.bytes).sum())
    }

    /// Whether these models can be in memory together. One alone always can, or else it could never be used.
    pub(crate) fn fit_together(&self, entries: &[&ModelEntry]) -> bool {
        let mut wanted: Vec<(&str, u64)> = entries
            .iter()
            .map(|entry| {
                let resident = self.models.get(&entry.filename).map(|model| model.bytes);
                (entry.filename.as_str(), resident.unwrap_or_else(|| f32_bytes(entry)))
            })
            .collect();
        wanted.sort_unstable();
        wanted.dedup_by_key(|(name, _)| *name);
        wanted.len() <= 1 || wanted.iter().map(|(_, bytes)| bytes).sum::<u64>() <= self.limit
    }

    /// The model of `entry`, loaded if it is not in memory. Models not in `in_use` may be dropped for it.
    pub(crate) fn get(
        &mut self,
        entry: &ModelEntry,
        in_use: &[&str],
    ) -> Result<&mut Resident<B>, EngineError> {
        self.clock += 1;
        if !self.models.contains_key(&entry.filename) {
            self.make_room(f32_bytes(entry), in_use);
            let loaded = self.load(entry)?;
            self.models.insert(entry.filename.clone(), loaded);
        }
        let clock = self.clock;
        let model = self.models.get_mut(&entry.filename).ok_or(EngineError::Stopped)?;
        model.used = clock;
        Ok(model)
    }

    fn make_room(&mut self, bytes: u64, in_use: &[&str]) {
        while self.size().1 + bytes > self.limit {
            let oldest = self
                .models
                .iter()
                .filter(|(name, _)| !in_use.contains(&name.as_str()))
                .min_by_key(|(_, model)| model.used)
                .map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return };
            tracing::info!(model = %oldest, "dropped from memory to make room");
            self.models.remove(&oldest);
        }
    }

    fn load(&self, entry: &ModelEntry) -> Result<Resident<B>, EngineError> {
        let began = Instant::now();
        let checkpoint = self.catalog.open(entry)?;
        let problem = |problem: String| EngineError::BadModel { name: entry.title.clone(), problem };
        let before = self.backend.weight_bytes();
        let networks = StableDiffusion::load(self.backend.clone(), &checkpoint)
            .map_err(|error| problem(error.to_string()))?;
        let bytes = self.backend.weight_bytes().saturating_sub(before) as u64;
        let latent_to_rgb = checkpoint
            .metadata()
            .get("impasto.latent_rgb")
            .and_then(|text| LatentToRgb::from_metadata(text, networks.config.vae.latent_channels))
            .unwrap_or_default();
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(model = %entry.title, bytes, seconds, "loaded a model");
        Ok(Resident {
            facts: facts(&networks.config, &networks),
            networks,
            latent_to_rgb,
            texts: HashMap::new(),
            entry: Arc::new(entry.clone()),
            hashing: self.start_hashing(entry),
            bytes,
            used: self.clock,
        })
    }

    fn start_hashing(&self, entry: &ModelEntry) -> Option<JoinHandle<Result<Arc<ModelEntry>, EngineError>>> {
        if entry.sha256.is_some() {
            return None;
        }
        let catalog = self.catalog.clone();
        let entry = entry.clone();
        std::thread::Builder::new().name("hash".into()).spawn(move || catalog.hashed(&entry)).ok()
    }
}

/// What the weights of a file take once they are widened to `f32`: twice its size, as most files are `f16`.
pub(crate) fn f32_bytes(entry: &ModelEntry) -> u64 {
    entry.bytes.saturating_mul(2)
}

fn facts<B: Backend>(config: &StableDiffusionConfig, networks: &StableDiffusion<B>) -> ModelFacts {
    ModelFacts {
        tokenizer: networks.tokenizer.clone(),
        latent_channels: config.vae.latent_channels,
        downscale: config.vae.downscale(),
        prediction: config.prediction,
        betas: config.betas,
        text_layers: config.text.layers,
    }
}
