//! Small networks in the place of autoencoders, from their places below the data root: loaded when they are first wanted.

use crate::library::{Library, path_of};
use crate::recent::Recent;
use impasto_models::{ApproximateDecoder, ModelError, TinyDecoder, TinyEncoder};
use impasto_tensor::Backend;
use impasto_weights::Checkpoint;
use std::collections::HashSet;
use std::sync::Arc;

/// Latents to pictures, TAESD's.
pub(crate) const TINY_DECODER: &str = "models/VAE-taesd/taesd_decoder.pth";
/// Pictures to latents, TAESD's.
pub(crate) const TINY_ENCODER: &str = "models/VAE-taesd/taesd_encoder.pth";
/// Latents to small pictures.
const APPROXIMATE: &str = "models/VAE-approx/model.pt";

/// Why the file at `place` cannot be had, if it cannot.
pub(crate) fn missing(library: &Library, place: &str) -> Option<String> {
    let Some(file) = library.at(place) else { return Some(format!("{place} is not there")) };
    Checkpoint::open(&file.path).err().map(|error| error.to_string())
}

/// The networks in memory.
pub(crate) struct SmallNetworks<B: Backend> {
    backend: Arc<B>,
    library: Arc<Library>,
    decoders: Recent<String, TinyDecoder<B>>,
    encoders: Recent<String, TinyEncoder<B>>,
    approximate: Recent<String, ApproximateDecoder<B>>,
    /// Places of which it was said that nothing can be had from them.
    told: HashSet<&'static str>,
}

impl<B: Backend> SmallNetworks<B> {
    /// None yet, and at most one of each.
    pub(crate) fn new(backend: Arc<B>, library: Arc<Library>) -> Self {
        let (decoders, encoders, approximate) = (Recent::new(1), Recent::new(1), Recent::new(1));
        Self { backend, library, decoders, encoders, approximate, told: HashSet::new() }
    }

    /// TAESD's decoder.
    pub(crate) fn decoder(&mut self) -> Result<Arc<TinyDecoder<B>>, String> {
        let backend = self.backend.clone();
        let load = |file: &Checkpoint| TinyDecoder::load(backend, file);
        get(&self.library, &mut self.decoders, TINY_DECODER, load)
    }

    /// TAESD's encoder, to latents of so many channels.
    pub(crate) fn encoder(&mut self, channels: usize) -> Result<Arc<TinyEncoder<B>>, String> {
        let backend = self.backend.clone();
        let load = |file: &Checkpoint| TinyEncoder::load(backend, file, channels);
        get(&self.library, &mut self.encoders, TINY_ENCODER, load)
    }

    /// The network of small pictures, for previews: where there is none, that is said once.
    pub(crate) fn preview_approximate(&mut self) -> Option<Arc<ApproximateDecoder<B>>> {
        let backend = self.backend.clone();
        let load = |file: &Checkpoint| ApproximateDecoder::load(backend, file);
        let got = get(&self.library, &mut self.approximate, APPROXIMATE, load);
        self.or_tell(APPROXIMATE, got)
    }

    /// TAESD's decoder, for previews: likewise.
    pub(crate) fn preview_tiny(&mut self) -> Option<Arc<TinyDecoder<B>>> {
        let got = self.decoder();
        self.or_tell(TINY_DECODER, got)
    }

    fn or_tell<N>(&mut self, place: &'static str, got: Result<N, String>) -> Option<N> {
        got.map_err(|problem| {
            if self.told.insert(place) {
                tracing::warn!(%problem, "previews are made in another way");
            }
        })
        .ok()
    }
}

/// The network at `place`, from memory if its file has not changed.
fn get<N>(
    library: &Library,
    known: &mut Recent<String, N>,
    place: &str,
    load: impl FnOnce(&Checkpoint) -> Result<N, ModelError>,
) -> Result<Arc<N>, String> {
    let file = library.at(place).ok_or_else(|| format!("{place} is not there"))?;
    let id = file.id();
    let open = || load(&Checkpoint::open(path_of(&id))?);
    let got = known.get_or_make(|other| *other == id, || id.clone(), |_| 1, open);
    got.map_err(|error| format!("{place}: {error}"))
}
