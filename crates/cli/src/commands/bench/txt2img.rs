//! `impasto bench txt2img`: whole jobs through the engine.

use super::arguments::{ModelArguments, RunArguments, SizeArguments};
use super::conduct::{Parts, Subject};
use super::machine::Clock;
use super::measure::{Meter, median, sorted};
use super::report::About;
use crate::failure::{failure, usage};
use crate::resolve::Settings;
use crate::setup;
use impasto_domain::GenerationRequest;
use impasto_engine::{BuiltinContent, BuiltinModel, Engine, EngineConfig, EngineError};
use impasto_engine::{JobState, JobStatus, SubmitOptions};
use impasto_tensor::profile::Profiled;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RANDOM: &str = "random.safetensors";
const PROMPT: &str = "a lighthouse on a cliff above the sea, evening light, oil on canvas";
const NEGATIVE: &str = "blurry";

/// A job of Euler steps with guidance: text, steps, decoding. Loading, with a job of one step, comes first and is told apart.
#[derive(Debug, clap::Args)]
pub(crate) struct Txt2imgArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    size: SizeArguments,

    /// Sampler steps.
    #[arg(long, default_value_t = 20, allow_negative_numbers = true)]
    steps: u32,

    #[command(flatten)]
    run: RunArguments,
}

pub(super) fn txt2img(arguments: &Txt2imgArguments, settings: &Settings) -> anyhow::Result<()> {
    let Txt2imgArguments { model, size, steps, run } = arguments;
    let (config, name) = engine_config(model, settings)?;
    // The engine takes its backend, so the peak is measured on another of the same kind.
    let meter_backend = super::arguments::backend(settings)?;
    let backend = Profiled::new(super::arguments::backend(settings)?);
    let log = backend.log().clone();
    let engine = Engine::start(backend, config)?;
    let entry = setup::find_model(&engine, &name)?;
    let native = engine.open_model(&entry)?.native_size.unwrap_or((512, 512));
    let size = size.or((native.0 as usize, native.1 as usize));
    let request = |steps| GenerationRequest {
        model: Some(name.clone()),
        prompt: PROMPT.to_owned(),
        negative_prompt: NEGATIVE.to_owned(),
        width: Some(size[0] as u32),
        height: Some(size[1] as u32),
        steps,
        seed: Some(0),
        batch_size: run.batch as u32,
        ..Default::default()
    };
    request(*steps).validate(&setup::limits(settings), native).map_err(|error| advise(error.into()))?;

    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let first = runtime.block_on(make(&engine, request(1), false))?;
    let outcome = Subject {
        about: About::new("txt2img", settings, &meter_backend).of(model).size(size).batch(run.batch),
        meter: Meter { backend: &meter_backend, clock: Clock::Wall },
        log,
        load_seconds: first.load,
        warm_up: false,
        default_runs: 1,
        compared: None,
        call: Box::new(|| Ok(runtime.block_on(make(&engine, request(*steps), true))?.parts())),
    }
    .conduct(run);
    engine.shutdown(Duration::ZERO);
    outcome
}

/// An engine that has the model, and the name by which it has it.
fn engine_config(model: &ModelArguments, settings: &Settings) -> anyhow::Result<(EngineConfig, String)> {
    let config = setup::engine_config(settings);
    if let Some(file) = model.file() {
        // Alone, so that no other file can be meant.
        let config = EngineConfig { models_dir: Some(file.to_owned()), builtin: Vec::new(), ..config };
        return Ok((config, file.to_string_lossy().into_owned()));
    }
    if let Some(name) = &model.model {
        return Ok((config, name.clone()));
    }
    let content = BuiltinContent::Random(Arc::new(model.job_config()?));
    let random = BuiltinModel { file_name: RANDOM, content };
    Ok((EngineConfig { models_dir: None, builtin: vec![random], ..config }, RANDOM.to_owned()))
}

/// When what happened in a job, in seconds.
#[derive(Debug, Default)]
struct JobTimes {
    load: f64,
    /// The text encoder and the first step.
    first_step: f64,
    /// Each further step.
    steps: Vec<f64>,
    decode: f64,
}

impl JobTimes {
    fn parts(&self) -> Parts {
        let steps = sorted(self.steps.clone());
        let mut parts = vec![("text_and_first_step", self.first_step)];
        if let (Some(&min), Some(&max)) = (steps.first(), steps.last()) {
            parts.extend([("step_min", min), ("step_median", median(&steps)), ("step_max", max)]);
        }
        parts.push(("decode", self.decode));
        parts
    }
}

/// Has a job made, and notes when its snapshots come: of steps so short that some are missed, the time goes to what is seen
/// next. `loaded` says that the model is in memory.
async fn make(engine: &Engine, request: GenerationRequest, mut loaded: bool) -> anyhow::Result<JobTimes> {
    let options = SubmitOptions { cancel_when_unwatched: true, previews: None };
    let mut times = JobTimes::default();
    let mut last = Instant::now();
    let mut watcher = engine.submit(request, options).map_err(advise)?;
    let mut step = 0;
    loop {
        let status = watcher.changed().await;
        let now = Instant::now();
        if !loaded && status.model.is_some() {
            loaded = true;
            times.load = now.duration_since(last).as_secs_f64();
            last = now;
        }
        if status.state.is_final() {
            times.decode = now.duration_since(last).as_secs_f64();
            return outcome(&status).map(|()| times);
        }
        if status.step > step {
            // Steps between two snapshots share their time evenly.
            let made = status.step - step;
            let each = now.duration_since(last).as_secs_f64() / f64::from(made);
            if step == 0 {
                times.first_step = each;
            }
            times.steps.extend((u32::from(step == 0)..made).map(|_| each));
            (step, last) = (status.step, now);
        }
    }
}

fn outcome(status: &JobStatus) -> anyhow::Result<()> {
    match status.state {
        JobState::Done => Ok(()),
        _ => Err(failure(
            status.error.as_deref().unwrap_or("the job was cancelled").to_owned(),
            "`impasto doctor` looks for what may be wrong",
        )),
    }
}

/// What to do about a refused job.
fn advise(error: EngineError) -> anyhow::Error {
    match error {
        EngineError::Invalid(error) => {
            usage(error.to_string(), "`impasto bench txt2img --help` lists the flags and what they take")
        }
        other => other.into(),
    }
}
