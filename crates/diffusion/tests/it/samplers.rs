//! Schedules and samplers against `goldens/samplers.safetensors`, made by `reference/make_samplers.py` with k-diffusion.

use crate::fake;
use impasto_diffusion::{
    ImageNoise, ImageSpec, InitialLatent, NoiseLevels, SamplerState, Sampling, Scheduling, Step, Trajectory,
};
use impasto_domain::{
    GenerationRequest, NoiseSchedule, NoiseSource, Sampler, SamplerOptions, Schedule, Seeds, UniPcSkip,
    UniPcVariant,
};
use impasto_tensor::Array;
use impasto_testkit::{Golden, assert_close, golden};
use impasto_weights::Prediction::{self, Epsilon, Velocity};

const STEPS: [u32; 5] = [1, 2, 3, 7, 20];
const TOLERANCE: f64 = 1e-5;

/// Names in the golden file.
fn key(sampler: Sampler) -> &'static str {
    match sampler {
        Sampler::DpmPp2m => "dpmpp_2m",
        Sampler::DpmPpSde => "dpmpp_sde",
        Sampler::DpmPp2mSde => "dpmpp_2m_sde",
        Sampler::DpmPp2mSdeHeun => "dpmpp_2m_sde_heun",
        Sampler::DpmPp2sAncestral => "dpmpp_2s_ancestral",
        Sampler::DpmPp3mSde => "dpmpp_3m_sde",
        Sampler::EulerAncestral => "euler_ancestral",
        Sampler::Euler => "euler",
        Sampler::Lms => "lms",
        Sampler::Heun => "heun",
        Sampler::Dpm2 => "dpm_2",
        Sampler::Dpm2Ancestral => "dpm_2_ancestral",
        Sampler::DpmFast => "dpm_fast",
        Sampler::DpmAdaptive => "dpm_adaptive",
        Sampler::Restart => "restart",
        Sampler::Ddim => "ddim",
        Sampler::DdimCfgPp => "ddim_cfgpp",
        Sampler::Plms => "plms",
        Sampler::UniPc => "unipc",
        Sampler::Lcm => "lcm",
    }
}

#[track_caller]
fn check(golden: &Golden, name: &str, request: &GenerationRequest, prediction: Prediction) {
    let got = fake::final_latent(fake::trajectory(request, prediction), prediction);
    assert_close(name, &got, &golden.array(&format!("latent.{name}")), TOLERANCE);
}

fn with(request: &GenerationRequest, change: impl FnOnce(&mut SamplerOptions)) -> GenerationRequest {
    let mut request = request.clone();
    change(&mut request.sampler_options);
    request
}

/// An odd number of consistency steps asks halfway between two levels, where rounding chooses: one more then.
fn clear(sampler: Sampler, steps: u32) -> u32 {
    steps + u32::from(sampler == Sampler::Lcm && steps > 1 && steps % 2 == 1)
}

fn automatic(sampler: Sampler, steps: u32) -> GenerationRequest {
    fake::request(sampler, Schedule::Automatic, steps)
}

#[track_caller]
fn check_sigmas(golden: &Golden, name: &str, levels: &NoiseLevels, steps: u32, options: &SamplerOptions) {
    let (schedule, _) = name.split_once('.').unwrap();
    let schedule = Schedule::from_exact_name(schedule).unwrap();
    let wanted = golden.array(&format!("sigmas.{name}"));
    let got = Scheduling { levels, is_xl: false, options }.sigmas(Sampler::Euler, schedule, steps);
    assert_eq!(got.len(), wanted.data().len(), "{name}");
    for (got, wanted) in got.iter().zip(wanted.data()) {
        // The tangent of nearly a right angle doubles each rounding of the angle a thousandfold.
        let rounding = if schedule == Schedule::KlOptimal { 1e-7 * wanted } else { 0.0 };
        assert!((got - wanted).abs() <= (1e-6 + rounding) * wanted, "{name}: {got} {wanted}");
    }
}

#[test]
fn sigmas_are_a1111s() {
    let golden = golden("samplers");
    let levels = NoiseLevels::scaled_linear((0.00085, 0.012));
    let usual = SamplerOptions::default();
    for name in Schedule::all().skip(1).map(Schedule::name) {
        for steps in STEPS.into_iter().chain([30]) {
            check_sigmas(&golden, &format!("{name}.{steps}"), &levels, steps, &usual);
        }
        let consistent = levels.clone().of_consistency_models();
        check_sigmas(&golden, &format!("{name}.lcm"), &consistent, 7, &usual);
        let rescaled = levels.clone().zero_terminal_snr();
        check_sigmas(&golden, &format!("{name}.rescaled"), &rescaled, 7, &usual);
        let ends = SamplerOptions { sigma_min: 0.2, sigma_max: 8.5, ..usual };
        check_sigmas(&golden, &format!("{name}.ends"), &levels, 7, &ends);
    }
    for (name, rho) in [("karras.rho", 3.0), ("polyexponential.rho", 2.5)] {
        check_sigmas(&golden, name, &levels, 7, &SamplerOptions { rho, ..usual });
    }
    for (name, beta_dist_alpha, beta_dist_beta) in
        [("beta.skewed", 0.4, 1.3), ("beta.peaked", 3.0, 2.0), ("beta.wide", 0.05, 0.08)]
    {
        let options = SamplerOptions { beta_dist_alpha, beta_dist_beta, ..usual };
        check_sigmas(&golden, name, &levels, 7, &options);
    }
}

#[test]
fn every_sampler_is_its_reference_at_any_number_of_steps() {
    let golden = golden("samplers");
    for sampler in Sampler::all() {
        let steps: &[u32] = if sampler == Sampler::DpmAdaptive { &[7] } else { &STEPS };
        for &steps in steps {
            let steps = clear(sampler, steps);
            let (name, request) = (key(sampler), automatic(sampler, steps));
            check(&golden, &format!("{name}.{steps}"), &request, Epsilon);
            check(&golden, &format!("{name}.{steps}.velocity"), &request, Velocity);
        }
    }
    for steps in [36, 41] {
        check(&golden, &format!("restart.{steps}"), &automatic(Sampler::Restart, steps), Epsilon);
    }
}

#[test]
fn rescaled_levels_suit_every_sampler() {
    let golden = golden("samplers");
    // DPM adaptive's steps there hang on roundings: k-diffusion in double precision makes another picture.
    for sampler in Sampler::all().filter(|&sampler| sampler != Sampler::DpmAdaptive) {
        let request = with(&automatic(sampler, clear(sampler, 7)), |options| {
            options.sd_noise_schedule = NoiseSchedule::ZeroTerminalSnr;
        });
        // UniPC begins with a clean latent that is a difference of near equals over 2e-4, the root of what is left.
        let tolerance = if sampler == Sampler::UniPc { 1e-4 } else { TOLERANCE };
        let name = format!("{}.rescaled", key(sampler));
        let got = fake::final_latent(fake::trajectory(&request, Velocity), Velocity);
        assert_close(&name, &got, &golden.array(&format!("latent.{name}")), tolerance);
    }
}

#[test]
fn schedules_that_end_or_count_otherwise_suit_every_sampler() {
    let golden = golden("samplers");
    let own_way = |sampler| matches!(sampler, Sampler::DpmFast | Sampler::DpmAdaptive);
    for sampler in Sampler::all().filter(|&sampler| !sampler.is_timestep_based() && !own_way(sampler)) {
        let name = key(sampler);
        for schedule in [Schedule::KlOptimal, Schedule::Ddim] {
            let request = fake::request(sampler, schedule, 8);
            check(&golden, &format!("{name}.{}", schedule.name()), &request, Epsilon);
        }
        let ends = with(&fake::request(sampler, Schedule::Karras, 7), |options| {
            (options.sigma_min, options.sigma_max) = (0.2, 8.5);
        });
        check(&golden, &format!("{name}.ends"), &ends, Epsilon);
    }
    check(&golden, "euler.aligned", &fake::request(Sampler::Euler, Schedule::AlignYourSteps, 10), Epsilon);
}

#[test]
fn eta_and_the_options_on_noise_act() {
    let golden = golden("samplers");
    for sampler in Sampler::all() {
        let (name, request) = (key(sampler), automatic(sampler, 7));
        match sampler.default_eta() {
            Some(0.0) => {
                let some = GenerationRequest { eta: Some(0.6), ..request.clone() };
                check(&golden, &format!("{name}.eta"), &some, Epsilon);
            }
            Some(_) => {
                for (eta, variant) in [(0.4, "eta"), (0.0, "still")] {
                    let other = GenerationRequest { eta: Some(eta), ..request.clone() };
                    check(&golden, &format!("{name}.{variant}"), &other, Epsilon);
                }
            }
            None => {}
        }
        if sampler.takes_s_churn() {
            let churned = with(&request, |options| {
                (options.s_churn, options.s_tmin, options.s_tmax) = (2.0, 0.1, 9.0);
                options.s_noise = 1.01;
            });
            check(&golden, &format!("{name}.churn"), &churned, Epsilon);
        } else if sampler.takes_s_noise() {
            let weaker = with(&request, |options| options.s_noise = 0.9);
            check(&golden, &format!("{name}.s_noise"), &weaker, Epsilon);
        }
    }
    let ancestral = fake::request(Sampler::EulerAncestral, Schedule::Karras, 7);
    let shifted = GenerationRequest { eta_noise_seed_delta: 31_337, ..ancestral };
    check(&golden, "euler_ancestral.delta", &shifted, Epsilon);
}

#[test]
fn other_options_act() {
    let golden = golden("samplers");
    let quantized = with(&fake::request(Sampler::Euler, Schedule::Karras, 7), |options| {
        options.enable_quantization = true;
    });
    check(&golden, "euler.quantized", &quantized, Epsilon);
    let sgm = with(&automatic(Sampler::Euler, 7), |options| options.sgm_noise_multiplier = true);
    check(&golden, "euler.sgm", &sgm, Epsilon);
    let discard =
        with(&automatic(Sampler::Lms, 7), |options| options.always_discard_next_to_last_sigma = true);
    check(&golden, "lms.discard", &discard, Epsilon);
}

#[test]
fn unipc_heeds_its_options() {
    let golden = golden("samplers");
    let request = automatic(Sampler::UniPc, 7);
    for (variant, name) in
        [(UniPcVariant::Bh1, "bh1"), (UniPcVariant::Bh2, "bh2"), (UniPcVariant::VaryCoeff, "vary_coeff")]
    {
        for order in [1, 2, 4, 6] {
            let other = with(&request, |options| {
                (options.uni_pc_variant, options.uni_pc_order) = (variant, order);
            });
            check(&golden, &format!("unipc.{name}.{order}"), &other, Epsilon);
        }
        let flat = with(&request, |options| {
            (options.uni_pc_variant, options.uni_pc_lower_order_final) = (variant, false);
        });
        check(&golden, &format!("unipc.{name}.flat"), &flat, Epsilon);
    }
    for (skip, name) in [(UniPcSkip::TimeQuadratic, "time_quadratic"), (UniPcSkip::LogSnr, "logSNR")] {
        let other = with(&request, |options| options.uni_pc_skip_type = skip);
        check(&golden, &format!("unipc.{name}"), &other, Epsilon);
        let got = partly(Sampler::UniPc, 7, 0.6, false, other.sampler_options);
        assert_close(name, &got, &golden.array(&format!("latent.unipc.{name}.partly")), TOLERANCE);
    }
}

fn sampling(sampler: Sampler, steps: u32, options: SamplerOptions) -> Sampling {
    Sampling { options, ..Sampling::of(sampler, Schedule::Automatic, steps) }
}

/// What comes of a latent of sines that is noised by `strength`.
fn partly(sampler: Sampler, steps: u32, strength: f64, fix_steps: bool, options: SamplerOptions) -> Array {
    let sampling = sampling(sampler, steps, options);
    let levels = sampling.levels((0.00085, 0.012));
    let denoiser = sampling.denoiser(levels.clone(), Epsilon);
    let seeds = Seeds { seed: 42, subseed: 0 };
    let mut noise = ImageNoise::new(NoiseSource::Cpu, [4, 4, 6], seeds, 0.0, 0);
    let sines = (0..96).map(|index| f64::from(index).sin() as f32).collect();
    let initial = InitialLatent {
        latent: &Array::new([4, 4, 6], sines).unwrap(),
        noise: noise.initial(),
        denoising_strength: strength,
        fix_steps,
        noise_multiplier: 1.0,
        extra_noise: 0.0,
    };
    let mut state = SamplerState::from_latent(&sampling, initial, &levels, &mut noise);
    while let Some(level) = state.level() {
        let (guided, unconditional) = fake::estimates(&denoiser, state.latent(), level, sampler, Epsilon);
        state.advance(guided, Some(unconditional.data()), &mut noise);
    }
    state.latent().clone()
}

#[test]
fn every_sampler_begins_part_of_the_way() {
    let golden = golden("samplers");
    for sampler in Sampler::all() {
        for (name, steps, strength, fix_steps) in
            [("partly", clear(sampler, 7), 0.6, false), ("fixed", 5, 0.35, true)]
        {
            let name = format!("{}.{name}", key(sampler));
            let got = partly(sampler, steps, strength, fix_steps, SamplerOptions::default());
            assert_close(&name, &got, &golden.array(&format!("latent.{name}")), TOLERANCE);
        }
    }
}

#[test]
fn strengths_at_the_ends_do_what_they_can() {
    let sines: Vec<f32> = (0..96).map(|index| f64::from(index).sin() as f32).collect();
    for sampler in Sampler::all() {
        let options = SamplerOptions::default();
        assert_eq!(partly(sampler, 5, 0.0, true, options).data(), sines, "{sampler:?}");
        for (steps, strength, fix_steps) in [
            (5, 0.0, false),
            (1, 0.0, false),
            (1, 1.0, false),
            (3, 1.0, true),
            (40, 0.03, true),
            (2, 1e-300, true),
        ] {
            let got = partly(sampler, steps, strength, fix_steps, options);
            assert!(got.data().iter().all(|value| value.is_finite()), "{sampler:?} {steps} {strength}");
        }
    }
}

/// A1111's `initial_noise_multiplier` and `img2img_extra_noise`, which goes with the latent's scale.
#[test]
fn noise_of_a_latent_can_be_stronger() {
    for sampler in [Sampler::Euler, Sampler::Ddim] {
        let sampling = sampling(sampler, 10, SamplerOptions::default());
        let levels = sampling.levels((0.00085, 0.012));
        let mut source = ImageNoise::new(NoiseSource::Gpu, [1, 1, 1], Seeds { seed: 1, subseed: 0 }, 0.0, 0);
        let mut begun = |noise_multiplier, extra_noise| {
            let one = Array::new([1, 1, 1], vec![1.0]).unwrap();
            let initial = InitialLatent {
                latent: &one,
                noise: one.clone(),
                denoising_strength: 0.5,
                fix_steps: false,
                noise_multiplier,
                extra_noise,
            };
            SamplerState::from_latent(&sampling, initial, &levels, &mut source).latent().data()[0]
        };
        // The training time just above those that five steps walk.
        let alpha = levels.alpha_cumprod(501.0);
        let scale = if sampler == Sampler::Ddim { alpha.sqrt() } else { 1.0 };
        let amount = begun(1.0, 0.0) - scale;
        assert!(sampler == Sampler::Euler || (amount - (1.0 - alpha).sqrt()).abs() < 1e-6, "{amount}");
        let stronger = begun(0.5, 0.2);
        assert!((stronger - (scale + 0.5 * (amount + 0.2 * scale))).abs() < 1e-6, "{sampler:?} {stronger}");
    }
}

/// Stored and read again between any two calls, every sampler goes on as if nothing had been.
#[test]
fn every_sampler_can_be_stored_between_any_two_calls() {
    for sampler in Sampler::all() {
        let request = with(&automatic(sampler, 23), |options| options.s_churn = 1.0);
        let whole = fake::final_latent(fake::trajectory(&request, Epsilon), Epsilon);
        let spec = ImageSpec::of(&request, 0, (512, 512));
        let mut trajectory = Trajectory::new(spec, &fake::model(Epsilon)).unwrap();
        let stored = loop {
            let step = trajectory.next().unwrap();
            if let Step::Decode(query) = &step {
                break (*query.latent).clone();
            }
            trajectory.answer(fake::answer(&step, Epsilon).unwrap()).unwrap();
            // Texts are not stored: they are asked for again.
            if matches!(step, Step::Denoise(_)) {
                let bytes = serde_json::to_vec(&trajectory).unwrap();
                trajectory = serde_json::from_slice(&bytes).unwrap();
            }
        };
        assert_eq!(stored, whole, "{sampler:?}");
    }
}

/// Steps and calls are known beforehand, counted one by one, and never more than was said.
#[test]
fn steps_and_calls_are_counted() {
    for sampler in Sampler::all() {
        for steps in [1, 2, 3, 7, 20, 30, 37] {
            let sampling = sampling(sampler, steps, SamplerOptions::default());
            let levels = sampling.levels((0.00085, 0.012));
            let seeds = Seeds { seed: 1, subseed: 0 };
            let mut noise = ImageNoise::new(NoiseSource::Gpu, [1, 1, 2], seeds, 0.0, 0);
            let mut state = SamplerState::new(&sampling, &levels, noise.initial(), &mut noise);
            let mut done = 0;
            while state.level().is_some() {
                assert!(
                    state.steps_done() >= done && state.steps_done() < state.steps(),
                    "{sampler:?} {steps}"
                );
                done = state.steps_done();
                state.advance(Array::zeros([1, 1, 2]), None, &mut noise);
            }
            assert_eq!(state.steps_done(), state.steps(), "{sampler:?} {steps}");
            assert!(state.calls_needed().is_none_or(|calls| calls == state.calls()), "{sampler:?} {steps}");
            let wanted = match sampler {
                Sampler::Heun => Some(2 * steps - 1),
                Sampler::Euler | Sampler::DpmFast | Sampler::DpmPp3mSde => Some(steps),
                _ => None,
            };
            assert!(wanted.is_none_or(|calls| calls as usize == state.calls()), "{sampler:?} {steps}");
        }
    }
}

/// A sampler that is done ignores what it is told, and never reaches beyond its levels.
#[test]
fn estimates_of_another_size_are_ignored() {
    for sampler in Sampler::all() {
        let sampling = sampling(sampler, 2, SamplerOptions::default());
        let levels = sampling.levels((0.00085, 0.012));
        let mut noise = ImageNoise::new(NoiseSource::Gpu, [1, 1, 2], Seeds { seed: 1, subseed: 0 }, 0.0, 0);
        let mut state = SamplerState::new(&sampling, &levels, noise.initial(), &mut noise);
        state.advance(Array::zeros([1, 1, 3]), None, &mut noise);
        state.advance(Array::zeros([1, 1, 2]), Some(&[0.0]), &mut noise);
        assert_eq!(state.calls(), 0, "{sampler:?}");
        while state.level().is_some() {
            state.advance(Array::zeros([1, 1, 2]), None, &mut noise);
        }
        let (calls, latent) = (state.calls(), state.latent().clone());
        state.advance(Array::zeros([1, 1, 2]), None, &mut noise);
        assert_eq!((state.calls(), state.latent()), (calls, &latent), "{sampler:?}");
    }
}
