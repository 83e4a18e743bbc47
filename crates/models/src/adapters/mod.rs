//! Adapters made ready for a model: low-rank changes as layers beside the model's own, everything else as edited copies of the layers
//! it touches. Which of both is a matter of the kind alone.
//!
//! Where low-rank changes and edits meet in a layer, the low-rank ones go beside the edited layer, whatever their order.

mod hypernetwork;
mod patch;

pub use hypernetwork::Hypernetwork;
pub(crate) use patch::{Patch, Patched};

use crate::ModelError;
use impasto_tensor::{Array, Backend, Conv2dConfig, DType, Precision, TensorError, WeightView};
use impasto_weights::{AdapterChange, AdapterLayer, AdapterLayers, Checkpoint};
use std::collections::HashMap;
use std::sync::Arc;

/// Layers whose names begin so take the text encoder's strength.
const TEXT: &str = "cond_stage_model";

/// An adapter, ready for a backend.
#[derive(Debug)]
pub struct Adapter<B: Backend> {
    layers: HashMap<String, Part<B>>,
    bytes: usize,
}

#[derive(Debug)]
enum Part<B: Backend> {
    LowRank(Arc<LowRank<B>>),
    Edit(Arc<AdapterLayer>),
}

/// `up(down(x))`.
#[derive(Debug)]
pub(crate) struct LowRank<B: Backend> {
    pub(crate) weights: LowRankWeights<B>,
    scale: f32,
}

/// Of which kind of layer.
#[derive(Debug)]
pub(crate) enum LowRankWeights<B: Backend> {
    Linear(B::LowRank),
    Conv2d { down: B::Conv2d, up: B::Linear },
}

impl<B: Backend> Adapter<B> {
    /// Prepares what a file changes of the model of `checkpoint`. `rank` is how much of low-rank changes is used, all if `None`.
    pub fn new(
        backend: &B,
        checkpoint: &Checkpoint,
        layers: AdapterLayers,
        rank: Option<usize>,
    ) -> Result<Self, ModelError> {
        let mut bytes = 0;
        let mut parts = HashMap::new();
        for (name, layer) in layers.layers {
            let shape = checkpoint.tensor(&format!("{name}.weight"))?.shape().to_vec();
            let part = match layer {
                AdapterLayer {
                    change: AdapterChange::LowRank { down, up },
                    scale,
                    dora: None,
                    bias: None,
                } => {
                    bytes += (down.data().len() + up.data().len()) * size_of::<f32>();
                    Part::LowRank(Arc::new(low_rank(backend, &name, &shape, [&down, &up], scale, rank)?))
                }
                layer => {
                    bytes += 2 * shape.iter().product::<usize>() * size_of::<f32>();
                    Part::Edit(Arc::new(layer))
                }
            };
            parts.insert(name, part);
        }
        Ok(Self { layers: parts, bytes })
    }

    /// Bytes that it takes in memory, with the copies of layers that it edits.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn low_rank<B: Backend>(
    backend: &B,
    name: &str,
    shape: &[usize],
    [down, up]: [&Array; 2],
    scale: f32,
    rank: Option<usize>,
) -> Result<LowRank<B>, ModelError> {
    let outputs = shape.first().copied().unwrap_or(0).max(1);
    let full = (up.data().len() / outputs).max(1);
    let used = rank.unwrap_or(full).clamp(1, full);
    let row = down.data().len() / full;
    let up: Vec<f32> = up.data().chunks_exact(full).flat_map(|row| &row[..used]).copied().collect();
    let down_data = &down.data()[..used * row];
    let up = view(&up, vec![outputs, used])?;
    let weights = match *shape {
        [_, inputs, height, width] if height * width > 1 => {
            let down = view(down_data, vec![used, inputs, height, width])?;
            let halves = name.rsplit('.').next() == Some("op");
            let stride = if halves { 2 } else { 1 };
            let padding = [height / 2, height / 2, width / 2, width / 2];
            let config = Conv2dConfig { stride, padding };
            LowRankWeights::Conv2d {
                down: backend.prepare_conv2d(&down, None, config, Precision::F32)?,
                up: backend.prepare_linear(&up, None, Precision::F32)?,
            }
        }
        _ => LowRankWeights::Linear(backend.prepare_low_rank(&view(down_data, vec![used, row])?, &up)?),
    };
    Ok(LowRank { weights, scale })
}

/// Elements as a weight.
pub(crate) fn view(data: &[f32], shape: Vec<usize>) -> Result<WeightView<'static>, TensorError> {
    let bytes: Vec<u8> = data.iter().flat_map(|element| element.to_le_bytes()).collect();
    WeightView::new(DType::F32, shape, bytes)
}

/// How strongly an adapter acts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strengths {
    /// On text encoders.
    pub text_encoder: f32,
    /// On the UNet.
    pub unet: f32,
}

/// Some adapters together, each with its strength: what rows of a call name as theirs.
#[derive(Debug)]
pub struct AdapterSet<B: Backend> {
    layers: HashMap<String, LayerChange<B>>,
    /// One after the other, each with its strength.
    hypernetworks: Vec<(Arc<Hypernetwork<B>>, f32)>,
    bytes: usize,
}

/// What a set changes of a layer.
#[derive(Debug)]
pub(crate) struct LayerChange<B: Backend> {
    /// Low-rank changes and their strengths.
    pub(crate) added: Vec<(Arc<LowRank<B>>, f32)>,
    patch: Option<Patch<B>>,
}

impl<B: Backend> LayerChange<B> {
    /// The edited layer, if there is one.
    pub(crate) fn patch(&self) -> Option<&Patch<B>> {
        self.patch.as_ref()
    }
}

impl<B: Backend> AdapterSet<B> {
    /// Puts adapters together, in this order. Layers to be edited are read from `checkpoint` when they are first used. A strength of
    /// zero changes nothing.
    pub fn new(adapters: &[(Arc<Adapter<B>>, Strengths)], checkpoint: &Arc<Checkpoint>) -> Self {
        let mut layers: HashMap<String, LayerChange<B>> = HashMap::new();
        let mut bytes = 0;
        for (adapter, strengths) in adapters {
            for (name, part) in &adapter.layers {
                let strength = if name.starts_with(TEXT) { strengths.text_encoder } else { strengths.unet };
                if strength == 0.0 {
                    continue;
                }
                let change = layers
                    .entry(name.clone())
                    .or_insert_with(|| LayerChange { added: Vec::new(), patch: None });
                match part {
                    Part::LowRank(low_rank) => {
                        change.added.push((low_rank.clone(), strength * low_rank.scale));
                    }
                    Part::Edit(layer) => {
                        let patch = change.patch.get_or_insert_with(|| Patch::new(checkpoint.clone()));
                        patch.push(layer.clone(), strength);
                    }
                }
            }
            bytes += adapter.bytes;
        }
        Self { layers, hypernetworks: Vec::new(), bytes }
    }

    /// The same with hypernetworks that act one after the other, each with its strength.
    #[must_use]
    pub fn with_hypernetworks(mut self, hypernetworks: Vec<(Arc<Hypernetwork<B>>, f32)>) -> Self {
        self.bytes += hypernetworks.iter().map(|(hypernetwork, _)| hypernetwork.bytes()).sum::<usize>();
        self.hypernetworks = hypernetworks;
        self.hypernetworks.retain(|(_, strength)| *strength != 0.0);
        self
    }

    /// Whether a hypernetwork changes what has this width.
    pub(crate) fn attends_otherwise(&self, width: usize) -> bool {
        self.hypernetworks.iter().any(|(hypernetwork, _)| hypernetwork.changes(width))
    }

    /// What keys and values are made of in the place of `x` `[.., features]`.
    pub(crate) fn attended(&self, backend: &B, x: &B::Tensor) -> Result<[B::Tensor; 2], TensorError> {
        let mut both = [x.clone(), x.clone()];
        for (hypernetwork, strength) in &self.hypernetworks {
            for (side, x) in both.iter_mut().enumerate() {
                *x = hypernetwork.apply(backend, x, side, *strength)?;
            }
        }
        Ok(both)
    }

    /// Bytes that it takes in memory at most, with its adapters.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn change(&self, layer: &str) -> Option<&LayerChange<B>> {
        self.layers.get(layer)
    }
}
