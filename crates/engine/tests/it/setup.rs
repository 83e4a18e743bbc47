//! A model folder with copies of the tiny checkpoint, and an engine on it.

use impasto_domain::{GenerationRequest, Sampler};
use impasto_engine::{Engine, EngineConfig, JobStatus, SubmitOptions, Watcher};
use impasto_tensor::reference::ReferenceBackend;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The checkpoint that goldens are made with.
pub(crate) fn tiny_checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/tiny.safetensors")
}

/// A folder whose `models` holds the tiny checkpoint under each of the names.
pub(crate) fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("models")).unwrap();
    for name in names {
        std::fs::copy(tiny_checkpoint(), folder.path().join("models").join(name)).unwrap();
    }
    folder
}

/// An engine on the folder's models.
pub(crate) fn engine(folder: &tempfile::TempDir, change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig {
        models_dir: Some(folder.path().join("models")),
        cache_dir: Some(folder.path().join("cache")),
        ..Default::default()
    };
    change(&mut config);
    Engine::start(ReferenceBackend::default(), config).unwrap()
}

/// A small picture in a few steps.
pub(crate) fn request() -> GenerationRequest {
    GenerationRequest {
        prompt: "a cat".into(),
        width: Some(32),
        height: Some(32),
        steps: 3,
        sampler: Sampler::EulerAncestral,
        seed: Some(7),
        subseed: Some(1),
        ..Default::default()
    }
}

pub(crate) const PLAIN: SubmitOptions = SubmitOptions { cancel_when_unwatched: false, previews: None };

/// Runs a future to its end.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The last snapshot of a job.
pub(crate) fn finish(watcher: Watcher) -> Arc<JobStatus> {
    wait(watcher.finished())
}
