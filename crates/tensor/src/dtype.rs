//! Element types of stored weights, and one stored tensor.

use crate::TensorError;
use half::{bf16, f16};
use std::borrow::Cow;

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

/// A tensor as it lies in a checkpoint: row-major little-endian elements that may be unaligned.
#[derive(Debug, Clone)]
pub struct WeightView<'a> {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> WeightView<'a> {
    /// A view of `bytes`, borrowed or just read, whose length must be that of `shape` elements of `dtype`.
    pub fn new(
        dtype: DType,
        shape: Vec<usize>,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Result<Self, TensorError> {
        let bytes = bytes.into();
        let wanted = shape.iter().try_fold(dtype.size(), |product, &n| product.checked_mul(n));
        if wanted != Some(bytes.len()) {
            return Err(TensorError::shape(
                "weight",
                format!("{} bytes for shape {shape:?} of {dtype:?}", bytes.len()),
            ));
        }
        Ok(Self { dtype, shape, bytes })
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The stored bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The same elements under another shape of equal size.
    pub fn reshape(self, shape: Vec<usize>) -> Result<Self, TensorError> {
        Self::new(self.dtype, shape, self.bytes)
    }

    /// Rows `start..end` of the outermost dimension, without copying.
    pub fn rows(&self, start: usize, end: usize) -> Result<WeightView<'_>, TensorError> {
        let count = self.shape.first().copied().unwrap_or(0);
        if start > end || end > count {
            return Err(TensorError::shape("weight", format!("rows {start}..{end} of {count}")));
        }
        let row = self.bytes.len() / count.max(1);
        let mut shape = self.shape.clone();
        shape[0] = end - start;
        WeightView::new(self.dtype, shape, &self.bytes[start * row..end * row])
    }

    /// Every element widened (or, from `f64` and integers, rounded) to `f32`.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.len()];
        self.copy_to_f32(0, &mut out);
        out
    }

    /// Widens the elements from `start` on into `out`; the caller keeps within [`WeightView::len`].
    pub fn copy_to_f32(&self, start: usize, out: &mut [f32]) {
        let size = self.dtype.size();
        let bytes = &self.bytes[start * size..(start + out.len()) * size];
        match self.dtype {
            DType::F64 => convert(bytes, out, |b| f64::from_le_bytes(b) as f32),
            DType::F32 => convert(bytes, out, f32::from_le_bytes),
            DType::F16 => convert(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => convert(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
            DType::I64 => convert(bytes, out, |b| i64::from_le_bytes(b) as f32),
            DType::I32 => convert(bytes, out, |b| i32::from_le_bytes(b) as f32),
            DType::U8 => convert(bytes, out, |[b]: [u8; 1]| f32::from(b)),
        }
    }
}

fn convert<const SIZE: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; SIZE]) -> f32) {
    let (elements, _) = bytes.as_chunks::<SIZE>();
    for (target, element) in out.iter_mut().zip(elements) {
        *target = read(*element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widens_each_type() {
        for (dtype, bytes) in [
            (DType::F64, (-1.5f64).to_le_bytes().to_vec()),
            (DType::F32, (-1.5f32).to_le_bytes().to_vec()),
            (DType::F16, f16::from_f32(-1.5).to_le_bytes().to_vec()),
            (DType::BF16, bf16::from_f32(-1.5).to_le_bytes().to_vec()),
        ] {
            let view = WeightView::new(dtype, vec![1], &bytes).unwrap();
            assert_eq!(view.to_f32(), [-1.5], "{dtype:?}");
        }
    }

    #[test]
    fn refuses_wrong_length() {
        assert!(WeightView::new(DType::F16, vec![2, 2], &[0; 7]).is_err());
        assert!(WeightView::new(DType::F32, vec![usize::MAX, 8], &[]).is_err());
    }

    #[test]
    fn cuts_rows() {
        let bytes: Vec<u8> = (0..6).collect();
        let view = WeightView::new(DType::U8, vec![3, 2], &bytes).unwrap();
        assert_eq!(view.rows(1, 2).unwrap().to_f32(), [2.0, 3.0]);
        assert!(view.rows(2, 4).is_err());
    }
}
