//! What a generation is: request, result, infotext, names and units. Plain data, no I/O.

mod names;
mod request;

pub use names::{NoiseSource, Sampler, Schedule};
pub use request::{GenerationRequest, RequestError, RequestLimits, Seeds};
