//! Writes the merge rules of OpenAI's CLIP tokenizer to `$OUT_DIR/merges.bin`: one rule after the other, most frequent
//! first, each the two merged token ids as little-endian `u16`.
//!
//! The vocabulary file itself is not part of this repository. A crate that carries it decodes token ids to text, and
//! from the bytes of all tokens the rules follow: the rule that made a token joins the two tokens which its bytes
//! encode to under all earlier rules.

#[path = "src/tokenizer/bytes.rs"]
mod bytes;

use bytes::SYMBOL_OF_BYTE;
use instant_clip_tokenizer::{Token, Tokenizer};
use std::collections::HashMap;
use std::path::PathBuf;

/// Byte symbols, each alone and at the end of a word, come before the merges.
const SYMBOLS: u16 = 512;

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/tokenizer/bytes.rs");
    let vocabulary = Vocabulary { tokenizer: Tokenizer::new() };
    let mut rules: HashMap<(u16, u16), u16> = HashMap::new();
    let mut table = Vec::new();
    for id in SYMBOLS..vocabulary.tokenizer.start_of_text().to_u16() {
        let symbols = vocabulary.symbols_of(id)?;
        let [first, second] = merge(symbols, &rules)[..] else {
            return Err(format!("the vocabulary's token {id} is not the union of two earlier ones"));
        };
        rules.insert((first, second), id);
        table.extend([first.to_le_bytes(), second.to_le_bytes()].concat());
    }
    let folder = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    let path = PathBuf::from(folder).join("merges.bin");
    std::fs::write(&path, table).map_err(|error| format!("{}: {error}", path.display()))
}

/// Applies the earliest rule that fits until none does.
fn merge(mut symbols: Vec<u16>, rules: &HashMap<(u16, u16), u16>) -> Vec<u16> {
    loop {
        let best = (1..symbols.len())
            .filter_map(|i| rules.get(&(symbols[i - 1], symbols[i])).map(|&merged| (merged, i)))
            .min();
        let Some((merged, i)) = best else { return symbols };
        symbols[i - 1] = merged;
        symbols.remove(i);
    }
}

fn symbol_of(byte: u8) -> u16 {
    u16::from(SYMBOL_OF_BYTE[usize::from(byte)])
}

/// The decoder marks the end of a word by a space.
fn split_word_end(bytes: &[u8]) -> (Vec<u8>, bool) {
    let word = bytes.strip_suffix(b" ");
    (word.unwrap_or(bytes).to_vec(), word.is_some())
}

struct Vocabulary {
    tokenizer: Tokenizer,
}

impl Vocabulary {
    /// The byte symbols of a token, the last one marked where the token ends a word.
    fn symbols_of(&self, id: u16) -> Result<Vec<u16>, String> {
        let (bytes, ends_word) = self.bytes_of(id)?;
        let mut symbols: Vec<u16> = bytes.iter().copied().map(symbol_of).collect();
        if let Some(last) = symbols.last_mut()
            && ends_word
        {
            *last += 256;
        }
        Ok(symbols)
    }

    /// The bytes of a token, and whether it ends a word.
    ///
    /// Decoding gives text, so a token that starts or ends inside a character is decoded between byte tokens that
    /// complete the character.
    fn bytes_of(&self, id: u16) -> Result<(Vec<u8>, bool), String> {
        const BEFORE: [&[u8]; 4] = [&[], &[0xC3], &[0xE1], &[0xF1]];
        const AFTER: [&[u8]; 6] =
            [&[], &[0x80], &[0x80, 0x80], &[0x80, 0x80, 0x80], &[0xA0, 0x80], &[0x90, 0x80, 0x80]];
        for before in BEFORE {
            for after in AFTER {
                let text = self.decode_between(before, id, after)?;
                if !text.contains(char::REPLACEMENT_CHARACTER) {
                    let bytes = text.as_bytes();
                    return Ok(split_word_end(&bytes[before.len()..bytes.len() - after.len()]));
                }
            }
        }
        // No neighbours make it whole: the token is the replacement character itself.
        Ok(split_word_end(self.decode_between(&[], id, &[])?.as_bytes()))
    }

    fn decode_between(&self, before: &[u8], id: u16, after: &[u8]) -> Result<String, String> {
        let ids =
            before.iter().copied().map(symbol_of).chain([id]).chain(after.iter().copied().map(symbol_of));
        let tokens: Option<Vec<Token>> = ids.map(|id| Token::from_u16(id, &self.tokenizer)).collect();
        Ok(self.tokenizer.decode(tokens.ok_or(format!("the vocabulary has no token {id}"))?))
    }
}
