//! How sampling begins: from noise alone, or from a latent that is noised part of the way.

use super::math::History;
use super::walk::{Rule, SigmaWalk};
use super::{
    Path, SamplerState, ddim, dpm_adaptive, dpm_fast, euler, heun, lcm, lms, multistep, plms, times,
};
use super::{two_stage, unipc};
use crate::TrajectoryError;
use crate::denoiser::Denoiser;
use crate::noise::ImageNoise;
use crate::schedule::{NoiseLevels, Scheduling};
use impasto_domain::{NoiseSchedule, Sampler, SamplerOptions, Schedule};
use impasto_tensor::Array;
use impasto_weights::Prediction;
use serde::{Deserialize, Serialize};

/// The strength above which a latent counts as this much noised.
const MOST_STRENGTH: f64 = 0.999;

/// The strength below which fixed steps are not spread any finer, so that a schedule fits into memory.
const LEAST_STRENGTH: f64 = 0.001;

/// How a latent is to be sampled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sampling {
    /// How the latent is moved.
    pub sampler: Sampler,
    /// How noise levels are spread.
    pub schedule: Schedule,
    /// Steps asked for. Samplers of training times make as many as A1111's, which is often one less, or one more.
    pub steps: u32,
    /// Noise multiplier; `None` means the sampler's own.
    pub eta: Option<f64>,
    /// What differs from the usual.
    pub options: SamplerOptions,
    /// Whether the model is of the XL family.
    pub is_xl: bool,
}

/// A latent to begin from.
#[derive(Debug, Clone)]
pub struct InitialLatent<'a> {
    /// `[channels, height, width]`.
    pub latent: &'a Array,
    /// The noise put on it, of the same shape and of unit variance.
    pub noise: Array,
    /// How far up the noise levels it goes, 0 to 1.
    pub denoising_strength: f64,
    /// Whether as many steps are made as were asked for, rather than the share that the strength leaves of them.
    pub fix_steps: bool,
    /// What the noise is multiplied with; 1 is A1111's `initial_noise_multiplier`.
    pub noise_multiplier: f64,
    /// Noise added beyond what the level has, as a share of the latent's scale; 0 is A1111's `img2img_extra_noise`.
    pub extra_noise: f64,
}

impl Sampling {
    /// Sampling with nothing else than usual, of a model that is none of the XL family.
    pub fn of(sampler: Sampler, schedule: Schedule, steps: u32) -> Self {
        Self { sampler, schedule, steps, eta: None, options: SamplerOptions::default(), is_xl: false }
    }

    /// The noise levels that this sampler takes a model of these betas to have.
    pub fn levels(&self, betas: (f64, f64)) -> NoiseLevels {
        let mut levels = NoiseLevels::scaled_linear(betas);
        if self.options.use_downcasted_alpha_bar {
            levels = levels.in_half_precision();
        }
        let levels = match self.options.sd_noise_schedule {
            NoiseSchedule::Default => levels,
            NoiseSchedule::ZeroTerminalSnr => levels.zero_terminal_snr(),
        };
        if self.sampler == Sampler::Lcm { levels.of_consistency_models() } else { levels }
    }

    /// What turns latents into the UNet's input and its output into the estimates that this sampler takes.
    pub fn denoiser(&self, levels: NoiseLevels, prediction: Prediction) -> Denoiser {
        let denoiser = Denoiser::new(levels, prediction).quantized(self.options.enable_quantization);
        if self.sampler == Sampler::Lcm { denoiser.of_consistency_model() } else { denoiser }
    }

    /// Refuses options that leave no way down.
    pub(crate) fn check(&self, levels: &NoiseLevels) -> Result<(), TrajectoryError> {
        let (low, high) = self.scheduling(levels).range();
        if low < high {
            return Ok(());
        }
        let problem = format!("is out of range: allowed are values below the highest sigma, {high}");
        Err(TrajectoryError::request("sigma_min", low, problem))
    }

    fn scheduling<'a>(&'a self, levels: &'a NoiseLevels) -> Scheduling<'a> {
        Scheduling { levels, is_xl: self.is_xl, options: &self.options }
    }

    fn sigmas(&self, steps: u32, levels: &NoiseLevels) -> Vec<f32> {
        self.scheduling(levels).sigmas(self.sampler, self.schedule, steps)
    }

    /// The training times for so many steps, highest first. A1111 counts one step more where a sigma would be discarded.
    fn stops(&self, steps: usize, levels: &NoiseLevels) -> Vec<times::Stop> {
        times::stops(steps + usize::from(self.options.always_discard_next_to_last_sigma), levels)
    }

    fn eta(&self) -> f64 {
        self.eta.or(self.sampler.default_eta()).unwrap_or_default()
    }

    /// Steps to spread over all levels for a latent noised by `strength`, and how many are left to make, less one.
    fn img2img_steps(&self, strength: f64, fix_steps: bool) -> (usize, usize) {
        let (asked, strength) = (self.steps as usize, strength.clamp(0.0, MOST_STRENGTH));
        match (fix_steps, strength > 0.0) {
            (false, _) => (asked, (strength * asked as f64) as usize),
            (true, true) => ((asked as f64 / strength.max(LEAST_STRENGTH)) as usize, asked.saturating_sub(1)),
            (true, false) => (0, 0),
        }
    }
}

impl SamplerState {
    /// A sampler about to make its first step from a latent of noise alone, of unit variance. `noise` is where what it adds
    /// on the way comes from.
    pub fn new(sampling: &Sampling, levels: &NoiseLevels, mut latent: Array, noise: &mut ImageNoise) -> Self {
        let (options, steps) = (&sampling.options, sampling.steps as usize);
        let sigmas = sampling.sigmas(sampling.steps, levels);
        // DPM fast and DPM adaptive have a schedule of their own.
        let (low, high) = levels.sigma_range();
        let first = match sampling.sampler {
            sampler if sampler.is_timestep_based() => 1.0,
            Sampler::DpmFast | Sampler::DpmAdaptive => high,
            _ => sigmas[0],
        };
        let counts_picture = options.sgm_noise_multiplier && !sampling.sampler.is_timestep_based();
        let scale = if counts_picture { (1.0 + first * first).sqrt() } else { first };
        latent.data_mut().iter_mut().for_each(|value| *value *= scale);
        let path = match sampling.sampler {
            Sampler::UniPc => {
                Path::UniPc(unipc::UniPc::whole(sampling.stops(steps, levels).len(), options, levels))
            }
            sampler if sampler.is_timestep_based() => over_times(sampling, sampling.stops(steps, levels)),
            _ => {
                let range = (high, low, steps);
                over_sigmas(sampling, &latent, range, sigmas.clone(), &sigmas, noise)
            }
        };
        Self::begin(path, sampling.steps as usize, latent, noise)
    }

    /// A sampler about to make its first step from a latent that is noised part of the way, as A1111's img2img does it.
    pub fn from_latent(
        sampling: &Sampling,
        initial: InitialLatent<'_>,
        levels: &NoiseLevels,
        noise: &mut ImageNoise,
    ) -> Self {
        let (steps, left) = sampling.img2img_steps(initial.denoising_strength, initial.fix_steps);
        let mut added = initial.noise;
        added.data_mut().iter_mut().for_each(|value| *value *= initial.noise_multiplier as f32);
        // `scale * latent + amount * noise`.
        let mix = |scale: f32, amount: f32| {
            let mut latent = initial.latent.clone();
            for (value, noise) in latent.data_mut().iter_mut().zip(added.data()) {
                *value = *value * scale + noise * (amount + initial.extra_noise as f32 * scale);
            }
            latent
        };
        let asked = left + 1;
        if steps == 0 {
            let path = Path::Sigmas(SigmaWalk::new(Rule::Euler(euler::Euler), vec![0.0]));
            return Self::begin(path, 0, initial.latent.clone(), noise);
        }
        if sampling.sampler.is_timestep_based() {
            // Highest first here: the level that the latent is noised to lies just above those that are walked.
            let mut stops = sampling.stops(steps, levels);
            let below = stops.split_off(stops.len().saturating_sub(left));
            let alpha = stops.last().map_or(1.0, |stop| stop.alpha);
            let path = match (sampling.sampler, below.first()) {
                (Sampler::UniPc, Some(first)) => {
                    Path::UniPc(unipc::UniPc::new(first.time, left, &sampling.options, levels))
                }
                _ => over_times(sampling, below),
            };
            return Self::begin(path, asked, mix(alpha.sqrt(), (1.0 - alpha).sqrt()), noise);
        }
        let all = sampling.sigmas(steps as u32, levels);
        let sigmas = all[(steps - asked.min(steps)).min(all.len() - 1)..].to_vec();
        let latent = mix(1.0, sigmas[0]);
        let range = (sigmas[0], sigmas[sigmas.len().saturating_sub(2)], sigmas.len() - 1);
        let path = over_sigmas(sampling, &latent, range, sigmas, &all, noise);
        Self::begin(path, asked, latent, noise)
    }

    fn begin(mut path: Path, asked: usize, mut latent: Array, noise: &mut ImageNoise) -> Self {
        if let Path::Sigmas(walk) = &mut path {
            walk.enter(latent.data_mut(), noise);
        }
        Self { path, asked, calls: 0, latent, denoised: None }
    }
}

fn over_times(sampling: &Sampling, stops: Vec<times::Stop>) -> Path {
    match sampling.sampler {
        Sampler::Plms => Path::Plms(plms::Plms::new(stops)),
        sampler => Path::Ddim(ddim::Ddim::new(stops, sampling.eta(), sampler == Sampler::DdimCfgPp)),
    }
}

/// A way down `sigmas`, or, for those that have a way of their own, from a sigma to a lower one in so many calls. `all` are the
/// sigmas of the whole schedule, between which Brownian motion is defined.
fn over_sigmas(
    sampling: &Sampling,
    latent: &Array,
    (high, low, calls): (f32, f32, usize),
    sigmas: Vec<f32>,
    all: &[f32],
    noise: &ImageNoise,
) -> Path {
    let (eta, s_noise) = (sampling.eta() as f32, sampling.options.s_noise as f32);
    let old = History::default;
    let rule = match sampling.sampler {
        Sampler::DpmFast => {
            return Path::Fast(dpm_fast::DpmFast::new(latent.data(), (high, low), calls, eta, s_noise));
        }
        Sampler::DpmAdaptive => {
            return Path::Adaptive(dpm_adaptive::DpmAdaptive::new(latent.data(), (high, low), eta));
        }
        Sampler::DpmPp2m => Rule::DpmPp2m(multistep::DpmPp2m::default()),
        Sampler::DpmPpSde => Rule::DpmPpSde(two_stage::DpmPpSde { eta, s_noise }),
        Sampler::DpmPp2mSde | Sampler::DpmPp2mSdeHeun => {
            let heun = sampling.sampler == Sampler::DpmPp2mSdeHeun;
            Rule::DpmPp2mSde(multistep::DpmPp2mSde { eta, s_noise, heun, old: old() })
        }
        Sampler::DpmPp2sAncestral => Rule::DpmPp2s(two_stage::DpmPp2s { eta, s_noise }),
        Sampler::DpmPp3mSde => Rule::DpmPp3mSde(multistep::DpmPp3mSde { eta, s_noise, old: old() }),
        Sampler::EulerAncestral => Rule::EulerAncestral(euler::EulerAncestral { eta }),
        Sampler::Lms => Rule::Lms(lms::Lms::default()),
        Sampler::Heun | Sampler::Restart => Rule::Heun(heun::Heun),
        // Without an eta, there is no noise.
        Sampler::Dpm2 | Sampler::Dpm2Ancestral => Rule::Dpm2(two_stage::Dpm2 { eta, s_noise }),
        Sampler::Lcm => Rule::Lcm(lcm::Lcm),
        Sampler::Euler | Sampler::Ddim | Sampler::DdimCfgPp | Sampler::Plms | Sampler::UniPc => {
            Rule::Euler(euler::Euler)
        }
    };
    let sigmas = if sampling.sampler == Sampler::Restart { heun::restarting(sigmas) } else { sigmas };
    let walk = SigmaWalk::new(rule, sigmas);
    let walk = if sampling.sampler.takes_s_churn() { walk.churned(&sampling.options) } else { walk };
    Path::Sigmas(if sampling.sampler.draws_brownian_noise() {
        let above_zero = all.iter().copied().filter(|&sigma| sigma > 0.0);
        let (lowest, highest) =
            above_zero.fold((f32::MAX, 0.0f32), |(low, high), sigma| (low.min(sigma), high.max(sigma)));
        walk.with_brownian(noise.brownian(lowest, highest))
    } else {
        walk
    })
}
