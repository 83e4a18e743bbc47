//! What the measuring commands take, and which model it means.

use crate::failure::usage;
use crate::resolve::Settings;
use crate::setup;
use clap::ValueEnum;
use impasto_cpu::CpuBackend;
use impasto_tensor::Precision;
use impasto_weights::{Checkpoint, StableDiffusionConfig};
use std::path::Path;

/// Highest and widest picture, in pixels.
const MOST_PIXELS: usize = 4096;
const MOST_ROWS: usize = 64;
const MOST_RUNS: usize = 1000;

/// A family of models of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Arch {
    /// Stable Diffusion 1.5.
    Sd15,
    /// Stable Diffusion XL.
    Sdxl,
}

impl Arch {
    /// The name at the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sd15 => "sd15",
            Self::Sdxl => "sdxl",
        }
    }
}

/// The backend that the settings ask for.
pub(super) fn backend(settings: &Settings) -> anyhow::Result<CpuBackend> {
    Ok(CpuBackend::new(setup::cpu_options(settings))?)
}

/// How the denoising network is held in measurements.
pub(super) fn precision(settings: &Settings) -> Precision {
    setup::backend_precision(settings)
}

#[derive(Debug, clap::Args)]
pub(super) struct ModelArguments {
    /// Architecture to measure with random weights. Whole jobs and loading know sd15 only.
    #[arg(long, value_enum, default_value = "sd15")]
    arch: Arch,

    /// A checkpoint to measure instead: a file, or the name of a model.
    #[arg(long, value_name = "NAME_OR_FILE", conflicts_with = "arch")]
    pub(super) model: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct SizeArguments {
    /// Width of the picture; without it, the model's own.
    #[arg(long, value_name = "PIXELS", value_parser = parse_pixels, allow_negative_numbers = true)]
    width: Option<usize>,

    /// Height of the picture; without it, the model's own.
    #[arg(long, value_name = "PIXELS", value_parser = parse_pixels, allow_negative_numbers = true)]
    height: Option<usize>,
}

impl SizeArguments {
    /// Width and height.
    pub(super) fn or(&self, (width, height): (usize, usize)) -> [usize; 2] {
        [self.width.unwrap_or(width), self.height.unwrap_or(height)]
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct RunArguments {
    /// Rows of the batch.
    #[arg(long, value_name = "ROWS", default_value = "1", value_parser = parse_batch, allow_negative_numbers = true)]
    pub(super) batch: usize,

    /// Measured runs [default: 5, of txt2img 1].
    #[arg(long, value_parser = parse_runs, allow_negative_numbers = true)]
    pub(super) runs: Option<usize>,

    /// Print one line of JSON.
    #[arg(long)]
    pub(super) json: bool,

    /// After the runs, say what each operation took.
    #[arg(long)]
    pub(super) profile: bool,

    /// Make one run for each line on standard input and answer with a line of JSON; the first line says what is ready.
    #[arg(long, conflicts_with_all = ["runs", "profile", "json"])]
    pub(super) turns: bool,
}

pub(super) fn parse_batch(text: &str) -> Result<usize, String> {
    number(text, MOST_ROWS).ok_or_else(|| format!("a batch has 1 to {MOST_ROWS} rows"))
}

pub(super) fn parse_runs(text: &str) -> Result<usize, String> {
    number(text, MOST_RUNS).ok_or_else(|| format!("give a number of runs from 1 to {MOST_RUNS}"))
}

fn parse_pixels(text: &str) -> Result<usize, String> {
    let size = number(text, MOST_PIXELS).filter(|size| size.is_multiple_of(8));
    size.ok_or_else(|| format!("a size is a multiple of 8 from 8 to {MOST_PIXELS}, such as 512"))
}

fn number(text: &str, most: usize) -> Option<usize> {
    text.parse().ok().filter(|number| (1..=most).contains(number))
}

impl ModelArguments {
    /// The architecture of random weights; `None` if there is a checkpoint.
    pub(super) fn arch(&self) -> Option<Arch> {
        self.model.is_none().then_some(self.arch)
    }

    /// The checkpoint named, or one of random weights.
    pub(super) fn open(&self, settings: &Settings) -> anyhow::Result<Checkpoint> {
        match &self.model {
            Some(name) => setup::checkpoint(settings, name),
            None => Ok(Checkpoint::random(&self.config())),
        }
    }

    /// The same, of a model that whole jobs can be made with.
    pub(super) fn open_for_jobs(&self, settings: &Settings) -> anyhow::Result<Checkpoint> {
        match &self.model {
            Some(_) => self.open(settings),
            None => Ok(Checkpoint::random(&self.job_config()?)),
        }
    }

    /// The sizes of random weights.
    fn config(&self) -> StableDiffusionConfig {
        match self.arch {
            Arch::Sd15 => StableDiffusionConfig::stable_diffusion_1_5(),
            Arch::Sdxl => StableDiffusionConfig::stable_diffusion_xl(),
        }
    }

    /// The sizes of random weights that whole jobs can be made with.
    pub(super) fn job_config(&self) -> anyhow::Result<StableDiffusionConfig> {
        match self.arch {
            Arch::Sd15 => Ok(self.config()),
            Arch::Sdxl => Err(usage(
                "jobs do not take SDXL yet: they know one text encoder and no picture sizes",
                "`impasto bench unet|clip|vae --arch sdxl` time its networks one by one",
            )),
        }
    }

    /// The checkpoint named, if it is a file.
    pub(super) fn file(&self) -> Option<&Path> {
        self.model.as_deref().map(Path::new).filter(|path| path.is_file())
    }
}
