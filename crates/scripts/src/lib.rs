//! A1111's selectable scripts as compositions: one request becomes many, and their pictures become one answer.
//!
//! A script that has begun is a [`Composition`], a state machine that says which requests it wants painted ([`Ask`]), takes what
//! became of them ([`Answer`]) and ends with the pictures of the answer ([`Made`]). Whoever drives it submits the requests, waits,
//! and may end it early: it then comes to what there is. So nothing here waits or paints, and the engine knows of no scripts.
//! What scripts there are and what they take is [`SCRIPTS`].

mod arguments;
mod base;
mod composition;
mod error;
mod loopback;
mod outpainting;
mod prompt_matrix;
mod prompts_from_file;
mod sd_upscale;
mod table;
mod xyz;

pub use arguments::{Argument, Arguments, Kind};
pub use base::{Base, Context, Etas, Look, Names, Tab, Wording};
pub use composition::{Answer, Ask, Composition, Made, Outcome, Painted, Piece, PieceKind};
pub use error::ScriptError;
pub use table::{ALWAYS_ON, AlwaysOn, SCRIPTS, SOFT_INPAINTING, Script, ScriptFacts, facts, titles};

#[cfg(test)]
mod fake;
