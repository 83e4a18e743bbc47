//! `impasto models list` and `impasto models info`.

use crate::output;
use crate::resolve::Settings;
use crate::setup;
use impasto_engine::ModelEntry;
use impasto_weights::{Checkpoint, StableDiffusionConfig, WeightsError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A line for each model. Headers are read, so that what cannot be used is shown as such.
pub(crate) fn list(settings: &Settings, as_json: bool) -> anyhow::Result<()> {
    let engine = setup::engine(settings)?;
    let entries = engine.models();
    engine.shutdown(Duration::ZERO);
    if as_json {
        return output::print_json(&entries.iter().map(summary).collect::<Value>());
    }
    for entry in &entries {
        output::print(&format!("{:<48} {:>10}  {}", entry.title, size(entry.bytes), verdict(entry)))?;
    }
    if entries.is_empty() {
        output::complain(&format!("no models; put checkpoints into {}", settings.models_dir().display()));
    }
    Ok(())
}

/// Everything to be known of one model. Its hash is computed if it is not known yet.
pub(crate) fn info(settings: &Settings, name: &str, as_json: bool) -> anyhow::Result<()> {
    let engine = setup::engine(settings)?;
    let details = setup::find_model(&engine, name).and_then(|entry| {
        let checkpoint = setup::open(&entry)?;
        let config = checkpoint.config()?;
        let entry = engine.inspect_model(&entry)?;
        Ok(details(&entry, &checkpoint, &config))
    });
    engine.shutdown(Duration::ZERO);
    let details = details?;
    if as_json {
        return output::print_json(&details);
    }
    for (key, value) in details.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        output::print(&format!("{key:<16} {text}"))?;
    }
    Ok(())
}

fn read_config(entry: &ModelEntry) -> Result<StableDiffusionConfig, WeightsError> {
    setup::open(entry)?.config()
}

fn verdict(entry: &ModelEntry) -> String {
    match read_config(entry) {
        Ok(config) => format!("{}x{}", config.native_size.0, config.native_size.1),
        Err(error) => format!("cannot be used: {error}"),
    }
}

fn summary(entry: &Arc<ModelEntry>) -> Value {
    let config = read_config(entry);
    json!({
        "title": entry.title,
        "name": entry.name,
        "filename": entry.filename,
        "sha256": entry.sha256,
        "bytes": entry.bytes,
        "native_size": config.as_ref().ok().map(|config| config.native_size),
        "problem": config.as_ref().err().map(ToString::to_string),
    })
}

fn details(entry: &ModelEntry, checkpoint: &Checkpoint, config: &StableDiffusionConfig) -> Value {
    let levels = config.unet.levels.iter();
    json!({
        "title": entry.title,
        "file": entry.filename,
        "format": checkpoint.container().to_string(),
        "kind": checkpoint.kind().to_string(),
        "bytes": entry.bytes,
        "sha256": entry.sha256,
        "native size": format!("{}x{}", config.native_size.0, config.native_size.1),
        "prediction": format!("{:?}", config.prediction).to_lowercase(),
        "text encoder": format!(
            "{} layers of {} features, {} tokens known",
            config.text.layers, config.text.width, config.text.vocabulary
        ),
        "unet": format!(
            "channels {}, context of {} features",
            join(levels.map(|level| level.channels)),
            config.unet.context_features
        ),
        "autoencoder": format!(
            "channels {}, latent of {} channels at 1/{}",
            join(config.vae.channels.iter().copied()),
            config.vae.latent_channels,
            config.vae.downscale()
        ),
        "metadata": checkpoint.metadata(),
    })
}

fn join(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

/// Bytes in words: `31.4 MB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut size = bytes as f64 / 1000.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if size < 1000.0 {
            break;
        }
        size /= 1000.0;
        unit = next;
    }
    format!("{size:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        for (bytes, wanted) in
            [(0, "0.0 kB"), (31_400_000, "31.4 MB"), (4_265_380_512, "4.3 GB"), (u64::MAX, "18446744.1 TB")]
        {
            assert_eq!(size(bytes), wanted);
        }
    }
}
