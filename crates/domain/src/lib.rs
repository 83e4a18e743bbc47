//! What a generation is: request, result, infotext, names and units. Plain data, no I/O.

mod autoencoder;
mod beginning;
mod comments;
mod flow;
mod infotext;
mod names;
mod networks;
mod prompt_rules;
mod request;
mod sampling;
mod shortcuts;
mod styles;

pub use autoencoder::{Decoding, VaeChoice};
pub use beginning::{Bitmap, FromPicture, Hires, HiresSizes, Inpainting, MaskedContent, ResizeMode};
pub use comments::without_comments;
pub use flow::{AsideKind, Asides, Conditioning, RefinedPass, Refiner, SoftInpainting};
pub use infotext::{
    FoundStyles, InfotextFacts, InfotextOptions, InfotextRules, InfotextValue, PROGRAM_VERSION,
    compose_infotext, infotext_settings, novel_ai_infotext, old_first_pass, parse_infotext,
    parse_infotext_by, python_float, with_parameters,
};
pub use names::{NoiseSource, Precision, Sampler, Schedule};
pub use networks::DefaultNetworks;
pub use prompt_rules::{Emphasis, PromptRules};
pub use request::{GenerationRequest, RequestError, RequestLimits, Seeds};
pub use sampling::{NoiseSchedule, SamplerOptions, UniPcSkip, UniPcVariant};
pub use shortcuts::Shortcuts;
pub use styles::{Style, StylesError, csv_line, merge_styles, parse_styles, write_styles};
