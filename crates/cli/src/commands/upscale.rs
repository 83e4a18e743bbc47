//! `impasto upscale`: a picture enlarged, into a file.

use crate::commands::txt2img::files::Destination;
use crate::failure::failure;
use crate::output;
use crate::resolve::Settings;
use crate::setup;
use anyhow::Context as _;
use impasto_engine::{FileKind, Library, Upscalers};
use impasto_imaging::{Filter, Rgb, decode, read_metadata, upscale};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TEMPLATE: &str = "{wide_bar:.cyan} {pos}/{len} tiles, {eta} left";
/// Enlargement by an upscaler that has none of its own.
const SCALE: f64 = 4.0;
/// Upscalers that need no file.
const FILTERS: &[(&str, Filter)] = &[("Lanczos", Filter::Lanczos), ("Nearest", Filter::Nearest)];

/// What may be said of an enlargement.
#[derive(Debug, clap::Args)]
pub(crate) struct UpscaleArguments {
    /// The picture: PNG, JPEG, WebP or GIF.
    picture: PathBuf,

    /// Lanczos, Nearest, a file of models/ESRGAN or models/RealESRGAN by its name, or the path of one.
    #[arg(short, long, value_name = "NAME")]
    upscaler: String,

    /// The file to write: .png, .jpg or .webp; `-` writes PNG to standard output. Without it, the first free one of impasto-0001.png,
    /// impasto-0002.png, ...
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Enlargement in both directions, to sides that are multiples of 8; without it, what the upscaler does in one run, or else 4.
    #[arg(long, value_name = "FACTOR", value_parser = parse_scale, allow_negative_numbers = true)]
    scale: Option<f64>,

    /// Edge of the tiles on which an upscaler runs; 0 is the picture as a whole.
    #[arg(long, value_name = "PIXELS", default_value_t = 192)]
    tile: u32,

    /// What neighbouring tiles share at least.
    #[arg(long, value_name = "PIXELS", default_value_t = 8)]
    tile_overlap: u32,

    /// Overwrite the file.
    #[arg(long)]
    force: bool,
}

fn parse_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.05..=16.0).contains(&scale) => Ok(scale),
        _ => Err("allowed are 0.05 to 16".to_owned()),
    }
}

/// Enlarges the picture. Texts of its file, such as the infotext, go with it.
pub(crate) fn run(arguments: &UpscaleArguments, settings: &Settings) -> anyhow::Result<()> {
    let quality = settings.options.jpeg_quality;
    let destination = Destination::plan(arguments.output.as_deref(), 1, arguments.force, quality)?;
    let shown = arguments.picture.display();
    let file = std::fs::read(&arguments.picture).with_context(|| format!("cannot read {shown}"))?;
    let most = settings.serve.max_pixels;
    let picture = decode(&file, most).with_context(|| shown.to_string())?.to_rgb();
    let made = match FILTERS.iter().find(|(name, _)| *name == arguments.upscaler) {
        Some(&(_, filter)) => upscale(&picture, arguments.scale.unwrap_or(SCALE), |picture| {
            let side = |side: u32| ((f64::from(side) * arguments.scale.unwrap_or(SCALE)) as u32).max(1);
            picture.resize(side(picture.width()), side(picture.height()), filter)
        })?,
        None => by_file(arguments, settings, &picture)?,
    };
    let metadata = read_metadata(&file, most).unwrap_or_default();
    if let Some(path) = destination.write_picture(&made, &metadata)? {
        output::print(&format!("{} {}x{}", path.display(), made.width(), made.height()))?;
    }
    Ok(())
}

/// By a network.
fn by_file(arguments: &UpscaleArguments, settings: &Settings, picture: &Rgb) -> anyhow::Result<Rgb> {
    let file = find(settings, &arguments.upscaler)?;
    let upscalers = Upscalers::new(Arc::new(setup::backend(settings)?), u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    let pass = |picture: &Rgb| {
        upscalers.run(&file, picture, arguments.tile, arguments.tile_overlap, &mut |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            true
        })
    };
    let made = match arguments.scale {
        Some(scale) => upscale(picture, scale, |picture| pass(picture).map_err(anyhow::Error::from)),
        None => pass(picture).map_err(anyhow::Error::from),
    };
    bar.finish_and_clear();
    made
}

/// The file of an upscaler's name.
fn find(settings: &Settings, name: &str) -> anyhow::Result<PathBuf> {
    let library = Library::new(Some(settings.data_dir().to_owned()), None);
    if let Some(file) = library.find(FileKind::Upscaler, name) {
        return Ok(file.path.clone());
    }
    let path = Path::new(name);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let names = FILTERS.iter().map(|(name, _)| (*name).to_owned());
    let files = library.files(FileKind::Upscaler);
    let known: Vec<String> = names.chain(files.iter().map(|file| file.name.clone())).collect();
    Err(failure(
        format!("upscaler {name:?} not found; there are {}", known.join(", ")),
        "`impasto models import FILE` adds one",
    ))
}
