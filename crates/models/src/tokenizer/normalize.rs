//! Text as CLIP wants it, NFC (Unicode Annex 15) and lower case, with the way back to the original's bytes.

use std::ops::Range;
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Normalised text and where its parts came from.
#[derive(Debug)]
pub(super) struct Normalized {
    text: String,
    /// First byte in the normalised text and in the original of each part that was normalised by itself; at last, the
    /// two lengths.
    parts: Vec<(usize, usize)>,
}

impl Normalized {
    pub(super) fn new(original: &str) -> Self {
        let mut normalized = Self { text: String::with_capacity(original.len()), parts: Vec::new() };
        let mut start = 0;
        for (at, character) in original.char_indices() {
            if at > start && starts_part(character) {
                normalized.push_part(original, start..at);
                start = at;
            }
        }
        normalized.push_part(original, start..original.len());
        normalized.parts.push((normalized.text.len(), original.len()));
        normalized
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The original's bytes from which `range` of the normalised text came.
    pub(super) fn origin(&self, range: Range<usize>) -> Range<usize> {
        let first = self.parts.partition_point(|part| part.0 <= range.start).saturating_sub(1);
        let after = self.parts.partition_point(|part| part.0 < range.end);
        let original = |part: usize| self.parts.get(part).map_or(0, |part| part.1);
        original(first)..original(after)
    }

    fn push_part(&mut self, original: &str, range: Range<usize>) {
        self.parts.push((self.text.len(), range.start));
        // Letter by letter: unlike `str::to_lowercase`, a sigma at the end of a word is no exception.
        self.text.extend(original[range].nfc().flat_map(char::to_lowercase));
    }
}

/// Whether normalisation never joins or reorders `character` with what precedes it.
fn starts_part(character: char) -> bool {
    character.is_ascii()
        || (canonical_combining_class(character) == 0
            && is_nfc_quick(std::iter::once(character)) == IsNormalized::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_normalising_the_whole() {
        for text in
            ["", "ÀE\u{301}\u{323}x", "\u{301}a", "ΣΑΣ", "각\u{1100}\u{1161}\u{11a8}", "İ", "\u{958}ﬁ"]
        {
            let whole: String = text.nfc().flat_map(char::to_lowercase).collect();
            assert_eq!(Normalized::new(text).text(), whole, "{text:?}");
        }
    }

    #[test]
    fn finds_the_way_back() {
        let text = "aE\u{301}z";
        let normalized = Normalized::new(text);
        assert_eq!(normalized.text(), "aéz");
        assert_eq!(normalized.origin(1..2), 1..4, "half of a letter is the letter");
        assert_eq!(normalized.origin(3..4), 4..5);
        assert_eq!(normalized.origin(0..4), 0..5);
    }
}
