//! Linear layers whose rows have low-rank changes: some rows several, some none.

use super::{Weights, rows_of_noise, weight};
use crate::{Activation, Backend, LinearArgs, Precision, RowAdapter, TensorError};
use std::ops::Range;

/// A layer of `[out, in]` and changes of these ranks.
pub(super) fn prepare<B: Backend>(
    backend: &B,
    [outputs, inputs]: [usize; 2],
    ranks: &[usize],
    precision: Precision,
) -> Result<Weights<B>, TensorError> {
    let low_rank = |(slot, &rank): (u64, &usize)| {
        let (down, up) = (weight(slot, &[rank, inputs]), weight(slot + 100, &[outputs, rank]));
        backend.prepare_low_rank(&down.view()?, &up.view()?)
    };
    let (matrix, shift) = (weight(90, &[outputs, inputs]), weight(91, &[outputs]));
    let layer = backend.prepare_linear(&matrix.view()?, Some(&shift.view()?), precision)?;
    let changes = (200..).zip(ranks).map(low_rank).collect::<Result<_, _>>()?;
    Ok(Weights::Adapted(layer, changes))
}

/// Runs the layer for the batch rows `rows`.
pub(super) fn run<B: Backend>(
    backend: &B,
    x: &B::Tensor,
    (layer, changes): (&B::Linear, &[B::LowRank]),
    rows: &Range<usize>,
    (activation, residual): (Activation, Option<&B::Tensor>),
) -> Result<B::Tensor, TensorError> {
    let mut adapters: Vec<RowAdapter<'_, B>> = Vec::new();
    for (number, weights) in changes.iter().enumerate() {
        let first = adapters.len();
        for at in (0..rows.len()).filter(|at| has(rows.start + at, number)) {
            match adapters[first..].last_mut() {
                Some(stretch) if stretch.rows.end == at => stretch.rows.end = at + 1,
                _ => {
                    let scale = 1.5 - 0.8 * number as f32;
                    adapters.push(RowAdapter { rows: at..at + 1, weights, scale });
                }
            }
        }
    }
    backend.linear(x, layer, LinearArgs { activation, residual, adapters: &adapters })
}

/// Whether a batch row has a change: of a single one, the second row has none, and then every third.
fn has(row: usize, number: usize) -> bool {
    (row + number) % 3 != 1
}

/// Calls that make no sense, and whether `backend` takes them.
pub(super) fn nonsense<B: Backend>(backend: &B) -> Result<[(&'static str, bool); 6], TensorError> {
    let tensor = |shape: &[usize]| backend.upload(&rows_of_noise(0, 0..shape[0], &shape[1..]));
    let (matrix, square) = (weight(0, &[6, 8]), weight(1, &[8, 8]));
    let (narrow, wide, vector) = (weight(2, &[2, 8]), weight(3, &[6, 2]), weight(4, &[8]));
    let (narrow, wide) = (narrow.view()?, wide.view()?);
    let layer = backend.prepare_linear(&matrix.view()?, None, Precision::F32)?;
    let fitting = backend.prepare_low_rank(&narrow, &wide)?;
    let other = backend.prepare_low_rank(&square.view()?, &square.view()?)?;
    let adapted = |shape: &[usize], weights, rows| {
        let adapters = &[RowAdapter { rows, weights, scale: 1.0 }];
        let args = LinearArgs { adapters, ..LinearArgs::default() };
        Ok::<_, TensorError>(backend.linear(&tensor(shape)?, &layer, args).is_ok())
    };
    if !adapted(&[2, 3, 8], &fitting, 1..2)? {
        return Err(TensorError::shape("linear", "an adapter that fits is refused"));
    }
    Ok([
        ("low rank of two ranks", backend.prepare_low_rank(&narrow, &narrow).is_ok()),
        ("low rank of a vector", backend.prepare_low_rank(&narrow, &vector.view()?).is_ok()),
        ("an adapter of other outputs", adapted(&[2, 3, 8], &other, 0..2)?),
        ("an adapter for a row beyond the last", adapted(&[2, 3, 8], &fitting, 1..3)?),
        ("an adapter for no row", adapted(&[2, 3, 8], &fitting, 1..1)?),
        ("an adapter for the row of a vector", adapted(&[8], &fitting, 0..1)?),
    ])
}
