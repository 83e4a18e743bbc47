//! Whole trajectories from given noise and text vectors: sampler, schedule and guidance around the UNet.

use super::reference::Reference;
use super::{Outcome, Row};
use anyhow::{Context as _, ensure};
use impasto_diffusion::{ImageNoise, SamplerState, Sampling, classifier_free};
use impasto_domain::{NoiseSource, Sampler, Schedule, Seeds};
use impasto_models::StableDiffusion;
use impasto_tensor::{Array, Backend};

/// Samplers that draw no noise of their own, by the names that references give them.
const SAMPLERS: &[(&str, Sampler)] =
    &[("euler", Sampler::Euler), ("dpmpp_2m", Sampler::DpmPp2m), ("ddim", Sampler::Ddim)];

/// More steps than any reference has a use for.
const MOST_STEPS: f64 = 1000.0;

const INPUTS: [&str; 5] = ["noise", "context", "uncond", "cfg_scale", "steps"];

/// Compares every trajectory of the file, one after the other.
pub(super) fn compare_each<B: Backend>(
    model: &StableDiffusion<B>,
    reference: &Reference<'_>,
) -> impl Iterator<Item = Row> {
    let names = reference.trajectories();
    let none = names.is_empty().then(|| {
        let why = "the reference has none".to_owned();
        Row { name: "trajectory".to_owned(), outcome: Outcome::Skipped(why) }
    });
    none.into_iter().chain(names.into_iter().map(|name| compare(&name, model, reference)))
}

fn compare<B: Backend>(name: &str, model: &StableDiffusion<B>, reference: &Reference<'_>) -> Row {
    let tensor = |part: &str| format!("trajectory.{name}.{part}");
    let needed: Vec<String> = INPUTS.iter().copied().chain(["latent"]).map(tensor).collect();
    let missing = reference.missing(&needed.iter().map(String::as_str).collect::<Vec<_>>());
    let outcome = match named(name) {
        _ if !missing.is_empty() => Outcome::Skipped(format!("the reference has no {}", missing.join(", "))),
        None => Outcome::Skipped(format!("{name} is no sampler and schedule known here")),
        Some((sampler, schedule)) => {
            let found = Inputs::read(name, reference).and_then(|inputs| inputs.run(model, sampler, schedule));
            Outcome::of(found, reference.array(&tensor("latent")))
        }
    };
    Row { name: tensor("latent"), outcome }
}

/// `dpmpp_2m_karras` is DPM++ 2M with Karras; without a schedule it is the model's own levels, evenly.
fn named(name: &str) -> Option<(Sampler, Schedule)> {
    SAMPLERS.iter().find_map(|(prefix, sampler)| match name.strip_prefix(prefix)? {
        "" => Some((*sampler, Schedule::Uniform)),
        rest => Some((*sampler, Schedule::from_exact_name(rest.strip_prefix('_')?)?)),
    })
}

/// What a trajectory starts from.
struct Inputs {
    /// Each `[channels, height, width]`, of unit variance.
    noise: Vec<Array>,
    /// As many as noises, each `[tokens, features]`.
    context: Vec<Array>,
    uncond: Vec<Array>,
    cfg_scale: f64,
    steps: u32,
}

impl Inputs {
    fn read(name: &str, reference: &Reference<'_>) -> anyhow::Result<Self> {
        let tensor = |part: &str| format!("trajectory.{name}.{part}");
        let noise = reference.array(&tensor("noise"))?.unstack();
        let text = |part: &str| {
            let rows = reference.array(&tensor(part))?.unstack();
            let found = rows.len();
            let rows = if found == 1 { rows.into_iter().cycle().take(noise.len()).collect() } else { rows };
            ensure!(rows.len() == noise.len(), "{part} has {found} rows, noise has {}", noise.len());
            Ok(rows)
        };
        let steps = reference.number(&tensor("steps"))?;
        ensure!((1.0..=MOST_STEPS).contains(&steps), "{steps} steps; 1 to {MOST_STEPS} are run");
        Ok(Self {
            context: text("context")?,
            uncond: text("uncond")?,
            cfg_scale: reference.number(&tensor("cfg_scale"))?,
            steps: steps as u32,
            noise,
        })
    }

    /// The latents at the end, `[batch, channels, height, width]`.
    fn run<B: Backend>(
        &self,
        model: &StableDiffusion<B>,
        sampler: Sampler,
        schedule: Schedule,
    ) -> anyhow::Result<Array> {
        let latents = (0..self.noise.len())
            .map(|row| self.run_row(row, model, sampler, schedule))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Array::stack(&latents.iter().collect::<Vec<_>>())?)
    }

    fn run_row<B: Backend>(
        &self,
        row: usize,
        model: &StableDiffusion<B>,
        sampler: Sampler,
        schedule: Schedule,
    ) -> anyhow::Result<Array> {
        let noise = self.noise[row].clone();
        let &[channels, height, width] = noise.shape() else {
            anyhow::bail!("noise of shape {:?}; [batch, channels, height, width] is wanted", noise.shape());
        };
        let sampling = Sampling::of(sampler, schedule, self.steps);
        let denoiser = sampling.denoiser(sampling.levels(model.config.betas), model.config.prediction);
        // None of the samplers here draws from it.
        let seeds = Seeds { seed: 0, subseed: 0 };
        let mut drawn = ImageNoise::new(NoiseSource::Cpu, [channels, height, width], seeds, 0.0, 0);
        let mut state = SamplerState::new(&sampling, denoiser.levels(), noise, &mut drawn);
        let contexts = [&self.context[row], &self.uncond[row]];
        while let Some(level) = state.level() {
            let (input, timestep) = denoiser.input(state.latent(), level);
            let output = model.unet.forward(&Array::stack(&[&input, &input])?, &[timestep; 2], &contexts)?;
            let rows = output.unstack();
            let estimate = |row: &Array| denoiser.estimate(state.latent().data(), row.data(), level);
            let [with, without] = rows.as_slice() else { anyhow::bail!("the UNet gave {} rows", rows.len()) };
            let guided = classifier_free(&estimate(with), &estimate(without), self.cfg_scale);
            let estimate = Array::new([channels, height, width], guided).context("the UNet's output")?;
            state.advance(estimate, None, &mut drawn);
        }
        Ok(state.latent().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_sampler_and_schedule() {
        for (name, wanted) in [
            ("euler", Some((Sampler::Euler, Schedule::Uniform))),
            ("euler_karras", Some((Sampler::Euler, Schedule::Karras))),
            ("dpmpp_2m_karras", Some((Sampler::DpmPp2m, Schedule::Karras))),
            ("dpmpp_2m_sgm_uniform", Some((Sampler::DpmPp2m, Schedule::SgmUniform))),
            ("euler_a", None),
            ("eulerkarras", None),
            ("heun", None),
        ] {
            assert_eq!(named(name), wanted, "{name}");
        }
    }
}
