//! A small dense `f32` array on the host: latents, text vectors, pictures on their way in and out.

use crate::TensorError;
use serde::{Deserialize, Serialize};

/// Row-major `f32` elements with a shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Array {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Array {
    /// An array of `data`, whose length must be that of `shape`.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self, TensorError> {
        let shape = shape.into();
        let wanted = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        if wanted != Some(data.len()) {
            return Err(TensorError::shape("array", format!("{} elements for shape {shape:?}", data.len())));
        }
        Ok(Self { shape, data })
    }

    /// An array of zeros.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        let data = vec![0.0; shape.iter().product()];
        Self { shape, data }
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The elements, row-major.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The elements alone.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The same elements under another shape of equal size.
    pub fn reshape(self, shape: impl Into<Vec<usize>>) -> Result<Self, TensorError> {
        Self::new(shape, self.data)
    }

    /// Stacks arrays of equal shape along a new outermost dimension.
    pub fn stack(rows: &[&Self]) -> Result<Self, TensorError> {
        let inner = rows.first().map(|row| row.shape.clone()).unwrap_or_default();
        if let Some(odd) = rows.iter().find(|row| row.shape != inner) {
            return Err(TensorError::shape("stack", format!("{:?} beside {inner:?}", odd.shape)));
        }
        let mut shape = vec![rows.len()];
        shape.extend(inner);
        Ok(Self { shape, data: rows.iter().flat_map(|row| row.data.iter().copied()).collect() })
    }

    /// Takes the outermost dimension apart.
    pub fn unstack(&self) -> Vec<Self> {
        let inner = self.shape.get(1..).unwrap_or_default().to_vec();
        let size: usize = inner.iter().product::<usize>().max(1);
        self.data.chunks(size).map(|row| Self { shape: inner.clone(), data: row.to_vec() }).collect()
    }

    /// `[batch, channels, height, width]` to `[batch, height, width, channels]`.
    pub fn to_channels_last(&self) -> Result<Self, TensorError> {
        let &[b, c, h, w] = self.shape.as_slice() else {
            return Err(TensorError::shape("to_channels_last", format!("{:?}", self.shape)));
        };
        Ok(Self { shape: vec![b, h, w, c], data: transpose_each(&self.data, b, c, h * w) })
    }

    /// `[batch, height, width, channels]` to `[batch, channels, height, width]`.
    pub fn to_channels_first(&self) -> Result<Self, TensorError> {
        let &[b, h, w, c] = self.shape.as_slice() else {
            return Err(TensorError::shape("to_channels_first", format!("{:?}", self.shape)));
        };
        Ok(Self { shape: vec![b, c, h, w], data: transpose_each(&self.data, b, h * w, c) })
    }
}

/// Transposes each of `batch` matrices of `rows` x `columns`.
fn transpose_each(data: &[f32], batch: usize, rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for image in 0..batch {
        let base = image * rows * columns;
        for column in 0..columns {
            out.extend((0..rows).map(|row| data[base + row * columns + column]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_round_trip() {
        let array = Array::new([2, 3, 2, 2], (0..24u8).map(f32::from).collect()).unwrap();
        let last = array.to_channels_last().unwrap();
        assert_eq!(last.shape(), [2, 2, 2, 3]);
        assert_eq!(last.data()[..3], [0.0, 4.0, 8.0]);
        assert_eq!(last.to_channels_first().unwrap(), array);
    }

    #[test]
    fn stacks_and_unstacks() {
        let a = Array::new([2], vec![1.0, 2.0]).unwrap();
        let b = Array::new([2], vec![3.0, 4.0]).unwrap();
        let both = Array::stack(&[&a, &b]).unwrap();
        assert_eq!(both.shape(), [2, 2]);
        assert_eq!(both.unstack(), [a.clone(), b]);
        assert!(Array::stack(&[&a, &Array::zeros([3])]).is_err());
    }
}
