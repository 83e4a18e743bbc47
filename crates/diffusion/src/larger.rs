//! Latents and pictures made larger between two passes.

use crate::TrajectoryError;
use crate::step::Picture;
use impasto_imaging::{Filter, ImagingError, PlaneFilter, ResizeMode, Rgb, fit, fit_upscaled, resize_planes};
use impasto_tensor::Array;

/// Whether an upscaler of this name enlarges latents.
pub fn is_latent_upscaler(name: &str) -> bool {
    PlaneFilter::from_latent_upscaler(name).is_some()
}

/// A latent `[channels, height, width]` at another size.
pub(crate) fn stretched(
    latent: &Array,
    [height, width]: [usize; 2],
    filter: PlaneFilter,
) -> Result<Array, TrajectoryError> {
    let &[channels, from_height, from_width] = latent.shape() else {
        return Err(TrajectoryError::answer("a latent", format!("{:?}", latent.shape())));
    };
    let values = resize_planes(latent.data(), [channels, from_height, from_width], [height, width], filter)
        .map_err(|error| too_large(&error))?;
    Array::new([channels, height, width], values)
        .map_err(|error| TrajectoryError::answer("a latent", error.to_string()))
}

/// The middle of a latent, of so many cells.
pub(crate) fn middle(latent: &Array, [height, width]: [usize; 2]) -> Result<Array, TrajectoryError> {
    let &[channels, whole_height, whole_width] = latent.shape() else {
        return Err(TrajectoryError::answer("a latent", format!("{:?}", latent.shape())));
    };
    if whole_height < height || whole_width < width {
        let wanted = format!("a latent of at least {height} by {width} cells");
        return Err(TrajectoryError::answer(wanted, format!("{whole_height} by {whole_width}")));
    }
    let (top, left) = ((whole_height - height) / 2, (whole_width - width) / 2);
    let mut values = Vec::with_capacity(channels * height * width);
    for plane in latent.data().chunks_exact(whole_height * whole_width) {
        for row in plane.chunks_exact(whole_width).skip(top).take(height) {
            values.extend_from_slice(&row[left..left + width]);
        }
    }
    Array::new([channels, height, width], values)
        .map_err(|error| TrajectoryError::answer("a latent", error.to_string()))
}

/// The picture enlarged without a network, if its upscaler is none.
pub(crate) fn enlarge_plainly(
    picture: &Picture,
    upscaler: &str,
    (width, height): (u32, u32),
) -> Result<Option<Rgb>, ImagingError> {
    let picture = rgb(picture.clone())?;
    match upscaler {
        "None" | "Lanczos" => fit(&picture, ResizeMode::Stretch, width, height).map(Some),
        "Nearest" => fit_upscaled(&picture, ResizeMode::Stretch, width, height, |picture: &Rgb, factor| {
            let side = |length: u32| (f64::from(length) * factor) as u32;
            picture.resize(side(picture.width()), side(picture.height()), Filter::Nearest)
        })
        .map(Some),
        _ => Ok(None),
    }
}

pub(crate) fn rgb(picture: Picture) -> Result<Rgb, ImagingError> {
    Rgb::new(picture.width, picture.height, picture.rgb)
}

pub(crate) fn too_large(error: &ImagingError) -> TrajectoryError {
    TrajectoryError::request("hr_resize_x", "the second pass", format!("cannot be enlarged: {error}"))
}
