//! CLIP's tokenizer: byte-pair encoding (Sennrich et al. 2016) over the bytes of lower-cased words, as OpenAI's CLIP
//! and Hugging Face's `CLIPTokenizer` do it, with the place in the text that each token came from.
//!
//! It knows nothing of prompt syntax, chunks or padding. A model may use only the first merges of OpenAI's list; the
//! merges are in order of frequency, so that a shorter list is a tokenizer of the same kind.

mod bytes;
mod merge;
mod normalize;

use crate::ModelError;
use merge::MergeRules;
use normalize::Normalized;
use regex::Regex;

/// Ids of single bytes, inside and at the end of a word.
const SYMBOLS: u32 = 512;
/// Begin and end of text.
const SPECIALS: u32 = 2;

/// What text between special tokens is cut into before the merges: contractions, runs of letters, single digits, and
/// runs of anything else but white space (OpenAI's `simple_tokenizer.py`).
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+";
const BEGIN_TEXT: &str = "<|startoftext|>";
const END_TEXT: &str = "<|endoftext|>";

/// A token and where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// Row of the embedding table.
    pub id: u32,
    /// First byte of the text that it stands for.
    pub start: usize,
    /// One past the last byte. Tokens that share a character share its bytes.
    pub end: usize,
}

/// A CLIP tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    rules: MergeRules,
    words: Regex,
}

impl Tokenizer {
    /// A tokenizer of OpenAI's first `merges` rules, 48,894 at most.
    pub fn new(merges: usize) -> Result<Self, ModelError> {
        let rules = MergeRules::first(merges).ok_or(ModelError::Vocabulary { rows: 514 + merges })?;
        let words = Regex::new(WORDS).map_err(|error| ModelError::Input(error.to_string()))?;
        Ok(Self { rules, words })
    }

    /// The tokenizer of a model whose token embedding has `rows` rows.
    pub fn for_vocabulary(rows: usize) -> Result<Self, ModelError> {
        let merges =
            rows.checked_sub((SYMBOLS + SPECIALS) as usize).ok_or(ModelError::Vocabulary { rows })?;
        Self::new(merges)
    }

    /// Id of the token before a text.
    pub fn begin(&self) -> u32 {
        SYMBOLS + self.rules.len()
    }

    /// Id of the token after a text.
    pub fn end(&self) -> u32 {
        self.begin() + 1
    }

    /// The tokens of `text`, without begin and end, except where the text itself spells them (`<|endoftext|>`).
    pub fn encode(&self, text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        let mut rest = 0;
        while let Some((at, special, id)) = self.next_special(text, rest) {
            self.encode_words(&text[rest..at], rest, &mut tokens);
            rest = at + special.len();
            tokens.push(Token { id, start: at, end: rest });
        }
        self.encode_words(&text[rest..], rest, &mut tokens);
        tokens
    }

    /// The text of `ids`: words separated by spaces, special tokens left out, broken characters replaced. An id beyond
    /// the vocabulary gives nothing.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::new();
        for &id in ids {
            self.rules.spell(id, &mut bytes);
        }
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    /// The next special token in `text` from byte `from` on: where, its spelling, its id.
    fn next_special(&self, text: &str, from: usize) -> Option<(usize, &'static str, u32)> {
        let specials = [(BEGIN_TEXT, self.begin()), (END_TEXT, self.end())];
        text[from..].match_indices("<|").find_map(|(at, _)| {
            let found = specials.iter().find(|(spelling, _)| text[from + at..].starts_with(spelling));
            found.map(|&(spelling, id)| (from + at, spelling, id))
        })
    }

    /// Appends the tokens of `text`, which starts at byte `offset` of the whole text.
    fn encode_words(&self, text: &str, offset: usize, tokens: &mut Vec<Token>) {
        let normalized = Normalized::new(text);
        for word in self.words.find_iter(normalized.text()) {
            let mut at = word.start();
            for id in self.rules.encode(word.as_str().as_bytes()) {
                let next = at + self.rules.byte_length(id);
                let origin = normalized.origin(at..next);
                tokens.push(Token { id, start: offset + origin.start, end: offset + origin.end });
                at = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules in OpenAI's list.
    const MERGES: usize = 48_894;

    fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode(text).iter().map(|token| token.id).collect()
    }

    #[test]
    fn encodes_as_openai_does() {
        let tokenizer = Tokenizer::new(MERGES).unwrap();
        assert_eq!((tokenizer.begin(), tokenizer.end()), (49406, 49407));
        assert_eq!(ids(&tokenizer, "A person riding a motorcycle"), [320, 2533, 6765, 320, 10297]);
        assert_eq!(
            tokenizer.decode(&ids(&tokenizer, "Hello Båstad, it's 42!")),
            "hello båstad , it 's 4 2 !"
        );
    }

    #[test]
    fn fewer_merges_give_more_tokens_of_the_same_text() {
        let (small, full) = (Tokenizer::for_vocabulary(600).unwrap(), Tokenizer::new(MERGES).unwrap());
        assert_eq!(small.end(), 599);
        let text = "a watercolour of a lighthouse";
        assert!(small.encode(text).len() > full.encode(text).len());
        assert_eq!(small.decode(&ids(&small, text)), text);
    }

    #[test]
    fn offsets_name_the_source() {
        let tokenizer = Tokenizer::new(MERGES).unwrap();
        // Here the accent is a character of its own, which normalisation joins with its letter.
        let text = "Cafe\u{301}  ÉTÉ 🦀";
        let spans: Vec<&str> =
            tokenizer.encode(text).iter().map(|token| &text[token.start..token.end]).collect();
        assert_eq!(spans, ["Cafe\u{301}", "É", "TÉ", "🦀", "🦀"], "the crab has two tokens of several bytes");
    }

    #[test]
    fn refuses_vocabularies_that_are_not_clip() {
        assert!(Tokenizer::for_vocabulary(513).is_err());
        assert!(Tokenizer::for_vocabulary(49_409).is_err());
    }

    #[test]
    fn long_hostile_texts_take_linear_time() {
        let tokenizer = Tokenizer::new(MERGES).unwrap();
        for unit in ["a", "ab", "<|", "e\u{301}", "\u{301}", "漢", "!"] {
            let text = unit.repeat((1 << 18) / unit.len());
            let started = std::time::Instant::now();
            assert!(!tokenizer.encode(&text).is_empty());
            assert!(started.elapsed().as_secs() < 10, "{unit:?} took {:?}", started.elapsed());
        }
    }
}
