//! Edited copies of layers: what each kind of adapter makes of a weight, as A1111 computes it. Each edit of a layer starts from
//! what the one before it made.

use super::view;
use crate::blocks::{Conv2d, Layer, Linear, Norm};
use impasto_tensor::{Array, Backend, TensorError};
use impasto_weights::{AdapterChange, AdapterLayer, Checkpoint, Dora, Factored};
use std::sync::{Arc, OnceLock};

/// A layer in an edited copy, made when it is first used.
#[derive(Debug)]
pub(crate) struct Patch<B: Backend> {
    edits: Vec<(Arc<AdapterLayer>, f32)>,
    checkpoint: Arc<Checkpoint>,
    made: OnceLock<Patched<B>>,
}

/// An edited layer, ready for a backend.
#[derive(Debug)]
pub(crate) enum Patched<B: Backend> {
    Linear(B::Linear),
    Conv2d(B::Conv2d),
    Norm(B::Norm),
}

/// Weight and bias.
struct Edited {
    shape: Vec<usize>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl<B: Backend> Patch<B> {
    pub(super) fn new(checkpoint: Arc<Checkpoint>) -> Self {
        Self { edits: Vec::new(), checkpoint, made: OnceLock::new() }
    }

    pub(super) fn push(&mut self, layer: Arc<AdapterLayer>, strength: f32) {
        self.edits.push((layer, strength));
    }

    /// The edited linear layer.
    pub(crate) fn linear(&self, backend: &B, layer: &Linear<B>) -> Result<&Patched<B>, TensorError> {
        self.get(layer, |edited, precision| {
            let outputs = edited.bias.len().max(1);
            let weight = view(&edited.weight, vec![outputs, edited.weight.len() / outputs])?;
            let bias = view(&edited.bias, vec![outputs])?;
            Ok(Patched::Linear(backend.prepare_linear(&weight, Some(&bias), precision)?))
        })
    }

    /// The edited convolution.
    pub(crate) fn conv2d(&self, backend: &B, layer: &Conv2d<B>) -> Result<&Patched<B>, TensorError> {
        self.get(layer, |edited, precision| {
            let bias = view(&edited.bias, vec![edited.bias.len()])?;
            let weight = view(&edited.weight, edited.shape)?;
            Ok(Patched::Conv2d(backend.prepare_conv2d(
                &weight,
                Some(&bias),
                layer.about.config,
                precision,
            )?))
        })
    }

    /// The edited normalisation.
    pub(crate) fn norm(&self, backend: &B, layer: &Norm<B>) -> Result<&Patched<B>, TensorError> {
        self.get(layer, |edited, _| {
            let features = vec![edited.weight.len()];
            let scale = view(&edited.weight, features.clone())?;
            Ok(Patched::Norm(backend.prepare_norm(&scale, &view(&edited.bias, features)?)?))
        })
    }

    fn get<T>(
        &self,
        layer: &Layer<T>,
        prepare: impl FnOnce(Edited, impasto_tensor::Precision) -> Result<Patched<B>, TensorError>,
    ) -> Result<&Patched<B>, TensorError> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = prepare(self.edit(&layer.about.name, layer.about.has_bias)?, layer.about.precision)?;
        Ok(self.made.get_or_init(|| made))
    }

    fn edit(&self, name: &str, has_bias: bool) -> Result<Edited, TensorError> {
        let read = |part: &str| -> Result<(Vec<usize>, Vec<f32>), TensorError> {
            let view = self.checkpoint.tensor(&format!("{name}.{part}"));
            let view = view.map_err(|error| TensorError::Weight(error.to_string()))?;
            let elements = view.read()?.to_f32();
            Ok((view.shape().to_vec(), elements))
        };
        let (shape, mut weight) = read("weight")?;
        let outputs = shape.first().copied().unwrap_or(0);
        let mut bias = if has_bias { read("bias")?.1 } else { vec![0.0; outputs] };
        for (edit, strength) in &self.edits {
            apply(&mut weight, &shape, edit, *strength);
            for (bias, change) in bias.iter_mut().zip(edit.bias.iter().flat_map(Array::data)) {
                *bias += strength * change;
            }
        }
        Ok(Edited { shape, weight, bias })
    }
}

/// Adds to `weight`, of `shape`, what an edit changes of it.
pub(super) fn apply(weight: &mut [f32], shape: &[usize], edit: &AdapterLayer, strength: f32) {
    let outputs = shape.first().copied().unwrap_or(1).max(1);
    let inputs = shape.get(1).copied().unwrap_or(1).max(1);
    let mut change = difference(weight, [outputs, inputs], &edit.change);
    for change in &mut change {
        *change *= edit.scale;
    }
    if let Some(dora) = &edit.dora {
        decompose(weight, &mut change, [outputs, inputs], dora);
    }
    for (weight, change) in weight.iter_mut().zip(change) {
        *weight += strength * change;
    }
}

/// What a kind of change adds to a weight of `outputs` rows, before any scale.
fn difference(weight: &[f32], [outputs, inputs]: [usize; 2], change: &AdapterChange) -> Vec<f32> {
    let n = weight.len() / outputs;
    let taps = (n / inputs).max(1);
    match change {
        AdapterChange::LowRank { down, up } => product(up.data(), down.data(), outputs),
        AdapterChange::Core { down, up, mid } => {
            // up [out, p], mid [p, q, taps], down [q, in]: first the middle with the downward matrix.
            let rank = down.data().len() / inputs;
            core(
                mid.data(),
                &transposed(up.data(), outputs),
                down.data(),
                [rank, rank, taps],
                [outputs, inputs],
            )
        }
        AdapterChange::Hadamard([one, two]) => {
            let two = whole(two, taps);
            whole(one, taps).iter().zip(two).map(|(one, two)| one * two).collect()
        }
        AdapterChange::Kronecker([one, two]) => kronecker(one, two, [outputs, inputs, taps]),
        AdapterChange::Rescale { by, on_input } => {
            let index = |at: usize| if *on_input { at % n / taps } else { at / n };
            weight.iter().enumerate().map(|(at, weight)| weight * by.data()[index(at)]).collect()
        }
        AdapterChange::Full(diff) => diff.data().to_vec(),
        AdapterChange::Generalised { a: [a2, a1], b: [b2, b1] } => {
            let mut sum = product(&product(weight, a2.data(), outputs), a1.data(), outputs);
            for (sum, beside) in sum.iter_mut().zip(product(b2.data(), b1.data(), outputs)) {
                *sum += beside;
            }
            sum
        }
        AdapterChange::Orthogonal { blocks, constraint } => {
            let turned = turn(weight, outputs, blocks, *constraint);
            turned.iter().zip(weight).map(|(turned, weight)| turned - weight).collect()
        }
    }
}

/// `a b`, `a` of `rows` rows.
fn product(a: &[f32], b: &[f32], rows: usize) -> Vec<f32> {
    let inner = (a.len() / rows.max(1)).max(1);
    let columns = b.len() / inner;
    let mut out = vec![0.0; rows * columns];
    for (a, out) in a.chunks_exact(inner).zip(out.chunks_exact_mut(columns.max(1))) {
        for (a, b) in a.iter().zip(b.chunks_exact(columns.max(1))) {
            for (out, b) in out.iter_mut().zip(b) {
                *out += a * b;
            }
        }
    }
    out
}

/// Of `rows` rows, to as many columns.
fn transposed(a: &[f32], rows: usize) -> Vec<f32> {
    let columns = a.len() / rows.max(1);
    (0..a.len()).map(|at| a[at % rows * columns + at / rows]).collect()
}

/// `out[p, r, ..] = sum_ij core[i, j, ..] a[i, p] b[j, r]`, `core` being `[i, j, taps]` and the result `[p, r, taps]`.
fn core(
    core: &[f32],
    a: &[f32],
    b: &[f32],
    [i, j, taps]: [usize; 3],
    [outputs, inputs]: [usize; 2],
) -> Vec<f32> {
    // [p, j, taps], then input by input.
    let first = product(&transposed(a, i), core, outputs);
    let mut out = vec![0.0; outputs * inputs * taps];
    for (from, to) in first.chunks_exact(j * taps).zip(out.chunks_exact_mut(inputs * taps)) {
        for (from, b) in from.chunks_exact(taps).zip(b.chunks_exact(inputs)) {
            for (to, b) in to.chunks_exact_mut(taps).zip(b) {
                for (to, from) in to.iter_mut().zip(from) {
                    *to += b * from;
                }
            }
        }
    }
    out
}

/// A matrix that is stored in some way, row by row.
fn whole(factored: &Factored, taps: usize) -> Vec<f32> {
    let rows = |array: &Array| array.shape().first().copied().unwrap_or(1);
    match factored {
        Factored::Whole(whole) => whole.data().to_vec(),
        Factored::Product(a, b) => product(a.data(), b.data(), rows(a)),
        Factored::Core(middle, a, b) => {
            let (i, j) = (rows(a), rows(b));
            let sizes = [a.data().len() / i, b.data().len() / j];
            core(middle.data(), a.data(), b.data(), [i, j, taps], sizes)
        }
    }
}

fn kronecker(one: &Factored, two: &Factored, [outputs, inputs, taps]: [usize; 3]) -> Vec<f32> {
    let rows = match one {
        Factored::Whole(first) | Factored::Product(first, _) => first.shape().first().copied().unwrap_or(1),
        Factored::Core(_, a, _) => a.data().len() / a.shape().first().copied().unwrap_or(1),
    };
    let (one, two) = (whole(one, 1), whole(two, taps));
    let columns = one.len() / rows;
    let (below, beside) = (outputs / rows, inputs / columns * taps);
    let n = inputs * taps;
    (0..outputs * n)
        .map(|at| {
            let (row, column) = (at / n, at % n);
            one[row / below * columns + column / beside] * two[row % below * beside + column % beside]
        })
        .collect()
}

/// `DoRA`: makes of `change` what brings the changed weight's columns, or rows, to their lengths.
fn decompose(weight: &[f32], change: &mut [f32], [outputs, inputs]: [usize; 2], dora: &Dora) {
    let n = weight.len() / outputs;
    let taps = (n / inputs).max(1);
    let line = |at: usize| if dora.of_outputs { at / n } else { at % n / taps };
    let mut squares = vec![0.0_f64; dora.lengths.data().len()];
    for (at, (weight, change)) in weight.iter().zip(change.iter()).enumerate() {
        squares[line(at)] += f64::from(weight + change).powi(2);
    }
    for (at, (weight, change)) in weight.iter().zip(change).enumerate() {
        let length = squares[line(at)].sqrt() as f32;
        *change = (weight + *change) * (dora.lengths.data()[line(at)] / length) - weight;
    }
}

/// Outputs turned block by block: with a constraint by the Cayley transform of what is stored, else by itself.
fn turn(weight: &[f32], outputs: usize, blocks: &Array, constraint: Option<f32>) -> Vec<f32> {
    let size = blocks.shape().get(1).copied().unwrap_or(1).max(1);
    let n = weight.len() / outputs;
    let skew: Vec<f32> = match constraint {
        None => blocks.data().to_vec(),
        Some(constraint) => {
            let block = size * size;
            let element = |at: usize| {
                let (row, column) = (at % block / size, at % size);
                blocks.data()[at] - blocks.data()[at / block * block + column * size + row]
            };
            let skew: Vec<f32> = (0..blocks.data().len()).map(element).collect();
            let norm = skew.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let most = f64::from(constraint * outputs as f32);
            let factor = if constraint == 0.0 { 1.0 } else { (norm.min(most) + 1e-8) / (norm + 1e-8) };
            skew.iter().map(|x| (f64::from(*x) * factor) as f32).collect()
        }
    };
    let mut out = vec![0.0; weight.len()];
    for (number, skew) in skew.chunks_exact(size * size).enumerate() {
        let rotation = if constraint.is_some() { cayley(skew, size) } else { skew.to_vec() };
        let place = number * size * n..(number + 1) * size * n;
        let turned = product(&transposed(&rotation, size), &weight[place.clone()], size);
        out[place].copy_from_slice(&turned);
    }
    out
}

/// `(I + q) (I - q)^-1` of a skew-symmetric `q`, by elimination: `I - q` has no zero pivots.
fn cayley(q: &[f32], size: usize) -> Vec<f32> {
    let unit = |at: usize| f64::from(u8::from(at / size == at % size));
    // x (I - q) = I + q, transposed: (I - q)^T x^T = (I + q)^T.
    let flipped = |at: usize| f64::from(q[at % size * size + at / size]);
    let mut left: Vec<f64> = (0..size * size).map(|at| unit(at) - flipped(at)).collect();
    let mut right: Vec<f64> = (0..size * size).map(|at| unit(at) + flipped(at)).collect();
    for pivot in 0..size {
        let inverse = 1.0 / left[pivot * size + pivot];
        for row in (0..size).filter(|row| *row != pivot) {
            let factor = left[row * size + pivot] * inverse;
            for column in 0..size {
                left[row * size + column] -= factor * left[pivot * size + column];
                right[row * size + column] -= factor * right[pivot * size + column];
            }
        }
        for column in 0..size {
            left[pivot * size + column] *= inverse;
            right[pivot * size + column] *= inverse;
        }
    }
    (0..size * size).map(|at| right[at % size * size + at / size] as f32).collect()
}
