//! Adapters for measurements: made-up low-rank changes of every layer of attention and feed-forward parts, which is what most
//! LoRA files have.

use crate::failure::usage;
use impasto_models::{Adapter, AdapterSet, Strengths};
use impasto_tensor::{Array, Backend};
use impasto_weights::{AdapterChange, AdapterLayer, AdapterLayers, Checkpoint};
use std::sync::Arc;

/// The most that may be asked for.
const MOST_RANK: usize = 1024;
/// What the names of the layers have.
const PLACE: &str = ".transformer_blocks.";
/// What they begin with.
const NETWORK: &str = "model.diffusion_model.";

pub(super) fn parse_rank(text: &str) -> Result<usize, String> {
    let rank = text.parse().ok().filter(|rank| (1..=MOST_RANK).contains(rank));
    rank.ok_or_else(|| format!("a rank is a number from 1 to {MOST_RANK}, such as 16"))
}

/// An adapter of `rank` for the denoising network of a checkpoint.
pub(super) fn made_up<B: Backend>(
    backend: &B,
    checkpoint: &Arc<Checkpoint>,
    rank: usize,
) -> anyhow::Result<AdapterSet<B>> {
    let mut layers = AdapterLayers::default();
    for name in checkpoint.names() {
        let Some(layer) = name.strip_suffix(".weight").filter(|layer| changes(layer)) else { continue };
        let &[outputs, inputs] = checkpoint.tensor(name)?.shape() else { continue };
        let change = AdapterChange::LowRank {
            down: waves([rank, inputs], (inputs as f32).recip())?,
            up: waves([outputs, rank], 0.1 / rank as f32)?,
        };
        layers.layers.insert(layer.to_owned(), AdapterLayer { change, scale: 1.0, dora: None, bias: None });
    }
    if layers.layers.is_empty() {
        return Err(usage(
            "the model has no attention that an adapter could change",
            "leave out --adapter-rank, or choose another --model",
        ));
    }
    let adapter = Adapter::new(backend, checkpoint, layers, None)?;
    Ok(AdapterSet::new(&[(Arc::new(adapter), Strengths { text_encoder: 1.0, unet: 1.0 })], checkpoint))
}

/// Whether a layer is one of the denoising network's transformers.
fn changes(layer: &str) -> bool {
    layer.starts_with(NETWORK) && layer.contains(PLACE)
}

/// Numbers of a mean square.
fn waves(shape: [usize; 2], square: f32) -> anyhow::Result<Array> {
    let elements =
        (0..shape.iter().product()).map(|at: usize| (2.0 * square).sqrt() * (at as f32 * 1.7).sin());
    Ok(Array::new(shape, elements.collect())?)
}
