//! Chunks: the text encoder sees 77 tokens at a time, 75 of them the prompt's. Longer prompts take several chunks.
//!
//! Where a chunk is full, what follows its last comma moves on to the next one, if that comma is near (A1111's
//! `comma_padding_backtrack`).

use super::{Segment, parse_attention};
use impasto_domain::RequestError;
use impasto_models::Tokenizer;
use serde::{Deserialize, Serialize};

/// Tokens of a chunk, with the marks of begin and end.
pub const CHUNK_TOKENS: usize = 77;

/// Most chunks of one prompt. A1111 knows no limit but memory.
pub const MAX_CHUNKS: usize = 256;

/// Tokens of a chunk that are the prompt's own.
const OWN_TOKENS: usize = CHUNK_TOKENS - 2;

/// How many tokens back a comma may be to break a full chunk there.
const COMMA_BACKTRACK: usize = 20;

/// Tokens with a meaning here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vocabulary {
    /// Marks the begin of a text.
    pub begin: u32,
    /// Marks the end of a text, and fills what a text leaves of its chunk.
    pub end: u32,
    /// A comma that ends a word, if there is such a token.
    pub comma: Option<u32>,
}

/// Tokens for one call of the text encoder, and the weights of its vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// 77 token ids.
    pub tokens: Vec<u32>,
    /// 77 weights; those of the marks are 1.
    pub weights: Vec<f32>,
}

/// The chunks of the prompt in `field`, of which there is at least one; an error if there are too many.
pub fn chunks_of(
    prompt: &str,
    tokenizer: &Tokenizer,
    field: &'static str,
) -> Result<Vec<Chunk>, RequestError> {
    let encode = |text: &str| tokenizer.encode(text).into_iter().map(|token| token.id).collect();
    let comma: Vec<u32> = encode(",");
    let vocabulary = Vocabulary {
        begin: tokenizer.begin(),
        end: tokenizer.end(),
        comma: comma.first().copied().filter(|_| comma.len() == 1),
    };
    chunk(&parse_attention(prompt), vocabulary, encode, field)
}

/// Whether a prompt is so short that it cannot have too many chunks, whatever the tokenizer. A chunk takes the five bytes
/// of a BREAK at least, since otherwise it has over fifty tokens.
pub fn surely_fits(prompt: &str) -> bool {
    prompt.len() < 5 * MAX_CHUNKS
}

/// Lays the segments of the prompt in `field` out in chunks, of which there is at least one. `encode` gives the tokens
/// of a text.
pub fn chunk(
    segments: &[Segment],
    vocabulary: Vocabulary,
    encode: impl Fn(&str) -> Vec<u32>,
    field: &'static str,
) -> Result<Vec<Chunk>, RequestError> {
    let mut layout =
        Layout { vocabulary, chunks: Vec::new(), count: 0, current: Vec::new(), last_comma: None };
    for segment in segments {
        match segment {
            Segment::Break => layout.finish_chunk(Vec::new()),
            Segment::Text { text, weight } => {
                for token in encode(text) {
                    layout.push(token, *weight as f32);
                }
            }
        }
    }
    if !layout.current.is_empty() || layout.count == 0 {
        layout.finish_chunk(Vec::new());
    }
    if layout.count > MAX_CHUNKS {
        return Err(RequestError {
            field,
            value: format!("of {} chunks", layout.count),
            problem: format!("is out of range: allowed are 1 to {MAX_CHUNKS}, of {OWN_TOKENS} tokens each"),
        });
    }
    Ok(layout.chunks)
}

struct Layout {
    vocabulary: Vocabulary,
    /// Those that are allowed; what goes beyond is only counted.
    chunks: Vec<Chunk>,
    count: usize,
    /// Tokens and weights of the chunk being filled, without its marks.
    current: Vec<(u32, f32)>,
    /// Where the newest comma stands in it.
    last_comma: Option<usize>,
}

impl Layout {
    fn push(&mut self, token: u32, weight: f32) {
        let full = self.current.len() == OWN_TOKENS;
        let is_comma = Some(token) == self.vocabulary.comma;
        if full {
            let near = self.last_comma.filter(|&at| !is_comma && OWN_TOKENS - at <= COMMA_BACKTRACK);
            let moved = near.map_or(Vec::new(), |at| self.current.split_off(at + 1));
            self.finish_chunk(moved);
        } else if is_comma {
            self.last_comma = Some(self.current.len());
        }
        self.current.push((token, weight));
    }

    /// Closes the current chunk; the next one begins with `moved`.
    fn finish_chunk(&mut self, moved: Vec<(u32, f32)>) {
        let mut own = std::mem::replace(&mut self.current, moved);
        self.last_comma = None;
        self.count += 1;
        if self.count > MAX_CHUNKS {
            return;
        }
        own.resize(OWN_TOKENS, (self.vocabulary.end, 1.0));
        let marked = std::iter::once((self.vocabulary.begin, 1.0))
            .chain(own)
            .chain(std::iter::once((self.vocabulary.end, 1.0)));
        let (tokens, weights) = marked.unzip();
        self.chunks.push(Chunk { tokens, weights });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_attention;

    const VOCABULARY: Vocabulary = Vocabulary { begin: 1000, end: 1001, comma: Some(44) };

    /// Every character but a space is a token, of its code point.
    fn chunks(prompt: &str) -> Vec<Chunk> {
        let encode = |text: &str| text.chars().filter(|&c| c != ' ').map(u32::from).collect();
        chunk(&parse_attention(prompt), VOCABULARY, encode, "prompt").unwrap()
    }

    /// The characters of each chunk.
    fn texts(prompt: &str) -> Vec<String> {
        chunks(prompt)
            .iter()
            .map(|chunk| {
                assert_eq!((chunk.tokens.len(), chunk.weights.len()), (77, 77));
                assert_eq!((chunk.tokens[0], chunk.tokens[76]), (1000, 1001));
                chunk.tokens.iter().filter_map(|&id| char::from_u32(id).filter(|_| id < 1000)).collect()
            })
            .collect()
    }

    #[test]
    fn an_empty_prompt_is_one_chunk_of_end_marks() {
        let [chunk] = &chunks("")[..] else { panic!("one chunk") };
        assert!(chunk.tokens[1..].iter().all(|&id| id == 1001));
        assert!(chunk.weights.iter().all(|&weight| weight == 1.0));
    }

    #[test]
    fn seventy_five_tokens_fit_and_one_more_does_not() {
        assert_eq!(texts(&"a".repeat(75)), ["a".repeat(75)]);
        assert_eq!(texts(&"a".repeat(76)), ["a".repeat(75), "a".into()]);
    }

    #[test]
    fn a_near_comma_breaks_a_full_chunk() {
        let prompt = |before: usize| format!("{},{}", "a".repeat(before), "b".repeat(30));
        assert_eq!(texts(&prompt(55)), [format!("{},", "a".repeat(55)), "b".repeat(30)]);
        let too_far = [format!("{},{}", "a".repeat(54), "b".repeat(20)), "b".repeat(10)];
        assert_eq!(texts(&prompt(54)), too_far);
    }

    #[test]
    fn a_comma_that_overflows_goes_to_the_next_chunk_alone() {
        let prompt = format!("a,{},c", "b".repeat(73));
        assert_eq!(texts(&prompt), [format!("a,{}", "b".repeat(73)), ",c".into()]);
    }

    #[test]
    fn breaks_end_chunks() {
        assert_eq!(texts("a BREAK b"), ["a", "b"]);
        assert_eq!(texts("a BREAK BREAK b"), ["a", "", "b"]);
        assert_eq!(texts("a BREAK"), ["a"]);
        assert_eq!(texts(" BREAK "), [""]);
        assert_eq!(texts("(a BREAK b:1.5)"), ["a", "b"]);
    }

    #[test]
    fn weights_move_with_their_tokens() {
        let prompt = format!("{},(b:1.5){}", "a".repeat(60), "c".repeat(20));
        let [first, second] = &chunks(&prompt)[..] else { panic!("two chunks") };
        assert!(first.weights.iter().all(|&weight| weight == 1.0));
        assert_eq!(second.weights[..3], [1.0, 1.5, 1.0]);
    }

    #[test]
    fn endless_prompts_are_refused_with_their_chunks() {
        let count = |prompt: &str| {
            let encode = |text: &str| vec![7; text.trim().len()];
            chunk(&parse_attention(prompt), VOCABULARY, encode, "negative_prompt").map(|chunks| chunks.len())
        };
        let most = MAX_CHUNKS * OWN_TOKENS;
        assert_eq!(count(&"a".repeat(most)), Ok(256));
        assert_eq!(count(&"a BREAK ".repeat(256)), Ok(256));
        for (prompt, chunks) in [
            ("a".repeat(most + 1), 257),
            ("a BREAK ".repeat(256) + "a", 257),
            ("BREAK ".repeat(1000), 1000),
            ("a".repeat(1 << 20), 13_982),
        ] {
            let error = count(&prompt).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "negative_prompt of {chunks} chunks is out of range: allowed are 1 to 256, of 75 tokens each"
                )
            );
        }
    }

    #[test]
    fn what_is_short_surely_fits() {
        for dense in ["BREAK ", "BREAK,", ","] {
            let prompt = dense.repeat(1280 / dense.len() - 1);
            assert!(surely_fits(&prompt) && chunks(&prompt).len() <= MAX_CHUNKS, "{dense}");
        }
        assert!(!surely_fits(&"BREAK".repeat(256)));
    }
}
