//! The loops behind the reference backend. Sums run in `f64`, in the order of the formula.

use crate::shapes::{AttentionSizes, Conv2dSizes};
use crate::{Activation, AttentionArgs, Conv2dConfig, PaddingMode};

/// `activation(x)`.
pub(super) fn activate(x: f64, activation: Activation) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::LeakyRelu if x < 0.0 => 0.2 * x,
        Activation::Identity | Activation::LeakyRelu => x,
    }
}

/// Adds `x * weights`, where `weights` is `[x, sums]`.
pub(super) fn accumulate(sums: &mut [f64], x: &[f32], weights: &[f32]) {
    for (&x, row) in x.iter().zip(weights.chunks_exact(sums.len())) {
        for (sum, &weight) in sums.iter_mut().zip(row) {
            *sum += f64::from(x) * f64::from(weight);
        }
    }
}

/// Where the convolution's window lies: the input coordinate for an output coordinate and a kernel tap.
fn source(
    out: usize,
    tap: usize,
    before: usize,
    size: usize,
    stride: usize,
    mode: PaddingMode,
) -> Option<usize> {
    let at = (out * stride + tap) as isize - before as isize;
    match mode {
        PaddingMode::Circular => Some(at.rem_euclid(size as isize) as usize),
        PaddingMode::Zeros => usize::try_from(at).ok().filter(|&at| at < size),
    }
}

/// The sums of one output pixel; `weights` is `[kernel height, kernel width, in, out]`.
pub(super) fn conv2d_pixel(
    sums: &mut [f64],
    x: &[f32],
    weights: &[f32],
    sizes: &Conv2dSizes,
    config: Conv2dConfig,
    mode: PaddingMode,
    [image, y, column]: [usize; 3],
) {
    let [kernel_height, kernel_width] = sizes.kernel;
    let [top, _, left, _] = config.padding;
    let tap_size = sizes.inputs * sizes.outputs;
    for tap_y in 0..kernel_height {
        let Some(from_y) = source(y, tap_y, top, sizes.height, config.stride, mode) else { continue };
        for tap_x in 0..kernel_width {
            let Some(from_x) = source(column, tap_x, left, sizes.width, config.stride, mode) else {
                continue;
            };
            let pixel = ((image * sizes.height + from_y) * sizes.width + from_x) * sizes.inputs;
            let tap = (tap_y * kernel_width + tap_x) * tap_size;
            accumulate(sums, &x[pixel..pixel + sizes.inputs], &weights[tap..tap + tap_size]);
        }
    }
}

/// Mean and `1 / sqrt(variance + epsilon)` of some elements.
pub(super) fn moments(elements: impl Iterator<Item = f32> + Clone, epsilon: f32) -> (f64, f64) {
    let count = elements.clone().count() as f64;
    let mean = elements.clone().map(f64::from).sum::<f64>() / count;
    let variance = elements.map(|x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    (mean, 1.0 / (variance + f64::from(epsilon)).sqrt())
}

/// Attention of one query of one head: the weighted mean of the values, into `out`.
pub(super) fn attend(
    out: &mut [f32],
    [query, key, value]: [&[f32]; 3],
    sizes: &AttentionSizes,
    args: &AttentionArgs<'_>,
    [row, index, head]: [usize; 3],
) {
    let (features, head_size) = (sizes.features(), sizes.head_size);
    let mut visible = args.key_lengths.map_or(sizes.keys, |lengths| lengths[row]);
    if args.causal {
        visible = visible.min(index + 1);
    }
    let slice = |data, tokens, token| {
        let at = (row * tokens + token) * features + head * head_size;
        let data: &[f32] = data;
        data[at..at + head_size].to_vec()
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let query = slice(query, sizes.queries, index);
    let scale = 1.0 / (head_size as f64).sqrt();
    let scores: Vec<f64> = (0..visible).map(|m| dot(&query, &slice(key, sizes.keys, m)) * scale).collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut sums = vec![0.0; head_size];
    for (m, weight) in weights.iter().enumerate() {
        for (sum, &value) in sums.iter_mut().zip(&slice(value, sizes.keys, m)) {
            *sum += weight * f64::from(value);
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = (sum / total) as f32;
    }
}
