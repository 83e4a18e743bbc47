//! The backend's tensors and prepared weights.

use crate::buffer::Buffer;
use crate::gemm::PackedMatrix;
use crate::int8::QuantisedMatrix;
use impasto_tensor::Conv2dConfig;
use impasto_tensor::meter::CountedBytes;
use std::fmt;
use std::sync::Arc;

/// A shape over shared elements: row-major, channels-last.
#[derive(Clone)]
pub struct CpuTensor {
    pub(crate) shape: Vec<usize>,
    elements: Arc<Buffer>,
    /// Where in the elements the tensor starts.
    start: usize,
    length: usize,
}

impl CpuTensor {
    /// A tensor of all elements of `elements`, which are those of `shape`.
    pub(crate) fn new(shape: Vec<usize>, elements: Buffer) -> Self {
        let length = elements.len();
        debug_assert_eq!(shape.iter().product::<usize>(), length);
        Self { shape, elements: Arc::new(elements), start: 0, length }
    }

    /// A tensor of `shape` over some of the elements of this one, from `offset` on.
    pub(crate) fn view(&self, shape: Vec<usize>, offset: usize) -> Self {
        let length = shape.iter().product();
        debug_assert!(offset + length <= self.length);
        Self { shape, elements: Arc::clone(&self.elements), start: self.start + offset, length }
    }

    /// The elements, row-major.
    pub(crate) fn elements(&self) -> &[f32] {
        &self.elements[self.start..self.start + self.length]
    }
}

impl fmt::Debug for CpuTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuTensor{:?}", self.shape)
    }
}

/// Prepared weights of a linear layer.
#[derive(Debug)]
pub struct CpuLinear {
    pub(crate) matrix: LinearMatrix,
    /// `[out, in]`.
    pub(crate) sizes: [usize; 2],
}

/// The weights of a linear layer.
#[derive(Debug)]
pub(crate) enum LinearMatrix {
    Wide(PackedMatrix),
    Int8(QuantisedMatrix),
}

impl LinearMatrix {
    /// The bias of each column.
    pub(crate) fn bias(&self) -> Option<&[f32]> {
        match self {
            Self::Wide(matrix) => matrix.bias(),
            Self::Int8(matrix) => matrix.bias(),
        }
    }
}

/// Prepared weights of a low-rank change of a linear layer.
#[derive(Debug)]
pub struct CpuLowRank {
    /// `[in, rank]`.
    pub(crate) down: PackedMatrix,
    /// `[rank, out]`.
    pub(crate) up: PackedMatrix,
}

impl CpuLowRank {
    /// `[out, rank, in]`.
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [self.up.sizes.columns, self.up.sizes.inner, self.down.sizes.inner]
    }
}

/// Prepared weights of a convolution.
#[derive(Debug)]
pub struct CpuConv2d {
    pub(crate) matrix: Conv2dMatrix,
    /// `[out, in, kernel height, kernel width]`.
    pub(crate) sizes: [usize; 4],
    pub(crate) config: Conv2dConfig,
}

/// The weights of a convolution.
#[derive(Debug)]
pub(crate) enum Conv2dMatrix {
    Direct(PackedMatrix),
    /// Packed for minimal filtering.
    Filtered(PackedMatrix),
    Int8(QuantisedMatrix),
}

impl Conv2dMatrix {
    /// The bias of each channel.
    pub(crate) fn bias(&self) -> Option<&[f32]> {
        match self {
            Self::Direct(matrix) | Self::Filtered(matrix) => matrix.bias(),
            Self::Int8(matrix) => matrix.bias(),
        }
    }
}

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConvolutionMethod {
    /// The sum of the definition.
    Direct,
    /// Minimal filtering where the layer allows it, else the direct sum. It takes a third to a half of the time.
    #[default]
    Winograd,
}

/// Prepared scale and shift of a normalisation.
#[derive(Debug)]
pub struct CpuNorm {
    pub(crate) scale: Buffer,
    pub(crate) shift: Buffer,
    pub(crate) _counted: CountedBytes,
}

/// A prepared table of embedding vectors.
#[derive(Debug)]
pub struct CpuEmbedding {
    pub(crate) table: Buffer,
    /// `[rows, features]`.
    pub(crate) sizes: [usize; 2],
    pub(crate) _counted: CountedBytes,
}
