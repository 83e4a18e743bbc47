//! Prompts, noise, schedules, samplers, guidance: the trajectory of one image.

mod step;

pub use step::{Answer, DecodeQuery, DenoiseQuery, DenoiseRow, Picture, Step, TextQuery};
