//! Pictures to begin from: kept under their sums, and enlarged before they are painted over.

use crate::app::App;
use crate::error::Failure;
use crate::save::save_once;
use crate::sent::unusable;
use impasto_api::{ApiError, DecodedPictures};
use impasto_domain::{FromPicture, GenerationRequest, ResizeMode};
use impasto_engine::EngineError;
use impasto_imaging::{Format, ImagingError, Rgb, Rgba, encode_picture, fit_upscaled};
use impasto_settings::Options;
use md5::{Digest as _, Md5};
use std::fmt::Write as _;
use std::sync::Arc;

/// Pixels along the edge of a latent cell, of which sizes are multiples.
const CELL: u32 = 8;

/// Keeps the pictures below the data root if the options say so, and gives the sum of the last one.
pub(crate) fn keep(
    app: &App,
    pictures: &DecodedPictures,
    options: &Options,
) -> Result<Option<String>, ApiError> {
    if !options.save_init_img {
        return Ok(None);
    }
    let folder = app.settings().data_dir.join(&options.outdir_init_images);
    let mut last = None;
    for bitmap in &pictures.images {
        let picture = Rgba::new(bitmap.width, bitmap.height, bitmap.rgba.clone()).map_err(unusable)?;
        let opaque = picture.pixels().iter().all(|pixel| pixel[3] == 255);
        // Sums are over what the picture has: three samples a pixel, or four where it is transparent anywhere.
        let (sum, file) = if opaque {
            let picture = picture.to_rgb();
            (sum(picture.samples()), encode_picture(&picture, Format::Png, None))
        } else {
            (sum(picture.samples()), encode_picture(&picture, Format::Png, None))
        };
        save_once(&folder.join(format!("{sum}.png")), &file.map_err(unusable)?).map_err(|error| {
            let folder = &options.outdir_init_images;
            ApiError::exception("OSError", format!("cannot save to {folder}: {error}"))
        })?;
        last = Some(sum);
    }
    Ok(last)
}

fn sum(samples: &[u8]) -> String {
    Md5::digest(samples).iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Enlarges the pictures to begin from, where they are too small, by the upscaler that the options name. Only whole pictures
/// are: surroundings of masks are cut out later.
pub(crate) fn enlarge(
    app: &App,
    generation: &mut GenerationRequest,
    options: &Options,
) -> Result<(), Failure> {
    let Some(name) = options.upscaler_for_img2img.as_deref().filter(|name| !matches!(*name, "" | "None"))
    else {
        return Ok(());
    };
    let (Some(source), Some(width), Some(height)) =
        (&mut generation.from_picture, generation.width, generation.height)
    else {
        return Ok(());
    };
    let mode = match source.resize_mode {
        ResizeMode::Stretch => impasto_imaging::ResizeMode::Stretch,
        ResizeMode::Crop => impasto_imaging::ResizeMode::Crop,
        ResizeMode::Fill => impasto_imaging::ResizeMode::Fill,
        ResizeMode::Latent => return Ok(()),
    };
    if source.inpainting.as_ref().is_some_and(|inpainting| inpainting.only_masked) {
        return Ok(());
    }
    if !app.engine().enlarger().knows(name) {
        // As in A1111: the picture is enlarged without it.
        tracing::warn!(upscaler = name, "there is no upscaler of the name that upscaler_for_img2img gives");
        return Ok(());
    }
    let size = (width / CELL * CELL, height / CELL * CELL);
    let source: &mut FromPicture = Arc::make_mut(source);
    for image in &mut source.images {
        if image.width >= size.0 && image.height >= size.1 {
            continue;
        }
        let picture = Rgba::new(image.width, image.height, std::mem::take(&mut image.rgba));
        let picture = picture.map_err(unusable)?.flatten(source.background);
        let tiles = [options.esrgan_tile, options.esrgan_tile_overlap];
        let by_network = |picture: &Rgb, factor: f64| {
            let enlarger = app.engine().enlarger();
            enlarger.enlarge(name, picture, factor, tiles, &mut |_, _| true).map_err(Problem::Engine)
        };
        let made = fit_upscaled(&picture, mode, size.0.max(CELL), size.1.max(CELL), by_network)?;
        (image.width, image.height) = made.size();
        image.rgba = made.to_rgba().into_samples();
    }
    Ok(())
}

/// What can go wrong while a picture is enlarged.
enum Problem {
    Engine(EngineError),
    Imaging(ImagingError),
}

impl From<ImagingError> for Problem {
    fn from(error: ImagingError) -> Self {
        Self::Imaging(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Engine(error) => error.into(),
            Problem::Imaging(error) => unusable(error).into(),
        }
    }
}
