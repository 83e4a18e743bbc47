//! `impasto bench quality`: makes pictures exactly and with settings changed, by turns, and says how alike the decoded
//! pictures are (peak signal-to-noise ratio) and what the change does to the time.

use crate::failure::{failure, usage};
use crate::output;
use crate::resolve::Settings;
use crate::setup;
use anyhow::Context as _;
use impasto_domain::{GenerationRequest, Sampler};
use impasto_engine::{Engine, JobState, JobStatus, Picture, SubmitOptions};
use impasto_settings::SettingsError;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Captions of the kind that the demo model was trained on, one a line.
const PROMPTS: &str = include_str!("../../../../../bench/workloads/quality.txt");

#[derive(Debug, clap::Args)]
pub(crate) struct QualityArguments {
    /// Title, name, file name or hash of a model; without it, the default one.
    #[arg(long)]
    model: Option<String>,

    /// A file with a prompt a line, or how many of the 50 captions inside the program.
    #[arg(long, value_name = "FILE|N", default_value = "20")]
    prompts: String,

    /// A setting or option that is changed, as docs/settings.md lists them; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", required = true)]
    set: Vec<String>,

    /// Sampler steps.
    #[arg(long, default_value_t = 20)]
    steps: u32,

    /// Sampler, as A1111 names it.
    #[arg(long, value_name = "NAME", default_value = "Euler")]
    sampler: String,

    /// Pixels along both edges; without it, the model's own size.
    #[arg(long, value_name = "PIXELS")]
    size: Option<u32>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A prompt's two pictures compared.
struct Row {
    prompt: String,
    /// Decibels; infinite where the pictures are equal.
    psnr: f64,
    exact: Duration,
    changed: Duration,
}

pub(crate) fn run(arguments: &QualityArguments, settings: &Settings) -> anyhow::Result<()> {
    let changed = changed(settings, &arguments.set)?;
    let prompts = prompts(&arguments.prompts)?;
    let engine = setup::engine(settings)?;
    // Another number of threads takes an engine of its own.
    let other = if changed.serve == settings.serve { None } else { Some(setup::engine(&changed)?) };
    let rows =
        compare(arguments, [settings, &changed], [&engine, other.as_ref().unwrap_or(&engine)], &prompts);
    for engine in [Some(engine), other].into_iter().flatten() {
        engine.shutdown(Duration::ZERO);
    }
    let rows = rows?;
    if arguments.json { output::print_json(&report(&rows)) } else { print(&rows) }
}

/// The settings with changes, each `key=value`.
fn changed(settings: &Settings, changes: &[String]) -> anyhow::Result<Settings> {
    let mut changed = settings.clone();
    for change in changes {
        let (key, value) = change
            .split_once('=')
            .ok_or_else(|| usage(format!("--set {change:?} has no `=`"), "give it as --set key=value"))?;
        let value = Value::from(value);
        let set = match changed.options.set(key, &value) {
            Err(SettingsError::Unknown(_)) => changed.serve.set(key, &value),
            other => other,
        };
        set.map_err(|error| usage(format!("--set: {error}"), "docs/settings.md lists all settings"))?;
    }
    Ok(changed)
}

fn prompts(argument: &str) -> anyhow::Result<Vec<String>> {
    let lines = |text: &str, most| -> Vec<String> {
        text.lines().filter(|line| !line.trim().is_empty()).take(most).map(str::to_owned).collect()
    };
    let prompts = if let Ok(count) = argument.parse::<usize>() {
        lines(PROMPTS, count)
    } else {
        let text = std::fs::read_to_string(Path::new(argument));
        lines(&text.with_context(|| format!("cannot read {argument}"))?, usize::MAX)
    };
    if prompts.is_empty() {
        return Err(usage(
            format!("--prompts {argument:?} has no prompt"),
            "give a file of them, or 1 to 50",
        ));
    }
    Ok(prompts)
}

/// Makes every prompt's pictures by turns, so that a machine whose speed drifts favours neither.
fn compare(
    arguments: &QualityArguments,
    settings: [&Settings; 2],
    engines: [&Engine; 2],
    prompts: &[String],
) -> anyhow::Result<Vec<Row>> {
    let requests = settings.map(|settings| request(arguments, settings, engines[0]));
    let make_one = |which: usize, prompt: &str, seed: usize| {
        let seed = Some(seed as u64);
        make(engines[which], GenerationRequest { prompt: prompt.to_owned(), seed, ..requests[which].clone() })
    };
    // The first pictures load the model.
    for which in [0, 1] {
        make_one(which, &prompts[0], 0)?;
    }
    let mut rows = Vec::with_capacity(prompts.len());
    for (seed, prompt) in prompts.iter().enumerate() {
        let (exact, changed) = (make_one(0, prompt, seed)?, make_one(1, prompt, seed)?);
        let picture = |status: &JobStatus| {
            status.images.first().map(|image| image.picture.clone()).context("a job gave no picture")
        };
        rows.push(Row {
            prompt: prompt.clone(),
            psnr: psnr(&*picture(&exact)?, &*picture(&changed)?),
            exact: exact.elapsed,
            changed: changed.elapsed,
        });
    }
    Ok(rows)
}

fn request(arguments: &QualityArguments, settings: &Settings, engine: &Engine) -> GenerationRequest {
    let model = arguments.model.clone().or_else(|| settings.options.sd_model_checkpoint.clone());
    let entry = model.as_deref().map_or_else(|| engine.default_model(), |name| engine.find_model(name));
    let recommended = entry.and_then(|entry| engine.open_model(&entry).ok()?.cfg_scale);
    let (sampler, schedule) = Sampler::resolve(&arguments.sampler, None);
    let usual = GenerationRequest::default();
    GenerationRequest {
        model,
        width: arguments.size,
        height: arguments.size,
        steps: arguments.steps,
        cfg_scale: recommended.unwrap_or(usual.cfg_scale),
        sampler,
        schedule,
        subseed: Some(0),
        clip_skip: settings.options.clip_stop_at_last_layers,
        shortcuts: impasto_api::shortcuts(&settings.options),
        precision: impasto_api::precision(&settings.options),
        ..usual
    }
}

fn make(engine: &Engine, request: GenerationRequest) -> anyhow::Result<Arc<JobStatus>> {
    let watcher = engine.submit(request, SubmitOptions::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let status = runtime.block_on(watcher.finished());
    if status.state != JobState::Done {
        let reason = status.error.as_deref().unwrap_or("the engine gave no reason").to_owned();
        return Err(failure(reason, "`impasto doctor` looks for what may be wrong"));
    }
    Ok(status)
}

/// Peak signal-to-noise ratio of two pictures in decibels; infinite if they are equal, and of those that differ in size
/// minus infinity.
fn psnr(a: &Picture, b: &Picture) -> f64 {
    if a.rgb.len() != b.rgb.len() {
        return f64::NEG_INFINITY;
    }
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let error = a.rgb.iter().zip(&b.rgb).map(square).sum::<f64>() / a.rgb.len().max(1) as f64;
    10.0 * (255.0f64.powi(2) / error).log10()
}

/// Median and least of the decibels.
fn median_and_worst(rows: &[Row]) -> (f64, f64) {
    let mut all: Vec<f64> = rows.iter().map(|row| row.psnr).collect();
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[0])
}

/// Seconds of all pictures, exact and changed.
fn seconds(rows: &[Row]) -> (f64, f64) {
    let sum = |of: fn(&Row) -> Duration| rows.iter().map(of).sum::<Duration>().as_secs_f64();
    (sum(|row| row.exact), sum(|row| row.changed))
}

fn print(rows: &[Row]) -> anyhow::Result<()> {
    for Row { prompt, psnr, exact, changed } in rows {
        let (exact, changed) = (exact.as_secs_f64(), changed.as_secs_f64());
        output::print(&format!("{psnr:6.1} dB  {exact:7.2} s {changed:7.2} s  {prompt}"))?;
    }
    let ((median, worst), (exact, changed)) = (median_and_worst(rows), seconds(rows));
    let ratio = changed / exact;
    output::print(&format!(
        "{} prompts: PSNR {median:.1} dB median, {worst:.1} dB worst; time {exact:.1} s exact, {changed:.1} s changed, \
         ratio {ratio:.2}",
        rows.len()
    ))?;
    Ok(())
}

fn report(rows: &[Row]) -> Value {
    // JSON knows no infinity: equal pictures have no ratio.
    let decibels = |psnr: f64| psnr.is_finite().then_some(psnr);
    let ((median, worst), (exact, changed)) = (median_and_worst(rows), seconds(rows));
    let each: Vec<Value> = (rows.iter())
        .map(|row| {
            json!({
                "prompt": row.prompt,
                "psnr_db": decibels(row.psnr),
                "exact_seconds": row.exact.as_secs_f64(),
                "changed_seconds": row.changed.as_secs_f64(),
            })
        })
        .collect();
    json!({
        "psnr_db_median": decibels(median),
        "psnr_db_worst": decibels(worst),
        "exact_seconds": exact,
        "changed_seconds": changed,
        "time_ratio": changed / exact,
        "prompts": each,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use impasto_settings::{Options, ServeSettings};

    #[test]
    fn decibels_of_the_mean_square() {
        let picture = |value: u8| Picture { width: 1, height: 1, rgb: vec![value; 3] };
        assert_eq!(psnr(&picture(7), &picture(7)), f64::INFINITY);
        assert!((psnr(&picture(0), &picture(255))).abs() < 1e-9);
        assert!((psnr(&picture(10), &picture(20)) - 28.13).abs() < 0.01);
    }

    #[test]
    fn changes_are_options_or_settings_of_the_program() {
        let settings = Settings { serve: ServeSettings::default(), options: Options::default() };
        let set = |change: &str| changed(&settings, &[change.to_owned()]);
        assert_eq!(set("deepcache_interval=3").unwrap().options.deepcache_interval, 3);
        assert_eq!(set("threads=1").unwrap().serve.threads, 1);
        for (change, message) in [
            ("threads", "--set \"threads\" has no `=`"),
            ("nonsense=1", "--set: unknown setting \"nonsense\""),
            ("skip_late_cond=2", "--set: setting skip_late_cond is \"2\""),
        ] {
            let error = set(change).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn prompts_come_from_a_file_or_from_the_program() {
        assert_eq!(prompts("2").unwrap(), ["a red apple on a blue background", "a blue heart"]);
        assert!(prompts("0").is_err() && prompts("/no/such").is_err());
    }
}
