//! A call of a network: the backend, and which adapters change the layers for which rows of the batch.
//!
//! A row gets `layer(x) + sum_i s_i up_i(down_i(x))`, before the activation, or the layer with edited weights; so rows with different
//! adapters share a call. Linear layers of the backend take low-rank changes row by row; where weights are edited, and for
//! convolutions, rows of equal adapters are one product. What a row gives does not depend on the others.

use crate::adapters::{AdapterSet, LayerChange, LowRankWeights, Patch, Patched};
use impasto_tensor::{
    Activation, Backend, Conv2dArgs, Conv2dConfig, LinearArgs, PaddingMode, Precision, RowAdapter,
    TensorError,
};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A prepared layer, and what must be known of it to prepare another in its place.
#[derive(Debug)]
pub struct Layer<T> {
    pub(crate) weights: T,
    pub(crate) about: Arc<About>,
}

/// How a layer was prepared.
#[derive(Debug)]
pub(crate) struct About {
    /// Canonical name, without the part.
    pub(crate) name: String,
    pub(crate) has_bias: bool,
    pub(crate) precision: Precision,
    /// Of convolutions.
    pub(crate) config: Conv2dConfig,
}

/// A linear layer.
pub type Linear<B> = Layer<<B as Backend>::Linear>;
/// A convolution.
pub type Conv2d<B> = Layer<<B as Backend>::Conv2d>;
/// Scale and shift of a normalisation.
pub type Norm<B> = Layer<<B as Backend>::Norm>;

/// A call of a network. It is the backend but for the layers, which it changes by the adapters of each row.
#[derive(Debug)]
pub struct Run<'a, B: Backend> {
    backend: &'a B,
    /// The adapters of each row. One entry alone is meant for any number of rows.
    rows: Vec<Option<&'a AdapterSet<B>>>,
    /// Whether pictures go on beyond their edges as on the other side.
    tiling: bool,
}

impl<B: Backend> Deref for Run<'_, B> {
    type Target = B;

    fn deref(&self) -> &B {
        self.backend
    }
}

/// What an operation gives.
type Outcome<B> = Result<<B as Backend>::Tensor, TensorError>;
/// What goes with a layer's input row by row: a residual, and a bias for each row.
type Beside<'a, B> = [Option<&'a <B as Backend>::Tensor>; 2];

/// Rows of a batch that a layer is changed for in one way.
type Groups<'a, B> = Vec<(Range<usize>, Option<&'a LayerChange<B>>)>;

impl<'a, B: Backend> Run<'a, B> {
    /// A call without adapters.
    pub fn plain(backend: &'a B) -> Self {
        Self::same(backend, None)
    }

    /// A call whose rows all have the same adapters.
    pub fn same(backend: &'a B, adapters: Option<&'a AdapterSet<B>>) -> Self {
        Self { backend, rows: vec![adapters], tiling: false }
    }

    /// A call whose rows have adapters of their own.
    pub fn new(backend: &'a B, rows: Vec<Option<&'a AdapterSet<B>>>) -> Self {
        Self { backend, rows, tiling: false }
    }

    /// The same on pictures that go on beyond their edges as on the other side, or not.
    #[must_use]
    pub fn tiling(self, tiling: bool) -> Self {
        Self { tiling, ..self }
    }

    /// A call of one row of this one alone.
    #[must_use]
    pub fn row(&self, row: usize) -> Self {
        let adapters = self.rows.get(row).or_else(|| self.rows.first()).copied().flatten();
        Self::same(self.backend, adapters).tiling(self.tiling)
    }

    /// How the rows `0..count` have a layer changed: neighbours with the same change are together.
    fn groups(&self, name: &str, count: usize) -> Result<Groups<'a, B>, TensorError> {
        if let [alone] = self.rows[..] {
            return Ok(vec![(0..count, alone.and_then(|set| set.change(name)))]);
        }
        if self.rows.len() != count {
            let problem = format!("{count} rows with adapters for {}", self.rows.len());
            return Err(TensorError::shape("adapters", problem));
        }
        let mut groups: Groups<'a, B> = Vec::new();
        for (row, set) in self.rows.iter().enumerate() {
            let change = set.and_then(|set| set.change(name));
            match groups.last_mut() {
                Some((range, last)) if last.map(std::ptr::from_ref) == change.map(std::ptr::from_ref) => {
                    range.end = row + 1;
                }
                _ => groups.push((row..row + 1, change)),
            }
        }
        Ok(groups)
    }

    /// [`Backend::linear`], whose adapters are those of the call's rows.
    pub fn linear(&self, x: &B::Tensor, layer: &Linear<B>, args: LinearArgs<'_, B>) -> Outcome<B> {
        let LinearArgs { activation, residual, adapters } = args;
        if !adapters.is_empty() {
            return Err(TensorError::shape("adapters", "a call's rows have theirs already"));
        }
        if self.rows.iter().all(Option::is_none) {
            return self.backend.linear(x, &layer.weights, args);
        }
        let name = &layer.about.name;
        let groups = self.groups(name, self.count(x))?;
        if groups.iter().all(|(_, change)| change.is_none_or(|change| change.patch().is_none())) {
            let adapters = row_adapters(&groups)?;
            let args = LinearArgs { activation, residual, adapters: &adapters };
            return self.backend.linear(x, &layer.weights, args);
        }
        self.changed(x, name, [residual, None], |x, [residual, _], change| {
            let weights = match patched(change, |patch| patch.linear(self.backend, layer))? {
                Some(Patched::Linear(weights)) => weights,
                _ => &layer.weights,
            };
            let adapters = row_adapters(&[(0..self.count(x), change)])?;
            self.backend.linear(x, weights, LinearArgs { activation, residual, adapters: &adapters })
        })
    }

    /// Rows of a batch.
    fn count(&self, x: &B::Tensor) -> usize {
        self.backend.shape(x).first().copied().unwrap_or(0)
    }

    /// [`Backend::conv2d`].
    #[expect(clippy::needless_pass_by_value, reason = "called as the backend is")]
    pub fn conv2d(&self, x: &B::Tensor, layer: &Conv2d<B>, args: Conv2dArgs<'_, B::Tensor>) -> Outcome<B> {
        let Conv2dArgs { row_bias, activation, slopes, residual, padding_mode } = args;
        // Padding on one side alone makes up for an odd size; it is no edge of the picture.
        let goes_on = self.tiling && layer.about.config.is_symmetric();
        let padding_mode = if goes_on { PaddingMode::Circular } else { padding_mode };
        self.changed(x, &layer.about.name, [residual, row_bias], |x, [residual, row_bias], change| {
            let weights = match patched(change, |patch| patch.conv2d(self.backend, layer))? {
                Some(Patched::Conv2d(weights)) => weights,
                _ => &layer.weights,
            };
            if slopes.is_some() && change.is_some() {
                return Err(TensorError::shape("conv2d", "a layer with slopes has no adapters".to_owned()));
            }
            let run = |activation, residual: Option<&B::Tensor>| {
                let args = Conv2dArgs { row_bias, activation, slopes, residual, padding_mode };
                self.backend.conv2d(x, weights, args)
            };
            self.add(x, change, residual, activation, padding_mode, run)
        })
    }

    /// What keys and what values are made of where `x` `[.., features]` is attended to, as the hypernetworks of each row change it.
    pub fn attended(&self, x: &B::Tensor) -> Result<[B::Tensor; 2], TensorError> {
        let shape = self.backend.shape(x);
        let (count, width) = (shape.first().copied().unwrap_or(0), shape.last().copied().unwrap_or(0));
        let changing = |set: Option<&'a AdapterSet<B>>| set.filter(|set| set.attends_otherwise(width));
        let sets: Vec<Option<&AdapterSet<B>>> = self.rows.iter().copied().map(changing).collect();
        match sets[..] {
            [Some(alone)] => return alone.attended(self.backend, x),
            _ if sets.iter().all(Option::is_none) => return Ok([x.clone(), x.clone()]),
            _ if sets.len() != count => {
                let problem = format!("{count} rows with hypernetworks for {}", sets.len());
                return Err(TensorError::shape("hypernetworks", problem));
            }
            _ => {}
        }
        let mut parts = [Vec::new(), Vec::new()];
        let mut start = 0;
        for group in sets.chunk_by(|a, b| a.map(std::ptr::from_ref) == b.map(std::ptr::from_ref)) {
            let part = self.backend.rows(x, start, start + group.len())?;
            start += group.len();
            let made = match group[0] {
                Some(set) => set.attended(self.backend, &part)?,
                None => [part.clone(), part],
            };
            for (parts, made) in parts.iter_mut().zip(made) {
                parts.push(made);
            }
        }
        let join = |parts: &[B::Tensor]| self.backend.concat_rows(&parts.iter().collect::<Vec<_>>());
        Ok([join(&parts[0])?, join(&parts[1])?])
    }

    /// [`Backend::group_norm`].
    pub fn group_norm(
        &self,
        x: &B::Tensor,
        norm: &Norm<B>,
        groups: usize,
        epsilon: f32,
        activation: Activation,
    ) -> Outcome<B> {
        self.normalized(x, norm, |x, weights| {
            self.backend.group_norm(x, weights, groups, epsilon, activation)
        })
    }

    /// [`Backend::layer_norm`].
    pub fn layer_norm(&self, x: &B::Tensor, norm: &Norm<B>, epsilon: f32) -> Outcome<B> {
        self.normalized(x, norm, |x, weights| self.backend.layer_norm(x, weights, epsilon))
    }

    fn normalized(
        &self,
        x: &B::Tensor,
        norm: &Norm<B>,
        run: impl Fn(&B::Tensor, &B::Norm) -> Outcome<B>,
    ) -> Outcome<B> {
        self.changed(x, &norm.about.name, [None, None], |x, _, change| {
            match patched(change, |patch| patch.norm(self.backend, norm))? {
                Some(Patched::Norm(weights)) => run(x, weights),
                _ => run(x, &norm.weights),
            }
        })
    }

    /// Runs a layer for each group of rows that it is changed for in one way. `beside` are what goes with `x` row by row.
    fn changed(
        &self,
        x: &B::Tensor,
        name: &str,
        beside: Beside<'_, B>,
        run: impl Fn(&B::Tensor, Beside<'_, B>, Option<&LayerChange<B>>) -> Outcome<B>,
    ) -> Outcome<B> {
        if self.rows.iter().all(Option::is_none) {
            return run(x, beside, None);
        }
        let groups = self.groups(name, self.count(x))?;
        if let [(_, change)] = groups[..] {
            return run(x, beside, change);
        }
        let parts: Vec<B::Tensor> = (groups.iter())
            .map(|(range, change)| {
                let part = |tensor: &B::Tensor| self.backend.rows(tensor, range.start, range.end);
                let [first, second] = beside;
                let beside = [first.map(part).transpose()?, second.map(part).transpose()?];
                run(&part(x)?, beside.each_ref().map(Option::as_ref), *change)
            })
            .collect::<Result<_, _>>()?;
        self.backend.concat_rows(&parts.iter().collect::<Vec<_>>())
    }

    /// `activation(layer + sum_i s_i up_i(down_i(x))) + residual`, `layer` being what `run` gives.
    fn add(
        &self,
        x: &B::Tensor,
        change: Option<&LayerChange<B>>,
        residual: Option<&B::Tensor>,
        activation: Activation,
        padding_mode: PaddingMode,
        run: impl Fn(Activation, Option<&B::Tensor>) -> Outcome<B>,
    ) -> Outcome<B> {
        let Some(change) = change.filter(|change| !change.added.is_empty()) else {
            return run(activation, residual);
        };
        let backend = self.backend;
        let is_plain = activation == Activation::Identity;
        let mut sum = run(Activation::Identity, residual.filter(|_| is_plain))?;
        for (low_rank, strength) in &change.added {
            let LowRankWeights::Conv2d { down, up } = &low_rank.weights else {
                return Err(TensorError::shape("adapters", "a change of a linear layer for a convolution"));
            };
            let narrow = backend.conv2d(x, down, Conv2dArgs { padding_mode, ..Conv2dArgs::default() })?;
            let narrow = backend.scale(&narrow, *strength)?;
            let args = LinearArgs { residual: Some(&sum), ..LinearArgs::default() };
            sum = backend.linear(&narrow, up, args)?;
        }
        if is_plain {
            return Ok(sum);
        }
        sum = backend.activate(&sum, activation)?;
        residual.map_or(Ok(sum.clone()), |residual| backend.add(&sum, residual))
    }
}

/// Low-rank changes of a linear layer, as the backend takes them.
fn row_adapters<'c, B: Backend>(
    groups: &[(Range<usize>, Option<&'c LayerChange<B>>)],
) -> Result<Vec<RowAdapter<'c, B>>, TensorError> {
    let added = groups.iter().flat_map(|(rows, change)| {
        change.iter().flat_map(|change| &change.added).map(move |added| (rows, added))
    });
    added
        .map(|(rows, (low_rank, scale))| match &low_rank.weights {
            LowRankWeights::Linear(weights) => Ok(RowAdapter { rows: rows.clone(), weights, scale: *scale }),
            LowRankWeights::Conv2d { .. } => {
                Err(TensorError::shape("adapters", "a change of a convolution for a linear layer"))
            }
        })
        .collect()
}

/// The layer that stands in a changed one's place, if there is one.
fn patched<'c, B: Backend>(
    change: Option<&'c LayerChange<B>>,
    make: impl FnOnce(&'c Patch<B>) -> Result<&'c Patched<B>, TensorError>,
) -> Result<Option<&'c Patched<B>>, TensorError> {
    change.and_then(LayerChange::patch).map(make).transpose()
}
