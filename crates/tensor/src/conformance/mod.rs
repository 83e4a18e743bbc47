//! One suite for every backend: a table of operations with sizes, run on made-up data and compared with the reference.
//!
//! The data of a batch row depend on the row's number alone, so that the suite can also ask whether a row's result
//! depends on its neighbours. The same operations serve as workloads when kernels are timed.

mod adapted;
mod cases;
mod refusals;
mod timing;

pub use cases::conformance_cases;
pub use refusals::accepted_nonsense;
pub use timing::{TimedNetworks, TimingCase, timing_cases};

use crate::reference::ReferenceBackend;
use crate::{
    Activation, Array, AttentionArgs, Backend, Conv2dArgs, Conv2dConfig, Curve, DType, LinearArgs,
    PaddingMode, Precision, Resample, TensorError, WeightView,
};
use std::fmt;
use std::ops::Range;

/// An operation with the sizes of one batch row.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the fields are the arguments of the operation of the same name")]
pub enum Operation {
    Linear {
        tokens: usize,
        inputs: usize,
        outputs: usize,
        bias: bool,
        activation: Activation,
        residual: bool,
    },
    /// Rows have some of the changes of these ranks.
    AdaptedLinear {
        tokens: usize,
        inputs: usize,
        outputs: usize,
        ranks: &'static [usize],
        activation: Activation,
        residual: bool,
    },
    Conv2d {
        size: [usize; 2],
        inputs: usize,
        outputs: usize,
        kernel: [usize; 2],
        config: Conv2dConfig,
        mode: PaddingMode,
        row_bias: bool,
        activation: Activation,
        slopes: bool,
        residual: bool,
    },
    GroupNorm {
        pixels: usize,
        features: usize,
        groups: usize,
        activation: Activation,
    },
    LayerNorm {
        tokens: usize,
        features: usize,
    },
    Attention {
        queries: usize,
        keys: usize,
        heads: usize,
        head_size: usize,
        causal: bool,
        /// Key lengths, taken in turn by the batch rows.
        key_lengths: Option<&'static [usize]>,
    },
    Geglu {
        tokens: usize,
        features: usize,
    },
    Activate {
        elements: usize,
        activation: Activation,
    },
    Curve {
        elements: usize,
        curve: Curve,
    },
    Add {
        elements: usize,
    },
    Scale {
        elements: usize,
    },
    Concat {
        tokens: usize,
        widths: &'static [usize],
    },
    Columns {
        tokens: usize,
        features: usize,
        range: [usize; 2],
    },
    Resample {
        size: [usize; 2],
        channels: usize,
        factor: usize,
    },
    PixelShuffle {
        size: [usize; 2],
        channels: usize,
        factor: usize,
    },
    Embedding {
        tokens: usize,
        rows: usize,
        features: usize,
    },
    TimestepEmbedding {
        features: usize,
    },
    /// Half as many tokens, of one to three members each.
    GatherMean {
        tokens: usize,
        features: usize,
    },
    /// `concat_rows` of `x` without its first row, and that first row.
    RotateRows {
        features: usize,
    },
}

/// The arguments of an operation, ready on a backend.
#[derive(Debug)]
pub struct Prepared<B: Backend> {
    operation: Operation,
    rows: Range<usize>,
    precision: Precision,
    inputs: Vec<B::Tensor>,
    weights: Weights<B>,
}

#[derive(Debug)]
enum Weights<B: Backend> {
    None,
    Linear(B::Linear),
    Adapted(B::Linear, Vec<B::LowRank>),
    Conv2d(B::Conv2d),
    Norm(B::Norm),
    Embedding(B::Embedding),
}

impl Operation {
    /// Floating point operations of one batch row, a multiplication and an addition counting as two; 0 where bytes
    /// matter rather than arithmetic.
    pub fn flops(&self) -> f64 {
        let product = match *self {
            Self::Linear { tokens, inputs, outputs, .. } => tokens * inputs * outputs,
            Self::AdaptedLinear { tokens, inputs, outputs, ranks, .. } => {
                tokens * (inputs * outputs + ranks.iter().sum::<usize>() * (inputs + outputs))
            }
            Self::Conv2d { size: [height, width], inputs, outputs, kernel, config, .. } => {
                let [top, bottom, left, right] = config.padding;
                let rows = (height + top + bottom - kernel[0]) / config.stride + 1;
                let columns = (width + left + right - kernel[1]) / config.stride + 1;
                rows * columns * inputs * outputs * kernel[0] * kernel[1]
            }
            Self::Attention { queries, keys, heads, head_size, .. } => 2 * queries * keys * heads * head_size,
            _ => 0,
        };
        2.0 * product as f64
    }

    /// Uploads the data of batch rows `rows` and prepares the weights.
    pub fn prepare<B: Backend>(self, backend: &B, rows: Range<usize>) -> Result<Prepared<B>, TensorError> {
        self.prepare_at(backend, rows, Precision::F32)
    }

    /// As [`Self::prepare`], with the weights and the products of attention at a precision.
    pub fn prepare_at<B: Backend>(
        self,
        backend: &B,
        rows: Range<usize>,
        precision: Precision,
    ) -> Result<Prepared<B>, TensorError> {
        let upload = |slot, shape: &[usize]| backend.upload(&rows_of_noise(slot, rows.clone(), shape));
        let norm = |features| {
            let (scale, shift) = (weight(91, &[features]), weight(92, &[features]));
            Ok::<_, TensorError>(Weights::Norm(backend.prepare_norm(&scale.view()?, &shift.view()?)?))
        };
        let mut inputs = Vec::new();
        let mut weights = Weights::None;
        match self {
            Self::Linear { tokens, inputs: from, outputs, bias, residual, .. } => {
                inputs.push(upload(0, &[tokens, from])?);
                if residual {
                    inputs.push(upload(1, &[tokens, outputs])?);
                }
                let (matrix, shift) = (weight(90, &[outputs, from]), weight(91, &[outputs]));
                let shift = if bias { Some(shift.view()?) } else { None };
                weights =
                    Weights::Linear(backend.prepare_linear(&matrix.view()?, shift.as_ref(), precision)?);
            }
            Self::AdaptedLinear { tokens, inputs: from, outputs, ranks, residual, .. } => {
                inputs.push(upload(0, &[tokens, from])?);
                if residual {
                    inputs.push(upload(1, &[tokens, outputs])?);
                }
                weights = adapted::prepare(backend, [outputs, from], ranks, precision)?;
            }
            Self::Conv2d {
                size: [height, width],
                inputs: from,
                outputs,
                kernel,
                config,
                row_bias,
                slopes,
                residual,
                ..
            } => {
                inputs.push(upload(0, &[height, width, from])?);
                let (matrix, shift) =
                    (weight(90, &[outputs, from, kernel[0], kernel[1]]), weight(91, &[outputs]));
                let layer =
                    backend.prepare_conv2d(&matrix.view()?, Some(&shift.view()?), config, precision)?;
                if row_bias {
                    inputs.push(upload(1, &[outputs])?);
                }
                if slopes {
                    inputs.push(backend.upload(&Array::new([outputs], noise(3, 0, outputs))?)?);
                }
                if residual {
                    let plain = backend.conv2d(&inputs[0], &layer, Conv2dArgs::default())?;
                    inputs.push(upload(2, &backend.shape(&plain)[1..])?);
                }
                weights = Weights::Conv2d(layer);
            }
            Self::GroupNorm { pixels, features, .. } => {
                inputs.push(upload(0, &[pixels, features])?);
                weights = norm(features)?;
            }
            Self::LayerNorm { tokens, features } => {
                inputs.push(upload(0, &[tokens, features])?);
                weights = norm(features)?;
            }
            Self::Attention { queries, keys, heads, head_size, .. } => {
                inputs.push(upload(0, &[queries, heads * head_size])?);
                inputs.push(upload(1, &[keys, heads * head_size])?);
                inputs.push(upload(2, &[keys, heads * head_size])?);
            }
            Self::Geglu { tokens, features } => inputs.push(upload(0, &[tokens, 2 * features])?),
            Self::Activate { elements, .. } | Self::Curve { elements, .. } | Self::Scale { elements } => {
                inputs.push(upload(0, &[elements])?);
            }
            Self::Add { elements } => inputs.extend([upload(0, &[elements])?, upload(1, &[elements])?]),
            Self::Concat { tokens, widths } => {
                for (slot, &width) in widths.iter().enumerate() {
                    inputs.push(upload(slot as u64, &[tokens, width])?);
                }
            }
            Self::Columns { tokens, features, .. } | Self::GatherMean { tokens, features } => {
                inputs.push(upload(0, &[tokens, features])?);
            }
            Self::Resample { size: [height, width], channels, .. }
            | Self::PixelShuffle { size: [height, width], channels, .. } => {
                inputs.push(upload(0, &[height, width, channels])?);
            }
            Self::Embedding { rows, features, .. } => {
                weights =
                    Weights::Embedding(backend.prepare_embedding(&weight(90, &[rows, features]).view()?)?);
            }
            Self::TimestepEmbedding { .. } => {}
            Self::RotateRows { features } => inputs.push(upload(0, &[features])?),
        }
        Ok(Prepared { operation: self, rows, precision, inputs, weights })
    }

    /// Runs the operation for batch rows `rows` and downloads the result.
    pub fn run<B: Backend>(self, backend: &B, rows: Range<usize>) -> Result<Array, TensorError> {
        backend.download(&self.prepare(backend, rows)?.run(backend)?)
    }

    /// As [`Self::run`], with the weights and the products of attention at a precision.
    pub fn run_at<B: Backend>(
        self,
        backend: &B,
        rows: Range<usize>,
        precision: Precision,
    ) -> Result<Array, TensorError> {
        backend.download(&self.prepare_at(backend, rows, precision)?.run(backend)?)
    }

    /// How far a backend is from the reference, relative to the reference, in the Euclidean norm.
    pub fn error<B: Backend>(self, backend: &B, batch: usize) -> Result<f64, TensorError> {
        relative_error(&self.run(backend, 0..batch)?, &self.run(&ReferenceBackend::new(), 0..batch)?)
    }
}

impl fmt::Display for Operation {
    /// Name and sizes in a few words: `conv 3x3 640 to 320 at 64x64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Linear { tokens, inputs, outputs, .. } => {
                write!(f, "linear {tokens} x {inputs} to {outputs}")
            }
            Self::AdaptedLinear { tokens, inputs, outputs, ranks, .. } => {
                write!(f, "linear {tokens} x {inputs} to {outputs}, adapters of {ranks:?}")
            }
            Self::Conv2d { size: [height, width], inputs, outputs, kernel, config, .. } => {
                let [rows, columns] = kernel;
                write!(f, "conv {rows}x{columns} {inputs} to {outputs} at {height}x{width}")?;
                if config.stride > 1 { write!(f, ", stride {}", config.stride) } else { Ok(()) }
            }
            Self::GroupNorm { pixels, features, activation, .. } => {
                write!(f, "group norm {pixels} x {features}")?;
                if activation == Activation::Identity { Ok(()) } else { write!(f, ", {activation:?}") }
            }
            Self::LayerNorm { tokens, features } => write!(f, "layer norm {tokens} x {features}"),
            Self::Attention { queries, keys, heads, head_size, causal, .. } => {
                let kind = if causal { "causal attention" } else { "attention" };
                write!(f, "{kind} {heads} x {head_size}, {queries} by {keys}")
            }
            Self::Geglu { tokens, features } => write!(f, "geglu {tokens} x {features}"),
            Self::Activate { elements, activation } => write!(f, "{activation:?} {elements}"),
            Self::Curve { elements, curve } => write!(f, "{curve:?} {elements}"),
            Self::Add { elements } => write!(f, "add {elements}"),
            Self::Scale { elements } => write!(f, "scale {elements}"),
            Self::Concat { tokens, widths } => write!(f, "concat {tokens} x {widths:?}"),
            Self::Columns { tokens, features, range: [start, end] } => {
                write!(f, "columns {start}..{end} of {tokens} x {features}")
            }
            Self::Resample { size: [height, width], channels, factor } => {
                write!(f, "enlarge {height}x{width} x {channels} by {factor}")
            }
            Self::PixelShuffle { size: [height, width], channels, factor } => {
                write!(f, "pixel shuffle {height}x{width} x {channels} by {factor}")
            }
            Self::Embedding { tokens, rows, features } => {
                write!(f, "embedding {tokens} of {rows} x {features}")
            }
            Self::TimestepEmbedding { features } => write!(f, "timestep embedding {features}"),
            Self::GatherMean { tokens, features } => write!(f, "gather mean {tokens} x {features}"),
            Self::RotateRows { features } => write!(f, "rotate rows {features}"),
        }
    }
}

impl<B: Backend> Prepared<B> {
    /// Runs the operation once.
    pub fn run(&self, backend: &B) -> Result<B::Tensor, TensorError> {
        let input = |i: usize| &self.inputs[i];
        match (self.operation, &self.weights) {
            (Operation::Linear { activation, .. }, Weights::Linear(weights)) => {
                let residual = self.inputs.get(1);
                backend.linear(input(0), weights, LinearArgs { activation, residual, adapters: &[] })
            }
            (Operation::AdaptedLinear { activation, .. }, Weights::Adapted(layer, changes)) => {
                let fused = (activation, self.inputs.get(1));
                adapted::run(backend, input(0), (layer, changes), &self.rows, fused)
            }
            (
                Operation::Conv2d { mode, row_bias, activation, slopes, residual, .. },
                Weights::Conv2d(weights),
            ) => {
                let mut fused = self.inputs[1..].iter();
                let mut next = |wanted: bool| if wanted { fused.next() } else { None };
                let (row_bias, slopes, residual) = (next(row_bias), next(slopes), next(residual));
                let args = Conv2dArgs { row_bias, activation, slopes, residual, padding_mode: mode };
                backend.conv2d(input(0), weights, args)
            }
            (Operation::GroupNorm { groups, activation, .. }, Weights::Norm(norm)) => {
                backend.group_norm(input(0), norm, groups, 1e-5, activation)
            }
            (Operation::LayerNorm { .. }, Weights::Norm(norm)) => backend.layer_norm(input(0), norm, 1e-5),
            (Operation::Attention { heads, causal, key_lengths, .. }, _) => {
                let lengths = key_lengths
                    .map(|lengths| self.rows.clone().map(|r| lengths[r % lengths.len()]).collect::<Vec<_>>());
                let key_lengths = lengths.as_deref();
                let args = AttentionArgs { heads, causal, key_lengths, precision: self.precision };
                backend.attention(input(0), input(1), input(2), args)
            }
            (Operation::Geglu { .. }, _) => backend.geglu(input(0)),
            (Operation::Activate { activation, .. }, _) => backend.activate(input(0), activation),
            (Operation::Curve { curve, .. }, _) => backend.curve(input(0), curve),
            (Operation::Add { .. }, _) => backend.add(input(0), input(1)),
            (Operation::Scale { .. }, _) => backend.scale(input(0), 1.7),
            (Operation::Concat { .. }, _) => backend.concat(&self.inputs.iter().collect::<Vec<_>>()),
            (Operation::Columns { range: [start, end], .. }, _) => backend.columns(input(0), start, end),
            (Operation::Resample { factor, .. }, _) => {
                backend.resample(input(0), Resample::Nearest { factor })
            }
            (Operation::PixelShuffle { factor, .. }, _) => {
                backend.resample(input(0), Resample::PixelShuffle { factor })
            }
            (Operation::Embedding { tokens, rows, .. }, Weights::Embedding(table)) => {
                let first = self.rows.start * tokens;
                let ids = (first..self.rows.end * tokens).map(|i| (i * 7 % rows) as u32);
                backend.embedding(table, &ids.collect::<Vec<_>>(), self.rows.len())
            }
            (Operation::TimestepEmbedding { features }, _) => {
                let timesteps: Vec<f32> = self.rows.clone().map(|r| 999.0 - 123.5 * r as f32).collect();
                backend.timestep_embedding(&timesteps, features)
            }
            (Operation::GatherMean { tokens, features }, _) => {
                let made = tokens / 2;
                let (mut members, mut ends) = (Vec::new(), Vec::new());
                for token in 0..self.rows.len() * made {
                    let (row, token) = (token / made, token % made);
                    let ids = (0..=token % 3).map(|member| row * tokens + (token * 7 + member * 5) % tokens);
                    members.extend(ids.map(|id| id as u32));
                    ends.push(members.len() as u32);
                }
                let x = backend.reshape(input(0), &[self.rows.len() * tokens, features])?;
                let means = backend.gather_mean(&x, &members, &ends)?;
                backend.reshape(&means, &[self.rows.len(), made, features])
            }
            (Operation::RotateRows { .. }, _) => {
                let x = input(0);
                let rest = backend.rows(x, 1, self.rows.len())?;
                backend.concat_rows(&[&rest, &backend.rows(x, 0, 1)?])
            }
            (operation, _) => Err(TensorError::shape("conformance", format!("{operation:?} has no weights"))),
        }
    }
}

/// `|a - b| / |b|`.
pub fn relative_error(a: &Array, b: &Array) -> Result<f64, TensorError> {
    crate::shapes::equal("relative_error", a.shape(), b.shape())?;
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let pairs = a.data().iter().zip(b.data());
    let difference = square(&mut pairs.map(|(&a, &b)| f64::from(a) - f64::from(b)));
    let size = square(&mut b.data().iter().map(|&b| f64::from(b)));
    Ok((difference / size.max(f64::MIN_POSITIVE)).sqrt())
}

/// Made-up elements of `f32` that can be viewed as a weight.
struct Weight {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Weight {
    fn view(&self) -> Result<WeightView<'_>, TensorError> {
        WeightView::new(DType::F32, self.shape.clone(), &self.bytes)
    }
}

/// A weight whose rows have a Euclidean norm near 1, so that a layer's output is of the size of its input.
fn weight(slot: u64, shape: &[usize]) -> Weight {
    let count: usize = shape.iter().product();
    let fan_in = shape[1..].iter().product::<usize>() as f32;
    let elements = noise(slot, 0, count).into_iter().map(|x| x / fan_in.sqrt());
    Weight { shape: shape.to_vec(), bytes: elements.flat_map(f32::to_le_bytes).collect() }
}

/// Rows of noise, each of `shape`, stacked.
fn rows_of_noise(slot: u64, rows: Range<usize>, shape: &[usize]) -> Array {
    let mut array = Array::zeros([&[rows.len()], shape].concat());
    let size: usize = shape.iter().product();
    for (target, row) in array.data_mut().chunks_mut(size.max(1)).zip(rows) {
        target.copy_from_slice(&noise(slot, row, size));
    }
    array
}

/// Noise of variance 1 and mean 0.25, a function of its arguments: sums of three uniform numbers out of `SplitMix64`
/// (Steele, Lea and Flood 2014).
fn noise(slot: u64, row: usize, count: usize) -> Vec<f32> {
    let mut state = (slot << 40) ^ ((row as u64) << 20) ^ 0x9e37;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| uniform() + uniform() + uniform() + 0.25).collect()
}
