//! Linear layers whose rows have low-rank changes: some rows several, some none.

use super::{Weights, weight};
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
                    adapters.push(RowAdapter { rows: at..at + 1, weights, scale: 1.5 - 0.8 * number as f32 })
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
