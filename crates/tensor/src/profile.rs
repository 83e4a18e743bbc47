//! A backend that keeps the time of every operation of another.
//!
//! Operations are told apart by their name and shapes. The work counted is that of the definition: two for each
//! multiplication and addition of a product, nothing for the rest, which is bound by memory.

use crate::shapes;
use crate::{
    Activation, Array, AttentionArgs, Backend, Conv2dArgs, Conv2dConfig, Curve, LinearArgs, Precision,
    Resample, RowAdapter, TensorError, WeightView,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What all calls of one operation on the same shapes took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Number of calls.
    pub calls: u32,
    /// Their time together.
    pub time: Duration,
    /// Their work together, in floating point operations of the definition.
    pub flops: f64,
}

/// An operation of the profile: its name, and the shapes that tell it from others of the name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProfileKey {
    /// The method of [`Backend`], and what matters about its arguments.
    pub operation: String,
    /// Shapes of input and output.
    pub shapes: String,
}

/// What a [`Profiled`] backend notes. Clones are handles of the same log, for those who gave the backend away.
#[derive(Debug, Clone, Default)]
pub struct ProfileLog {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    paused: AtomicBool,
    spent: Mutex<BTreeMap<ProfileKey, Spent>>,
}

impl ProfileLog {
    /// Stops noting, so that a measured run pays nothing for it, or goes on.
    pub fn pause(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::Relaxed);
    }

    /// What has been spent since the last call, the longest first.
    pub fn take(&self) -> Vec<(ProfileKey, Spent)> {
        let spent = std::mem::take(&mut *self.shared.spent.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rows: Vec<_> = spent.into_iter().collect();
        rows.sort_by_key(|(_, spent)| std::cmp::Reverse(spent.time));
        rows
    }

    fn is_paused(&self) -> bool {
        self.shared.paused.load(Ordering::Relaxed)
    }

    fn add(&self, key: ProfileKey, time: Duration, flops: f64) {
        let mut all = self.shared.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = all.entry(key).or_default();
        spent.calls += 1;
        spent.time += time;
        spent.flops += flops;
    }
}

/// A backend that passes everything on to `B` and keeps the time.
#[derive(Debug)]
pub struct Profiled<B> {
    inner: B,
    log: ProfileLog,
}

impl<B: Backend> Profiled<B> {
    /// Keeps the time of `inner`, from now on.
    pub fn new(inner: B) -> Self {
        Self { inner, log: ProfileLog::default() }
    }

    /// The backend whose time is kept.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// Where the time is kept.
    pub fn log(&self) -> &ProfileLog {
        &self.log
    }

    /// Runs an operation and notes its time under `name` and the shapes of `from` and the result; `flops` says its work,
    /// of the result's number of elements.
    fn timed(
        &self,
        name: impl FnOnce() -> String,
        from: &B::Tensor,
        flops: impl FnOnce(f64) -> f64,
        run: impl FnOnce(&B) -> Result<B::Tensor, TensorError>,
    ) -> Result<B::Tensor, TensorError> {
        if self.log.is_paused() {
            return run(&self.inner);
        }
        let began = Instant::now();
        let result = run(&self.inner)?;
        let time = began.elapsed();
        let to = self.inner.shape(&result);
        let elements = to.iter().map(|&size| size as f64).product();
        let shapes = format!("{} to {}", shape_name(self.inner.shape(from)), shape_name(to));
        self.log.add(ProfileKey { operation: name(), shapes }, time, flops(elements));
        Ok(result)
    }
}

/// `2x64x64x320`.
fn shape_name(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}

/// Work of operations that multiply nothing.
fn none(_: f64) -> f64 {
    0.0
}

/// A prepared weight, and how many products an element of its result is the sum of.
#[derive(Debug)]
pub struct ProfiledWeight<T> {
    inner: T,
    products: f64,
    /// Kernel size and stride of a convolution.
    about: String,
}

impl<B: Backend> Backend for Profiled<B> {
    type Tensor = B::Tensor;
    type Linear = ProfiledWeight<B::Linear>;
    type LowRank = ProfiledWeight<B::LowRank>;
    type Conv2d = ProfiledWeight<B::Conv2d>;
    type Norm = B::Norm;
    type Embedding = B::Embedding;

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn prepared_form(&self) -> Option<String> {
        self.inner.prepared_form()
    }

    fn prepare_linear(
        &self,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        precision: Precision,
    ) -> Result<Self::Linear, TensorError> {
        let [_, products] = shapes::linear_weight(weight, bias)?;
        let inner = self.inner.prepare_linear(weight, bias, precision)?;
        Ok(ProfiledWeight { inner, products: products as f64, about: String::new() })
    }

    fn prepare_low_rank(
        &self,
        down: &WeightView<'_>,
        up: &WeightView<'_>,
    ) -> Result<Self::LowRank, TensorError> {
        let [out, rank, inputs] = shapes::low_rank_weight(down, up)?;
        let inner = self.inner.prepare_low_rank(down, up)?;
        // For each element of the result of the layer.
        let products = (rank * (out + inputs)) as f64 / out as f64;
        Ok(ProfiledWeight { inner, products, about: String::new() })
    }

    fn prepare_conv2d(
        &self,
        weight: &WeightView<'_>,
        bias: Option<&WeightView<'_>>,
        config: Conv2dConfig,
        precision: Precision,
    ) -> Result<Self::Conv2d, TensorError> {
        let [_, inputs, height, width] = shapes::conv2d_weight(weight, bias, config)?;
        let inner = self.inner.prepare_conv2d(weight, bias, config, precision)?;
        let about = match config.stride {
            1 => format!(" {height}x{width}"),
            stride => format!(" {height}x{width} stride {stride}"),
        };
        Ok(ProfiledWeight { inner, products: (inputs * height * width) as f64, about })
    }

    fn prepare_norm(
        &self,
        scale: &WeightView<'_>,
        shift: &WeightView<'_>,
    ) -> Result<Self::Norm, TensorError> {
        self.inner.prepare_norm(scale, shift)
    }

    fn prepare_embedding(&self, table: &WeightView<'_>) -> Result<Self::Embedding, TensorError> {
        self.inner.prepare_embedding(table)
    }

    fn weight_bytes(&self) -> usize {
        self.inner.weight_bytes()
    }

    fn upload(&self, array: &Array) -> Result<Self::Tensor, TensorError> {
        self.inner.upload(array)
    }

    fn download(&self, tensor: &Self::Tensor) -> Result<Array, TensorError> {
        self.inner.download(tensor)
    }

    fn shape<'a>(&self, tensor: &'a Self::Tensor) -> &'a [usize] {
        self.inner.shape(tensor)
    }

    fn reshape(&self, tensor: &Self::Tensor, shape: &[usize]) -> Result<Self::Tensor, TensorError> {
        self.inner.reshape(tensor, shape)
    }

    fn linear(
        &self,
        x: &Self::Tensor,
        weights: &Self::Linear,
        args: LinearArgs<'_, Self>,
    ) -> Result<Self::Tensor, TensorError> {
        let count = self.inner.shape(x).first().copied().unwrap_or(1).max(1) as f64;
        let share = |adapter: &RowAdapter<'_, Self>| adapter.rows.len() as f64 / count;
        let added: f64 = args.adapters.iter().map(|adapter| share(adapter) * adapter.weights.products).sum();
        let adapters: Vec<RowAdapter<'_, B>> = (args.adapters.iter())
            .map(|RowAdapter { rows, weights, scale }| RowAdapter {
                rows: rows.clone(),
                weights: &weights.inner,
                scale: *scale,
            })
            .collect();
        let LinearArgs { activation, residual, .. } = args;
        let name = || if adapters.is_empty() { "linear".into() } else { "linear adapted".into() };
        let args = LinearArgs { activation, residual, adapters: &adapters };
        let flops = |elements| 2.0 * elements * (weights.products + added);
        self.timed(name, x, flops, |inner| inner.linear(x, &weights.inner, args))
    }

    fn conv2d(
        &self,
        x: &Self::Tensor,
        weights: &Self::Conv2d,
        args: Conv2dArgs<'_, Self::Tensor>,
    ) -> Result<Self::Tensor, TensorError> {
        let flops = |elements| 2.0 * elements * weights.products;
        let name = || format!("conv2d{}", weights.about);
        self.timed(name, x, flops, |inner| inner.conv2d(x, &weights.inner, args))
    }

    fn group_norm(
        &self,
        x: &Self::Tensor,
        norm: &Self::Norm,
        groups: usize,
        epsilon: f32,
        activation: Activation,
    ) -> Result<Self::Tensor, TensorError> {
        let name = || "group_norm".into();
        self.timed(name, x, none, |inner| inner.group_norm(x, norm, groups, epsilon, activation))
    }

    fn layer_norm(
        &self,
        x: &Self::Tensor,
        norm: &Self::Norm,
        epsilon: f32,
    ) -> Result<Self::Tensor, TensorError> {
        self.timed(|| "layer_norm".into(), x, none, |inner| inner.layer_norm(x, norm, epsilon))
    }

    fn attention(
        &self,
        query: &Self::Tensor,
        key: &Self::Tensor,
        value: &Self::Tensor,
        args: AttentionArgs<'_>,
    ) -> Result<Self::Tensor, TensorError> {
        let keys = self.inner.shape(key).get(1).copied().unwrap_or(0);
        let name = || format!("attention {} heads, {keys} keys", args.heads);
        let flops = |elements| 4.0 * elements * keys as f64;
        self.timed(name, query, flops, |inner| inner.attention(query, key, value, args))
    }

    fn geglu(&self, x: &Self::Tensor) -> Result<Self::Tensor, TensorError> {
        self.timed(|| "geglu".into(), x, none, |inner| inner.geglu(x))
    }

    fn activate(&self, x: &Self::Tensor, activation: Activation) -> Result<Self::Tensor, TensorError> {
        self.timed(|| "activate".into(), x, none, |inner| inner.activate(x, activation))
    }

    fn curve(&self, x: &Self::Tensor, curve: Curve) -> Result<Self::Tensor, TensorError> {
        self.timed(|| "curve".into(), x, none, |inner| inner.curve(x, curve))
    }

    fn add(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor, TensorError> {
        self.timed(|| "add".into(), a, none, |inner| inner.add(a, b))
    }

    fn scale(&self, a: &Self::Tensor, factor: f32) -> Result<Self::Tensor, TensorError> {
        self.timed(|| "scale".into(), a, none, |inner| inner.scale(a, factor))
    }

    fn concat(&self, parts: &[&Self::Tensor]) -> Result<Self::Tensor, TensorError> {
        match parts.first() {
            Some(first) => self.timed(|| "concat".into(), first, none, |inner| inner.concat(parts)),
            None => self.inner.concat(parts),
        }
    }

    fn columns(&self, x: &Self::Tensor, start: usize, end: usize) -> Result<Self::Tensor, TensorError> {
        self.timed(|| "columns".into(), x, none, |inner| inner.columns(x, start, end))
    }

    fn concat_rows(&self, parts: &[&Self::Tensor]) -> Result<Self::Tensor, TensorError> {
        match parts.first() {
            Some(first) => self.timed(|| "concat_rows".into(), first, none, |inner| inner.concat_rows(parts)),
            None => self.inner.concat_rows(parts),
        }
    }

    fn rows(&self, x: &Self::Tensor, start: usize, end: usize) -> Result<Self::Tensor, TensorError> {
        self.inner.rows(x, start, end)
    }

    fn gather_mean(
        &self,
        x: &Self::Tensor,
        members: &[u32],
        ends: &[u32],
    ) -> Result<Self::Tensor, TensorError> {
        self.timed(|| "gather_mean".into(), x, none, |inner| inner.gather_mean(x, members, ends))
    }

    fn resample(&self, x: &Self::Tensor, how: Resample) -> Result<Self::Tensor, TensorError> {
        self.timed(|| "resample".into(), x, none, |inner| inner.resample(x, how))
    }

    fn embedding(
        &self,
        table: &Self::Embedding,
        ids: &[u32],
        batch: usize,
    ) -> Result<Self::Tensor, TensorError> {
        self.inner.embedding(table, ids, batch)
    }

    fn timestep_embedding(&self, timesteps: &[f32], features: usize) -> Result<Self::Tensor, TensorError> {
        self.inner.timestep_embedding(timesteps, features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::reference::ReferenceBackend;

    #[test]
    fn calls_of_one_shape_are_summed_and_their_work_counted() {
        let backend = Profiled::new(ReferenceBackend::default());
        let bytes: Vec<u8> = (0..12).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let weight = WeightView::new(DType::F32, vec![4, 3], bytes).unwrap();
        let weights = backend.prepare_linear(&weight, None, Precision::F32).unwrap();
        let x = backend.upload(&Array::new([2, 3], vec![1.0; 6]).unwrap()).unwrap();
        for _ in 0..2 {
            backend.linear(&x, &weights, LinearArgs::default()).unwrap();
        }
        let doubled = backend.scale(&x, 2.0).unwrap();
        let log = backend.log().clone();
        log.pause(true);
        backend.scale(&x, 3.0).unwrap();
        log.pause(false);
        assert_eq!(backend.download(&doubled).unwrap().data(), [2.0; 6]);
        let mut rows = log.take();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let [(linear, spent), (scale, scaled)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((linear.operation.as_str(), linear.shapes.as_str()), ("linear", "2x3 to 2x4"));
        assert_eq!((spent.calls, spent.flops), (2, 2.0 * 2.0 * 3.0 * 8.0));
        assert_eq!((scale.operation.as_str(), scaled.calls), ("scale", 1));
        assert!(log.take().is_empty());
    }
}
