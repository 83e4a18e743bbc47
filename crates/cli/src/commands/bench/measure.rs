//! Measured runs, each beside the peak of the machine just before and after it, and what they come to.

use super::machine::Clock;
use impasto_cpu::CpuBackend;
use serde_json::{Value, json};

/// One run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) seconds: f64,
    /// Floating point operations a second that the machine gave around the run.
    pub(super) peak: f64,
}

/// Measures runs on a backend's threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter<'a> {
    pub(super) backend: &'a CpuBackend,
    pub(super) clock: Clock,
}

impl Meter<'_> {
    /// Runs `work` once.
    pub(super) fn run<T>(self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(Run, T)> {
        let before = self.peak()?;
        let (seconds, result) = self.clock.time(work);
        let result = result?;
        let peak = f64::midpoint(before, self.peak()?);
        Ok((Run { seconds, peak }, result))
    }

    fn peak(self) -> anyhow::Result<f64> {
        let (seconds, flops) = self.clock.time(|| self.backend.run_peak());
        Ok(flops? / seconds)
    }
}

/// What some runs come to. Rates are those of the median run, shares the median of each run's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
    /// Floating point operations of the definition in a run; 0 where bytes matter rather than arithmetic.
    pub(super) flops: f64,
    /// Peak of the machine, floating point operations a second.
    pub(super) peak: f64,
    pub(super) share: f64,
}

impl Summary {
    /// Of at least one run.
    pub(super) fn new(runs: &[Run], flops: f64) -> Self {
        let of = |each: fn(&Run) -> f64| sorted(runs.iter().map(each).collect());
        let (seconds, peaks) = (of(|run| run.seconds), of(|run| run.peak));
        let shares = sorted(runs.iter().map(|run| flops / run.seconds / run.peak).collect());
        Self {
            min: seconds.first().copied().unwrap_or(0.0),
            median: median(&seconds),
            max: seconds.last().copied().unwrap_or(0.0),
            flops,
            peak: median(&peaks),
            share: median(&shares),
        }
    }

    /// Floating point operations a second of the median run, in units of 10^9.
    pub(super) fn gflops(&self) -> f64 {
        if self.median > 0.0 { self.flops / self.median / 1e9 } else { 0.0 }
    }

    /// The figures under their names in reports. Rates of what computes nothing are null.
    pub(super) fn json(&self) -> Value {
        let rate = |value: f64| if self.flops > 0.0 { json!(value) } else { Value::Null };
        json!({
            "min_s": self.min,
            "median_s": self.median,
            "max_s": self.max,
            "flops": self.flops,
            "gflops": rate(self.gflops()),
            "peak_gflops": self.peak / 1e9,
            "peak_share": rate(self.share),
        })
    }
}

pub(super) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values, or of the middle two; 0 of none.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => 0.0,
        Some(&upper) if sorted.len() % 2 == 1 => upper,
        Some(&upper) => f64::midpoint(sorted[middle - 1], upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_that_of_the_peak_beside_each_run() {
        let run = |seconds, peak| Run { seconds, peak };
        // The second ran while the machine gave half: no worse a run.
        let summary = Summary::new(&[run(1.0, 20e9), run(2.0, 10e9), run(1.0, 20e9)], 10e9);
        assert_eq!((summary.min, summary.median, summary.max), (1.0, 1.0, 2.0));
        assert_eq!((summary.gflops(), summary.share, summary.peak), (10.0, 0.5, 20e9));
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn what_computes_nothing_has_no_rate() {
        let summary = Summary::new(&[Run { seconds: 1.0, peak: 1e9 }], 0.0).json();
        assert!(summary["gflops"].is_null() && summary["peak_share"].is_null());
        assert_eq!(summary["median_s"], 1.0);
    }
}
