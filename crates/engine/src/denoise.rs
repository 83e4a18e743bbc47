//! Rows for the UNet: which of them share a call, and the call.

use crate::resident::Resident;
use impasto_diffusion::{DenoiseRow, Depth, RowOutput};
use impasto_models::{ModelError, UNetDepth, UNetRow};
use impasto_tensor::{Array, Backend};
use std::sync::Arc;

/// What rows of one call have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Keep(usize),
    Reuse(usize),
}

fn kind(row: &DenoiseRow) -> Kind {
    match row.depth {
        Depth::Whole => Kind::Whole,
        Depth::Keep { stages } => Kind::Keep(stages),
        Depth::Reuse { stages, .. } => Kind::Reuse(stages),
    }
}

/// The rows of each call, by their places in `rows`, and at most so many of them.
pub(crate) fn calls(rows: &[&DenoiseRow], most: usize) -> Vec<Vec<usize>> {
    let mut calls: Vec<((Kind, bool), Vec<usize>)> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let kind = (kind(row), row.tiling);
        match calls.iter_mut().find(|(known, call)| *known == kind && call.len() < most) {
            Some((_, call)) => call.push(at),
            None => calls.push((kind, vec![at])),
        }
    }
    calls.into_iter().map(|(_, call)| call).collect()
}

impl<B: Backend> Resident<B> {
    /// Runs rows of one of the [`calls`] through the UNet.
    pub(crate) fn denoise(&mut self, rows: &[&DenoiseRow]) -> Result<Vec<RowOutput>, ModelError> {
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let latents: Vec<&Array> = rows.iter().map(|row| &*row.latent).collect();
        let latents = Array::stack(&latents)?;
        let kept: Vec<&Array> = rows.iter().filter_map(|row| kept_features(row)).collect();
        let kept = Array::stack(&kept)?;
        let depth = match kind(first) {
            Kind::Whole => UNetDepth::Whole,
            Kind::Keep(stages) => UNetDepth::Keep { stages },
            Kind::Reuse(stages) => UNetDepth::Reuse { stages, features: &kept },
        };
        let prepared: Vec<_> = (rows.iter())
            .map(|row| {
                let adapters = self.adapters.set(&row.adapters)?;
                let time = self.time(row.timestep, &row.adapters, adapters.as_deref())?;
                let context = self.context(&row.context, &row.adapters, adapters.as_deref())?;
                Ok((time, context, row, adapters))
            })
            .collect::<Result<_, ModelError>>()?;
        let prepared: Vec<_> = prepared
            .iter()
            .map(|(time, context, row, adapters)| UNetRow {
                time,
                context,
                self_attention: row.self_attention,
                tiling: row.tiling,
                adapters: adapters.as_deref(),
            })
            .collect();
        let answer = self.networks.unet.run(&latents, &prepared, depth)?;
        let mut features = answer.features.map(|all| all.unstack().into_iter());
        let mut next_features = || features.as_mut().and_then(Iterator::next).map(Arc::new);
        let outputs = answer.output.unstack().into_iter();
        Ok(outputs.map(|output| RowOutput { output, features: next_features() }).collect())
    }
}

fn kept_features(row: &DenoiseRow) -> Option<&Array> {
    match &row.depth {
        Depth::Reuse { features, .. } => Some(features),
        Depth::Whole | Depth::Keep { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impasto_models::SelfAttention;

    #[test]
    fn rows_of_one_kind_share_a_call() {
        let array = Arc::new(Array::zeros([1]));
        let row = |depth| DenoiseRow {
            latent: array.clone(),
            timestep: 0.0,
            context: array.clone(),
            depth,
            self_attention: SelfAttention::default(),
            adapters: Arc::default(),
            tiling: false,
        };
        let reuse = |stages| Depth::Reuse { stages, features: array.clone() };
        let keep = Depth::Keep { stages: 1 };
        let rows = [keep.clone(), reuse(1), keep, reuse(2), Depth::Whole, reuse(1)].map(row);
        assert_eq!(calls(&rows.each_ref(), 9), [vec![0, 2], vec![1, 5], vec![3], vec![4]]);
        let many = [Depth::Whole, Depth::Whole, Depth::Whole, Depth::Whole, Depth::Whole].map(row);
        assert_eq!(calls(&many.each_ref(), 2), [vec![0, 1], vec![2, 3], vec![4]]);
    }
}
