//! `impasto bench unet`, `vae` and `clip`: one network alone.

use super::adapters;
use super::arguments::{ModelArguments, RunArguments, SizeArguments, precision};
use super::conduct::{Parts, Subject};
use super::machine::Clock;
use super::measure::Meter;
use super::report::About;
use crate::resolve::Settings;
use impasto_cpu::CpuBackend;
use impasto_models::{
    AdapterSet, ClipText, PictureSizes, SelfAttention, StableDiffusion, UNet, UNetDepth, UNetRow,
};
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
pub(crate) struct UNetArguments {
    #[command(flatten)]
    picture: PictureArguments,

    /// Time each call without and then with a made-up LoRA of this rank on all attention and feed-forward layers, by turns. With
    /// one thread (--threads 1) times are the thread's own.
    #[arg(long, value_name = "RANK", value_parser = adapters::parse_rank, allow_negative_numbers = true)]
    adapter_rank: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TextArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    run: RunArguments,
}

type Measured = Profiled<CpuBackend>;
type Networks = StableDiffusion<Measured>;

pub(super) fn unet(arguments: &UNetArguments, settings: &Settings) -> anyhow::Result<()> {
    let UNetArguments { picture: PictureArguments { model, size, run }, adapter_rank } = arguments;
    let backend = Arc::new(Profiled::new(super::arguments::backend(settings)?));
    let began = Instant::now();
    let checkpoint = Arc::new(model.open(settings)?);
    let config = checkpoint.networks()?;
    let unet = Networks::load_unet(&backend, &checkpoint, precision(settings))?;
    let made_up = |rank| adapters::made_up(&*backend, &checkpoint, rank);
    let adapters = adapter_rank.map(made_up).transpose()?;
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
    let inputs = UNetInputs { latent: &latent, context: &context, label: label.as_ref(), batch: run.batch };
    let clock = adapters.as_ref().map_or(Clock::Wall, |_| Clock::of(backend.inner()));
    let call = || {
        let Some(adapters) = &adapters else {
            inputs.call(&unet, None)?;
            return Ok(Parts::new());
        };
        let (plain, outcome) = clock.time(|| inputs.call(&unet, None));
        outcome?;
        let (adapted, outcome) = clock.time(|| inputs.call(&unet, Some(adapters)));
        outcome?;
        Ok(vec![("plain", plain), ("adapted", adapted)])
    };
    let about = About::new("unet", settings, backend.inner()).of(model).size(size).batch(run.batch);
    let mut subject = subject(about, &backend, load_seconds, call);
    subject.meter.clock = clock;
    subject.compared = adapters.is_some().then_some(["adapted", "plain"]);
    subject.conduct(run)
}

/// What calls of the UNet are given.
struct UNetInputs<'a> {
    latent: &'a Array,
    context: &'a Array,
    label: Option<&'a Array>,
    batch: usize,
}

impl UNetInputs<'_> {
    /// One call, whose rows are alike; each has its time and text prepared.
    fn call(&self, unet: &UNet<Measured>, adapters: Option<&AdapterSet<Measured>>) -> anyhow::Result<()> {
        let prepare = |_| {
            let time = unet.prepare_time_with(TIMESTEP, self.label, adapters)?;
            anyhow::Ok((time, unet.prepare_context_with(self.context, adapters)?))
        };
        let prepared = (0..self.batch).map(prepare).collect::<anyhow::Result<Vec<_>>>()?;
        let self_attention = SelfAttention::default();
        let row = |(time, context)| UNetRow { time, context, self_attention, tiling: false, adapters };
        let rows: Vec<_> = prepared.iter().map(|(time, context)| row((time, context))).collect();
        unet.run(self.latent, &rows, UNetDepth::Whole)?;
        Ok(())
    }
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
fn penultimate(text: &ClipText<Measured>, rows: &[Vec<u32>]) -> anyhow::Result<f64> {
    let began = Instant::now();
    text.encode_for_xl(rows, 2)?;
    Ok(began.elapsed().as_secs_f64())
}

fn subject<'a>(
    about: About,
    backend: &'a Measured,
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
        compared: None,
        call: Box::new(call),
    }
}

/// Numbers of about unit variance.
fn waves(shape: &[usize]) -> anyhow::Result<Array> {
    let elements = (0..shape.iter().product()).map(|at: usize| 1.4 * (at as f32 * 1.7).sin()).collect();
    Ok(Array::new(shape, elements)?)
}
