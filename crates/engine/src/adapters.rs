//! The adapters that prompts ask for: found among the files when a request comes, loaded beside a model when a query first
//! needs them, and kept within bounds.

use crate::library::{FileKind, Library, path_of};
use crate::recent::Recent;
use impasto_diffusion::{AdapterKind, AdapterUse, ExtraNetwork, ExtraNetworks, ImageSpec};
use impasto_domain::{GenerationRequest, python_float};
use impasto_models::{Adapter, AdapterSet, Hypernetwork, ModelError, Strengths};
use impasto_tensor::Backend;
use impasto_weights::{
    AdapterFile, AdapterKeys, Checkpoint, Hypernetwork as HypernetworkFile, StableDiffusionConfig,
};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of adapters that are kept beside a model.
const ADAPTER_BYTES: usize = 1 << 30;
/// Bytes of sets of adapters that are kept beside a model, with the copies of layers that they edit; the newest is kept in any case.
const SET_BYTES: usize = 4 << 30;

/// Puts tags for the networks that every prompt is to have into those of a request that do not name them, as A1111 does; answers which
/// of them are not there.
pub(crate) fn add_defaults(library: &Library, request: &mut GenerationRequest) -> Vec<String> {
    let networks = &request.networks;
    let mut comments = Vec::new();
    let wanted = [
        (FileKind::Hypernetwork, "hypernet", "Hypernetwork", &networks.hypernetwork),
        (FileKind::Lora, "lora", "Lora", &networks.lora),
    ];
    for (kind, tag, what, name) in wanted {
        let Some(name) = name else { continue };
        if library.find(kind, name).is_none() {
            comments.push(format!("{what} not found: {name}"));
            continue;
        }
        let tag = format!("<{tag}:{name}:{}>", python_float(networks.multiplier));
        let second = request.hires.as_mut().and_then(|hires| hires.prompt.as_mut());
        for prompt in [Some(&mut request.prompt), second].into_iter().flatten() {
            let asked = ExtraNetworks::take_from(prompt).1.networks;
            if !asked.iter().any(|network| network.is_called(name, kind == FileKind::Lora)) {
                prompt.push_str(&tag);
            }
        }
    }
    comments
}

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

    /// Looks the networks up. A LoRA that is asked for twice acts twice, both times as strongly as the last time says, as in A1111.
    fn find(library: &Library, asked: &ExtraNetworks) -> Self {
        let mut found = Found::default();
        for network in &asked.networks {
            match network {
                ExtraNetwork::Lora { name, text_encoder, unet, rank } => {
                    let rank = rank.filter(|rank| *rank > 0);
                    let (text_encoder, unet) = (*text_encoder as f32, *unet as f32);
                    let kind = AdapterKind::Weights;
                    found.lora(
                        library,
                        name,
                        &AdapterUse { id: String::new(), kind, text_encoder, unet, rank },
                    );
                }
                ExtraNetwork::Hypernetwork { name, strength } => {
                    found.hypernetwork(library, name, *strength as f32);
                }
            }
        }
        let Found { uses, mut comments, missing, hashes, .. } = found;
        for (what, names) in ["Lora", "Hypernetwork"].into_iter().zip(missing) {
            if !names.is_empty() {
                comments.push(format!("{what} not found: {}", names.join(", ")));
            }
        }
        let comments = asked.problems.iter().cloned().chain(comments).collect();
        let hashes = (!hashes.is_empty()).then(|| hashes.join(", "));
        Self { uses, comments, hashes, ..Self::default() }
    }
}

/// What is found of what is asked for.
#[derive(Debug, Default)]
struct Found {
    uses: Vec<AdapterUse>,
    comments: Vec<String>,
    /// Names of LoRA files and of hypernetworks that are not there.
    missing: [Vec<String>; 2],
    hashes: Vec<String>,
    hashed: HashSet<PathBuf>,
}

impl Found {
    /// A LoRA; `asked` lacks its id.
    fn lora(&mut self, library: &Library, name: &str, asked: &AdapterUse) {
        let Some(file) = library.find(FileKind::Lora, name) else {
            return self.missing[0].push(name.to_owned());
        };
        if let Err(error) = AdapterFile::open(&file.path) {
            return self.comments.push(format!("Lora {name} is left out: {error}"));
        }
        let adapter = AdapterUse { id: file.id(), ..asked.clone() };
        let same = self.uses.iter_mut().filter(|known| known.id == adapter.id);
        same.for_each(|known| *known = adapter.clone());
        self.uses.push(adapter);
        if self.hashed.insert(file.path.clone()) {
            match library.adapter_hash(&file) {
                Ok(hash) => self.hashes.push(format!("{}: {hash}", name.replace([':', ','], ""))),
                Err(error) => tracing::warn!(adapter = %file.file_name, %error, "no hash of an adapter"),
            }
        }
    }

    fn hypernetwork(&mut self, library: &Library, name: &str, strength: f32) {
        let Some(file) = library.find(FileKind::Hypernetwork, name) else {
            return self.missing[1].push(name.to_owned());
        };
        match HypernetworkFile::open(&file.path) {
            Ok(_) => self.uses.push(AdapterUse {
                id: file.id(),
                kind: AdapterKind::Attended,
                text_encoder: 0.0,
                unet: strength,
                rank: None,
            }),
            Err(error) => self.comments.push(format!("Hypernetwork {name} is left out: {error}")),
        }
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
    hypernetworks: Recent<String, Hypernetwork<B>>,
    sets: Recent<Arc<[AdapterUse]>, AdapterSet<B>>,
}

impl<B: Backend> LoadedAdapters<B> {
    /// None yet.
    pub(crate) fn new(backend: Arc<B>, checkpoint: Arc<Checkpoint>, config: &StableDiffusionConfig) -> Self {
        Self {
            backend,
            checkpoint,
            config: config.clone(),
            keys: None,
            adapters: Recent::new(ADAPTER_BYTES),
            hypernetworks: Recent::new(ADAPTER_BYTES),
            sets: Recent::new(SET_BYTES),
        }
    }

    /// The set of some adapters, from memory where it was used before; nothing for none.
    pub(crate) fn set(&mut self, uses: &Arc<[AdapterUse]>) -> Result<Option<Arc<AdapterSet<B>>>, ModelError> {
        if uses.is_empty() {
            return Ok(None);
        }
        let Self { backend, checkpoint, config, keys, adapters, hypernetworks, sets } = self;
        let make = || {
            let keys = keys.get_or_insert_with(|| AdapterKeys::new(config));
            let (mut members, mut attended) = (Vec::new(), Vec::new());
            for adapter in &**uses {
                if adapter.kind == AdapterKind::Attended {
                    let load = || load_hypernetwork(&**backend, &adapter.id);
                    let weight = |loaded: &Hypernetwork<B>| loaded.bytes().min(ADAPTER_BYTES);
                    let (is_it, key) = (|id: &String| *id == adapter.id, || adapter.id.clone());
                    attended.push((hypernetworks.get_or_make(is_it, key, weight, load)?, adapter.unet));
                    continue;
                }
                let strengths = Strengths { text_encoder: adapter.text_encoder, unet: adapter.unet };
                let is_it = |(id, rank): &(String, Option<u32>)| *id == adapter.id && *rank == adapter.rank;
                let key = || (adapter.id.clone(), adapter.rank);
                let load = || load(&**backend, checkpoint, keys, adapter);
                let weight = |adapter: &Adapter<B>| adapter.bytes().min(ADAPTER_BYTES);
                members.push((adapters.get_or_make(is_it, key, weight, load)?, strengths));
            }
            Ok(AdapterSet::new(&members, checkpoint).with_hypernetworks(attended))
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

fn load_hypernetwork<B: Backend>(backend: &B, id: &str) -> Result<Hypernetwork<B>, ModelError> {
    let path = path_of(id);
    let loaded = Hypernetwork::load(backend, &HypernetworkFile::open(path)?)?;
    tracing::info!(path = %path.display(), bytes = loaded.bytes(), "loaded a hypernetwork");
    Ok(loaded)
}
