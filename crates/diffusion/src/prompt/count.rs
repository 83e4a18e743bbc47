//! How many tokens a prompt has, as A1111's counter beside the prompt tells it.

use super::chunks::OWN_TOKENS;
use super::{Chunker, EmbeddingWord, ExtraNetworks, Part, TextSchedule, Timeline, split_parts};
use impasto_domain::{PromptRules, RequestError};
use impasto_models::Tokenizer;

/// Which of a request's prompts a text is. They are read by different rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptSide {
    /// What is wanted: has parts and asks for networks.
    Positive,
    /// What is not wanted.
    Negative,
}

/// Tokens of a prompt, and how many fit into its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCount {
    /// Tokens of the longest text that it stands for, with what fills chunks before the last.
    pub count: usize,
    /// The next multiple of 75, at least 75.
    pub limit: usize,
}

/// Counts the tokens of a prompt for a picture of `steps` steps, in which `words` stand for vectors. Of the parts of a prompt and of the texts of a schedule,
/// the longest counts.
pub fn count_tokens(
    prompt: &str,
    side: PromptSide,
    steps: u32,
    rules: PromptRules,
    tokenizer: &Tokenizer,
    words: &[EmbeddingWord],
) -> Result<TokenCount, RequestError> {
    let (field, text) = match side {
        PromptSide::Positive => ("prompt", ExtraNetworks::take_from(prompt).0),
        PromptSide::Negative => ("negative_prompt", prompt.to_owned()),
    };
    let parts: Vec<Part<'_>> = match side {
        PromptSide::Positive => split_parts(&text).collect(),
        PromptSide::Negative => vec![Part { text: &text, weight: 1.0 }],
    };
    let chunker = Chunker::new(tokenizer, rules, words);
    let timeline = Timeline { calls: steps, before: None, old: rules.old_scheduling };
    let mut count = 0;
    for part in parts {
        for text in TextSchedule::of(part.text, timeline, field)?.texts {
            count = chunker.lay_out(&text).tokens.max(count);
        }
    }
    Ok(TokenCount { count, limit: count.max(1).next_multiple_of(OWN_TOKENS) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(prompt: &str, side: PromptSide) -> (usize, usize) {
        let tokenizer = Tokenizer::new(48_894).unwrap();
        let count = count_tokens(prompt, side, 20, PromptRules::default(), &tokenizer, &[]).unwrap();
        (count.count, count.limit)
    }

    #[test]
    fn the_longest_text_counts() {
        use PromptSide::{Negative, Positive};
        assert_eq!(count("", Positive), (0, 75));
        assert_eq!(count("a person riding a motorcycle", Positive), (5, 75));
        assert_eq!(count("(a person:1.2) <lora:x:1>", Positive), (2, 75));
        assert_eq!(count("a [cat:big brown dog:0.5]", Positive), (4, 75));
        assert_eq!(count("a [cat|big dog] AND a mouse", Positive), (3, 75));
        assert_eq!(count("a cat AND a mouse", Negative), (5, 75), "AND is a word there");
        assert_eq!(count("a BREAK cat", Positive), (76, 150));
        assert_eq!(count(&"cat ".repeat(75), Positive), (75, 75));
        assert_eq!(count(&"cat ".repeat(76), Positive), (76, 150));
    }
}
