//! What models that see more than the latent are told of a picture: those made for inpainting, and those that follow instructions.

use crate::TrajectoryError;
use crate::pass::Pass;
use impasto_domain::Conditioning;
use impasto_tensor::Array;

/// What is to be told.
#[derive(Debug)]
pub(crate) struct Told {
    /// To be encoded, `[3, height, width]`.
    pub(crate) pixels: Array,
    /// Where the latent is painted anew, 0 to 1.
    pub(crate) mask: Vec<f32>,
}

/// What a model for inpainting is told where there is no picture: that all of it is hidden. One that follows instructions has
/// nothing to follow them on.
pub(crate) fn nothing_to_see(pass: &Pass, downscale: usize) -> Result<Option<Told>, TrajectoryError> {
    match pass.conditioning() {
        Conditioning::None => Ok(None),
        Conditioning::Inpainting => {
            let [height, width] = pass.cells();
            let grey = Array::zeros([3, height * downscale, width * downscale]);
            Ok(Some(Told { pixels: grey, mask: vec![1.0; height * width] }))
        }
        Conditioning::Instructions => Err(TrajectoryError::request(
            "init_images",
            "of no pictures",
            "will not do: this model follows instructions about a picture (image to image)",
        )),
    }
}

/// What a model for inpainting is told of a picture `[3, height, width]`, of which `mask`, or everything, is painted anew: where
/// that is, and the rest. `weight` is how much of the former is hidden.
pub(crate) fn masked(
    pass: &Pass,
    pixels: &Array,
    mask: Option<&[f32]>,
    weight: f32,
) -> Result<Option<Told>, TrajectoryError> {
    let (Conditioning::Inpainting, &[channels, height, width]) = (pass.conditioning(), pixels.shape()) else {
        return Ok(None);
    };
    let anew = |at: usize| mask.map_or(1.0, |mask| mask[at]);
    let size = height * width;
    let values = pixels.data().iter().enumerate().map(|(at, value)| value * (1.0 - weight * anew(at % size)));
    let hidden = Array::new([channels, height, width], values.collect::<Vec<f32>>())
        .map_err(|error| TrajectoryError::answer("pixels", error.to_string()))?;
    // A cell is as its first pixel.
    let [rows, columns] = pass.cells();
    let cell = |row, column| anew(row * height / rows * width + column * width / columns);
    let mask = (0..rows).flat_map(|row| (0..columns).map(move |column| cell(row, column))).collect();
    Ok(Some(Told { pixels: hidden, mask }))
}
