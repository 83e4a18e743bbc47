//! Small networks in the place of an autoencoder: they make a picture of a latent, or a latent of a picture, in a fraction of the time, and
//! less well. Latents are in the UNet's scale.

mod approximate;
mod tiny;

pub use approximate::ApproximateDecoder;
pub use tiny::{TinyDecoder, TinyEncoder};

use crate::ModelError;
use impasto_tensor::Array;
use impasto_weights::Checkpoint;

/// Most channels of a layer that are believed.
const MOST_CHANNELS: usize = 512;

/// Channels that come into and out of the convolution whose weight is `name`.
fn channels(file: &Checkpoint, name: &str) -> Result<[usize; 2], ModelError> {
    match *file.tensor(name)?.shape() {
        [outputs, inputs, _, _]
            if (1..=MOST_CHANNELS).contains(&outputs.max(inputs)) && outputs * inputs > 0 =>
        {
            Ok([inputs, outputs])
        }
        ref shape => Err(ModelError::Input(format!("{} has `{name}` of the shape {shape:?}", file.file()))),
    }
}

/// Refuses what is no batch of pictures of so many channels, with sides that are multiples of `unit`.
fn check(pictures: &Array, channels: usize, unit: usize) -> Result<(), ModelError> {
    let fits = |&side: &usize| side > 0 && side.is_multiple_of(unit);
    match pictures.shape() {
        [n, found, height, width] if *n > 0 && *found == channels && fits(height) && fits(width) => Ok(()),
        shape => Err(ModelError::Input(format!(
            "an array of shape {shape:?} for a network of {channels} channels"
        ))),
    }
}
