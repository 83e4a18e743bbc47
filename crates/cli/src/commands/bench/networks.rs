//! `impasto bench unet`, `vae` and `clip`: one network alone.

use super::arguments::{ModelArguments, RunArguments, SizeArguments, precision};
use super::conduct::{Parts, Subject};
use super::machine::Clock;
use super::measure::Meter;
use super::report::About;
use crate::resolve::Settings;
use impasto_cpu::CpuBackend;
use impasto_models::{ClipText, PictureSizes, StableDiffusion};
use impasto_tensor::Array;
use impasto_tensor::profile::Profiled;
use std::sync::Arc;
use std::time::Instant;

/// Measured runs where nothing else is asked for.
const RUNS: usize = 5;
/// Tokens of a text.
const TOKENS: usize = 77;
/// Somewhere in the middle of the noise levels.
const TIMESTEP: f32 = 500.0;

#[derive(Debug, clap::Args)]
pub(crate) struct PictureArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    size: SizeArguments,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TextArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    run: RunArguments,
}

type Networks = StableDiffusion<Profiled<CpuBackend>>;

pub(super) fn unet(arguments: &PictureArguments, settings: &Settings) -> anyhow::Result<()> {
    let PictureArguments { model, size, run } = arguments;
    let backend = Arc::new(Profiled::new(super::arguments::backend(settings)?));
    let began = Instant::now();
    let checkpoint = model.open(settings)?;
    let config = checkpoint.networks()?;
    let unet = Networks::load_unet(&backend, &checkpoint, precision(settings))?;
    drop(checkpoint);
    let load_seconds = began.elapsed().as_secs_f64();

    let size = size.or(config.native_size);
    let [width, height] = size.map(|pixels| pixels / config.vae.downscale());
    let latent = waves(&[run.batch, config.unet.in_channels, height, width])?;
    let context = waves(&[TOKENS, config.unet.context_features])?;
    let edges = size.map(|pixels| pixels as u32);
    let label = config.second_text.and_then(|text| text.pooled).map(|pooled| {
        let sizes =
            PictureSizes { original: [edges[1], edges[0]], crop: [0; 2], target: [edges[1], edges[0]] };
        anyhow::Ok(unet.label(&waves(&[pooled])?, sizes)?)
    });
    let label = label.transpose()?;
    let call = || {
        let (timesteps, contexts) = (vec![TIMESTEP; run.batch], vec![&context; run.batch]);
        unet.forward_labelled(&latent, &timesteps, &contexts, &vec![label.as_ref(); run.batch])?;
        Ok(Parts::new())
    };
    let about = About::new("unet", settings, backend.inner()).of(model).size(size).batch(run.batch);
    subject(about, &backend, load_seconds, call).conduct(run)
}

pub(super) fn vae(arguments: &PictureArguments, settings: &Settings) -> anyhow::Result<()> {
    let PictureArguments { model, size, run } = arguments;
    let backend = Arc::new(Profiled::new(super::arguments::backend(settings)?));
    let began = Instant::now();
    let checkpoint = model.open(settings)?;
    let config = checkpoint.networks()?;
    let decoder = Networks::load_decoder(&backend, &checkpoint)?;
    drop(checkpoint);
    let load_seconds = began.elapsed().as_secs_f64();

    let size = size.or(config.native_size);
    let [width, height] = size.map(|pixels| pixels / config.vae.downscale());
    let latent = waves(&[run.batch, config.vae.latent_channels, height, width])?;
    let call = || {
        decoder.decode(&latent)?;
        Ok(Parts::new())
    };
    let about = About::new("vae", settings, backend.inner()).of(model).size(size).batch(run.batch);
    subject(about, &backend, load_seconds, call).conduct(run)
}

pub(super) fn clip(arguments: &TextArguments, settings: &Settings) -> anyhow::Result<()> {
    let TextArguments { model, run } = arguments;
    let backend = Arc::new(Profiled::new(super::arguments::backend(settings)?));
    let began = Instant::now();
    let checkpoint = model.open(settings)?;
    let config = checkpoint.networks()?;
    let text = Networks::load_text(&backend, &checkpoint)?;
    let second = Networks::load_second_text(&backend, &checkpoint)?;
    drop(checkpoint);
    let load_seconds = began.elapsed().as_secs_f64();

    let tokens = TOKENS.min(config.text.positions);
    let row =
        |row: usize| (0..tokens).map(move |at| ((row * tokens + at) * 31 % config.text.vocabulary) as u32);
    let rows: Vec<Vec<u32>> = (0..run.batch).map(|at| row(at).collect()).collect();
    let call = || match &second {
        None => {
            text.encode(&rows, 1)?;
            Ok(Parts::new())
        }
        Some(second) => Ok(vec![
            ("first_encoder", penultimate(&text, &rows)?),
            ("second_encoder", penultimate(second, &rows)?),
        ]),
    };
    let about = About::new("clip", settings, backend.inner()).of(model).batch(run.batch);
    subject(about, &backend, load_seconds, call).conduct(run)
}

/// Seconds for what SDXL takes of an encoder: the layer before the last and, of the second, the text as a whole.
fn penultimate(text: &ClipText<Profiled<CpuBackend>>, rows: &[Vec<u32>]) -> anyhow::Result<f64> {
    let began = Instant::now();
    text.encode_for_xl(rows, 2)?;
    Ok(began.elapsed().as_secs_f64())
}

fn subject<'a>(
    about: About,
    backend: &'a Profiled<CpuBackend>,
    load_seconds: f64,
    call: impl FnMut() -> anyhow::Result<Parts> + 'a,
) -> Subject<'a> {
    Subject {
        about,
        meter: Meter { backend: backend.inner(), clock: Clock::Wall },
        log: backend.log().clone(),
        load_seconds,
        warm_up: true,
        default_runs: RUNS,
        call: Box::new(call),
    }
}

/// Numbers of about unit variance.
fn waves(shape: &[usize]) -> anyhow::Result<Array> {
    let elements = (0..shape.iter().product()).map(|at: usize| 1.4 * (at as f32 * 1.7).sin()).collect();
    Ok(Array::new(shape, elements)?)
}
