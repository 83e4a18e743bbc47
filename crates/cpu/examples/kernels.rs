//! Times the kernels at the sizes of Stable Diffusion 1.5, beside the machine's peak.
//!
//! `cargo run --release -p impasto-cpu --example kernels [filter]`; `IMPASTO_ISA` and `IMPASTO_THREADS` force a choice.
//!
//! With one thread the time is the thread's own, so that other programs on the machine count for less.
#![allow(clippy::print_stdout, reason = "printing is what the example is for")]

use impasto_cpu::{CpuBackend, CpuOptions};
use impasto_tensor::Backend;
use impasto_tensor::conformance::timing_cases;
use std::error::Error;
use std::time::Instant;

/// Runs of each operation; the best and the median are printed.
const RUNS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let options = CpuOptions {
        threads: std::env::var("IMPASTO_THREADS").ok().map(|threads| threads.parse()).transpose()?,
        isa: std::env::var("IMPASTO_ISA").ok().map(|isa| isa.parse()).transpose()?,
        ..CpuOptions::default()
    };
    let own_time = options.threads.is_some_and(|threads| threads.get() == 1);
    let backend = CpuBackend::new(options)?;
    println!("{}", backend.describe());
    println!(
        "{:34} {:>9} {:>9} {:>8} {:>8} {:>6}",
        "operation", "best ms", "median ms", "GFLOP/s", "peak", "ratio"
    );
    for (name, operation) in timing_cases().into_iter().filter(|(name, _)| name.contains(&filter)) {
        let prepared = operation.prepare(&backend, 0..1)?;
        drop(prepared.run(&backend)?);
        let mut peak: f64 = 0.0;
        let mut seconds = Vec::new();
        for _ in 0..RUNS {
            let begin = Clock::start(own_time);
            let flops = backend.run_peak()?;
            peak = peak.max(flops / begin.seconds() / 1e9);
            let begin = Clock::start(own_time);
            drop(prepared.run(&backend)?);
            seconds.push(begin.seconds());
        }
        seconds.sort_by(f64::total_cmp);
        let (best, median) = (seconds[0], seconds[RUNS / 2]);
        let rate = operation.flops() / best / 1e9;
        println!(
            "{name:34} {:9.3} {:9.3} {rate:8.1} {peak:8.1} {:5.0}%",
            best * 1e3,
            median * 1e3,
            100.0 * rate / peak
        );
    }
    Ok(())
}

/// A point in time, of the wall or of this thread.
enum Clock {
    Wall(Instant),
    Thread(f64),
}

impl Clock {
    fn start(own_time: bool) -> Self {
        if own_time { Self::Thread(thread_seconds()) } else { Self::Wall(Instant::now()) }
    }

    fn seconds(&self) -> f64 {
        match self {
            Self::Wall(begin) => begin.elapsed().as_secs_f64(),
            Self::Thread(begin) => thread_seconds() - begin,
        }
    }
}

/// What this thread has run so far.
fn thread_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
