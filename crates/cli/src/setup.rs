//! The parts of the service, put together from the settings. The only place that names a concrete backend.

use crate::builtin;
use crate::failure::failure;
use crate::resolve::Settings;
use impasto_cpu::{CpuBackend, CpuOptions};
use impasto_domain::RequestLimits;
use impasto_engine::{Engine, EngineConfig, ModelEntry};
use impasto_weights::{Checkpoint, WeightsError};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What the file name of a model inside the program begins with.
const BUILTIN: &str = "builtin:";

/// The backend that computes.
pub(crate) fn backend(settings: &Settings) -> anyhow::Result<CpuBackend> {
    let serve = &settings.serve;
    let options = CpuOptions {
        threads: NonZero::new(serve.threads as usize),
        // `auto`, the one value that names no instruction set, means the best there is.
        isa: serve.isa.parse().ok(),
        ..CpuOptions::default()
    };
    Ok(CpuBackend::new(options)?)
}

/// The engine, with its thread started.
pub(crate) fn engine(settings: &Settings) -> anyhow::Result<Engine> {
    let serve = &settings.serve;
    let config = EngineConfig {
        models_dir: Some(settings.models_dir()),
        cache_dir: Some(settings.data_dir().join("cache")),
        builtin: builtin::models(),
        limits: RequestLimits {
            max_edge: serve.max_edge,
            max_pixels: serve.max_pixels,
            max_steps: serve.max_steps,
            max_images: serve.max_images,
            ..RequestLimits::default()
        },
        model_bytes: serve.model_memory_bytes,
        queue_limit: serve.max_queue as usize,
    };
    Ok(Engine::start(backend(settings)?, config)?)
}

/// Opens the file of a listed model.
pub(crate) fn open(entry: &ModelEntry) -> Result<Checkpoint, WeightsError> {
    let builtin = entry.filename.strip_prefix(BUILTIN);
    match builtin.and_then(|name| builtin::models().into_iter().find(|model| model.file_name == name)) {
        Some(model) => Checkpoint::from_static(model.file_name, model.bytes),
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
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
}

impl StopSignal {
    /// From now on, signals are noted instead of ending the program.
    pub(crate) fn new() -> anyhow::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
