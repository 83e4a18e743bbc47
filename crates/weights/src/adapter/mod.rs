//! Adapter files: small changes of a model's weights, in the spellings of kohya, LyCORIS, diffusers and Latent Diffusion.
//!
//! A tensor's name is a layer's name and a part's. Layers are found by `keys`; parts by the table below; `layer` puts the parts of a
//! layer together. What the numbers do to a weight is not known here.

mod keys;
mod layer;

pub use keys::AdapterKeys;
pub use layer::{AdapterChange, AdapterLayer, Dora, Factored};

use crate::{Checkpoint, WeightsError};
use impasto_tensor::Array;
use std::collections::BTreeMap;
use std::path::Path;

/// How parts are spelled, and what they are called here. Of several that fit, the longest is meant.
const PARTS: &[(&str, &str)] = &[
    (".lora_down.weight", "down"),
    (".lora_up.weight", "up"),
    (".lora_mid.weight", "mid"),
    (".lora_A.weight", "down"),
    (".lora_B.weight", "up"),
    (".lora_A.default.weight", "down"),
    (".lora_B.default.weight", "up"),
    (".lora.down.weight", "down"),
    (".lora.up.weight", "up"),
    ("_lora.down.weight", "down"),
    ("_lora.up.weight", "up"),
    (".lora_linear_layer.down.weight", "down"),
    (".lora_linear_layer.up.weight", "up"),
    (".alpha", "alpha"),
    (".scale", "scale"),
    (".dora_scale", "dora_scale"),
    (".lora_magnitude_vector", "dora_scale"),
    (".lora_magnitude_vector.weight", "dora_scale"),
    (".hada_w1_a", "hada_w1_a"),
    (".hada_w1_b", "hada_w1_b"),
    (".hada_w2_a", "hada_w2_a"),
    (".hada_w2_b", "hada_w2_b"),
    (".hada_t1", "hada_t1"),
    (".hada_t2", "hada_t2"),
    (".lokr_w1", "lokr_w1"),
    (".lokr_w1_a", "lokr_w1_a"),
    (".lokr_w1_b", "lokr_w1_b"),
    (".lokr_w2", "lokr_w2"),
    (".lokr_w2_a", "lokr_w2_a"),
    (".lokr_w2_b", "lokr_w2_b"),
    (".lokr_t2", "lokr_t2"),
    (".weight", "ia3"),
    (".on_input", "on_input"),
    (".diff", "diff"),
    (".diff_b", "diff_b"),
    (".w_norm", "w_norm"),
    (".b_norm", "b_norm"),
    (".a1.weight", "glora_a1"),
    (".a2.weight", "glora_a2"),
    (".b1.weight", "glora_b1"),
    (".b2.weight", "glora_b2"),
    (".oft_blocks", "oft_blocks"),
    (".oft_diag", "oft_diag"),
];

/// Most elements of an adapter: four gigabytes of `f32`.
const MAX_ELEMENTS: usize = 1 << 30;

/// An open adapter file.
#[derive(Debug)]
pub struct AdapterFile {
    checkpoint: Checkpoint,
}

/// What an adapter file changes of a model.
#[derive(Debug, Clone, Default)]
pub struct AdapterLayers {
    /// The changes, by canonical names of layers.
    pub layers: BTreeMap<String, AdapterLayer>,
    /// Tensors that name no layer of the model or no known part, and what is odd about layers that were left out.
    pub left_out: Vec<String>,
}

impl From<Checkpoint> for AdapterFile {
    fn from(checkpoint: Checkpoint) -> Self {
        Self { checkpoint }
    }
}

impl AdapterFile {
    /// Opens an adapter file, safetensors or `torch.save`'s; told by its content. Only the header is read.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        Ok(Checkpoint::open(path)?.into())
    }

    /// The file's own metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.checkpoint.metadata()
    }

    /// Reads what the file changes of a model whose layers are `keys`. What does not fit is left out and told.
    pub fn read(&self, keys: &AdapterKeys) -> Result<AdapterLayers, WeightsError> {
        let mut answer = AdapterLayers::default();
        let mut found: BTreeMap<&str, (&[usize], BTreeMap<&'static str, &str>)> = BTreeMap::new();
        for name in self.checkpoint.names() {
            let part = PARTS.iter().filter(|(suffix, _)| name.ends_with(suffix));
            let part = part.max_by_key(|(suffix, _)| suffix.len());
            let layer = part.and_then(|(suffix, _)| keys.find(&name[..name.len() - suffix.len()]));
            match (part, layer) {
                (Some((_, part)), Some((layer, shape))) => {
                    found.entry(layer).or_insert((shape, BTreeMap::new())).1.insert(part, name);
                }
                _ => answer.left_out.push(name.to_owned()),
            }
        }
        let mut room = MAX_ELEMENTS;
        for (layer, (shape, parts)) in found {
            let mut tensors = BTreeMap::new();
            for (part, name) in parts {
                tensors.insert(part, self.tensor(name, &mut room)?);
            }
            match layer::assemble(shape, tensors) {
                Ok(change) => _ = answer.layers.insert(layer.to_owned(), change),
                Err(problem) => answer.left_out.push(format!("{layer}: {problem}")),
            }
        }
        Ok(answer)
    }

    /// A tensor as `f32`, taken off the `room` that there is for elements.
    fn tensor(&self, name: &str, room: &mut usize) -> Result<Array, WeightsError> {
        let problem = |problem: String| WeightsError::Damaged {
            file: self.checkpoint.file().to_owned(),
            container: self.checkpoint.container(),
            problem,
        };
        let view = self.checkpoint.tensor(name)?;
        *room = room
            .checked_sub(view.len())
            .ok_or_else(|| problem(format!("more than {MAX_ELEMENTS} elements are no adapter")))?;
        let elements = view.read().map_err(|error| problem(error.to_string()))?.to_f32();
        Array::new(view.shape(), elements).map_err(|error| problem(error.to_string()))
    }
}
