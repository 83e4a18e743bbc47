//! The models of a job: the one that begins, and those that take over on the way.

use crate::ModelEntry;
use crate::catalog::Inspected;
use crate::job::ModelKey;
use crate::vae::VaeFile;
use impasto_diffusion::{EmbeddingWord, ModelFacts, ModelSlot, Models};
use impasto_domain::{Conditioning, Precision};
use impasto_models::Tokenizer;
use std::sync::Arc;

/// A model of a job.
#[derive(Debug, Clone)]
pub(crate) struct JobModel {
    pub(crate) entry: Arc<ModelEntry>,
    pub(crate) key: ModelKey,
    pub(crate) facts: ModelFacts,
    /// The autoencoder in the place of its own.
    pub(crate) vae: Option<Arc<VaeFile>>,
}

impl JobModel {
    /// A model of the catalog, whose prompts are read with a tokenizer, in which words stand for embeddings, and whose pictures a file's
    /// autoencoder may make.
    pub(crate) fn new(
        (entry, config): Inspected,
        precision: Precision,
        tokenizer: Arc<Tokenizer>,
        embeddings: Arc<[EmbeddingWord]>,
        vae: Option<Arc<VaeFile>>,
    ) -> Self {
        let latent_channels = config.vae.latent_channels;
        let facts = ModelFacts {
            tokenizer,
            embeddings,
            latent_channels,
            downscale: config.vae.downscale(),
            prediction: config.prediction,
            latent_scale: config.vae.scale_factor,
            // Other numbers of channels are refused when the network is run.
            conditioning: Conditioning::of_channels(config.unet.in_channels, latent_channels)
                .unwrap_or_default(),
            betas: config.betas,
            text_layers: config.text.layers,
            is_xl: false,
        };
        Self { key: ModelKey::new(&entry, precision), entry, facts, vae }
    }
}

/// The models of a job.
#[derive(Debug, Clone)]
pub(crate) struct JobModels {
    pub(crate) first: JobModel,
    /// That of the second pass, if it is another.
    pub(crate) second: Option<JobModel>,
    /// The one that makes the last steps, if there is one.
    pub(crate) refiner: Option<JobModel>,
}

impl JobModels {
    /// The one that answers a step.
    pub(crate) fn of(&self, slot: ModelSlot) -> &JobModel {
        let other = match slot {
            ModelSlot::First => None,
            ModelSlot::Second => self.second.as_ref(),
            ModelSlot::Refiner => self.refiner.as_ref(),
        };
        other.unwrap_or(&self.first)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &JobModel> {
        [&self.first].into_iter().chain(&self.second).chain(&self.refiner)
    }

    /// What trajectories must know of them.
    pub(crate) fn facts(&self) -> Models<'_> {
        Models {
            first: &self.first.facts,
            second: self.second.as_ref().map(|model| &model.facts),
            refiner: self.refiner.as_ref().map(|model| &model.facts),
        }
    }
}
