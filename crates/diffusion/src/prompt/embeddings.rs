//! Textual inversions in prompts: names whose tokens stand for vectors that are no word's.

use serde::{Deserialize, Serialize};

/// An embedding as prompts see it.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingWord {
    /// Which it is, to whoever encodes texts.
    pub id: String,
    /// The tokens of its name, which it stands for.
    pub tokens: Vec<u32>,
    /// As many tokens of a chunk as it takes, 1 to 75.
    pub vectors: usize,
}

/// Where a chunk has an embedding: its first token of as many as it has vectors.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlacedEmbedding {
    /// Number of the token in the chunk, the mark of its begin being 0.
    pub at: usize,
    /// Which embedding.
    pub id: String,
}

/// The embedding of the longest name with which `tokens` begin.
pub(super) fn longest<'a>(words: &'a [EmbeddingWord], tokens: &[u32]) -> Option<&'a EmbeddingWord> {
    let begins = words.iter().filter(|word| !word.tokens.is_empty() && tokens.starts_with(&word.tokens));
    begins.max_by_key(|word| word.tokens.len())
}
