//! Times the UNet of a checkpoint: one call for each line on standard input, its seconds on standard output.
//!
//! The first line written says what runs and how large the process is then. `reference/time_unet.py` drives it in turns with
//! PyTorch; by hand:
//!
//! ```text
//! yes '' | head -3 | cargo run --release -p impasto-models --example unet_time -- MODEL [SIZE [BATCH]]
//! ```

use impasto_cpu::{CpuBackend, CpuOptions};
use impasto_models::StableDiffusion;
use impasto_tensor::{Array, Backend};
use impasto_weights::Checkpoint;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = PathBuf::from(arguments.next().ok_or("which model?")?);
    let size: usize = arguments.next().map_or(Ok(512), |size| size.parse())?;
    let batch: usize = arguments.next().map_or(Ok(1), |batch| batch.parse())?;

    let backend = Arc::new(CpuBackend::new(CpuOptions::default())?);
    let model = StableDiffusion::load(Arc::clone(&backend), &Checkpoint::open(&model)?)?;
    let latent = waves(&[batch, model.config.unet.in_channels, size / 8, size / 8])?;
    let context = waves(&[77, model.config.unet.context_features])?;
    let contexts = vec![&context; batch];
    let timesteps = vec![500.0; batch];

    let mut output = std::io::stdout().lock();
    writeln!(output, "{}, {size} pixels, batch {batch}, {}", backend.describe(), memory()?)?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let started = Instant::now();
        model.unet.forward(&latent, &timesteps, &contexts)?;
        writeln!(output, "{:.4} seconds, {}", started.elapsed().as_secs_f64(), memory()?)?;
        output.flush()?;
    }
    Ok(())
}

/// Numbers of about unit variance.
fn waves(shape: &[usize]) -> Result<Array, Box<dyn Error>> {
    let elements = (0..shape.iter().product()).map(|i: usize| 1.4 * (i as f32 * 1.7).sin()).collect();
    Ok(Array::new(shape, elements)?)
}

/// Resident memory, now and at its peak, as Linux tells it.
fn memory() -> Result<String, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let megabytes = |key: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0_u64) / 1000
    };
    Ok(format!("{} MB resident, {} at most", megabytes("VmRSS:"), megabytes("VmHWM:")))
}
