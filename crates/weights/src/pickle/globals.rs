//! The allow-list: each name a pickle may mention, and what it means here. None of them is ever called.

use crate::entry::Element;
use crate::error::Fault;
use impasto_tensor::DType;

/// What a permitted name stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Global {
    /// A dictionary.
    OrderedDict,
    /// A view into a storage: storage, offset, sizes, strides, and things for training.
    RebuildTensor,
    /// A tensor that is trained: the tensor, and things for training.
    RebuildParameter,
    /// The type of a storage.
    Storage(StorageType),
    /// A module that is a dictionary: what it holds is among its attributes.
    ParameterDict,
    /// Something checkpoints carry along and nobody needs; whatever it makes is ignored.
    Inert,
}

/// Element type of a storage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum StorageType {
    /// One the engine reads.
    Readable(DType),
    /// Another: its name, and bytes of one element.
    Other(&'static str, usize),
}

impl StorageType {
    /// Bytes of one element.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Readable(dtype) => dtype.size(),
            Self::Other(_, size) => size,
        }
    }

    /// As an entry has it.
    pub(crate) fn element(self) -> Element {
        match self {
            Self::Readable(dtype) => Element::Readable(dtype),
            Self::Other(name, _) => Element::Other(name.to_owned()),
        }
    }
}

/// Module, name, meaning. The same list as `AUTOMATIC1111`'s `safe.py`, newer spellings of its members, and the sizes and
/// element types that optimisers and configurations mention.
const ALLOWED: &[(&str, &str, Global)] = &[
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    ("torch._utils", "_rebuild_device_tensor_from_numpy", Global::Inert),
    ("torch", "DoubleStorage", Global::Storage(StorageType::Readable(DType::F64))),
    ("torch", "FloatStorage", Global::Storage(StorageType::Readable(DType::F32))),
    ("torch", "HalfStorage", Global::Storage(StorageType::Readable(DType::F16))),
    ("torch", "BFloat16Storage", Global::Storage(StorageType::Readable(DType::BF16))),
    ("torch", "LongStorage", Global::Storage(StorageType::Readable(DType::I64))),
    ("torch", "IntStorage", Global::Storage(StorageType::Readable(DType::I32))),
    ("torch", "ByteStorage", Global::Storage(StorageType::Readable(DType::U8))),
    ("torch", "BoolStorage", Global::Storage(StorageType::Readable(DType::U8))),
    ("torch", "ShortStorage", Global::Storage(StorageType::Other("int16", 2))),
    ("torch", "CharStorage", Global::Storage(StorageType::Other("int8", 1))),
    ("torch", "Size", Global::Inert),
    ("torch", "device", Global::Inert),
    ("torch", "float64", Global::Inert),
    ("torch", "float32", Global::Inert),
    ("torch", "float16", Global::Inert),
    ("torch", "bfloat16", Global::Inert),
    ("torch", "int64", Global::Inert),
    ("torch", "int32", Global::Inert),
    ("torch", "uint8", Global::Inert),
    ("torch", "bool", Global::Inert),
    ("torch.nn.modules.container", "ParameterDict", Global::ParameterDict),
    ("numpy.core.multiarray", "scalar", Global::Inert),
    ("numpy.core.multiarray", "_reconstruct", Global::Inert),
    ("numpy._core.multiarray", "scalar", Global::Inert),
    ("numpy._core.multiarray", "_reconstruct", Global::Inert),
    ("numpy", "dtype", Global::Inert),
    ("numpy", "ndarray", Global::Inert),
    ("_codecs", "encode", Global::Inert),
    ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", Global::Inert),
    ("__builtin__", "set", Global::Inert),
    ("builtins", "set", Global::Inert),
];

/// Longest name a message repeats.
const SHOWN: usize = 100;

/// The meaning of a name, or a refusal that tells it.
pub(crate) fn find(module: &str, name: &str) -> Result<Global, Fault> {
    let allowed = ALLOWED.iter().find(|(known, of, _)| (*known, *of) == (module, name));
    allowed.map(|&(_, _, global)| global).ok_or_else(|| {
        let shown: String = format!("{module}.{name}").chars().take(SHOWN).collect();
        Fault::Refused(shown.escape_debug().to_string())
    })
}
