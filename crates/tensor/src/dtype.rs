//! Element types of stored weights.

/// Element type of a stored tensor. Activations are always `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 double precision, little endian.
    F64,
    /// IEEE 754 single precision, little endian.
    F32,
    /// IEEE 754 half precision, little endian.
    F16,
    /// The upper half of an `f32`, little endian.
    BF16,
    /// Signed 64-bit integer, little endian.
    I64,
    /// Signed 32-bit integer, little endian.
    I32,
    /// Unsigned byte.
    U8,
}

impl DType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::U8 => 1,
        }
    }
}
