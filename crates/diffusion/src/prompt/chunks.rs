//! Chunks: the text encoder sees 77 tokens at a time, 75 of them the prompt's. Longer prompts take several chunks.
//!
//! Where a chunk is full, what follows its last comma moves on to the next one, if that comma is near (A1111's
//! `comma_padding_backtrack`).

use super::embeddings::longest;
use super::{EmbeddingWord, PlacedEmbedding, Segment, parse_attention};
use impasto_domain::{Emphasis, PromptRules, RequestError};
use impasto_models::Tokenizer;
use serde::{Deserialize, Serialize};

/// Tokens of a chunk, with the marks of begin and end.
pub const CHUNK_TOKENS: usize = 77;

/// Most chunks of one prompt, those of all its texts together. A1111 knows no limit but memory.
pub const MAX_CHUNKS: usize = 256;

/// Tokens of a chunk that are the prompt's own.
pub(crate) const OWN_TOKENS: usize = CHUNK_TOKENS - 2;

/// Tokens for one call of the text encoder, and the weights of its vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// 77 token ids.
    pub tokens: Vec<u32>,
    /// 77 weights; those of the marks are 1.
    pub weights: Vec<f32>,
    /// Embeddings among the tokens, which have the id 0 there.
    pub embeddings: Vec<PlacedEmbedding>,
}

/// Tokens with a meaning here.
#[derive(Debug, Clone, Copy)]
struct Vocabulary {
    /// Marks the begin of a text.
    begin: u32,
    /// Marks the end of a text, and fills what a text leaves of its chunk.
    end: u32,
    /// A comma that ends a word, if there is such a token.
    comma: Option<u32>,
}

/// What lays texts out in chunks.
#[derive(Debug)]
pub(crate) struct Chunker<'a> {
    tokenizer: &'a Tokenizer,
    vocabulary: Vocabulary,
    rules: PromptRules,
    words: &'a [EmbeddingWord],
}

/// A text laid out in chunks.
#[derive(Debug, PartialEq)]
pub(crate) struct LaidOut {
    /// At least one; those beyond [`MAX_CHUNKS`] are only counted.
    pub(crate) chunks: Vec<Chunk>,
    /// Chunks, with those that were only counted.
    pub(crate) count: usize,
    /// Tokens of the text as A1111 counts them: all of each chunk but the last, whatever fills it, and the last's own.
    pub(crate) tokens: usize,
}

impl<'a> Chunker<'a> {
    /// One that reads texts by `rules`, in which `words` stand for vectors.
    pub(crate) fn new(tokenizer: &'a Tokenizer, rules: PromptRules, words: &'a [EmbeddingWord]) -> Self {
        let comma = tokenizer.encode(",");
        let vocabulary = Vocabulary {
            begin: tokenizer.begin(),
            end: tokenizer.end(),
            comma: comma.first().map(|token| token.id).filter(|_| comma.len() == 1),
        };
        Self { tokenizer, vocabulary, rules, words }
    }

    /// Lays a text out.
    pub(crate) fn lay_out(&self, text: &str) -> LaidOut {
        let segments = match self.rules.emphasis {
            Emphasis::None => vec![Segment::Text { text: text.to_owned(), weight: 1.0 }],
            Emphasis::Original | Emphasis::NoNorm | Emphasis::Ignore => parse_attention(text),
        };
        let encode = |text: &str| self.tokenizer.encode(text).into_iter().map(|token| token.id).collect();
        let mut laid_out = lay_out(
            &segments,
            self.vocabulary,
            self.rules.comma_padding_backtrack as usize,
            self.words,
            encode,
        );
        if self.rules.emphasis == Emphasis::Ignore {
            laid_out.chunks.iter_mut().for_each(|chunk| chunk.weights.fill(1.0));
        }
        laid_out
    }

    /// A chunk of no text.
    pub(crate) fn empty(&self) -> Chunk {
        self.vocabulary.chunk(Vec::new())
    }
}

/// The error for a prompt in `field` whose texts have so many chunks together.
pub(crate) fn too_many_chunks(field: &'static str, count: usize) -> RequestError {
    RequestError {
        field,
        value: format!("of {count} chunks"),
        problem: format!("is out of range: allowed are 1 to {MAX_CHUNKS}, of {OWN_TOKENS} tokens each"),
    }
}

impl Vocabulary {
    /// The chunk of at most 75 tokens with their weights.
    fn chunk(self, mut own: Vec<Slot>) -> Chunk {
        own.resize(OWN_TOKENS, Slot { token: self.end, weight: 1.0, embedding: None });
        let mark = |token| Slot { token, weight: 1.0, embedding: None };
        let slots: Vec<Slot> = [mark(self.begin)].into_iter().chain(own).chain([mark(self.end)]).collect();
        let placed = |(at, slot): (usize, &Slot)| Some(PlacedEmbedding { at, id: slot.embedding.clone()? });
        Chunk {
            tokens: slots.iter().map(|slot| slot.token).collect(),
            weights: slots.iter().map(|slot| slot.weight).collect(),
            embeddings: slots.iter().enumerate().filter_map(placed).collect(),
        }
    }
}

fn lay_out(
    segments: &[Segment],
    vocabulary: Vocabulary,
    backtrack: usize,
    words: &[EmbeddingWord],
    encode: impl Fn(&str) -> Vec<u32>,
) -> LaidOut {
    let mut layout =
        Layout { vocabulary, backtrack, chunks: Vec::new(), count: 0, current: Vec::new(), last_comma: None };
    for segment in segments {
        match segment {
            Segment::Break => layout.finish_chunk(Vec::new()),
            Segment::Text { text, weight } => {
                let tokens = encode(text);
                let (mut at, weight) = (0, *weight as f32);
                while let Some(&token) = tokens.get(at) {
                    if let Some(word) = longest(words, &tokens[at..]) {
                        layout.place(word, token, weight);
                        at += word.tokens.len();
                    } else {
                        layout.push(token, weight);
                        at += 1;
                    }
                }
            }
        }
    }
    let tokens = layout.count * OWN_TOKENS + layout.current.len();
    if !layout.current.is_empty() || layout.count == 0 {
        layout.finish_chunk(Vec::new());
    }
    LaidOut { chunks: layout.chunks, count: layout.count, tokens }
}

/// A token of a chunk, its weight, and the embedding that begins there.
#[derive(Debug, Clone)]
struct Slot {
    token: u32,
    weight: f32,
    embedding: Option<String>,
}

struct Layout {
    vocabulary: Vocabulary,
    /// How many tokens before a full chunk's end its last comma may be.
    backtrack: usize,
    /// Those that are allowed; what goes beyond is only counted.
    chunks: Vec<Chunk>,
    count: usize,
    /// The chunk being filled, without its marks.
    current: Vec<Slot>,
    /// Where the newest comma stands in it.
    last_comma: Option<usize>,
}

impl Layout {
    fn push(&mut self, token: u32, weight: f32) {
        self.make_room(token);
        self.current.push(Slot { token, weight, embedding: None });
    }

    /// Puts an embedding where a text has its name, which begins with `first`. It is never divided.
    fn place(&mut self, word: &EmbeddingWord, first: u32, weight: f32) {
        self.make_room(first);
        let vectors = word.vectors.clamp(1, OWN_TOKENS);
        if self.current.len() + vectors > OWN_TOKENS {
            self.finish_chunk(Vec::new());
        }
        self.current.push(Slot { token: 0, weight, embedding: Some(word.id.clone()) });
        let end = self.current.len() + vectors - 1;
        self.current.resize(end, Slot { token: 0, weight, embedding: None });
    }

    /// Begins a new chunk if the current one is full. `token` is what follows.
    fn make_room(&mut self, token: u32) {
        let full = self.current.len() == OWN_TOKENS;
        let is_comma = Some(token) == self.vocabulary.comma;
        if full {
            let near = self.last_comma.filter(|&at| !is_comma && OWN_TOKENS - at <= self.backtrack);
            let moved = near.map_or(Vec::new(), |at| self.current.split_off(at + 1));
            self.finish_chunk(moved);
        } else if is_comma {
            self.last_comma = Some(self.current.len());
        }
    }

    /// Closes the current chunk; the next one begins with `moved`.
    fn finish_chunk(&mut self, moved: Vec<Slot>) {
        let own = std::mem::replace(&mut self.current, moved);
        self.last_comma = None;
        self.count += 1;
        if self.count <= MAX_CHUNKS {
            self.chunks.push(self.vocabulary.chunk(own));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: Vocabulary = Vocabulary { begin: 1000, end: 1001, comma: Some(44) };

    /// Every character but a space is a token, of its code point.
    fn laid_out(prompt: &str, backtrack: usize) -> LaidOut {
        let encode = |text: &str| text.chars().filter(|&c| c != ' ').map(u32::from).collect();
        lay_out(&parse_attention(prompt), VOCABULARY, backtrack, &[], encode)
    }

    fn chunks(prompt: &str) -> Vec<Chunk> {
        laid_out(prompt, 20).chunks
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

    type Placed = Vec<(usize, String)>;

    /// Tokens of each chunk up to the end mark, and its embeddings, with `ab` and `abc` standing for 3 and 70 vectors.
    fn embedded(prompt: &str) -> Vec<(Vec<u32>, Placed)> {
        let word = |name: &str, vectors| EmbeddingWord {
            id: name.to_owned(),
            tokens: name.chars().map(u32::from).collect(),
            vectors,
        };
        let words = [word("abc", 70), word("ab", 3), word("", 9)];
        let encode = |text: &str| text.chars().filter(|&c| c != ' ').map(u32::from).collect();
        let laid_out = lay_out(&parse_attention(prompt), VOCABULARY, 20, &words, encode);
        let of = |chunk: Chunk| {
            assert_eq!((chunk.tokens.len(), chunk.weights.len()), (77, 77));
            let own = chunk.tokens[1..].iter().copied().take_while(|&token| token != 1001).collect();
            (own, chunk.embeddings.into_iter().map(|placed| (placed.at, placed.id)).collect())
        };
        laid_out.chunks.into_iter().map(of).collect()
    }

    #[test]
    fn embeddings_take_their_room_undivided_and_the_longest_name_counts() {
        assert_eq!(embedded("xaby"), [(vec![120, 0, 0, 0, 121], vec![(2, "ab".to_owned())])]);
        let [(own, placed)] = &embedded("abc")[..] else { panic!("one chunk") };
        assert_eq!((own.len(), &placed[..]), (70, &[(1, "abc".to_owned())][..]));
        let twice = embedded("abcxxxabz");
        assert_eq!(twice[0].0.len(), 73);
        assert_eq!(twice[1], (vec![0, 0, 0, 122], vec![(1, "ab".to_owned())]));
        let moved = embedded(&format!("{},abdef", "x".repeat(69)));
        assert_eq!(moved[0].0.len(), 70, "what follows a near comma moves, embeddings too");
        assert_eq!(moved[1], (vec![0, 0, 0, 100, 101, 102], vec![(1, "ab".to_owned())]));
    }

    #[test]
    fn how_far_a_comma_may_be_is_a_rule() {
        let prompt = format!("{},{}", "a".repeat(60), "b".repeat(30));
        let first = |backtrack| laid_out(&prompt, backtrack).chunks[0].tokens[75];
        assert_eq!([14, 15].map(first), [u32::from('b'), VOCABULARY.end]);
        assert_eq!(first(0), u32::from('b'));
        let at_the_end = format!("{},b", "a".repeat(74));
        assert_eq!(
            laid_out(&at_the_end, 0),
            laid_out(&at_the_end, 20),
            "a comma that fills the chunk moves nothing"
        );
    }

    #[test]
    fn endless_prompts_are_counted_and_not_kept() {
        for (prompt, count) in [
            ("a".repeat(MAX_CHUNKS * OWN_TOKENS), 256),
            ("a BREAK ".repeat(256), 256),
            ("a".repeat(MAX_CHUNKS * OWN_TOKENS + 1), 257),
            ("a BREAK ".repeat(256) + "a", 257),
            ("BREAK ".repeat(1000), 1000),
            ("a".repeat(1 << 20), 13_982),
        ] {
            let laid_out = laid_out(&prompt, 20);
            assert_eq!((laid_out.count, laid_out.chunks.len()), (count, 256));
        }
    }

    #[test]
    fn tokens_are_counted_as_a1111_counts_them() {
        for (prompt, tokens) in [
            ("", 0),
            ("abc", 3),
            ("(abc:1.5)", 3),
            ("a BREAK bc", 77),
            ("a BREAK", 75),
            (&"a".repeat(75), 75),
            (&"a".repeat(76), 76),
            // Fifteen tokens move on.
            (&format!("{},{}", "a".repeat(59), "b".repeat(16)), 75 + 16),
        ] {
            assert_eq!(laid_out(prompt, 20).tokens, tokens, "{prompt}");
        }
    }

    #[test]
    fn rules_say_what_marks_do() {
        let tokenizer = Tokenizer::new(300).unwrap();
        let of = |emphasis| {
            let rules = PromptRules { emphasis, ..PromptRules::default() };
            Chunker::new(&tokenizer, rules, &[]).lay_out("a (b:1.5) BREAK c")
        };
        let weights = |emphasis| {
            let chunks = of(emphasis).chunks;
            chunks.iter().map(|chunk| chunk.weights[1..4].to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(weights(Emphasis::Original), [[1.0, 1.5, 1.0], [1.0, 1.0, 1.0]]);
        assert_eq!(of(Emphasis::NoNorm), of(Emphasis::Original));
        assert_eq!(weights(Emphasis::Ignore), [[1.0; 3]; 2]);
        assert_eq!(weights(Emphasis::None), [[1.0; 3]]);
        let literal = of(Emphasis::None).chunks[0].tokens.clone();
        assert!(
            tokenizer.decode(&literal).contains("( b : 1 . 5 ) break c"),
            "{}",
            tokenizer.decode(&literal)
        );
    }
}
