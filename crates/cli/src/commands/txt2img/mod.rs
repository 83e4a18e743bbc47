//! `impasto txt2img`: pictures from text, into files.

pub(crate) mod files;
mod progress;

use crate::failure::{failure, usage};
use crate::output;
use crate::resolve::Settings;
use crate::setup;
use files::Destination;
use impasto_domain::{GenerationRequest, NoiseSource, Sampler, Schedule, Shortcuts};
use impasto_engine::{Engine, EngineError, JobState, JobStatus, Stop, SubmitOptions};
use progress::Progress;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A flag for each field of a request, under the names of the HTTP interface where those are words.
#[derive(Debug, clap::Args)]
pub(crate) struct Txt2imgArguments {
    /// What is wanted.
    prompt: String,

    /// The file to write: .png, .jpg or .webp; several pictures are numbered (out-1.png, out-2.png). `-` writes one as PNG
    /// to standard output. Without it, the first free one of impasto-0001.png, impasto-0002.png, ...
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// What is not wanted.
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    negative: String,

    /// Title, name, file name or hash of a model, as `impasto models list` shows them.
    #[arg(short, long)]
    model: Option<String>,

    /// Seed of the first picture; -1 draws one.
    #[arg(short, long, default_value = "-1", value_parser = parse_seed, allow_negative_numbers = true)]
    seed: Seed,

    /// Sampler steps.
    #[arg(long, default_value_t = 20, allow_negative_numbers = true)]
    steps: u32,

    /// Sampler, as A1111 names it; a schedule may end it ("DPM++ 2M Karras").
    #[arg(long, value_name = "NAME", default_value = "Euler", value_parser = parse_sampler)]
    sampler: SamplerName,

    /// Noise schedule.
    #[arg(long, value_name = "NAME", value_parser = parse_schedule)]
    schedule: Option<Schedule>,

    /// Pixels; without it, the model's own width.
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    width: Option<u32>,

    /// Pixels; without it, the model's own height.
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    height: Option<u32>,

    /// Strength of classifier-free guidance; 1 is none. Without it, what the model's maker recommends, or else 7.
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true)]
    cfg_scale: Option<f64>,

    /// Pictures that share one model call.
    #[arg(long, value_name = "PICTURES", default_value_t = 1, allow_negative_numbers = true)]
    batch_size: u32,

    /// Batches after each other.
    #[arg(long, value_name = "BATCHES", default_value_t = 1, allow_negative_numbers = true)]
    batch_count: u32,

    /// Text encoder layer to stop at, counted from the end; 1 uses all.
    #[arg(long, value_name = "LAYERS", default_value_t = 1, allow_negative_numbers = true)]
    clip_skip: u32,

    /// Whose random numbers to use: GPU (as PyTorch on CUDA), CPU (as PyTorch on the CPU) or NV (the same as GPU).
    #[arg(long, value_name = "SOURCE", default_value = "GPU", value_parser = parse_noise_source)]
    rng: NoiseSource,

    /// Noise multiplier of ancestral samplers and DDIM; without it, the sampler's own.
    #[arg(long, allow_negative_numbers = true)]
    eta: Option<f64>,

    /// Added to the seed for the noise drawn while sampling.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    eta_noise_seed_delta: i64,

    /// Seed of the variation; -1 draws one.
    #[arg(long, value_name = "SEED", default_value = "-1", value_parser = parse_seed, allow_negative_numbers = true)]
    subseed: Seed,

    /// How far the noise is turned towards the variation's, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true)]
    subseed_strength: f64,

    /// Overwrite files that exist.
    #[arg(short, long)]
    force: bool,

    /// After Ctrl-C, write what there is of the pictures; without it nothing unfinished is written.
    #[arg(long)]
    keep_partial: bool,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// A seed as typed: `None` draws one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seed(Option<u64>);

/// A sampler and what its name says of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SamplerName(String);

fn parse_seed(text: &str) -> Result<Seed, String> {
    match text.parse::<i128>() {
        Ok(-1) => Ok(Seed(None)),
        Ok(seed) => u64::try_from(seed).map(|seed| Seed(Some(seed))).map_err(|_| seed_problem()),
        Err(_) => Err(seed_problem()),
    }
}

fn seed_problem() -> String {
    format!("a seed is a whole number from 0 to {}, or -1 to draw one", u64::MAX)
}

fn parse_sampler(text: &str) -> Result<SamplerName, String> {
    // The HTTP interface has to accept any name, as A1111 does; at the terminal a typing error is told.
    let known = Sampler::all().any(|sampler| {
        let rest = text.strip_prefix(sampler.name());
        rest.is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix(' ').is_some_and(|name| Schedule::from_exact_name(name).is_some())
        })
    });
    let names = || Sampler::all().map(Sampler::name).collect::<Vec<_>>().join(", ");
    if known { Ok(SamplerName(text.to_owned())) } else { Err(format!("samplers are {}", names())) }
}

fn parse_schedule(text: &str) -> Result<Schedule, String> {
    let labels = || Schedule::all().map(Schedule::label).collect::<Vec<_>>().join(", ");
    Schedule::from_exact_name(text).ok_or_else(|| format!("schedules are {}", labels()))
}

fn parse_noise_source(text: &str) -> Result<NoiseSource, String> {
    NoiseSource::from_exact_name(text).ok_or_else(|| "sources are GPU, CPU, NV".to_owned())
}

impl Txt2imgArguments {
    fn request(&self) -> GenerationRequest {
        let (sampler, schedule) = Sampler::resolve(&self.sampler.0, self.schedule.map(Schedule::name));
        GenerationRequest {
            model: self.model.clone(),
            prompt: self.prompt.clone(),
            negative_prompt: self.negative.clone(),
            width: self.width,
            height: self.height,
            steps: self.steps,
            cfg_scale: self.cfg_scale.unwrap_or(GenerationRequest::default().cfg_scale),
            sampler,
            schedule,
            seed: self.seed.0,
            subseed: self.subseed.0,
            subseed_strength: self.subseed_strength,
            batch_size: self.batch_size,
            batch_count: self.batch_count,
            clip_skip: self.clip_skip,
            noise_source: self.rng,
            eta: self.eta,
            eta_noise_seed_delta: self.eta_noise_seed_delta,
            shortcuts: Shortcuts::default(),
            ..GenerationRequest::default()
        }
    }
}

pub(crate) fn run(arguments: &Txt2imgArguments, settings: &Settings) -> anyhow::Result<()> {
    let mut request = arguments.request();
    request.model = request.model.or_else(|| settings.options.sd_model_checkpoint.clone());
    request.shortcuts = impasto_api::shortcuts(&settings.options);
    request.precision = impasto_api::precision(&settings.options);
    request.prompt_rules = impasto_api::prompt_rules(&settings.options);
    request.sampler_options = impasto_api::sampler_options(&settings.options);
    // A size that is not given is the model's own, which is checked with it.
    request.validate(&setup::limits(settings), (8, 8)).map_err(|error| advise(error.into()))?;
    let destination = Destination::plan(
        arguments.output.as_deref(),
        request.image_count(),
        arguments.force,
        settings.options.jpeg_quality,
    )?;
    if destination.is_stdout() && arguments.json {
        return Err(usage("-o - and --json both write to standard output", "leave one of them out"));
    }
    let engine = setup::engine(settings)?;
    if arguments.cfg_scale.is_none() {
        request.cfg_scale = recommended(&engine, request.model.as_deref()).unwrap_or(request.cfg_scale);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(make(&engine, request, arguments.keep_partial));
    engine.shutdown(Duration::ZERO);
    let status = status?;

    let written = destination.write(&status.images)?;
    if arguments.json {
        output::print_json(&report(&status, &written))?;
    } else {
        for path in &written {
            output::print(&path.display().to_string())?;
        }
    }
    if status.interrupted {
        return Err(failure("interrupted", "what was finished by then is written"));
    }
    Ok(())
}

/// The guidance that a model's maker recommends. What is wrong with the model is told when the request is submitted.
fn recommended(engine: &Engine, name: Option<&str>) -> Option<f64> {
    let model = name.map_or_else(|| engine.default_model(), |name| engine.find_model(name))?;
    engine.open_model(&model).ok()?.cfg_scale
}

/// Has the pictures made, showing progress; Ctrl-C ends it early.
async fn make(
    engine: &Engine,
    request: GenerationRequest,
    keep_partial: bool,
) -> anyhow::Result<Arc<JobStatus>> {
    let options = SubmitOptions { cancel_when_unwatched: true, previews: None };
    let mut watcher = engine.submit(request, options).map_err(advise)?;
    let progress = Progress::new();
    let mut signal = setup::StopSignal::new()?;
    let mut asked_to_stop = false;
    loop {
        tokio::select! {
            status = watcher.changed() => {
                progress.show(&status);
                if status.state.is_final() {
                    progress.finish();
                    return outcome(status);
                }
            }
            () = signal.next(), if !asked_to_stop => {
                asked_to_stop = true;
                engine.stop(watcher.id(), if keep_partial { Stop::Interrupt } else { Stop::Cancel });
            }
        }
    }
}

fn outcome(status: Arc<JobStatus>) -> anyhow::Result<Arc<JobStatus>> {
    match status.state {
        JobState::Failed => {
            let reason = status.error.as_deref().unwrap_or("the engine gave no reason").to_owned();
            Err(failure(reason, "`impasto doctor` looks for what may be wrong"))
        }
        JobState::Cancelled => {
            Err(failure("interrupted; nothing was written", "--keep-partial writes what there is"))
        }
        _ => Ok(status),
    }
}

/// What to do about a refused request.
fn advise(error: EngineError) -> anyhow::Error {
    match error {
        EngineError::Invalid(mut error) => {
            if error.field == "n_iter" {
                // The name of the flag here.
                error.field = "batch_count";
            }
            usage(error.to_string(), "`impasto txt2img --help` lists the flags and what they take")
        }
        EngineError::UnknownModel(name) => {
            failure(format!("model {name:?} not found"), "`impasto models list` shows the models")
        }
        EngineError::NoModel => failure(
            "there is no model",
            "put a checkpoint into models/Stable-diffusion of the data root (--data-dir)",
        ),
        other => other.into(),
    }
}

fn report(status: &JobStatus, written: &[PathBuf]) -> serde_json::Value {
    let files: Vec<_> = status
        .images
        .iter()
        .zip(written)
        .map(|(image, path)| {
            json!({
                "path": path,
                "index": image.index,
                "seed": image.seed,
                "subseed": image.subseed,
                "width": image.picture.width,
                "height": image.picture.height,
                "infotext": image.infotext,
            })
        })
        .collect();
    json!({
        "files": files,
        "model": status.model.as_ref().map(|model| &model.title),
        "model_sha256": status.model.as_ref().and_then(|model| model.sha256.as_ref()),
        "elapsed_seconds": status.elapsed.as_secs_f64(),
        "interrupted": status.interrupted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Txt2imgArguments,
    }

    fn parse(flags: &[&str]) -> Result<GenerationRequest, clap::Error> {
        let line = [&["txt2img", "a cat"], flags].concat();
        Line::try_parse_from(line).map(|line| line.arguments.request())
    }

    #[test]
    fn defaults_are_the_domains() {
        let wanted = GenerationRequest { prompt: "a cat".into(), ..Default::default() };
        assert_eq!(parse(&[]).unwrap(), wanted);
    }

    #[test]
    fn each_flag_reaches_its_field() {
        let line = "--negative dog --model m --seed 3 --steps 5 --width 64 --height 128 --cfg-scale 2.5 \
                    --batch-size 2 --batch-count 3 --clip-skip 2 --rng CPU --eta 0.5 --subseed 9 \
                    --subseed-strength 0.25 --eta-noise-seed-delta -7 --schedule Exponential --sampler DDIM";
        let wanted = GenerationRequest {
            model: Some("m".into()),
            prompt: "a cat".into(),
            negative_prompt: "dog".into(),
            width: Some(64),
            height: Some(128),
            steps: 5,
            cfg_scale: 2.5,
            sampler: Sampler::Ddim,
            schedule: Schedule::Exponential,
            seed: Some(3),
            subseed: Some(9),
            subseed_strength: 0.25,
            batch_size: 2,
            batch_count: 3,
            clip_skip: 2,
            noise_source: NoiseSource::Cpu,
            eta: Some(0.5),
            eta_noise_seed_delta: -7,
            ..GenerationRequest::default()
        };
        assert_eq!(parse(&line.split_whitespace().collect::<Vec<_>>()).unwrap(), wanted);
    }

    #[test]
    fn typing_errors_are_told() {
        for flags in [["--sampler", "Eulre"], ["--schedule", "Karas"], ["--seed", "-2"], ["--rng", "TPU"]] {
            assert!(parse(&flags).is_err(), "{flags:?}");
        }
        assert_eq!(parse(&["--sampler", "Euler Karras"]).unwrap().schedule, Schedule::Karras);
        assert_eq!(parse(&["--seed", "-1"]).unwrap().seed, None);
    }
}
