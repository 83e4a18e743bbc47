//! Linear layers, with the low-rank changes of some rows: `activation(x W + bias + sum_i scale_i (x down_i) up_i) + residual`.
//!
//! Rows that have the same changes are computed together, and no tile has rows of two kinds, so that what a row gives depends on
//! its own changes alone. `x down_i` is a product of its own, whose few columns fill a panel of one vector; its product with `up_i`
//! is added to the layer's own while that is in registers.

use crate::backend::CpuBackend;
use crate::gemm::{Added, Epilogue, Machine, MatrixRows, multiply};
use crate::int8;
use crate::tensor::{CpuLinear, CpuTensor, LinearMatrix};
use impasto_tensor::{Activation, LinearArgs, RowAdapter, TensorError};
use std::ops::Range;

/// Sums alone.
const PLAIN: Epilogue<'static> =
    Epilogue { bias: None, row_bias: None, activation: Activation::Identity, slopes: None, residual: None };

/// Computes a layer whose arguments have been checked.
pub(crate) fn linear(
    machine: Machine<'_>,
    x: &CpuTensor,
    layer: &CpuLinear,
    args: &LinearArgs<'_, CpuBackend>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let [columns, inner] = layer.sizes;
    // Without adapters there need be no rows.
    let count = if args.adapters.is_empty() { 1 } else { x.shape.first().copied().unwrap_or(1).max(1) };
    let tokens = x.elements().len() / inner / count;
    for stretch in stretches(count, args.adapters) {
        let changes = args.adapters.iter().filter(|adapter| adapter.rows.contains(&stretch.start));
        let rows = stretch.start * tokens..stretch.end * tokens;
        let results = rows.start * columns..rows.end * columns;
        let x = &x.elements()[rows.start * inner..rows.end * inner];
        let epilogue = Epilogue {
            bias: layer.matrix.bias(),
            activation: args.activation,
            residual: args.residual.map(|residual| &residual.elements()[results.clone()]),
            ..PLAIN
        };
        let out = &mut out[results];
        let narrow = changes.map(|change| {
            let down = &change.weights.down;
            let mut narrow = machine.buffers.take(rows.len() * down.sizes.columns)?;
            let left = MatrixRows { elements: x, inner };
            multiply(machine, &left, rows.len(), (down, &[]), PLAIN, &mut narrow)?;
            Ok((change, narrow))
        });
        let narrow = narrow.collect::<Result<Vec<_>, TensorError>>()?;
        let added: Vec<Added<'_>> = (narrow.iter())
            .map(|(change, narrow)| Added { left: narrow, scale: change.scale, weights: &change.weights.up })
            .collect();
        match &layer.matrix {
            LinearMatrix::Wide(matrix) => {
                let left = MatrixRows { elements: x, inner };
                multiply(machine, &left, rows.len(), (matrix, &added), epilogue, out)?;
            }
            LinearMatrix::Int8(matrix) => int8::linear(machine, x, (matrix, &added), epilogue, out)?,
        }
    }
    Ok(())
}

/// The rows `0..count`, cut wherever changes begin or end.
fn stretches(
    count: usize,
    changes: &[RowAdapter<'_, CpuBackend>],
) -> impl Iterator<Item = Range<usize>> + use<> {
    let mut borders: Vec<usize> =
        changes.iter().flat_map(|change| [change.rows.start, change.rows.end]).chain([0, count]).collect();
    borders.sort_unstable();
    borders.dedup();
    (1..borders.len()).map(move |at| borders[at - 1]..borders[at])
}
