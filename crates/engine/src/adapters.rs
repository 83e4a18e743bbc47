//! The adapters that prompts ask for: found among the files when a request comes, loaded beside a model when a query first
//! needs them, and kept within bounds.

use crate::library::{FileKind, Library, path_of};
use crate::recent::Recent;
use impasto_diffusion::{AdapterUse, ExtraNetwork, ExtraNetworks, ImageSpec};
use impasto_models::{Adapter, AdapterSet, ModelError, Strengths};
use impasto_tensor::Backend;
use impasto_weights::{AdapterFile, AdapterKeys, Checkpoint, StableDiffusionConfig};
use std::collections::HashSet;
use std::sync::Arc;

/// Bytes of adapters that are kept beside a model.
const ADAPTER_BYTES: usize = 1 << 30;
/// Bytes of sets of adapters that are kept beside a model, with the copies of layers that they edit; the newest is kept in any case.
const SET_BYTES: usize = 4 << 30;

/// What a request's tags ask for, as far as there is such.
#[derive(Debug, Clone, Default)]
pub(crate) struct Adapters {
    /// What was found.
    pub(crate) uses: Vec<AdapterUse>,
    /// What was found for the second pass, if its prompt is another.
    pub(crate) second: Vec<AdapterUse>,
    /// What is wrong with the rest.
    pub(crate) comments: Arc<[String]>,
    /// What the infotext says of those found.
    pub(crate) hashes: Option<String>,
    /// What the infotext says of the embeddings in use.
    pub(crate) embedding_hashes: Option<String>,
}

impl Adapters {
    /// Looks up what an image's prompts ask for.
    pub(crate) fn of(library: &Library, image: &ImageSpec) -> Self {
        let mut found = Self::find(library, &image.networks);
        if let Some(networks) = &image.second_networks {
            let second = Self::find(library, networks);
            found.second = second.uses;
            let more = second.comments.iter().filter(|comment| !found.comments.contains(comment));
            found.comments = found.comments.iter().chain(more).cloned().collect();
        }
        found
    }

    /// Looks the networks up. One that is asked for twice acts twice, both times as strongly as the last time says, as in A1111.
    fn find(library: &Library, asked: &ExtraNetworks) -> Self {
        let mut uses: Vec<AdapterUse> = Vec::new();
        let (mut comments, mut missing, mut hashes) = (asked.problems.clone(), Vec::new(), Vec::new());
        let mut hashed = HashSet::new();
        for network in &asked.networks {
            let (name, text_encoder, unet, rank) = match network {
                ExtraNetwork::Lora { name, text_encoder, unet, rank } => (name, *text_encoder, *unet, *rank),
                ExtraNetwork::Hypernetwork { name, .. } => {
                    comments
                        .push(format!("hypernetwork {name} is left out: hypernetworks are not supported"));
                    continue;
                }
            };
            let Some(file) = library.find(FileKind::Lora, name) else {
                missing.push(name.as_str());
                continue;
            };
            if let Err(error) = AdapterFile::open(&file.path) {
                comments.push(format!("Lora {name} is left out: {error}"));
                continue;
            }
            let adapter = AdapterUse {
                id: file.id(),
                text_encoder: text_encoder as f32,
                unet: unet as f32,
                rank: rank.filter(|rank| *rank > 0),
            };
            uses.iter_mut().filter(|known| known.id == adapter.id).for_each(|known| *known = adapter.clone());
            uses.push(adapter);
            if hashed.insert(file.path.clone()) {
                match library.adapter_hash(&file) {
                    Ok(hash) => hashes.push(format!("{}: {hash}", name.replace([':', ','], ""))),
                    Err(error) => tracing::warn!(adapter = %file.file_name, %error, "no hash of an adapter"),
                }
            }
        }
        if !missing.is_empty() {
            comments.push(format!("Lora not found: {}", missing.join(", ")));
        }
        let hashes = (!hashes.is_empty()).then(|| hashes.join(", "));
        Self { uses, comments: comments.into(), hashes, ..Self::default() }
    }
}

/// The adapters that are in memory beside a model.
pub(crate) struct LoadedAdapters<B: Backend> {
    backend: Arc<B>,
    /// Where layers to be edited are read from.
    checkpoint: Arc<Checkpoint>,
    config: StableDiffusionConfig,
    keys: Option<AdapterKeys>,
    adapters: Recent<(String, Option<u32>), Adapter<B>>,
    sets: Recent<Arc<[AdapterUse]>, AdapterSet<B>>,
}

impl<B: Backend> LoadedAdapters<B> {
    /// None yet.
    pub(crate) fn new(backend: Arc<B>, checkpoint: Arc<Checkpoint>, config: &StableDiffusionConfig) -> Self {
        let (adapters, sets) = (Recent::new(ADAPTER_BYTES), Recent::new(SET_BYTES));
        Self { backend, checkpoint, config: config.clone(), keys: None, adapters, sets }
    }

    /// The set of some adapters, from memory where it was used before; nothing for none.
    pub(crate) fn set(&mut self, uses: &Arc<[AdapterUse]>) -> Result<Option<Arc<AdapterSet<B>>>, ModelError> {
        if uses.is_empty() {
            return Ok(None);
        }
        let Self { backend, checkpoint, config, keys, adapters, sets } = self;
        let make = || {
            let keys = keys.get_or_insert_with(|| AdapterKeys::new(config));
            let mut members = Vec::with_capacity(uses.len());
            for adapter in &**uses {
                let strengths = Strengths { text_encoder: adapter.text_encoder, unet: adapter.unet };
                let is_it = |(id, rank): &(String, Option<u32>)| *id == adapter.id && *rank == adapter.rank;
                let key = || (adapter.id.clone(), adapter.rank);
                let load = || load(&**backend, checkpoint, keys, adapter);
                let weight = |adapter: &Adapter<B>| adapter.bytes().min(ADAPTER_BYTES);
                members.push((adapters.get_or_make(is_it, key, weight, load)?, strengths));
            }
            Ok(AdapterSet::new(&members, checkpoint))
        };
        let weight = |set: &AdapterSet<B>| set.bytes().min(SET_BYTES);
        sets.get_or_make(|known| known == uses, || uses.clone(), weight, make).map(Some)
    }
}

fn load<B: Backend>(
    backend: &B,
    checkpoint: &Checkpoint,
    keys: &AdapterKeys,
    adapter: &AdapterUse,
) -> Result<Adapter<B>, ModelError> {
    let path = path_of(&adapter.id);
    let mut layers = AdapterFile::open(path)?.read(keys)?;
    let (changed, left_out) = (layers.layers.len(), std::mem::take(&mut layers.left_out));
    let loaded = Adapter::new(backend, checkpoint, layers, adapter.rank.map(|rank| rank as usize))?;
    tracing::info!(path = %path.display(), layers = changed, bytes = loaded.bytes(), "loaded an adapter");
    if let Some(first) = left_out.first() {
        tracing::warn!(path = %path.display(), left_out = left_out.len(), %first, "parts of an adapter do not belong to the model");
    }
    Ok(loaded)
}
