//! `impasto bench parity`: runs the networks and samplers on the inputs of a file and compares with its outputs.
//!
//! The file comes from another implementation, such as PyTorch and k-diffusion. Groups that it does not have are skipped,
//! and that is said.

mod difference;
mod reference;
mod trajectory;

use super::arguments::precision;
use crate::failure::failure;
use crate::output;
use crate::resolve::Settings;
use crate::setup;
use anyhow::{Context as _, ensure};
use difference::Difference;
use impasto_models::{StableDiffusion, VaeEncoder};
use impasto_tensor::{Array, Backend};
use reference::Reference;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// What can stand in the file, for the help.
const GROUPS: &str = "\
The reference file is a .safetensors with any of these groups, each inputs -> outputs:

  clip.tokens [B,77] -> clip.hidden, clip.penultimate [B,77,D], both after the final norm
  unet.latent [B,4,h,w], unet.timestep [B], unet.context [B,T,D] -> unet.output
  vae.latent [B,4,h,w] -> vae.decoded [B,3,8h,8w], not clamped
  vae.image [B,3,8h,8w], -1 to 1 -> vae.encoded_mean, in the UNet's scale
  trajectory.NAME.noise [B,4,h,w] of unit variance, .context, .uncond [B,T,D], .cfg_scale, .steps -> .latent

NAME is a sampler (euler, dpmpp_2m, ddim) and perhaps a schedule: euler, dpmpp_2m_karras.";

#[derive(Debug, clap::Args)]
#[command(after_long_help = GROUPS)]
pub(crate) struct ParityArguments {
    /// A checkpoint: a file, or the name of a model.
    #[arg(long)]
    model: String,

    /// The file of inputs and outputs.
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,

    /// Largest relative L2 error of each output.
    #[arg(long, default_value_t = 1e-3)]
    tolerance: f64,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// An output that was compared or could not be.
struct Row {
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Compared(Difference),
    Skipped(String),
    Failed(String),
}

/// Inputs and an output that belong together, and how the one is computed from the others.
struct Group<B: Backend> {
    inputs: &'static [&'static str],
    output: &'static str,
    compute: fn(&Networks<B>, &Reference<'_>) -> anyhow::Result<Array>,
}

/// Everything that a checkpoint holds.
struct Networks<B: Backend> {
    model: StableDiffusion<B>,
    encoder: VaeEncoder<B>,
}

/// Everything but trajectories, whose names the file chooses.
fn groups<B: Backend>() -> [Group<B>; 5] {
    [
        Group {
            inputs: &["clip.tokens"],
            output: "clip.hidden",
            compute: |networks, reference| encode(networks, reference, 1),
        },
        Group {
            inputs: &["clip.tokens"],
            output: "clip.penultimate",
            compute: |networks, reference| encode(networks, reference, 2),
        },
        Group {
            inputs: &["unet.latent", "unet.timestep", "unet.context"],
            output: "unet.output",
            compute: denoise,
        },
        Group {
            inputs: &["vae.latent"],
            output: "vae.decoded",
            compute: |networks, reference| {
                Ok(networks.model.decoder.decode(&reference.array("vae.latent")?)?)
            },
        },
        Group {
            inputs: &["vae.image"],
            output: "vae.encoded_mean",
            compute: |networks, reference| {
                Ok(networks.encoder.encode_mean(&reference.array("vae.image")?)?)
            },
        },
    ]
}

fn encode<B: Backend>(
    networks: &Networks<B>,
    reference: &Reference<'_>,
    skip: usize,
) -> anyhow::Result<Array> {
    Ok(networks.model.text.encode(&reference.tokens("clip.tokens")?, skip)?)
}

fn denoise<B: Backend>(networks: &Networks<B>, reference: &Reference<'_>) -> anyhow::Result<Array> {
    let latent = reference.array("unet.latent")?;
    let timesteps = reference.array("unet.timestep")?;
    let contexts = reference.array("unet.context")?.unstack();
    Ok(networks.model.unet.forward(&latent, timesteps.data(), &contexts.iter().collect::<Vec<_>>())?)
}

pub(crate) fn run(arguments: &ParityArguments, settings: &Settings) -> anyhow::Result<()> {
    ensure!(arguments.tolerance > 0.0, "tolerance {} is not above 0", arguments.tolerance);
    let bytes = std::fs::read(&arguments.reference)
        .with_context(|| format!("cannot read {}", arguments.reference.display()))?;
    let reference = Reference::new(&arguments.reference, &bytes)?;
    let checkpoint = setup::checkpoint(settings, &arguments.model)?;
    let backend = Arc::new(setup::backend(settings)?);
    let networks = Networks {
        model: StableDiffusion::load(Arc::clone(&backend), &checkpoint, precision(settings))?,
        encoder: StableDiffusion::load_encoder(&backend, &checkpoint)?,
    };
    // The networks have their own copies of the weights.
    drop(checkpoint);

    let groups = groups();
    let parts = groups.iter().map(|group| compare(group, &networks, &reference));
    let mut rows: Vec<Row> = Vec::new();
    for row in parts.chain(trajectory::compare_each(&networks.model, &reference)) {
        // At once: a row of a large model takes minutes.
        if !arguments.json {
            output::print(&line(&row, arguments.tolerance))?;
        }
        rows.push(row);
    }
    if arguments.json {
        output::print_json(&report(&rows, arguments.tolerance))?;
    }
    verdict(&rows, arguments.tolerance)
}

fn compare<B: Backend>(group: &Group<B>, networks: &Networks<B>, reference: &Reference<'_>) -> Row {
    let name = group.output.to_owned();
    let needed: Vec<&str> = group.inputs.iter().copied().chain([group.output]).collect();
    let missing = reference.missing(&needed);
    let outcome = if missing.is_empty() {
        Outcome::of((group.compute)(networks, reference), reference.array(group.output))
    } else {
        Outcome::Skipped(format!("the reference has no {}", missing.join(", ")))
    };
    Row { name, outcome }
}

impl Outcome {
    fn of(found: anyhow::Result<Array>, wanted: anyhow::Result<Array>) -> Self {
        let difference = found.and_then(|found| Difference::between(&found, &wanted?));
        match difference {
            Ok(difference) => Self::Compared(difference),
            Err(error) => Self::Failed(format!("{error:#}")),
        }
    }

    /// Whether it speaks against parity.
    fn is_bad(&self, tolerance: f64) -> bool {
        match self {
            Self::Compared(difference) => !difference.within(tolerance),
            Self::Skipped(_) => false,
            Self::Failed(_) => true,
        }
    }

    fn word(&self, tolerance: f64) -> &'static str {
        match self {
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "failed",
            Self::Compared(_) if self.is_bad(tolerance) => "past tolerance",
            Self::Compared(_) => "ok",
        }
    }
}

fn line(Row { name, outcome }: &Row, tolerance: f64) -> String {
    let word = outcome.word(tolerance);
    match outcome {
        Outcome::Compared(Difference { relative_l2, largest }) => {
            format!("{name:<34} relative L2 {relative_l2:.2e}  largest error {largest:.2e}  {word}")
        }
        Outcome::Skipped(why) | Outcome::Failed(why) => format!("{name:<34} {word}: {why}"),
    }
}

fn report(rows: &[Row], tolerance: f64) -> serde_json::Value {
    let rows = rows.iter().map(|Row { name, outcome }| {
        let mut row = json!({ "name": name, "outcome": outcome.word(tolerance) });
        match outcome {
            Outcome::Compared(Difference { relative_l2, largest }) => {
                row["relative_l2"] = json!(relative_l2);
                row["largest_error"] = json!(largest);
            }
            Outcome::Skipped(why) | Outcome::Failed(why) => row["why"] = json!(why),
        }
        row
    });
    json!({ "tolerance": tolerance, "outputs": rows.collect::<Vec<_>>() })
}

fn verdict(rows: &[Row], tolerance: f64) -> anyhow::Result<()> {
    let bad: Vec<&str> =
        rows.iter().filter(|row| row.outcome.is_bad(tolerance)).map(|row| row.name.as_str()).collect();
    if !bad.is_empty() {
        return Err(failure(
            format!("no parity within {tolerance:e}: {}", bad.join(", ")),
            "--tolerance sets another bound; check that the reference was made from this model",
        ));
    }
    if rows.iter().all(|row| matches!(row.outcome, Outcome::Skipped(_))) {
        return Err(failure(
            "the reference has none of the groups that can be compared",
            "`impasto bench parity --help` lists them",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(outcome: Outcome) -> Row {
        Row { name: "unet.output".into(), outcome }
    }

    #[test]
    fn one_bad_output_or_none_at_all_is_no_parity() {
        let good = || row(Outcome::Compared(Difference { relative_l2: 1e-4, largest: 1.0 }));
        let skipped = || row(Outcome::Skipped("x".into()));
        assert!(verdict(&[good(), skipped()], 1e-3).is_ok());
        assert!(verdict(&[good(), skipped()], 1e-5).is_err());
        assert!(verdict(&[good(), row(Outcome::Failed("x".into()))], 1e-3).is_err());
        assert!(verdict(&[skipped()], 1e-3).is_err());
    }
}
