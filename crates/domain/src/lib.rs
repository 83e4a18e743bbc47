//! What a generation is: request, result, infotext, names and units. Plain data, no I/O.

mod infotext;
mod names;
mod request;
mod sampling;
mod shortcuts;

pub use infotext::{
    InfotextFacts, InfotextValue, PROGRAM_VERSION, compose_infotext, parse_infotext, python_float,
};
pub use names::{NoiseSource, Sampler, Schedule};
pub use request::{GenerationRequest, RequestError, RequestLimits, Seeds};
pub use sampling::{NoiseSchedule, SamplerOptions, UniPcSkip, UniPcVariant};
pub use shortcuts::Shortcuts;
