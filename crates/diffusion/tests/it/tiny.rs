//! Samplers on a real UNet of hardly any width, against k-diffusion on diffusers' (`goldens/tiny_parity.safetensors`).

use impasto_diffusion::{ImageNoise, SamplerState, Sampling, classifier_free};
use impasto_domain::{NoiseSource, Sampler, Schedule, Seeds};
use impasto_models::StableDiffusion;
use impasto_tensor::reference::ReferenceBackend;
use impasto_tensor::{Array, Precision};
use impasto_testkit::{assert_close, golden, tiny_checkpoint};
use impasto_weights::Prediction;
use std::sync::Arc;

/// As the specification has it for a trajectory.
const TOLERANCE: f64 = 1e-3;

fn sample(name: &str, sampler: Sampler) -> (Array, Array) {
    let golden = golden("tiny_parity");
    let array = |field: &str| golden.array(&format!("trajectory.{name}.{field}"));
    let first = |field: &str| array(field).unstack().remove(0);
    let (context, uncond) = (first("context"), first("uncond"));
    let (steps, scale) = (array("steps").data()[0] as u32, f64::from(array("cfg_scale").data()[0]));

    let model =
        StableDiffusion::load(Arc::new(ReferenceBackend::new()), &tiny_checkpoint(), Precision::F32).unwrap();
    let sampling = Sampling::of(sampler, Schedule::Automatic, steps);
    let levels = sampling.levels((0.00085, 0.012));
    let denoiser = sampling.denoiser(levels.clone(), Prediction::Epsilon);
    let mut noise = ImageNoise::new(NoiseSource::Cpu, [4, 8, 6], Seeds { seed: 0, subseed: 0 }, 0.0, 0);
    let mut state = SamplerState::new(&sampling, &levels, first("noise"), &mut noise);
    while let Some(level) = state.level() {
        let latent = state.latent();
        let (input, timestep) = denoiser.input(latent, level);
        let rows = Array::stack(&[&input, &input]).unwrap();
        let outputs = model.unet.forward(&rows, &[timestep, timestep], &[&context, &uncond]).unwrap();
        let estimates: Vec<Vec<f32>> = outputs
            .unstack()
            .iter()
            .map(|output| denoiser.estimate(latent.data(), output.data(), level))
            .collect();
        let guided = classifier_free(&estimates[0], &estimates[1], scale);
        let guided = Array::new(latent.shape(), guided).unwrap();
        state.advance(guided, None, &mut noise);
    }
    (state.latent().clone(), first("latent"))
}

#[test]
fn euler_on_a_tiny_unet() {
    let (got, wanted) = sample("euler", Sampler::Euler);
    assert_close("euler", &got, &wanted, TOLERANCE);
}

#[test]
fn dpmpp_2m_karras_on_a_tiny_unet() {
    let (got, wanted) = sample("dpmpp_2m_karras", Sampler::DpmPp2m);
    assert_close("dpmpp_2m_karras", &got, &wanted, TOLERANCE);
}
