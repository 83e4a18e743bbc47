//! `impasto models prebuild`: prepares models' weights ahead, so that loading them takes next to no time.

use crate::failure::failure;
use crate::output;
use crate::resolve::Settings;
use crate::setup;
use anyhow::Context as _;
use impasto_cpu::CpuBackend;
use impasto_engine::{Engine, ModelEntry, PreparedWeights};
use impasto_models::StableDiffusion;
use impasto_tensor::Backend as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

const TEMPLATE: &str = "{wide_bar:.cyan} {bytes}/{total_bytes} {msg}";

/// Prepares the models named, or all, and removes what was prepared of models that are gone.
pub(crate) fn run(settings: &Settings, names: &[String]) -> anyhow::Result<()> {
    let engine = setup::engine(settings)?;
    let outcome = prebuild(settings, &engine, names);
    engine.shutdown(Duration::ZERO);
    outcome
}

fn prebuild(settings: &Settings, engine: &Engine, names: &[String]) -> anyhow::Result<()> {
    let backend = Arc::new(setup::backend(settings)?);
    let form = backend.prepared_form().context("this backend has no form of weights that can be kept")?;
    let store = PreparedWeights::new(&setup::cache_dir(settings), form);
    let entries = if names.is_empty() {
        engine.models()
    } else {
        names.iter().map(|name| setup::find_model(engine, name)).collect::<Result<_, _>>()?
    };
    let mut failed = 0;
    for entry in &entries {
        match prepare(settings, engine, &backend, &store, entry) {
            Ok(line) => output::print(&format!("{:<48} {line}", entry.title))?,
            Err(error) => {
                failed += 1;
                output::complain(&format!("{}: {error:#}", entry.title));
            }
        }
    }
    let (count, bytes) = store.remove_others(&wanted(&store, engine))?;
    if count > 0 {
        output::print(&format!("removed {count} that no model needs, {:.2} GB", bytes as f64 / 1e9))?;
    }
    if failed > 0 {
        return Err(failure(
            format!("{failed} of {} models were not prepared", entries.len()),
            "`impasto models list` says which can be used",
        ));
    }
    Ok(())
}

/// Files of the models there are, at every precision.
fn wanted(store: &PreparedWeights, engine: &Engine) -> HashSet<std::path::PathBuf> {
    let of = |entry: &Arc<ModelEntry>| {
        setup::PRECISIONS.iter().filter_map(|&precision| store.path(entry, precision)).collect::<Vec<_>>()
    };
    engine.models().iter().flat_map(of).collect()
}

/// Prepares one model and says what came of it.
fn prepare(
    settings: &Settings,
    engine: &Engine,
    backend: &Arc<CpuBackend>,
    store: &PreparedWeights,
    entry: &ModelEntry,
) -> anyhow::Result<String> {
    let bar = ProgressBar::with_draw_target(Some(entry.bytes), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar.set_message(format!("hashing {}", entry.title));
    bar.enable_steady_tick(Duration::from_millis(200));
    let outcome = (|| {
        let entry = engine.inspect_model(entry)?;
        let precision = setup::precision(settings);
        if store.open(&entry, precision).is_some() {
            return Ok("is prepared already".to_owned());
        }
        bar.set_message(format!("preparing {}", entry.title));
        let shown = bar.clone();
        let writer = Arc::new(store.create(&entry, precision, move |bytes| shown.set_position(bytes))?);
        let mut checkpoint = setup::open(&entry)?;
        checkpoint.keep_prepared_in(writer.clone());
        drop(StableDiffusion::load(backend.clone(), &checkpoint, setup::backend_precision(settings))?);
        drop(checkpoint);
        let writer = Arc::into_inner(writer).context("the file is still in use")?;
        let bytes = writer.finish().context("cannot write the prepared weights")?;
        Ok(format!("prepared, {:.2} GB", bytes as f64 / 1e9))
    })();
    bar.finish_and_clear();
    outcome
}
