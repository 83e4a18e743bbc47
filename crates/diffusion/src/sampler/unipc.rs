//! The unified predictor-corrector (Zhao et al. 2023, `UniPC` with B(h) on predicted clean latents).
//!
//! Each estimate first corrects the step that led to it and then predicts the next one. It is asked at the predicted
//! latent only, so there is one call a step. Lambda is the logarithm of the signal-to-noise ratio's root.

use super::Told;
use super::math::History;
use crate::denoiser::Level;
use crate::schedule::NoiseLevels;
use impasto_domain::{SamplerOptions, UniPcSkip, UniPcVariant};
use serde::{Deserialize, Serialize};

/// The highest training time.
const LAST_TIME: f64 = 999.0;

/// Where the walk halts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Stop {
    time: f64,
    /// Of the clean latent's root variance.
    log_root_alpha: f64,
}

impl Stop {
    /// Shares of the clean latent and of noise.
    fn shares(&self) -> (f64, f64) {
        (libm::exp(self.log_root_alpha), libm::sqrt(-libm::expm1(2.0 * self.log_root_alpha)))
    }

    fn lambda(&self) -> f64 {
        let (alpha, sigma) = self.shares();
        libm::log(alpha / sigma)
    }
}

/// A walk over training times.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct UniPc {
    stops: Vec<Stop>,
    index: usize,
    variant: UniPcVariant,
    order: usize,
    lower_order_final: bool,
    /// The clean latents estimated last.
    clean: History,
    /// The latent that the last prediction was made from.
    start: Vec<f32>,
}

impl UniPc {
    /// A walk of so many steps from a training time to the lowest.
    pub(super) fn new(first: f32, steps: usize, options: &SamplerOptions, levels: &NoiseLevels) -> Self {
        let times = times(f64::from(first), steps, options.uni_pc_skip_type, levels);
        Self {
            stops: times
                .into_iter()
                .map(|time| Stop { time, log_root_alpha: log_root_alpha(levels, time) })
                .collect(),
            index: 0,
            variant: options.uni_pc_variant,
            order: (options.uni_pc_order as usize).clamp(1, steps.max(1)),
            lower_order_final: options.uni_pc_lower_order_final,
            clean: History::default(),
            start: Vec::new(),
        }
    }

    /// A walk from the highest training time.
    pub(super) fn whole(steps: usize, options: &SamplerOptions, levels: &NoiseLevels) -> Self {
        Self::new(LAST_TIME as f32, steps, options, levels)
    }

    pub(super) fn level(&self) -> Option<Level> {
        let (done, steps) = self.progress();
        (done < steps).then(|| Level::Timestep(self.stops[done].time as f32))
    }

    /// Steps done and in all.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.index, self.stops.len().saturating_sub(1))
    }

    pub(super) fn advance(&mut self, latent: &mut [f32], told: &mut Told<'_>) {
        if self.level().is_none() {
            return;
        }
        let (alpha, sigma) = self.stops[self.index].shares();
        for (estimate, value) in told.estimate.iter_mut().zip(&*latent) {
            *estimate = (*value - sigma as f32 * *estimate) / alpha as f32;
        }
        if self.index > 0 {
            self.step_to(self.index, Some(told.estimate), latent);
        }
        self.clean.push(told.estimate, self.order);
        self.start = latent.to_vec();
        self.index += 1;
        self.step_to(self.index, None, latent);
    }

    /// The order of the step that ends at a stop.
    fn order_to(&self, to: usize) -> usize {
        let left = self.stops.len() - to;
        if self.lower_order_final && to >= self.order { self.order.min(left) } else { self.order.min(to) }
    }

    /// Predicts the latent at a stop from that at the one before or, with the clean latent estimated there, corrects it.
    fn step_to(&self, to: usize, estimated: Option<&[f32]>, latent: &mut [f32]) {
        let (last, next) = (self.stops[to - 1], self.stops[to]);
        let ((alpha, sigma), (_, last_sigma)) = (next.shares(), last.shares());
        let h = next.lambda() - last.lambda();
        let gain = libm::expm1(-h);
        let (width, simplified) = match self.variant {
            UniPcVariant::Bh1 => (-h, true),
            UniPcVariant::Bh2 => (gain, true),
            UniPcVariant::VaryCoeff => (1.0, false),
        };
        // Where earlier estimates were made, in steps from the last.
        let earlier =
            (2..=self.order_to(to)).map(|back| (self.stops[to - back].lambda() - last.lambda()) / h);
        let mut places: Vec<f64> = earlier.collect();
        places.extend(estimated.map(|_| 1.0));
        let weights = weights(&places, -h, width, simplified);
        let clean = self.clean.newest_first();
        let others =
            clean[1..].iter().map(Vec::as_slice).take(places.len() - usize::from(estimated.is_some()));
        let others: Vec<(&[f32], f32)> = others
            .chain(estimated)
            .zip(weights.iter().zip(&places).map(|(weight, place)| (weight / place) as f32))
            .collect();
        let (keep, gain, width) =
            ((sigma / last_sigma) as f32, (alpha * gain) as f32, (alpha * width) as f32);
        for (index, value) in latent.iter_mut().enumerate() {
            let newest = clean[0][index];
            let bend: f32 = others.iter().map(|(other, weight)| weight * (other[index] - newest)).sum();
            *value = keep * self.start[index] - gain * newest - width * bend;
        }
    }
}

/// Zhao et al. 2023, equation 7: how much the slopes towards the estimates at `places` count. `hh` is -h. `simplified`, a
/// single slope counts half.
fn weights(places: &[f64], hh: f64, width: f64, simplified: bool) -> Vec<f64> {
    if simplified && places.len() == 1 {
        return vec![0.5];
    }
    let mut phi = libm::expm1(hh) / hh - 1.0;
    let mut factorial = 1.0;
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(places.len());
    for power in 0..places.len() {
        let row = places.iter().map(|&place| libm::pow(place, power as f64));
        rows.push(row.chain([phi * factorial / width]).collect());
        factorial *= power as f64 + 2.0;
        phi = phi / hh - 1.0 / factorial;
    }
    solve(rows)
}

/// Solves linear equations, whose right sides are the last column, by elimination.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let count = rows.len();
    for column in 0..count {
        let size = |row: &usize| rows[*row][column].abs();
        let pivot = (column..count).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(column);
        rows.swap(column, pivot);
        let leading = rows[column].clone();
        for row in rows.iter_mut().skip(column + 1) {
            let factor = row[column] / leading[column];
            row.iter_mut().zip(&leading).for_each(|(value, leading)| *value -= factor * leading);
        }
    }
    let mut solution = vec![0.0; count];
    for at in (0..count).rev() {
        let known: f64 = (at + 1..count).map(|other| rows[at][other] * solution[other]).sum();
        solution[at] = (rows[at][count] - known) / rows[at][at];
    }
    solution
}

fn log_root_alpha(levels: &NoiseLevels, time: f64) -> f64 {
    0.5 * levels.log_alpha_cumprod(time)
}

/// `steps + 1` training times from `first` to 0. Time counts from 1 where it is squared.
fn times(first: f64, steps: usize, skip: UniPcSkip, levels: &NoiseLevels) -> Vec<f64> {
    let even = |from: f64, to: f64| {
        (0..=steps).map(move |step| from + (to - from) * step as f64 / steps.max(1) as f64)
    };
    match skip {
        UniPcSkip::TimeUniform => even(first, 0.0).collect(),
        UniPcSkip::TimeQuadratic => {
            even(libm::sqrt(first + 1.0), 1.0).map(|root| root * root - 1.0).collect()
        }
        UniPcSkip::LogSnr => {
            let lambda = |time: f64| Stop { time, log_root_alpha: log_root_alpha(levels, time) }.lambda();
            even(lambda(first), lambda(0.0))
                .map(|lambda| levels.time_of_log_alpha(-libm::log1p(libm::exp(-2.0 * lambda))))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let solution = solve(vec![vec![0.0, 2.0, 4.0], vec![3.0, 1.0, 11.0]]);
        assert!((solution[0] - 3.0).abs() < 1e-12 && (solution[1] - 2.0).abs() < 1e-12, "{solution:?}");
    }

    #[test]
    fn every_skip_goes_from_end_to_end() {
        let levels = NoiseLevels::scaled_linear((0.00085, 0.012));
        for skip in [UniPcSkip::TimeUniform, UniPcSkip::TimeQuadratic, UniPcSkip::LogSnr] {
            let times = times(LAST_TIME, 7, skip, &levels);
            assert!(times.windows(2).all(|pair| pair[0] > pair[1]), "{skip:?} {times:?}");
            assert!((times[0] - LAST_TIME).abs() < 1e-6 && times[7].abs() < 1e-6, "{skip:?} {times:?}");
        }
    }
}
