//! Pictures to begin from: kept under their sums, and enlarged before they are painted over.

use crate::app::App;
use crate::error::Failure;
use crate::save::save_once;
use crate::sent::unusable;
use impasto_api::{ApiError, DecodedPictures};
use impasto_domain::{Bitmap, GenerationRequest, ResizeMode};
use impasto_imaging::{Format, Rgba, encode_picture};
use impasto_settings::Options;
use md5::{Digest as _, Md5};
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
    format!("{:032x}", u128::from_be_bytes(Md5::digest(samples).into()))
}

/// Enlarges the pictures to begin from, where they are too small, by the upscaler that the options name. Only whole pictures
/// are: surroundings of masks are cut out later.
pub(crate) async fn enlarge(
    app: &App,
    mut generation: GenerationRequest,
    options: &Options,
) -> Result<GenerationRequest, Failure> {
    let name = options.upscaler_for_img2img.clone().filter(|name| !matches!(name.as_str(), "" | "None"));
    let (Some(name), Some(source), Some(width), Some(height)) =
        (name, &generation.from_picture, generation.width, generation.height)
    else {
        return Ok(generation);
    };
    let mode = match source.resize_mode {
        ResizeMode::Stretch => impasto_imaging::ResizeMode::Stretch,
        ResizeMode::Crop => impasto_imaging::ResizeMode::Crop,
        ResizeMode::Fill => impasto_imaging::ResizeMode::Fill,
        ResizeMode::Latent => return Ok(generation),
    };
    let size = [width, height].map(|side| (side / CELL * CELL).max(CELL));
    let is_small = move |image: &Bitmap| image.width < size[0] || image.height < size[1];
    let only_masked = source.inpainting.as_ref().is_some_and(|inpainting| inpainting.only_masked);
    if only_masked || !source.images.iter().any(is_small) {
        return Ok(generation);
    }
    let enlarger = app.engine().enlarger().clone();
    if !enlarger.knows(&name) {
        // As in A1111: the picture is enlarged without it.
        tracing::warn!(upscaler = name, "there is no upscaler of the name that upscaler_for_img2img gives");
        return Ok(generation);
    }
    let Some(mut source) = generation.from_picture.take().map(Arc::unwrap_or_clone) else {
        return Ok(generation);
    };
    let tiles = [options.esrgan_tile, options.esrgan_tile_overlap];
    let source = app.enlarging(move |client| {
        for image in source.images.iter_mut().filter(|image| is_small(image)) {
            let picture = Rgba::new(image.width, image.height, std::mem::take(&mut image.rgba));
            let picture = picture.map_err(unusable)?.flatten(source.background);
            let fitted = (mode, size[0], size[1]);
            let made = enlarger.fit(&name, &picture, fitted, tiles, &mut |_, _| client.waits())?;
            (image.width, image.height) = made.size();
            image.rgba = made.to_rgba().into_samples();
        }
        Ok(source)
    });
    generation.from_picture = Some(Arc::new(source.await?));
    Ok(generation)
}
