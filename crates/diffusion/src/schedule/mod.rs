//! Schedules: the noise levels that a sampler walks, highest first.
//!
//! Computed in single precision in the order of operations that A1111 has on a CPU, with logarithms and powers from
//! `libm` so that every machine has the same.

mod beta;
mod levels;

pub use levels::NoiseLevels;
pub(crate) use levels::{exp, expm1, linspace, ln};

use beta::quantile;
use impasto_domain::{Sampler, SamplerOptions, Schedule};

/// The rho of Karras et al. 2022, equation 5.
const KARRAS_RHO: f64 = 7.0;

/// Lowest and highest sigma of the schedules of old.
const OLD_RANGE: (f64, f64) = (0.1, 10.0);

/// Sigmas of Sabour et al. 2024 for ten steps: of Stable Diffusion 1.5, of XL.
const ALIGNED: [[f64; 11]; 2] = [
    [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029],
    [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029],
];

/// What a schedule is computed from.
#[derive(Debug, Clone, Copy)]
pub struct Scheduling<'a> {
    /// The levels of the model.
    pub levels: &'a NoiseLevels,
    /// Whether the model is of the XL family, for which [`Schedule::AlignYourSteps`] has numbers of its own.
    pub is_xl: bool,
    /// What differs from the usual.
    pub options: &'a SamplerOptions,
}

impl Scheduling<'_> {
    /// The sigmas that `steps` steps of a sampler go through, highest first, and where they end: at 0, but for
    /// [`Schedule::KlOptimal`]. A schedule may have more or fewer of them than steps were asked for.
    pub fn sigmas(&self, sampler: Sampler, schedule: Schedule, steps: u32) -> Vec<f32> {
        let schedule = match schedule {
            Schedule::Automatic => sampler.default_schedule().unwrap_or(Schedule::Uniform),
            named => named,
        };
        let discard = sampler.discards_next_to_last_sigma() || self.options.always_discard_next_to_last_sigma;
        let mut sigmas = self.spread(schedule, steps as usize + usize::from(discard));
        if schedule != Schedule::KlOptimal {
            sigmas.push(0.0);
        }
        if discard && sigmas.len() > 1 {
            sigmas.remove(sigmas.len() - 2);
        }
        sigmas
    }

    /// Lowest and highest sigma, as the options have them.
    pub fn range(&self) -> (f64, f64) {
        let options = self.options;
        let (low, high) = self.levels.sigma_range();
        let own = if options.use_old_karras_scheduler_sigmas { OLD_RANGE } else { (low.into(), high.into()) };
        let or = |asked: f64, own: f64| if asked == 0.0 { own } else { asked };
        (or(options.sigma_min, own.0), or(options.sigma_max, own.1))
    }

    fn spread(&self, schedule: Schedule, steps: usize) -> Vec<f32> {
        let levels = self.levels;
        let (low, high) = self.range();
        let (low_time, high_time) = (levels.timestep_of(low as f32), levels.timestep_of(high as f32));
        let rho = |own: f64| if self.options.rho == 0.0 { own } else { self.options.rho };
        let at_times =
            |times: &mut dyn Iterator<Item = f32>| times.map(|time| levels.sigma_at(time)).collect();
        match schedule {
            Schedule::Automatic | Schedule::Uniform => {
                let (first, last) = levels.timestep_range();
                at_times(&mut linspace(last, first, steps))
            }
            Schedule::Karras => karras(low, high, rho(KARRAS_RHO), steps),
            Schedule::Exponential => {
                linspace(libm::log(high) as f32, libm::log(low) as f32, steps).map(exp).collect()
            }
            Schedule::Polyexponential => polyexponential(low, high, rho(1.0), steps),
            Schedule::SgmUniform => at_times(&mut linspace(high_time, low_time, steps + 1).take(steps)),
            Schedule::KlOptimal => kl_optimal(low as f32, high as f32, steps),
            Schedule::AlignYourSteps => aligned(&ALIGNED[usize::from(self.is_xl)], steps),
            Schedule::Simple => {
                let count = levels.sigmas().len();
                let share = count as f64 / steps as f64;
                let from_top = |step: usize| count - 1 - (step as f64 * share) as usize;
                (0..steps).map(|step| levels.sigmas()[from_top(step)]).collect()
            }
            Schedule::Normal => at_times(&mut linspace(high_time, low_time, steps)),
            Schedule::Ddim => {
                let spacing = (levels.sigmas().len() / steps.max(1)).max(1);
                let mut sigmas: Vec<f32> = levels.sigmas().iter().skip(1).step_by(spacing).copied().collect();
                sigmas.reverse();
                sigmas
            }
            Schedule::Beta => {
                let (alpha, beta) = (self.options.beta_dist_alpha, self.options.beta_dist_beta);
                let shares = (0..steps).map(|step| 1.0 - step as f64 / (steps.max(2) - 1) as f64);
                shares.map(|share| (low + quantile(share, alpha, beta) * (high - low)) as f32).collect()
            }
        }
    }
}

/// Karras et al. 2022, equation 5.
pub(crate) fn karras(low: f64, high: f64, rho: f64, steps: usize) -> Vec<f32> {
    let (low, high) = (libm::pow(low, 1.0 / rho), libm::pow(high, 1.0 / rho));
    linspace(0.0, 1.0, steps).map(|ramp| power(high as f32 + ramp * (low - high) as f32, rho)).collect()
}

fn polyexponential(low: f64, high: f64, rho: f64, steps: usize) -> Vec<f32> {
    let (low, high) = (libm::log(low), libm::log(high));
    linspace(1.0, 0.0, steps).map(|ramp| exp(power(ramp, rho) * (high - low) as f32 + low as f32)).collect()
}

/// From the highest sigma to the lowest, which is the last: one value more than there are steps.
fn kl_optimal(low: f32, high: f32, steps: usize) -> Vec<f32> {
    let angle = |sigma: f32| libm::atan(f64::from(sigma)) as f32;
    let (low, high) = (angle(low), angle(high));
    let share = |step: usize| step as f32 / steps.max(1) as f32;
    (0..=steps)
        .map(|step| share(step) * low + (1.0 - share(step)) * high)
        .map(|angle| libm::tan(f64::from(angle)) as f32)
        .collect()
}

/// Between the values of a table, the logarithm is linear.
fn aligned(table: &[f64; 11], steps: usize) -> Vec<f32> {
    let last = table.len() - 1;
    let at = |step: usize| {
        let place = (step * last) as f64 / (steps.max(2) - 1) as f64;
        let below = (place as usize).min(last - 1);
        let (a, b) = (libm::log(table[below]), libm::log(table[below + 1]));
        libm::exp(a + (b - a) * (place - below as f64)) as f32
    };
    (0..steps).map(at).collect()
}

fn power(x: f32, exponent: f64) -> f32 {
    libm::pow(f64::from(x), exponent) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> NoiseLevels {
        NoiseLevels::scaled_linear((0.00085, 0.012))
    }

    fn sigmas(sampler: Sampler, schedule: Schedule, steps: u32, options: &SamplerOptions) -> Vec<f32> {
        Scheduling { levels: &levels(), is_xl: false, options }.sigmas(sampler, schedule, steps)
    }

    #[test]
    fn every_schedule_falls() {
        for schedule in Schedule::all() {
            for steps in [1, 2, 20, 1000] {
                let sigmas = sigmas(Sampler::Euler, schedule, steps, &SamplerOptions::default());
                // DDIM's picks leave the lowest level out, and are made by whole numbers.
                let count = if (schedule, steps) == (Schedule::Ddim, 1000) { 1000 } else { steps + 1 };
                assert_eq!(sigmas.len(), count as usize, "{schedule:?} {steps}");
                assert!(sigmas.windows(2).all(|pair| pair[0] > pair[1]), "{schedule:?} {steps} {sigmas:?}");
                let last = sigmas.last().copied().unwrap();
                let end = if schedule == Schedule::KlOptimal { levels().sigma_range().0 } else { 0.0 };
                assert!((last - end).abs() < 1e-6, "{schedule:?} {steps} {last}");
            }
        }
    }

    #[test]
    fn no_steps_have_no_spans() {
        for schedule in Schedule::all().filter(|&schedule| schedule != Schedule::Ddim) {
            assert_eq!(
                sigmas(Sampler::Euler, schedule, 0, &SamplerOptions::default()).len(),
                1,
                "{schedule:?}"
            );
        }
    }

    #[test]
    fn automatic_is_what_the_sampler_does_best_with() {
        let of = |sampler, schedule| sigmas(sampler, schedule, 12, &SamplerOptions::default());
        assert_eq!(of(Sampler::Euler, Schedule::Automatic), of(Sampler::Euler, Schedule::Uniform));
        assert_eq!(of(Sampler::DpmPp2m, Schedule::Automatic), of(Sampler::DpmPp2m, Schedule::Karras));
        assert_eq!(
            of(Sampler::DpmPp3mSde, Schedule::Automatic),
            of(Sampler::DpmPp3mSde, Schedule::Exponential)
        );
    }

    #[test]
    fn a_discarded_sigma_is_the_last_above_zero() {
        let kept = sigmas(Sampler::Euler, Schedule::Karras, 8, &SamplerOptions::default());
        let own = sigmas(Sampler::Dpm2, Schedule::Karras, 7, &SamplerOptions::default());
        let options = SamplerOptions { always_discard_next_to_last_sigma: true, ..SamplerOptions::default() };
        assert_eq!(own, [&kept[..7], &[0.0]].concat());
        assert_eq!(sigmas(Sampler::Euler, Schedule::Karras, 7, &options), own);
        assert_eq!(sigmas(Sampler::Dpm2, Schedule::Karras, 7, &options), own);
    }

    #[test]
    fn options_move_the_ends() {
        let options = SamplerOptions { sigma_min: 0.5, sigma_max: 5.0, ..SamplerOptions::default() };
        let old = SamplerOptions { use_old_karras_scheduler_sigmas: true, ..SamplerOptions::default() };
        for schedule in [Schedule::Karras, Schedule::Exponential, Schedule::Normal, Schedule::Beta] {
            let ends = |options| {
                let sigmas = sigmas(Sampler::Euler, schedule, 9, options);
                (sigmas[0], sigmas[8])
            };
            let ((high, low), (old_high, old_low)) = (ends(&options), ends(&old));
            assert!((high - 5.0).abs() < 1e-4 && (low - 0.5).abs() < 1e-5, "{schedule:?} {high} {low}");
            assert!((old_high - 10.0).abs() < 1e-4 && (old_low - 0.1).abs() < 1e-5, "{schedule:?}");
        }
        let uniform = |options| sigmas(Sampler::Euler, Schedule::Uniform, 9, options);
        assert_eq!(uniform(&options), uniform(&SamplerOptions::default()));
    }

    #[test]
    fn ten_aligned_steps_are_the_published_ones() {
        let options = SamplerOptions::default();
        for (is_xl, table) in [(false, ALIGNED[0]), (true, ALIGNED[1])] {
            let scheduling = Scheduling { levels: &levels(), is_xl, options: &options };
            let sigmas = scheduling.sigmas(Sampler::Euler, Schedule::AlignYourSteps, 11);
            assert!(
                sigmas.iter().zip(table).all(|(&sigma, wanted)| (f64::from(sigma) - wanted).abs() < 1e-6)
            );
        }
    }
}
