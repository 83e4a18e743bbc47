//! What ran, in words and as JSON.

use super::arguments::{ModelArguments, precision};
use super::machine::{Resident, processor};
use super::measure::Summary;
use crate::resolve::Settings;
use impasto_cpu::CpuBackend;
use serde_json::{Value, json};

/// What is measured, and on what.
#[derive(Debug, Clone)]
pub(super) struct About {
    /// The command.
    bench: &'static str,
    arch: Option<&'static str>,
    model: Option<String>,
    size: Option<[usize; 2]>,
    batch: usize,
    precision: &'static str,
    isa: String,
    threads: usize,
    cpu: String,
}

impl About {
    pub(super) fn new(bench: &'static str, settings: &Settings, backend: &CpuBackend) -> Self {
        Self {
            bench,
            arch: None,
            model: None,
            size: None,
            batch: 1,
            precision: precision(settings).name(),
            isa: backend.isa().to_string(),
            threads: backend.threads(),
            cpu: processor(),
        }
    }

    /// Of this model.
    pub(super) fn of(self, model: &ModelArguments) -> Self {
        Self { arch: model.arch().map(super::arguments::Arch::name), model: model.model.clone(), ..self }
    }

    /// At sizes of this architecture, without a model.
    pub(super) fn arch(self, arch: &'static str) -> Self {
        Self { arch: Some(arch), ..self }
    }

    /// With so many rows.
    pub(super) fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Of pictures of this width and height.
    pub(super) fn size(self, size: [usize; 2]) -> Self {
        Self { size: Some(size), ..self }
    }

    /// Its fields under their names in reports.
    pub(super) fn json(&self) -> Value {
        json!({
            "bench": self.bench,
            "arch": self.arch,
            "model": self.model,
            "width": self.size.map(|[width, _]| width),
            "height": self.size.map(|[_, height]| height),
            "batch": self.batch,
            "precision": self.precision,
            "isa": self.isa,
            "threads": self.threads,
            "cpu": self.cpu,
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    /// A line of it.
    pub(super) fn words(&self) -> String {
        let Self { bench, batch, precision, isa, threads, cpu, .. } = self;
        let model =
            self.model.as_deref().or(self.arch).map(|model| format!(" of {model}")).unwrap_or_default();
        let size = self.size.map(|[width, height]| format!(" at {width}x{height}")).unwrap_or_default();
        format!("{bench}{model}{size}, batch {batch}, {precision}, {isa}, {threads} threads, {cpu}")
    }
}

/// The fields of objects after each other.
pub(super) fn joined(parts: impl IntoIterator<Item = Value>) -> Value {
    let fields = parts.into_iter().filter_map(|part| match part {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(fields.flatten().collect())
}

/// Memory of the process now and at its peak, under its names in reports.
pub(super) fn memory_json() -> Value {
    let resident = Resident::read();
    json!({
        "rss_bytes": resident.map(|resident| resident.peak),
        "rss_now_bytes": resident.map(|resident| resident.now),
    })
}

/// Memory of the process in words; nothing where the system does not tell.
pub(super) fn memory_words() -> Option<String> {
    let Resident { now, peak } = Resident::read()?;
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    Some(format!("memory  {:.2} GB now, {:.2} GB at most", gigabytes(now), gigabytes(peak)))
}

/// Times, rates and the peak of a summary, in two lines.
pub(super) fn summary_words(summary: &Summary) -> Vec<String> {
    let Summary { min, median, max, .. } = *summary;
    let mut lines = vec![format!(
        "time    min {}, median {}, max {}",
        seconds_words(min),
        seconds_words(median),
        seconds_words(max)
    )];
    if summary.flops > 0.0 {
        lines.push(format!(
            "rate    {:.1} GFLOP/s, {:.0} % of the peak beside each run ({:.1} GFLOP/s)",
            summary.gflops(),
            100.0 * summary.share,
            summary.peak / 1e9
        ));
    }
    lines
}

/// A time with a unit that suits it.
pub(super) fn seconds_words(seconds: f64) -> String {
    if seconds < 0.1 { format!("{:.3} ms", seconds * 1e3) } else { format!("{seconds:.3} s") }
}
