//! Group and layer normalisation.
//!
//! Moments are taken in one pass, as deviations from the first element of a run, so that a large mean costs no
//! digits; runs are joined by the pairwise formula of Chan, Golub and Le Veque (1979), in `f64` and in order. Where a
//! run ends depends on the shape alone.

use crate::elementwise::row_tasks;
use crate::gemm::Machine;
use crate::math;
use crate::simd::{Kernel, MAX_LANES, Simd};
use impasto_tensor::{Activation, TensorError};
use std::ops::Range;

/// Elements of a run, roughly.
const RUN: usize = 1 << 15;
/// The most runs of a picture.
const MOST_RUNS: usize = 64;

/// Scale and shift of each feature.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) epsilon: f32,
}

/// `out = activation(norm(x))` for `[batch, pixels, features]`, over the pixels and the features of each group.
pub(crate) fn group_norm(
    machine: Machine<'_>,
    x: &[f32],
    [batch, pixels, features]: [usize; 3],
    groups: usize,
    affine: Affine<'_>,
    activation: Activation,
    out: &mut [f32],
) -> Result<(), TensorError> {
    if x.is_empty() {
        return Ok(());
    }
    let run = (RUN / features).max(pixels.div_ceil(MOST_RUNS)).max(1);
    let runs = pixels.div_ceil(run);
    let mut moments = machine.buffers.take(batch * runs * 2 * features)?;
    let bounds: Vec<usize> = (0..=batch * runs).map(|i| i * 2 * features).collect();
    let pixels_of = |task: usize| {
        let (image, first) = (task / runs, task % runs * run);
        image * pixels + first..image * pixels + pixels.min(first + run)
    };
    machine.threads.for_parts(&mut moments, &bounds, &|task, moments| {
        let Range { start, end } = pixels_of(task);
        machine.isa.run(RunMoments { x: &x[start * features..end * features], features, moments });
    })?;
    // Mean and factor of each feature: [batch, 2, features].
    let mut factors = machine.buffers.take(batch * 2 * features)?;
    for (image, factors) in factors.chunks_exact_mut(2 * features).enumerate() {
        let moments = &moments[image * runs * 2 * features..][..runs * 2 * features];
        let counts: Vec<usize> = (0..runs).map(|i| pixels_of(image * runs + i).len()).collect();
        join_groups(moments, &counts, groups, affine, factors);
    }
    let bounds: Vec<usize> =
        (0..batch * runs).map(|i| pixels_of(i).start * features).chain([x.len()]).collect();
    machine.threads.for_parts(out, &bounds, &|task, out| {
        let image = task / runs;
        let (mean, factor) = factors[image * 2 * features..(image + 1) * 2 * features].split_at(features);
        let x = &x[bounds[task]..bounds[task + 1]];
        machine.isa.run(Apply { x, mean, factor, shift: affine.shift, activation, out });
    })
}

/// Sums of a run of pixels: for each feature the mean, and the sum of squared deviations from it.
struct RunMoments<'a> {
    /// `[pixels, features]`.
    x: &'a [f32],
    features: usize,
    /// `[2, features]`.
    moments: &'a mut [f32],
}

impl Kernel for RunMoments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        /// Vectors summed side by side, to keep the adders busy.
        const WIDE: usize = 4;
        let count = (self.x.len() / self.features) as f32;
        let (means, squares) = self.moments.split_at_mut(self.features);
        for first in (0..self.features).step_by(WIDE * S::LANES) {
            let mut pivot = [s.splat(0.0); WIDE];
            let mut sum = pivot;
            let mut square = pivot;
            let columns = first..self.features.min(first + WIDE * S::LANES);
            for (row, x) in self.x.chunks_exact(self.features).enumerate() {
                let x = &x[columns.clone()];
                for i in 0..WIDE {
                    if i * S::LANES >= x.len() {
                        break;
                    }
                    let x = s.read(&x[i * S::LANES..]);
                    if row == 0 {
                        pivot[i] = x;
                    }
                    let deviation = s.sub(x, pivot[i]);
                    sum[i] = s.add(sum[i], deviation);
                    square[i] = s.fma(deviation, deviation, square[i]);
                }
            }
            let outs = means[columns.clone()].chunks_mut(S::LANES).zip(squares[columns].chunks_mut(S::LANES));
            for (i, (mean, squared)) in outs.enumerate() {
                let offset = s.div(sum[i], s.splat(count));
                s.write(mean, s.add(pivot[i], offset));
                // Rounding may leave a little below 0.
                let rest = s.sub(square[i], s.mul(sum[i], offset));
                s.write(squared, s.max(s.splat(0.0), rest));
            }
        }
    }
}

/// Joins the moments `[runs, 2, features]` of one image to the mean and `scale / deviation` of each feature.
fn join_groups(moments: &[f32], counts: &[usize], groups: usize, affine: Affine<'_>, factors: &mut [f32]) {
    let features = affine.scale.len();
    let size = features / groups;
    let (means, scales) = factors.split_at_mut(features);
    for group in 0..groups {
        let members = group * size..(group + 1) * size;
        let (mut total, mut mean, mut squares) = (0.0f64, 0.0f64, 0.0f64);
        for (run, count) in moments.chunks_exact(2 * features).zip(counts) {
            let count = *count as f64;
            let (run_means, run_squares) = run.split_at(features);
            for (&run_mean, &run_square) in
                run_means[members.clone()].iter().zip(&run_squares[members.clone()])
            {
                let difference = f64::from(run_mean) - mean;
                let joined = total + count;
                mean += difference * count / joined;
                squares += f64::from(run_square) + difference * difference * total * count / joined;
                total = joined;
            }
        }
        let inverse = 1.0 / (squares / total + f64::from(affine.epsilon)).sqrt();
        for feature in members {
            means[feature] = mean as f32;
            scales[feature] = (f64::from(affine.scale[feature]) * inverse) as f32;
        }
    }
}

/// `activation((x - mean) * factor + shift)`, row by row.
struct Apply<'a> {
    x: &'a [f32],
    mean: &'a [f32],
    factor: &'a [f32],
    shift: &'a [f32],
    activation: Activation,
    out: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, mean, factor, shift, activation, out } = self;
        let features = shift.len();
        for (x, out) in x.chunks_exact(features).zip(out.chunks_exact_mut(features)) {
            for at in (0..features).step_by(S::LANES) {
                let centred = s.sub(s.read(&x[at..]), s.read(&mean[at..]));
                let y = s.fma(centred, s.read(&factor[at..]), s.read(&shift[at..]));
                s.write(&mut out[at..], math::activate(s, y, activation));
            }
        }
    }
}

/// `out = norm(x)` over each row of `features`.
pub(crate) fn layer_norm(
    machine: Machine<'_>,
    x: &[f32],
    affine: Affine<'_>,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let features = affine.scale.len();
    let bounds = row_tasks(x.len() / features, features);
    machine.threads.for_parts(out, &bounds, &|part, out| {
        machine.isa.run(NormRows { x: &x[bounds[part]..bounds[part + 1]], affine, out });
    })
}

struct NormRows<'a> {
    x: &'a [f32],
    affine: Affine<'a>,
    out: &'a mut [f32],
}

impl Kernel for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Affine { scale, shift, epsilon } = self.affine;
        let features = scale.len();
        let count = features as f32;
        for (x, out) in self.x.chunks_exact(features).zip(self.out.chunks_exact_mut(features)) {
            let mean = sum_of(s, x, 0.0, |x| x) / count;
            let centre = s.splat(mean);
            let squares = sum_of(s, x, mean, |x| {
                let deviation = s.sub(x, centre);
                s.mul(deviation, deviation)
            });
            let inverse = s.splat(1.0 / (squares / count + epsilon).sqrt());
            for at in (0..features).step_by(S::LANES) {
                let centred = s.mul(s.sub(s.read(&x[at..]), centre), inverse);
                s.write(&mut out[at..], s.fma(centred, s.read(&scale[at..]), s.read(&shift[at..])));
            }
        }
    }
}

/// The sum of `function` over vectors of `x`, the last padded with `fill`, for which `function` is 0. Four chains keep
/// the adders busy.
#[inline(always)]
fn sum_of<S: Simd>(s: S, x: &[f32], fill: f32, function: impl Fn(S::F) -> S::F) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    let whole = x.chunks_exact(4 * S::LANES);
    let rest = whole.remainder();
    for x in whole {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = s.add(*sum, function(s.read(&x[i * S::LANES..])));
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest.chunks(S::LANES)) {
        let mut padded = [fill; MAX_LANES];
        padded[..x.len()].copy_from_slice(x);
        *sum = s.add(*sum, function(s.read(&padded)));
    }
    s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}
