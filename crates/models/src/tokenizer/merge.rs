//! Byte-pair merges of one word, in `n log n` for a word of `n` bytes.

use super::bytes::{BYTE_OF_SYMBOL, SYMBOL_OF_BYTE};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Pairs of little-endian `u16` ids; the build script tells where they come from.
const MERGES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/merges.bin"));
/// Distance from a byte inside a word to the same byte at the end of one.
const END_OF_WORD: u32 = 256;
/// Ids below it are bytes; the id of rule `r` is `SYMBOLS + r`.
const SYMBOLS: u32 = 512;
/// Marks a symbol that was merged away, and the ends of the list.
const NONE: usize = usize::MAX;

/// The first rules of OpenAI's list.
#[derive(Debug)]
pub(super) struct MergeRules {
    /// The two ids that each rule joins.
    pairs: Vec<(u32, u32)>,
    /// Bytes of each rule's token.
    lengths: Vec<u16>,
    rule_of: HashMap<(u32, u32), u32>,
}

impl MergeRules {
    /// The first `count` rules, if there are so many.
    pub(super) fn first(count: usize) -> Option<Self> {
        let (table, _) = MERGES.as_chunks::<4>();
        let id = |low, high| u32::from(u16::from_le_bytes([low, high]));
        let pairs: Vec<_> = table.get(..count)?.iter().map(|&[a, b, c, d]| (id(a, b), id(c, d))).collect();
        let rule_of = pairs.iter().enumerate().map(|(rule, &pair)| (pair, rule as u32)).collect();
        let mut rules = Self { pairs, lengths: Vec::with_capacity(count), rule_of };
        for rule in 0..count {
            let (first, second) = rules.pairs[rule];
            rules.lengths.push((rules.byte_length(first) + rules.byte_length(second)) as u16);
        }
        Some(rules)
    }

    /// Number of rules.
    pub(super) fn len(&self) -> u32 {
        self.pairs.len() as u32
    }

    /// How many bytes the token `id` stands for.
    pub(super) fn byte_length(&self, id: u32) -> usize {
        id.checked_sub(SYMBOLS).map_or(1, |rule| usize::from(self.lengths[rule as usize]))
    }

    /// Appends the bytes of the token `id`, and a space where it ends a word.
    pub(super) fn spell(&self, id: u32, out: &mut Vec<u8>) {
        if let Some(rule) = id.checked_sub(SYMBOLS) {
            if let Some(&(first, second)) = self.pairs.get(rule as usize) {
                self.spell(first, out);
                self.spell(second, out);
            }
            return;
        }
        out.push(BYTE_OF_SYMBOL[(id % END_OF_WORD) as usize]);
        if id >= END_OF_WORD {
            out.push(b' ');
        }
    }

    /// The token ids of one word.
    pub(super) fn encode(&self, word: &[u8]) -> Vec<u32> {
        let mut ids: Vec<u32> =
            word.iter().map(|&byte| u32::from(SYMBOL_OF_BYTE[usize::from(byte)])).collect();
        if let Some(last) = ids.last_mut() {
            *last += END_OF_WORD;
        }
        Merging::new(self, ids).run()
    }
}

/// A word on its way: a linked list of symbols, and a heap of the merges that are possible in it.
struct Merging<'a> {
    rules: &'a MergeRules,
    ids: Vec<u32>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// The earliest rule first, then the leftmost place.
    candidates: BinaryHeap<Reverse<(u32, usize)>>,
}

impl<'a> Merging<'a> {
    fn new(rules: &'a MergeRules, ids: Vec<u32>) -> Self {
        let count = ids.len();
        let next = (1..=count).map(|i| if i < count { i } else { NONE }).collect();
        let previous = (0..count).map(|i| i.wrapping_sub(1)).collect();
        let mut merging = Self { rules, ids, next, previous, candidates: BinaryHeap::new() };
        for place in 0..count {
            merging.propose(place);
        }
        merging
    }

    /// The rule that joins the symbol at `place` with its successor.
    fn rule_at(&self, place: usize) -> Option<u32> {
        let second = *self.ids.get(*self.next.get(place)?)?;
        self.rules.rule_of.get(&(self.ids[place], second)).copied()
    }

    fn propose(&mut self, place: usize) {
        if let Some(rule) = self.rule_at(place) {
            self.candidates.push(Reverse((rule, place)));
        }
    }

    fn run(mut self) -> Vec<u32> {
        let mut merged_away = vec![false; self.ids.len()];
        while let Some(Reverse((rule, place))) = self.candidates.pop() {
            // A candidate is stale once one of its symbols has taken part in another merge.
            if merged_away[place] || self.rule_at(place) != Some(rule) {
                continue;
            }
            let gone = self.next[place];
            merged_away[gone] = true;
            self.ids[place] = SYMBOLS + rule;
            self.next[place] = self.next[gone];
            if let Some(previous) = self.previous.get_mut(self.next[place]) {
                *previous = place;
            }
            self.propose(place);
            if self.previous[place] != NONE {
                self.propose(self.previous[place]);
            }
        }
        self.ids.iter().zip(merged_away).filter(|(_, gone)| !gone).map(|(&id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published algorithm: all places of the earliest rule at once, again and again.
    fn encode_naively(rules: &MergeRules, word: &[u8]) -> Vec<u32> {
        let mut ids: Vec<u32> =
            word.iter().map(|&byte| u32::from(SYMBOL_OF_BYTE[usize::from(byte)])).collect();
        *ids.last_mut().unwrap() += END_OF_WORD;
        loop {
            let best = ids.windows(2).filter_map(|pair| rules.rule_of.get(&(pair[0], pair[1]))).min();
            let Some(&rule) = best else { return ids };
            let pair = rules.pairs[rule as usize];
            let mut place = 0;
            while place + 1 < ids.len() {
                if (ids[place], ids[place + 1]) == pair {
                    ids[place] = SYMBOLS + rule;
                    ids.remove(place + 1);
                }
                place += 1;
            }
        }
    }

    #[test]
    fn agrees_with_the_published_algorithm() {
        let rules = MergeRules::first(48_894).unwrap();
        for word in ["donaudampfschifffahrt", "aaaaaaaaaaaaa", "hahahahahaha", "😀😀😂😂", "ツツツ", "x"]
        {
            assert_eq!(rules.encode(word.as_bytes()), encode_naively(&rules, word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn symbols_and_bytes_are_inverse() {
        for byte in 0..=255u8 {
            assert_eq!(BYTE_OF_SYMBOL[usize::from(SYMBOL_OF_BYTE[usize::from(byte)])], byte);
        }
        assert_eq!((SYMBOL_OF_BYTE[usize::from(b'!')], SYMBOL_OF_BYTE[0]), (0, 188));
    }
}
