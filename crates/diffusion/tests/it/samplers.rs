//! Schedules and samplers against `goldens/samplers.safetensors`, made by `reference/make_samplers.py` with k-diffusion.

use crate::fake;
use impasto_diffusion::NoiseLevels;
use impasto_domain::{GenerationRequest, Sampler, Schedule};
use impasto_tensor::Array;
use impasto_testkit::{Golden, assert_close, golden};
use impasto_weights::Prediction::{self, Epsilon, Velocity};

const STEPS: [u32; 6] = [1, 2, 3, 7, 20, 30];
const TOLERANCE: f64 = 1e-5;
const SCHEDULES: [(Schedule, &str); 4] = [
    (Schedule::Uniform, "uniform"),
    (Schedule::Karras, "karras"),
    (Schedule::Exponential, "exponential"),
    (Schedule::SgmUniform, "sgm_uniform"),
];
const SIGMA_SAMPLERS: [(Sampler, &str); 3] =
    [(Sampler::Euler, "euler"), (Sampler::EulerAncestral, "euler_ancestral"), (Sampler::DpmPp2m, "dpmpp_2m")];

#[track_caller]
fn check(golden: &Golden, name: &str, request: &GenerationRequest, prediction: Prediction) {
    let got = fake::final_latent(fake::trajectory(request, prediction), prediction);
    assert_close(name, &got, &golden.array(&format!("latent.{name}")), TOLERANCE);
}

#[test]
fn sigmas_are_k_diffusions() {
    let golden = golden("samplers");
    let levels = NoiseLevels::scaled_linear((0.00085, 0.012));
    for (schedule, name) in SCHEDULES {
        for steps in STEPS {
            let wanted = golden.array(&format!("sigmas.{name}.{steps}"));
            let got = levels.sigmas(Sampler::Euler, schedule, steps);
            assert_eq!(got.len(), wanted.data().len());
            for (got, wanted) in got.iter().zip(wanted.data()) {
                assert!((got - wanted).abs() <= 1e-6 * wanted, "{name} {steps}: {got} {wanted}");
            }
        }
    }
}

#[test]
fn sigma_samplers_are_k_diffusions() {
    let golden = golden("samplers");
    for (sampler, sampler_name) in SIGMA_SAMPLERS {
        for (schedule, schedule_name) in SCHEDULES {
            for steps in STEPS {
                let name = format!("{sampler_name}.{schedule_name}.{steps}");
                check(&golden, &name, &fake::request(sampler, schedule, steps), Epsilon);
            }
        }
    }
}

#[test]
fn ddim_walks_a1111s_times() {
    let golden = golden("samplers");
    for steps in STEPS {
        let request = fake::request(Sampler::Ddim, Schedule::Automatic, steps);
        check(&golden, &format!("ddim.automatic.{steps}"), &request, Epsilon);
    }
}

#[test]
fn eta_and_the_noise_seed_delta_act() {
    let golden = golden("samplers");
    let ancestral = fake::request(Sampler::EulerAncestral, Schedule::Karras, 7);
    let some = GenerationRequest { eta: Some(0.4), ..ancestral.clone() };
    check(&golden, "euler_ancestral.eta", &some, Epsilon);
    let none = GenerationRequest { eta: Some(0.0), ..ancestral.clone() };
    check(&golden, "euler_ancestral.still", &none, Epsilon);
    let shifted = GenerationRequest { eta_noise_seed_delta: 31_337, ..ancestral };
    check(&golden, "euler_ancestral.delta", &shifted, Epsilon);
    let ddim = fake::request(Sampler::Ddim, Schedule::Automatic, 7);
    check(&golden, "ddim.eta", &GenerationRequest { eta: Some(0.6), ..ddim }, Epsilon);
}

#[test]
fn velocity_models_sample_too() {
    let golden = golden("samplers");
    for (sampler, name) in
        [(Sampler::Euler, "euler"), (Sampler::DpmPp2m, "dpmpp_2m"), (Sampler::Ddim, "ddim")]
    {
        let request = fake::request(sampler, Schedule::Karras, 20);
        check(&golden, &format!("{name}.velocity"), &request, Velocity);
    }
}

/// A sampler that is done ignores what it is told, and never reaches beyond its sigmas.
#[test]
fn estimates_of_another_size_are_ignored() {
    use impasto_diffusion::{ImageNoise, SamplerState};
    use impasto_domain::{NoiseSource, Seeds};
    let levels = NoiseLevels::scaled_linear((0.00085, 0.012));
    let mut noise = ImageNoise::new(NoiseSource::Gpu, [1, 1, 2], Seeds { seed: 1, subseed: 0 }, 0.0, 0);
    let mut sampler = SamplerState::new(Sampler::Euler, Schedule::Karras, 1, None, &levels, noise.initial());
    sampler.advance(Array::zeros([1, 1, 3]), &levels, &mut noise);
    assert_eq!(sampler.steps_done(), 0);
    for _ in 0..2 {
        sampler.advance(Array::zeros([1, 1, 2]), &levels, &mut noise);
        assert_eq!((sampler.steps_done(), sampler.level()), (1, None));
    }
    assert_eq!(sampler.latent().data(), [0.0, 0.0]);
}
