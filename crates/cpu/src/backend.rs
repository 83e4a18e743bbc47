//! The backend: shapes are checked, memory is taken from the pool, kernels are called.

use crate::buffer::{Buffer, BufferPool};
use crate::elementwise::{self, Pointwise};
use crate::gemm::{Epilogue, Machine, MatrixSizes, Order, PackedMatrix};
use crate::isa::{Isa, IsaName};
use crate::norm::{self, Affine};
use crate::pool::ThreadPool;
use crate::tensor::{
    Conv2dMatrix, ConvolutionMethod, CpuConv2d, CpuEmbedding, CpuLinear, CpuLowRank, CpuNorm, CpuTensor,
    LinearMatrix,
};
use crate::{attention, conv, int8, linear, peak, winograd};
use impasto_tensor::meter::ByteMeter;
use impasto_tensor::{
    Activation, Array, AttentionArgs, Backend, Conv2dArgs, Conv2dConfig, Curve, LinearArgs, Precision,
    Resample, TensorError, WeightView, shapes, timestep,
};
use std::num::NonZero;

/// What a [`CpuBackend`] may use.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuOptions {
    /// Threads that compute, the caller included; as many as the system offers if `None`.
    pub threads: Option<NonZero<usize>>,
    /// Instruction set; the best that the CPU has if `None`.
    pub isa: Option<IsaName>,
    /// Bytes that activations may occupy at once; without limit if `None`. Weights are not counted.
    pub activation_bytes: Option<usize>,
    /// How convolutions are computed.
    pub convolution: ConvolutionMethod,
}

/// The backend that runs on the host's processor.
#[derive(Debug)]
pub struct CpuBackend {
    isa: Isa,
    threads: ThreadPool,
    buffers: BufferPool,
    meter: ByteMeter,
    convolution: ConvolutionMethod,
}

impl CpuBackend {
    /// Starts the worker threads. An error if the CPU lacks the instruction set asked for.
    pub fn new(options: CpuOptions) -> Result<Self, TensorError> {
        let isa = match options.isa {
            Some(name) => Isa::detect(name).ok_or_else(|| {
                TensorError::Device(format!("this processor has no {name}; try `portable`"))
            })?,
            None => Isa::best(),
        };
        let threads = options.threads.or_else(|| std::thread::available_parallelism().ok());
        Ok(Self {
            isa,
            threads: ThreadPool::new(threads.unwrap_or(NonZero::<usize>::MIN))?,
            buffers: BufferPool::new(options.activation_bytes.unwrap_or(usize::MAX)),
            meter: ByteMeter::default(),
            convolution: options.convolution,
        })
    }

    /// Instruction sets that this processor has, best first.
    pub fn supported_isas() -> Vec<IsaName> {
        Isa::supported().map(Isa::name).collect()
    }

    /// The instruction set that is computed with.
    pub fn isa(&self) -> IsaName {
        self.isa.name()
    }

    /// Threads that compute, the caller included.
    pub fn threads(&self) -> usize {
        self.threads.threads()
    }

    /// Runs a loop of multiply-adds in registers on every thread, for some milliseconds, and answers how many floating
    /// point operations that were: a measured time means little unless it is set beside the time of this.
    pub fn run_peak(&self) -> Result<f64, TensorError> {
        peak::run(self.isa, &self.threads)
    }

    /// What packing weights needs.
    fn tools(&self) -> (Isa, &ThreadPool, &ByteMeter) {
        (self.isa, &self.threads, &self.meter)
    }

    fn machine(&self) -> Machine<'_> {
        Machine { isa: self.isa, threads: &self.threads, buffers: &self.buffers }
    }

    /// A tensor of `shape` whose elements `fill` writes, every one.
    fn tensor(
        &self,
        shape: Vec<usize>,
        fill: impl FnOnce(&mut [f32]) -> Result<(), TensorError>,
    ) -> Result<CpuTensor, TensorError> {
        let mut elements = self.buffers.take(shapes::elements("result", &shape)?)?;
        fill(&mut elements)?;
        Ok(CpuTensor::new(shape, elements))
    }
}

/// Counts the ways in which weights have been packed: to be raised with every change of what is kept.
const PREPARED_FORM: u32 = 2;

/// The shapes of some tensors.
fn shapes_of<'a>(parts: &[&'a CpuTensor]) -> Vec<&'a [usize]> {
    parts.iter().map(|part| part.shape.as_slice()).collect()
}

fn shape_of(tensor: Option<&CpuTensor>) -> Option<&[usize]> {
    tensor.map(|tensor| tensor.shape.as_slice())
}

impl Backend for CpuBackend {
    type Tensor = CpuTensor;
    type Linear = CpuLinear;
    type LowRank = CpuLowRank;
    type Conv2d = CpuConv2d;
    type Norm = CpuNorm;
    type Embedding = CpuEmbedding;

    fn describe(&self) -> String {
        format!("cpu {} {} threads", self.isa.name(), self.threads.threads())
    }

    fn prepared_form(&self) -> Option<String> {
        let convolution = match self.convolution {
            ConvolutionMethod::Direct => "direct",
            ConvolutionMethod::Winograd => "filtered",
        };
        Some(format!("cpu-{PREPARED_FORM}-{}-{convolution}", self.isa.name()))
    }

    fn prepare_linear(
        &self,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        precision: Precision,
    ) -> Result<CpuLinear, TensorError> {
        let sizes @ [columns, inner] = shapes::linear_weight(weight, bias)?;
        let matrix = if precision == Precision::Int8 && int8::suits_linear(sizes) {
            LinearMatrix::Int8(int8::prepare_linear(self.tools(), sizes, weight, bias)?)
        } else {
            let sizes = MatrixSizes { inner, taps: 1, columns };
            LinearMatrix::Wide(PackedMatrix::new(self.tools(), sizes, weight, bias, Order::AsStored)?)
        };
        Ok(CpuLinear { matrix, sizes })
    }

    fn prepare_low_rank(
        &self,
        down: &WeightView<'_>,
        up: &WeightView<'_>,
    ) -> Result<CpuLowRank, TensorError> {
        let [out, rank, inputs] = shapes::low_rank_weight(down, up)?;
        let pack = |weight: &WeightView<'_>, inner, columns| {
            let sizes = MatrixSizes { inner, taps: 1, columns };
            PackedMatrix::new(self.tools(), sizes, weight, None, Order::AsStored)
        };
        Ok(CpuLowRank { down: pack(down, inputs, rank)?, up: pack(up, rank, out)? })
    }

    fn prepare_conv2d(
        &self,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        config: Conv2dConfig,
        precision: Precision,
    ) -> Result<CpuConv2d, TensorError> {
        let sizes = shapes::conv2d_weight(weight, bias, config)?;
        let tools = self.tools();
        let matrix = if precision == Precision::Int8 && int8::suits_conv2d(sizes) {
            Conv2dMatrix::Int8(int8::prepare_conv2d(tools, sizes, weight, bias)?)
        } else if self.convolution == ConvolutionMethod::Winograd && winograd::suits(sizes, config) {
            Conv2dMatrix::Filtered(winograd::prepare(tools, sizes, weight, bias)?)
        } else {
            Conv2dMatrix::Direct(conv::prepare(tools, sizes, weight, bias)?)
        };
        Ok(CpuConv2d { matrix, sizes, config })
    }

    fn prepare_norm(&self, scale: &WeightView<'_>, shift: &WeightView<'_>) -> Result<CpuNorm, TensorError> {
        shapes::norm_weight(scale, shift)?;
        let (scale, shift) = (Buffer::widened(scale)?, Buffer::widened(shift)?);
        let counted = self.meter.count(scale.bytes() + shift.bytes());
        Ok(CpuNorm { scale, shift, _counted: counted })
    }

    fn prepare_embedding(&self, table: &WeightView<'_>) -> Result<CpuEmbedding, TensorError> {
        let sizes = shapes::embedding_weight(table)?;
        let table = Buffer::prepared(table, "table", table.len(), |wide| {
            table.read()?.copy_to_f32(0, wide);
            Ok(())
        })?;
        let counted = self.meter.count(table.bytes());
        Ok(CpuEmbedding { table, sizes, _counted: counted })
    }

    fn weight_bytes(&self) -> usize {
        self.meter.bytes()
    }

    fn upload(&self, array: &Array) -> Result<CpuTensor, TensorError> {
        self.tensor(array.shape().to_vec(), |out| {
            out.copy_from_slice(array.data());
            Ok(())
        })
    }

    fn download(&self, tensor: &CpuTensor) -> Result<Array, TensorError> {
        Array::new(tensor.shape.clone(), tensor.elements().to_vec())
    }

    fn shape<'a>(&self, tensor: &'a CpuTensor) -> &'a [usize] {
        &tensor.shape
    }

    fn reshape(&self, tensor: &CpuTensor, shape: &[usize]) -> Result<CpuTensor, TensorError> {
        if shapes::elements("reshape", shape)? != tensor.elements().len() {
            return Err(TensorError::shape("reshape", format!("{:?} to {shape:?}", tensor.shape)));
        }
        Ok(tensor.view(shape.to_vec(), 0))
    }

    fn linear(
        &self,
        x: &CpuTensor,
        weights: &CpuLinear,
        args: LinearArgs<'_, Self>,
    ) -> Result<CpuTensor, TensorError> {
        let shape = shapes::linear(&x.shape, weights.sizes, shape_of(args.residual))?;
        let changes = args.adapters.iter().map(|adapter| (&adapter.rows, adapter.weights.sizes()));
        shapes::row_adapters(&x.shape, weights.sizes, changes)?;
        self.tensor(shape, |out| linear::linear(self.machine(), x, weights, &args, out))
    }

    fn conv2d(
        &self,
        x: &CpuTensor,
        weights: &CpuConv2d,
        args: Conv2dArgs<'_, CpuTensor>,
    ) -> Result<CpuTensor, TensorError> {
        let fused = [args.row_bias, args.slopes, args.residual].map(shape_of);
        let sizes = shapes::conv2d(&x.shape, weights.sizes, weights.config, fused)?;
        let epilogue = Epilogue {
            bias: weights.matrix.bias(),
            row_bias: args.row_bias.map(|bias| (bias.elements(), sizes.out_height * sizes.out_width)),
            activation: args.activation,
            slopes: args.slopes.map(CpuTensor::elements),
            residual: args.residual.map(CpuTensor::elements),
        };
        let how = (weights.config, args.padding_mode);
        let (machine, x) = (self.machine(), x.elements());
        self.tensor(sizes.shape(), |out| match &weights.matrix {
            Conv2dMatrix::Direct(matrix) => conv::conv2d(machine, x, matrix, &sizes, how, epilogue, out),
            Conv2dMatrix::Filtered(matrix) => {
                winograd::conv2d(machine, x, matrix, &sizes, how, epilogue, out)
            }
            Conv2dMatrix::Int8(matrix) => int8::conv2d(machine, x, matrix, &sizes, how, epilogue, out),
        })
    }

    fn group_norm(
        &self,
        x: &CpuTensor,
        norm: &CpuNorm,
        groups: usize,
        epsilon: f32,
        activation: Activation,
    ) -> Result<CpuTensor, TensorError> {
        let sizes = shapes::group_norm(&x.shape, norm.scale.len(), groups)?;
        let affine = Affine { scale: &norm.scale, shift: &norm.shift, epsilon };
        self.tensor(x.shape.clone(), |out| {
            norm::group_norm(self.machine(), x.elements(), sizes, groups, affine, activation, out)
        })
    }

    fn layer_norm(&self, x: &CpuTensor, norm: &CpuNorm, epsilon: f32) -> Result<CpuTensor, TensorError> {
        shapes::layer_norm(&x.shape, norm.scale.len())?;
        let affine = Affine { scale: &norm.scale, shift: &norm.shift, epsilon };
        self.tensor(x.shape.clone(), |out| norm::layer_norm(self.machine(), x.elements(), affine, out))
    }

    fn attention(
        &self,
        query: &CpuTensor,
        key: &CpuTensor,
        value: &CpuTensor,
        args: AttentionArgs<'_>,
    ) -> Result<CpuTensor, TensorError> {
        let sizes = shapes::attention(&query.shape, &key.shape, &value.shape, &args)?;
        let inputs = [query.elements(), key.elements(), value.elements()];
        self.tensor(query.shape.clone(), |out| {
            if args.precision == Precision::Int8 && int8::suits_attention(self.isa, &sizes, &args) {
                int8::attention(self.machine(), inputs, &sizes, out)
            } else {
                attention::attention(self.machine(), inputs, &sizes, &args, out)
            }
        })
    }

    fn geglu(&self, x: &CpuTensor) -> Result<CpuTensor, TensorError> {
        let shape = shapes::geglu(&x.shape)?;
        let (_, width) = shapes::split_last("geglu", &shape)?;
        self.tensor(shape, |out| elementwise::geglu(self.machine(), x.elements(), width, out))
    }

    fn activate(&self, x: &CpuTensor, activation: Activation) -> Result<CpuTensor, TensorError> {
        if activation == Activation::Identity {
            return Ok(x.clone());
        }
        let operation = Pointwise::Activate(x.elements(), activation);
        self.tensor(x.shape.clone(), |out| elementwise::pointwise(self.machine(), operation, out))
    }

    fn curve(&self, x: &CpuTensor, curve: Curve) -> Result<CpuTensor, TensorError> {
        let operation = Pointwise::Curve(x.elements(), curve);
        self.tensor(x.shape.clone(), |out| elementwise::pointwise(self.machine(), operation, out))
    }

    fn add(&self, a: &CpuTensor, b: &CpuTensor) -> Result<CpuTensor, TensorError> {
        shapes::equal("add", &a.shape, &b.shape)?;
        let operation = Pointwise::Add(a.elements(), b.elements());
        self.tensor(a.shape.clone(), |out| elementwise::pointwise(self.machine(), operation, out))
    }

    fn scale(&self, a: &CpuTensor, factor: f32) -> Result<CpuTensor, TensorError> {
        let operation = Pointwise::Scale(a.elements(), factor);
        self.tensor(a.shape.clone(), |out| elementwise::pointwise(self.machine(), operation, out))
    }

    fn concat(&self, parts: &[&CpuTensor]) -> Result<CpuTensor, TensorError> {
        let shape = shapes::concat(&shapes_of(parts))?;
        let (rows, _) = shapes::split_last("concat", &shape)?;
        let sources: Vec<(&[f32], usize)> =
            parts.iter().map(|part| (part.elements(), part.shape.last().copied().unwrap_or(0))).collect();
        self.tensor(shape, |out| elementwise::concat(self.machine(), &sources, rows, out))
    }

    fn columns(&self, x: &CpuTensor, start: usize, end: usize) -> Result<CpuTensor, TensorError> {
        let shape = shapes::columns(&x.shape, start, end)?;
        let (_, row) = shapes::split_last("columns", &x.shape)?;
        let columns = (row, start, end - start);
        self.tensor(shape, |out| elementwise::columns(self.machine(), x.elements(), columns, out))
    }

    fn concat_rows(&self, parts: &[&CpuTensor]) -> Result<CpuTensor, TensorError> {
        let shape = shapes::concat_rows(&shapes_of(parts))?;
        self.tensor(shape, |out| {
            let mut at = 0;
            for part in parts {
                let elements = part.elements();
                out[at..at + elements.len()].copy_from_slice(elements);
                at += elements.len();
            }
            Ok(())
        })
    }

    fn rows(&self, x: &CpuTensor, start: usize, end: usize) -> Result<CpuTensor, TensorError> {
        let shape = shapes::rows(&x.shape, start, end)?;
        let row: usize = shape[1..].iter().product();
        Ok(x.view(shape, start * row))
    }

    fn gather_mean(&self, x: &CpuTensor, members: &[u32], ends: &[u32]) -> Result<CpuTensor, TensorError> {
        let shape @ [_, features] = shapes::gather_mean(&x.shape, members, ends)?;
        self.tensor(shape.to_vec(), |out| {
            elementwise::gather_mean(self.machine(), (x.elements(), features), members, ends, out)
        })
    }

    fn resample(&self, x: &CpuTensor, how: Resample) -> Result<CpuTensor, TensorError> {
        let shape = shapes::resample(&x.shape, how)?;
        let [_, _, width, channels] = shapes::picture("resample", &x.shape)?;
        self.tensor(shape, |out| match how {
            Resample::Nearest { factor } => {
                elementwise::enlarge(self.machine(), x.elements(), [width, channels, factor], out)
            }
            Resample::PixelShuffle { factor } => {
                elementwise::shuffle(self.machine(), x.elements(), [width, channels, factor], out)
            }
        })
    }

    fn embedding(&self, table: &CpuEmbedding, ids: &[u32], batch: usize) -> Result<CpuTensor, TensorError> {
        let shape = shapes::embedding(ids, batch, table.sizes)?;
        let features = table.sizes[1];
        self.tensor(shape, |out| {
            for (&id, out) in ids.iter().zip(out.chunks_exact_mut(features)) {
                out.copy_from_slice(&table.table[id as usize * features..][..features]);
            }
            Ok(())
        })
    }

    fn timestep_embedding(&self, timesteps: &[f32], features: usize) -> Result<CpuTensor, TensorError> {
        let shape = shapes::timestep_embedding(timesteps, features)?;
        self.tensor(shape, |out| {
            for (out, x) in out.iter_mut().zip(timestep::sinusoids(timesteps, features)) {
                *out = x;
            }
            Ok(())
        })
    }
}
