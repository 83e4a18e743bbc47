//! The parts of the service, put together from the settings. The only place that names a concrete backend.

use crate::builtin;
use crate::failure::failure;
use crate::resolve::Settings;
use impasto_cpu::{CpuBackend, CpuOptions};
use impasto_domain::{Precision, RequestLimits};
use impasto_engine::{Engine, EngineConfig, ModelEntry};
use impasto_weights::{Checkpoint, WeightsError};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the file name of a model inside the program begins with.
const BUILTIN: &str = "builtin:";

/// What the backend may use.
pub(crate) fn cpu_options(settings: &Settings) -> CpuOptions {
    let serve = &settings.serve;
    CpuOptions {
        threads: NonZero::new(serve.threads as usize),
        // `auto`, the one value that names no instruction set, means the best there is.
        isa: serve.isa.parse().ok(),
        ..CpuOptions::default()
    }
}

/// The backend that computes.
pub(crate) fn backend(settings: &Settings) -> anyhow::Result<CpuBackend> {
    Ok(CpuBackend::new(cpu_options(settings))?)
}

/// The bytes that a file of /proc gives in units of 1024, by the name of the line.
pub(crate) fn proc_bytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Every precision, the widest first.
pub(crate) const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Int8];

/// How models are held where a request does not say.
pub(crate) fn precision(settings: &Settings) -> Precision {
    // The table admits names of precisions alone.
    Precision::from_exact_name(&settings.serve.precision).unwrap_or_default()
}

/// The same in the backend's words.
pub(crate) fn backend_precision(settings: &Settings) -> impasto_tensor::Precision {
    impasto_tensor::Precision::from_name(&settings.serve.precision).unwrap_or_default()
}

/// Folder for what may be computed again.
pub(crate) fn cache_dir(settings: &Settings) -> PathBuf {
    settings.data_dir().join("cache")
}

/// What requests may ask for.
pub(crate) fn limits(settings: &Settings) -> RequestLimits {
    let serve = &settings.serve;
    RequestLimits {
        max_edge: serve.max_edge,
        max_pixels: serve.max_pixels,
        max_steps: serve.max_steps,
        max_images: serve.max_images,
        ..RequestLimits::default()
    }
}

/// How the engine is set up.
pub(crate) fn engine_config(settings: &Settings) -> EngineConfig {
    let serve = &settings.serve;
    EngineConfig {
        data_dir: Some(settings.data_dir().to_owned()),
        models_dir: Some(settings.models_dir()),
        cache_dir: Some(cache_dir(settings)),
        builtin: builtin::models(),
        limits: limits(settings),
        precision: precision(settings),
        model_bytes: serve.model_memory_bytes,
        queue_limit: serve.max_queue as usize,
    }
}

/// The engine, with its thread started.
pub(crate) fn engine(settings: &Settings) -> anyhow::Result<Engine> {
    Ok(Engine::start(backend(settings)?, engine_config(settings))?)
}

/// Opens the file of a listed model.
pub(crate) fn open(entry: &ModelEntry) -> Result<Checkpoint, WeightsError> {
    let builtin = entry.filename.strip_prefix(BUILTIN);
    match builtin.and_then(|name| builtin::models().into_iter().find(|model| model.file_name == name)) {
        Some(model) => model.open(),
        None => Checkpoint::open(Path::new(&entry.filename)),
    }
}

/// The listed model that answers to `name`.
pub(crate) fn find_model(engine: &Engine, name: &str) -> anyhow::Result<Arc<ModelEntry>> {
    engine
        .find_model(name)
        .ok_or_else(|| failure(format!("model {name:?} not found"), "`impasto models list` shows the models"))
}

/// A checkpoint by path, or by the name of a listed model.
pub(crate) fn checkpoint(settings: &Settings, name: &str) -> anyhow::Result<Checkpoint> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(Checkpoint::open(path)?);
    }
    let engine = engine(settings)?;
    let opened = find_model(&engine, name).and_then(|entry| Ok(open(&entry)?));
    engine.shutdown(Duration::ZERO);
    opened
}

/// What asks the program to end: Ctrl-C, a service manager, a terminal that is closed.
pub(crate) struct StopSignal {
    #[cfg(unix)]
    signals: Vec<tokio::signal::unix::Signal>,
}

impl StopSignal {
    /// From now on, signals are noted instead of ending the program, and those that mean nothing to it are ignored.
    #[cfg(unix)]
    pub(crate) fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in signals_without_meaning() {
            // Once listened for, a signal never ends the program again. One that the C library keeps for itself cannot be.
            let _ = signal(kind);
        }
        let mut signals = vec![
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::quit())?,
        ];
        if !hang_up_is_ignored() {
            signals.push(signal(SignalKind::hangup())?);
        }
        Ok(Self { signals })
    }

    /// Nothing is to be prepared.
    #[cfg(not(unix))]
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next signal.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        std::future::poll_fn(|context| {
            let received = self.signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if received { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    /// Waits for the next signal.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Signals that would end the program, and by which nobody can mean that here. Those that tell of a defect of the program
/// are not among them, nor is SIGPIPE, which Rust ignores.
#[cfg(unix)]
fn signals_without_meaning() -> Vec<tokio::signal::unix::SignalKind> {
    use tokio::signal::unix::SignalKind;
    let mut kinds = vec![SignalKind::alarm(), SignalKind::user_defined1(), SignalKind::user_defined2()];
    if cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        // STKFLT, XCPU, XFSZ, VTALRM, PROF, IO, PWR, and those that programs may use as they like.
        let numbers = [16, 24, 25, 26, 27, 29, 30].into_iter().chain(34..=64);
        kinds.extend(numbers.map(SignalKind::from_raw));
    }
    kinds
}

/// Whether the program was started to outlive its terminal, as `nohup` does it. `false` where the system does not tell.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is signal 1, SIGHUP.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
