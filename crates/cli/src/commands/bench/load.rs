//! `impasto bench load`: opening a model and packing its weights.

use super::arguments::{ModelArguments, parse_runs, precision};
use super::conduct::print_line;
use super::measure::{Run, Summary};
use super::report::{About, joined, memory_json, memory_words, seconds_words, summary_words};
use crate::output;
use crate::resolve::Settings;
use impasto_models::StableDiffusion;
use impasto_tensor::Backend as _;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(crate) struct LoadArguments {
    #[command(flatten)]
    model: ModelArguments,

    /// Loads; only the first finds a fresh process. What the system keeps of files is left as it is.
    #[arg(long, default_value = "1", value_parser = parse_runs, allow_negative_numbers = true)]
    runs: usize,

    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// `started` is when the program began.
pub(super) fn load(arguments: &LoadArguments, settings: &Settings, started: Instant) -> anyhow::Result<()> {
    let LoadArguments { model, runs, json } = arguments;
    let backend = Arc::new(super::arguments::backend(settings)?);
    let mut measured = Vec::new();
    let mut ready = None;
    let mut weight_bytes = 0;
    for _ in 0..*runs {
        let began = Instant::now();
        let checkpoint = model.open_for_jobs(settings)?;
        let networks = StableDiffusion::load(Arc::clone(&backend), &checkpoint, precision(settings))?;
        // Loading is bound by memory: the peak of arithmetic says nothing of it.
        measured.push(Run { seconds: began.elapsed().as_secs_f64(), peak: 0.0 });
        ready.get_or_insert_with(|| started.elapsed().as_secs_f64());
        weight_bytes = backend.weight_bytes();
        drop(networks);
    }
    let ready = ready.unwrap_or_default();
    let summary = Summary::new(&measured, 0.0);
    let about = About::new("load", settings, &backend).of(model);
    if *json {
        let seconds: Vec<f64> = measured.iter().map(|run| run.seconds).collect();
        let figures = json!({ "ready_s": ready, "weight_bytes": weight_bytes, "seconds": seconds });
        return print_line(&joined([about.json(), figures, summary.json(), memory_json()]));
    }
    output::print(&about.words())?;
    output::print(&format!("ready   {} after the program began", seconds_words(ready)))?;
    let weights = format!("weights {:.2} GB packed", weight_bytes as f64 / 1e9);
    for line in summary_words(&summary).into_iter().chain([weights]).chain(memory_words()) {
        output::print(&line)?;
    }
    Ok(())
}
