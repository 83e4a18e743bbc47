//! Hypernetworks made ready: what is attended to, a text or a picture's pixels, goes through a small network before keys are made of it
//! and through another before values are, each added to what it was given. Which networks, is told by the width.

use crate::ModelError;
use impasto_tensor::{Backend, Curve, LinearArgs, Precision, TensorError};
use impasto_weights::{HyperLayer, Hypernetwork as HypernetworkFile};
use std::collections::HashMap;

/// Epsilon of the layer normalisations, PyTorch's.
const LAYER_NORM: f32 = 1e-5;

/// A hypernetwork, ready for a backend.
#[derive(Debug)]
pub struct Hypernetwork<B: Backend> {
    /// Before keys and before values, by width.
    modules: HashMap<usize, [Vec<Layer<B>>; 2]>,
    bytes: usize,
}

#[derive(Debug)]
struct Layer<B: Backend> {
    linear: B::Linear,
    curve: Option<Curve>,
    norm: Option<B::Norm>,
}

impl<B: Backend> Hypernetwork<B> {
    /// Prepares the networks of a file.
    pub fn load(backend: &B, file: &HypernetworkFile) -> Result<Self, ModelError> {
        let mut bytes = 0;
        let mut prepare = |layer: &HyperLayer| {
            let tensor = |name: &str, part| file.tensor(name, part);
            let (weight, bias) = (tensor(&layer.name, "weight")?, tensor(&layer.name, "bias")?);
            bytes += weight.len() * size_of::<f32>();
            let linear = backend.prepare_linear(&weight, Some(&bias), Precision::F32)?;
            let norm = |name: &String| {
                Ok::<_, ModelError>(backend.prepare_norm(&tensor(name, "weight")?, &tensor(name, "bias")?)?)
            };
            let norm = layer.norm.as_ref().map(norm).transpose()?;
            Ok::<_, ModelError>(Layer { linear, curve: layer.curve, norm })
        };
        let mut modules = HashMap::new();
        for (&width, [keys, values]) in file.modules() {
            let keys = keys.iter().map(&mut prepare).collect::<Result<_, _>>()?;
            modules.insert(width, [keys, values.iter().map(&mut prepare).collect::<Result<_, _>>()?]);
        }
        Ok(Self { modules, bytes })
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it changes what has this width.
    pub(crate) fn changes(&self, width: usize) -> bool {
        self.modules.contains_key(&width)
    }

    /// What keys (0) or values (1) are made of in the place of `x` `[.., width]`: `x + strength * network(x)`.
    pub(crate) fn apply(
        &self,
        backend: &B,
        x: &B::Tensor,
        side: usize,
        strength: f32,
    ) -> Result<B::Tensor, TensorError> {
        let width = backend.shape(x).last().copied().unwrap_or(0);
        let Some(modules) = self.modules.get(&width) else { return Ok(x.clone()) };
        let mut hidden = x.clone();
        for layer in &modules[side] {
            hidden = backend.linear(&hidden, &layer.linear, LinearArgs::default())?;
            if let Some(curve) = layer.curve {
                hidden = backend.curve(&hidden, curve)?;
            }
            if let Some(norm) = &layer.norm {
                hidden = backend.layer_norm(&hidden, norm, LAYER_NORM)?;
            }
        }
        backend.add(x, &backend.scale(&hidden, strength)?)
    }
}
