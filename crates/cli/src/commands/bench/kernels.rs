//! `impasto bench kernels`: single operations at the sizes of the networks.

use super::arguments::{Arch, parse_batch, parse_runs, precision};
use super::conduct::print_line;
use super::machine::Clock;
use super::measure::{Meter, Run, Summary};
use super::report::{About, joined, memory_json, memory_words, summary_words};
use crate::failure::usage;
use crate::output;
use crate::resolve::Settings;
use impasto_cpu::CpuBackend;
use impasto_tensor::Precision;
use impasto_tensor::conformance::{TimedNetworks, TimingCase, timing_cases};
use serde_json::{Value, json};
use std::io::BufRead as _;

/// Every operation of Stable Diffusion 1.5 at 512x512 or of SDXL at 1024x1024, each as often as asked for, and what one pass
/// through the networks comes to. With one thread (--threads 1) times are the thread's own, so that other programs on
/// the machine count for less.
#[derive(Debug, clap::Args)]
pub(crate) struct KernelsArguments {
    /// Only operations whose name contains this, such as `unet conv 3x3` or `attention`.
    filter: Option<String>,

    /// Networks whose sizes are timed.
    #[arg(long, value_enum, default_value = "sd15")]
    arch: Arch,

    /// Rows of the batch.
    #[arg(long, value_name = "ROWS", default_value = "1", value_parser = parse_batch, allow_negative_numbers = true)]
    batch: usize,

    /// Measured runs of each operation.
    #[arg(long, default_value = "7", value_parser = parse_runs, allow_negative_numbers = true)]
    runs: usize,

    /// Print one line of JSON.
    #[arg(long)]
    json: bool,

    /// Run the operations once for each line on standard input and answer with a line of JSON; the first line says what is
    /// ready.
    #[arg(long, conflicts_with_all = ["runs", "json"])]
    turns: bool,
}

pub(super) fn kernels(arguments: &KernelsArguments, settings: &Settings) -> anyhow::Result<()> {
    let KernelsArguments { filter, arch, batch, runs, json, turns: by_turns } = arguments;
    let cases = timing_cases(match arch {
        Arch::Sd15 => TimedNetworks::StableDiffusion15,
        Arch::Sdxl => TimedNetworks::StableDiffusionXl,
    });
    let filter = filter.as_deref().unwrap_or_default();
    let cases: Vec<TimingCase> = cases.into_iter().filter(|case| name(case).contains(filter)).collect();
    if cases.is_empty() {
        return Err(usage(
            format!("no operation's name contains {filter:?}"),
            "names are such as `unet conv 3x3 320 to 320 at 64x64`; without a filter all of them are timed",
        ));
    }
    let backend = super::arguments::backend(settings)?;
    let meter = Meter { backend: &backend, clock: Clock::of(&backend) };
    let about = About::new("kernels", settings, &backend).arch(arch.name()).batch(*batch);
    if *by_turns {
        return turns(&cases, meter, precision(settings), *batch, &about);
    }
    if !json {
        output::print(&about.words())?;
        output::print(&format!(
            "{:<50} {:>5} {:>10} {:>10} {:>10} {:>8} {:>7}",
            "operation", "calls", "min ms", "median ms", "max ms", "GFLOP/s", "of peak"
        ))?;
    }
    let mut rows = Vec::new();
    for case in cases {
        let summary = time(&case, meter, precision(settings), *batch, *runs)?;
        if !json {
            output::print(&line(&case, &summary))?;
        }
        rows.push((case, summary));
    }
    let pass = pass(&rows);
    if *json {
        let operations: Vec<Value> = rows.iter().map(|(case, summary)| report(case, summary)).collect();
        let figures = json!({ "clock": meter.clock.name(), "runs": runs, "operations": operations });
        return print_line(&joined([about.json(), figures, pass.json(), memory_json()]));
    }
    output::print("one pass, each operation as often as it is called:")?;
    for line in summary_words(&pass).into_iter().chain(memory_words()) {
        output::print(&line)?;
    }
    Ok(())
}

/// A run of all the operations for each line, until standard input ends.
fn turns(
    cases: &[TimingCase],
    meter: Meter<'_>,
    precision: Precision,
    batch: usize,
    about: &About,
) -> anyhow::Result<()> {
    let prepare = |case: &TimingCase| case.operation.prepare_at(meter.backend, 0..batch, precision);
    let prepared = cases.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
    let flops = cases.iter().map(|case| case.operation.flops() * batch as f64).sum();
    let run = || {
        prepared.iter().try_for_each(|operation| operation.run(meter.backend).map(drop)).map_err(Into::into)
    };
    run()?;
    print_line(&joined([about.json(), json!({ "ready": true }), memory_json()]))?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let measured = meter.run(run)?.0;
        let seconds = json!({ "seconds": measured.seconds });
        print_line(&joined([seconds, Summary::new(&[measured], flops).json(), memory_json()]))?;
    }
    Ok(())
}

fn name(case: &TimingCase) -> String {
    format!("{} {}", case.network, case.operation)
}

fn time(
    case: &TimingCase,
    meter: Meter<'_>,
    precision: Precision,
    batch: usize,
    runs: usize,
) -> anyhow::Result<Summary> {
    let backend: &CpuBackend = meter.backend;
    let prepared = case.operation.prepare_at(backend, 0..batch, precision)?;
    drop(prepared.run(backend)?);
    let runs = (0..runs)
        .map(|_| Ok(meter.run(|| Ok(prepared.run(backend)?))?.0))
        .collect::<anyhow::Result<Vec<Run>>>()?;
    Ok(Summary::new(&runs, case.operation.flops() * batch as f64))
}

/// What one pass would take if its operations took what they took alone.
fn pass(rows: &[(TimingCase, Summary)]) -> Summary {
    let sum = |each: fn(&Summary) -> f64| {
        rows.iter().map(|(case, summary)| case.calls as f64 * each(summary)).sum::<f64>()
    };
    let (median, flops) = (sum(|summary| summary.median), sum(|summary| summary.flops));
    let peak = rows.iter().map(|(_, summary)| summary.peak).sum::<f64>() / rows.len() as f64;
    let share = flops / median / peak;
    Summary { min: sum(|summary| summary.min), median, max: sum(|summary| summary.max), flops, peak, share }
}

fn line(case: &TimingCase, summary: &Summary) -> String {
    let [min, median, max] = [summary.min, summary.median, summary.max].map(|seconds| seconds * 1e3);
    let start = format!("{:<50} {:>5} {min:>10.3} {median:>10.3} {max:>10.3}", name(case), case.calls);
    if summary.flops == 0.0 {
        return start;
    }
    format!("{start} {:>8.1} {:>5.0} %", summary.gflops(), 100.0 * summary.share)
}

fn report(case: &TimingCase, summary: &Summary) -> Value {
    let about = json!({
        "network": case.network,
        "operation": case.operation.to_string(),
        "calls": case.calls,
    });
    joined([about, summary.json()])
}
