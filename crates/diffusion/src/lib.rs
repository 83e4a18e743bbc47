//! Prompts, noise, schedules, samplers, guidance: the trajectory of one image.
//!
//! A [`Trajectory`] never calls a network itself: it says what it needs ([`Step`]) and takes the answer, so that
//! whoever drives it may batch, pause, cancel and store many of them. What it computes is what AUTOMATIC1111's web UI
//! computes with k-diffusion; where it differs on purpose, the item says so.

mod begin;
mod conditions;
mod denoiser;
mod error;
mod guidance;
mod kept;
mod larger;
mod noise;
mod pass;
mod prompt;
mod refining;
mod sampler;
mod schedule;
mod spec;
mod step;
mod told;
mod trajectory;

pub use conditions::check_prompts;
pub use denoiser::{Denoiser, Level};
pub use error::TrajectoryError;
pub use guidance::classifier_free;
pub use larger::is_latent_upscaler;
pub use noise::{BrownianTree, ImageNoise, MersenneTwister, Philox};
pub use prompt::{
    CHUNK_TOKENS, Chunk, EmbeddingWord, ExtraNetwork, ExtraNetworks, MAX_CHUNKS, Part, PlacedEmbedding,
    PromptSide, Segment, TextSchedule, TextSpan, Timeline, TokenCount, count_tokens, parse_attention,
    split_parts,
};
pub use sampler::{InitialLatent, SamplerState, Sampling};
pub use schedule::{NoiseLevels, Scheduling};
pub use spec::{ImageSpec, ModelFacts, Models};
pub use step::{
    AdapterKind, AdapterUse, Answer, DecodeQuery, DenoiseQuery, DenoiseRow, Depth, EncodeQuery, ModelSlot,
    Picture, RowOutput, Step, TextQuery, UpscaleQuery,
};
pub use trajectory::Trajectory;
