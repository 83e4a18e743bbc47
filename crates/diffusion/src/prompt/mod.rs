//! From a prompt to what the UNet attends to: networks asked for, parts, texts over time, attention marks, chunks of tokens,
//! and weights on text vectors. In this order, one file each, and all of them A1111's.

mod attention;
mod chunks;
mod count;
mod editing;
mod embeddings;
mod emphasis;
mod networks;
mod parts;

pub use attention::{Segment, parse_attention};
pub use chunks::{CHUNK_TOKENS, Chunk, MAX_CHUNKS};
pub(crate) use chunks::{Chunker, too_many_chunks};
pub use count::{PromptSide, TokenCount, count_tokens};
pub use editing::{TextSchedule, TextSpan, Timeline};
pub use embeddings::{EmbeddingWord, PlacedEmbedding};
pub(crate) use emphasis::emphasize;
pub use networks::{ExtraNetwork, ExtraNetworks};
pub use parts::{Part, split_parts};

/// Weights stay within this, far beyond any that gives a picture.
const MAX_WEIGHT: f64 = 1e9;

/// White space as Python's regular expressions know it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// A character of a word, as Python's regular expressions know it.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `text` by itself, as the regular expression `\bword\b` finds it.
fn find_words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let alone = move |&(at, _): &(usize, &str)| {
        !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word)
    };
    text.match_indices(word).filter(alone).map(|(at, _)| at)
}
