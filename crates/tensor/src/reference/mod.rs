//! The reference backend: every operation by the obvious loops.
//!
//! It is the documentation of what an operation means and the oracle for the fast backends, and is never used to make a
//! picture. Elements are `f32`, sums are `f64`.

mod loops;

use crate::meter::{ByteMeter, CountedBytes};
use crate::{
    Activation, Array, AttentionArgs, Backend, Conv2dArgs, Conv2dConfig, Curve, LinearArgs, Precision,
    Resample, TensorError, WeightView, shapes, timestep,
};
use std::fmt;
use std::sync::Arc;

/// The backend of obvious loops.
#[derive(Debug, Clone, Default)]
pub struct ReferenceBackend {
    meter: ByteMeter,
}

/// Shared elements under a shape.
#[derive(Clone)]
pub struct ReferenceTensor {
    shape: Vec<usize>,
    data: Arc<Vec<f32>>,
}

impl fmt::Debug for ReferenceTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReferenceTensor{:?}", self.shape)
    }
}

/// Weights in the order in which the loops read them.
#[derive(Debug)]
pub struct ReferenceWeights<const RANK: usize> {
    /// Sizes as given when the weights were prepared.
    sizes: [usize; RANK],
    config: Option<Conv2dConfig>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    _counted: CountedBytes,
}

impl ReferenceBackend {
    /// A backend.
    pub fn new() -> Self {
        Self::default()
    }

    fn weights<const RANK: usize>(
        &self,
        sizes: [usize; RANK],
        config: Option<Conv2dConfig>,
        weight: Vec<f32>,
        bias: Vec<f32>,
    ) -> ReferenceWeights<RANK> {
        let counted = self.meter.count(size_of::<f32>() * (weight.len() + bias.len()));
        ReferenceWeights { sizes, config, weight, bias, _counted: counted }
    }
}

/// An empty vector that has room for the elements of `shape`.
fn room(shape: &[usize]) -> Result<Vec<f32>, TensorError> {
    let count = shapes::elements("reference", shape)?;
    let mut data = Vec::new();
    data.try_reserve_exact(count)
        .map_err(|_| TensorError::OutOfMemory { bytes: count * size_of::<f32>() })?;
    Ok(data)
}

fn tensor(shape: Vec<usize>, data: Vec<f32>) -> ReferenceTensor {
    debug_assert_eq!(shape.iter().product::<usize>(), data.len());
    ReferenceTensor { shape, data: Arc::new(data) }
}

/// Applies a function of an element and its index.
fn map(x: &ReferenceTensor, function: impl Fn(usize, f64) -> f64) -> Result<ReferenceTensor, TensorError> {
    let mut data = room(&x.shape)?;
    data.extend(x.data.iter().enumerate().map(|(i, &x)| function(i, f64::from(x)) as f32));
    Ok(tensor(x.shape.clone(), data))
}

/// `[out, rest]` to `[rest, out]`.
fn transposed(weight: &WeightView<'_>, out: usize) -> Result<Vec<f32>, TensorError> {
    let source = weight.read()?.to_f32();
    let rest = source.len() / out;
    Ok((0..source.len()).map(|i| source[i % out * rest + i / out]).collect())
}

fn bias_or_zeros(bias: Option<&WeightView<'_>>, out: usize) -> Result<Vec<f32>, TensorError> {
    bias.map_or_else(|| Ok(vec![0.0; out]), |bias| Ok(bias.read()?.to_f32()))
}

impl Backend for ReferenceBackend {
    type Tensor = ReferenceTensor;
    type Linear = ReferenceWeights<2>;
    type LowRank = [ReferenceWeights<2>; 2];
    type Conv2d = ReferenceWeights<4>;
    type Norm = ReferenceWeights<1>;
    type Embedding = ReferenceWeights<2>;

    fn describe(&self) -> String {
        "reference".to_owned()
    }

    fn prepare_linear(
        &self,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        _precision: Precision,
    ) -> Result<Self::Linear, TensorError> {
        let sizes = shapes::linear_weight(weight, bias)?;
        Ok(self.weights(sizes, None, transposed(weight, sizes[0])?, bias_or_zeros(bias, sizes[0])?))
    }

    fn prepare_low_rank(
        &self,
        down: &WeightView<'_>,
        up: &WeightView<'_>,
    ) -> Result<Self::LowRank, TensorError> {
        let [out, rank, inputs] = shapes::low_rank_weight(down, up)?;
        let weights = |weight: &WeightView<'_>, sizes: [usize; 2]| {
            Ok::<_, TensorError>(self.weights(sizes, None, transposed(weight, sizes[0])?, Vec::new()))
        };
        Ok([weights(down, [rank, inputs])?, weights(up, [out, rank])?])
    }

    fn prepare_conv2d(
        &self,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        config: Conv2dConfig,
        _precision: Precision,
    ) -> Result<Self::Conv2d, TensorError> {
        let sizes @ [out, inputs, height, width] = shapes::conv2d_weight(weight, bias, config)?;
        let source = weight.read()?.to_f32();
        let mut ordered = Vec::with_capacity(source.len()); // [kernel height, kernel width, in, out]
        for tap in 0..height * width {
            for input in 0..inputs {
                ordered.extend((0..out).map(|o| source[(o * inputs + input) * height * width + tap]));
            }
        }
        Ok(self.weights(sizes, Some(config), ordered, bias_or_zeros(bias, out)?))
    }

    fn prepare_norm(
        &self,
        scale: &WeightView<'_>,
        shift: &WeightView<'_>,
    ) -> Result<Self::Norm, TensorError> {
        let features = shapes::norm_weight(scale, shift)?;
        Ok(self.weights([features], None, scale.read()?.to_f32(), shift.read()?.to_f32()))
    }

    fn prepare_embedding(&self, table: &WeightView<'_>) -> Result<Self::Embedding, TensorError> {
        let sizes = shapes::embedding_weight(table)?;
        Ok(self.weights(sizes, None, table.read()?.to_f32(), Vec::new()))
    }

    fn weight_bytes(&self) -> usize {
        self.meter.bytes()
    }

    fn upload(&self, array: &Array) -> Result<Self::Tensor, TensorError> {
        Ok(tensor(array.shape().to_vec(), array.data().to_vec()))
    }

    fn download(&self, tensor: &Self::Tensor) -> Result<Array, TensorError> {
        Array::new(tensor.shape.clone(), tensor.data.to_vec())
    }

    fn shape<'a>(&self, tensor: &'a Self::Tensor) -> &'a [usize] {
        &tensor.shape
    }

    fn reshape(&self, tensor: &Self::Tensor, shape: &[usize]) -> Result<Self::Tensor, TensorError> {
        if shapes::elements("reshape", shape)? != tensor.data.len() {
            return Err(TensorError::shape("reshape", format!("{:?} to {shape:?}", tensor.shape)));
        }
        Ok(ReferenceTensor { shape: shape.to_vec(), data: Arc::clone(&tensor.data) })
    }

    fn linear(
        &self,
        x: &Self::Tensor,
        weights: &Self::Linear,
        args: LinearArgs<'_, Self>,
    ) -> Result<Self::Tensor, TensorError> {
        let residual = args.residual;
        let shape = shapes::linear(&x.shape, weights.sizes, residual.map(|r| r.shape.as_slice()))?;
        let adapted = args.adapters.iter().map(|adapter| {
            let [down, up] = adapter.weights;
            (&adapter.rows, [up.sizes[0], up.sizes[1], down.sizes[1]])
        });
        shapes::row_adapters(&x.shape, weights.sizes, adapted)?;
        let mut out = room(&shape)?;
        let mut sums = vec![0.0; weights.sizes[0]];
        let tokens: usize = x.shape[1..].iter().rev().skip(1).product();
        for (at, row) in x.data.chunks_exact(weights.sizes[1]).enumerate() {
            sums.fill(0.0);
            loops::accumulate(&mut sums, row, &weights.weight);
            for adapter in args.adapters.iter().filter(|adapter| adapter.rows.contains(&(at / tokens))) {
                let [down, up] = adapter.weights;
                let mut narrow = vec![0.0; down.sizes[0]];
                loops::accumulate(&mut narrow, row, &down.weight);
                for (narrow, up) in narrow.iter().zip(up.weight.chunks_exact(sums.len())) {
                    let narrow = narrow * f64::from(adapter.scale);
                    sums.iter_mut().zip(up).for_each(|(sum, &up)| *sum += narrow * f64::from(up));
                }
            }
            for (sum, &bias) in sums.iter().zip(&weights.bias) {
                let residual = residual.map_or(0.0, |r| f64::from(r.data[out.len()]));
                out.push((loops::activate(sum + f64::from(bias), args.activation) + residual) as f32);
            }
        }
        Ok(tensor(shape, out))
    }

    fn conv2d(
        &self,
        x: &Self::Tensor,
        weights: &Self::Conv2d,
        args: Conv2dArgs<'_, Self::Tensor>,
    ) -> Result<Self::Tensor, TensorError> {
        let config = weights.config.unwrap_or(Conv2dConfig::padded(0));
        let shape_of = |tensor: Option<&'_ Self::Tensor>| tensor.map(|t| t.shape.clone());
        let fused = [args.row_bias, args.slopes, args.residual].map(shape_of);
        let sizes = shapes::conv2d(&x.shape, weights.sizes, config, fused.each_ref().map(Option::as_deref))?;
        let mut out = room(&sizes.shape())?;
        let mut sums = vec![0.0; sizes.outputs];
        let pixels = sizes.out_height * sizes.out_width;
        for pixel in 0..sizes.batch * pixels {
            let (image, y, column) =
                (pixel / pixels, pixel % pixels / sizes.out_width, pixel % sizes.out_width);
            sums.fill(0.0);
            let at = [image, y, column];
            loops::conv2d_pixel(&mut sums, &x.data, &weights.weight, &sizes, config, args.padding_mode, at);
            for (channel, sum) in sums.iter().enumerate() {
                let row_bias = args.row_bias.map_or(0.0, |r| r.data[image * sizes.outputs + channel]);
                let residual = args.residual.map_or(0.0, |r| f64::from(r.data[out.len()]));
                let biased = sum + f64::from(weights.bias[channel]) + f64::from(row_bias);
                let active = loops::activate(biased, args.activation);
                let slope = args.slopes.filter(|_| active < 0.0).map_or(1.0, |s| f64::from(s.data[channel]));
                out.push((active * slope + residual) as f32);
            }
        }
        Ok(tensor(sizes.shape(), out))
    }

    fn group_norm(
        &self,
        x: &Self::Tensor,
        norm: &Self::Norm,
        groups: usize,
        epsilon: f32,
        activation: Activation,
    ) -> Result<Self::Tensor, TensorError> {
        let [batch, pixels, features] = shapes::group_norm(&x.shape, norm.sizes[0], groups)?;
        let size = features / groups;
        let mut moments = Vec::with_capacity(batch * groups);
        for (row, group) in (0..batch * groups).map(|i| (i / groups, i % groups)) {
            let first = row * pixels * features + group * size;
            let members = (0..pixels * size).map(|i| x.data[first + i / size * features + i % size]);
            moments.push(loops::moments(members, epsilon));
        }
        map(x, |i, x| {
            let (row, feature) = (i / (pixels * features), i % features);
            let (mean, inverse) = moments[row * groups + feature / size];
            let (scale, shift) = (norm.weight[feature], norm.bias[feature]);
            loops::activate((x - mean) * inverse * f64::from(scale) + f64::from(shift), activation)
        })
    }

    fn layer_norm(
        &self,
        x: &Self::Tensor,
        norm: &Self::Norm,
        epsilon: f32,
    ) -> Result<Self::Tensor, TensorError> {
        let [_, features] = shapes::layer_norm(&x.shape, norm.sizes[0])?;
        let moments: Vec<_> =
            x.data.chunks_exact(features).map(|row| loops::moments(row.iter().copied(), epsilon)).collect();
        map(x, |i, x| {
            let (mean, inverse) = moments[i / features];
            let (scale, shift) = (norm.weight[i % features], norm.bias[i % features]);
            (x - mean) * inverse * f64::from(scale) + f64::from(shift)
        })
    }

    fn attention(
        &self,
        query: &Self::Tensor,
        key: &Self::Tensor,
        value: &Self::Tensor,
        args: AttentionArgs<'_>,
    ) -> Result<Self::Tensor, TensorError> {
        let sizes = shapes::attention(&query.shape, &key.shape, &value.shape, &args)?;
        let mut out = room(&query.shape)?;
        out.resize(query.data.len(), 0.0);
        for (part, out) in out.chunks_exact_mut(sizes.head_size).enumerate() {
            let (token, head) = (part / sizes.heads, part % sizes.heads);
            let at = [token / sizes.queries, token % sizes.queries, head];
            loops::attend(out, [&query.data, &key.data, &value.data], &sizes, &args, at);
        }
        Ok(tensor(query.shape.clone(), out))
    }

    fn geglu(&self, x: &Self::Tensor) -> Result<Self::Tensor, TensorError> {
        let shape = shapes::geglu(&x.shape)?;
        let (_, half) = shapes::split_last("geglu", &shape)?;
        let mut out = room(&shape)?;
        for row in x.data.chunks_exact(2 * half) {
            let (values, gates) = row.split_at(half);
            out.extend(values.iter().zip(gates).map(|(&value, &gate)| {
                (f64::from(value) * loops::activate(f64::from(gate), Activation::Gelu)) as f32
            }));
        }
        Ok(tensor(shape, out))
    }

    fn activate(&self, x: &Self::Tensor, activation: Activation) -> Result<Self::Tensor, TensorError> {
        map(x, |_, x| loops::activate(x, activation))
    }

    fn curve(&self, x: &Self::Tensor, curve: Curve) -> Result<Self::Tensor, TensorError> {
        map(x, |_, x| f64::from(curve.at(x as f32)))
    }

    fn add(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor, TensorError> {
        shapes::equal("add", &a.shape, &b.shape)?;
        map(a, |i, a| a + f64::from(b.data[i]))
    }

    fn scale(&self, a: &Self::Tensor, factor: f32) -> Result<Self::Tensor, TensorError> {
        map(a, |_, a| a * f64::from(factor))
    }

    fn concat(&self, parts: &[&Self::Tensor]) -> Result<Self::Tensor, TensorError> {
        let shape = shapes::concat(&parts.iter().map(|part| part.shape.as_slice()).collect::<Vec<_>>())?;
        let (rows, _) = shapes::split_last("concat", &shape)?;
        let mut out = room(&shape)?;
        for row in 0..rows {
            for part in parts {
                let width = part.data.len() / rows;
                out.extend_from_slice(&part.data[row * width..(row + 1) * width]);
            }
        }
        Ok(tensor(shape, out))
    }

    fn columns(&self, x: &Self::Tensor, start: usize, end: usize) -> Result<Self::Tensor, TensorError> {
        let shape = shapes::columns(&x.shape, start, end)?;
        let (_, width) = shapes::split_last("columns", &x.shape)?;
        let mut out = room(&shape)?;
        x.data.chunks_exact(width).for_each(|row| out.extend_from_slice(&row[start..end]));
        Ok(tensor(shape, out))
    }

    fn concat_rows(&self, parts: &[&Self::Tensor]) -> Result<Self::Tensor, TensorError> {
        let shape = shapes::concat_rows(&parts.iter().map(|part| part.shape.as_slice()).collect::<Vec<_>>())?;
        let mut out = room(&shape)?;
        for part in parts {
            out.extend_from_slice(&part.data);
        }
        Ok(tensor(shape, out))
    }

    fn rows(&self, x: &Self::Tensor, start: usize, end: usize) -> Result<Self::Tensor, TensorError> {
        let shape = shapes::rows(&x.shape, start, end)?;
        let row = shapes::elements("rows", &x.shape[1..])?;
        let mut out = room(&shape)?;
        out.extend_from_slice(&x.data[start * row..end * row]);
        Ok(tensor(shape, out))
    }

    fn gather_mean(
        &self,
        x: &Self::Tensor,
        members: &[u32],
        ends: &[u32],
    ) -> Result<Self::Tensor, TensorError> {
        let shape @ [_, features] = shapes::gather_mean(&x.shape, members, ends)?;
        let mut out = room(&shape)?;
        let mut start = 0;
        for &end in ends {
            let own = &members[start..end as usize];
            out.extend((0..features).map(|feature| {
                let sum: f64 =
                    own.iter().map(|&id| f64::from(x.data[id as usize * features + feature])).sum();
                (sum / own.len() as f64) as f32
            }));
            start = end as usize;
        }
        Ok(tensor(shape.to_vec(), out))
    }

    fn resample(&self, x: &Self::Tensor, how: Resample) -> Result<Self::Tensor, TensorError> {
        let shape = shapes::resample(&x.shape, how)?;
        let [_, height, width, channels] = shapes::picture("resample", &x.shape)?;
        let (Resample::Nearest { factor } | Resample::PixelShuffle { factor }) = how;
        let mut out = room(&shape)?;
        for line in 0..x.shape[0] * height * factor {
            for column in 0..width * factor {
                let pixel = (line / factor * width + column / factor) * channels;
                let pixel = &x.data[pixel..pixel + channels];
                match how {
                    Resample::Nearest { .. } => out.extend_from_slice(pixel),
                    Resample::PixelShuffle { .. } => {
                        let own = line % factor * factor + column % factor;
                        out.extend(pixel.iter().skip(own).step_by(factor * factor));
                    }
                }
            }
        }
        Ok(tensor(shape, out))
    }

    fn embedding(
        &self,
        table: &Self::Embedding,
        ids: &[u32],
        batch: usize,
    ) -> Result<Self::Tensor, TensorError> {
        let shape = shapes::embedding(ids, batch, table.sizes)?;
        let features = table.sizes[1];
        let mut out = room(&shape)?;
        for &id in ids {
            out.extend_from_slice(&table.weight[id as usize * features..(id as usize + 1) * features]);
        }
        Ok(tensor(shape, out))
    }

    fn timestep_embedding(&self, timesteps: &[f32], features: usize) -> Result<Self::Tensor, TensorError> {
        let shape = shapes::timestep_embedding(timesteps, features)?;
        let mut out = room(&shape)?;
        out.extend(timestep::sinusoids(timesteps, features));
        Ok(tensor(shape, out))
    }
}
