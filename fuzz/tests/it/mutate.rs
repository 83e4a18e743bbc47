//! Mutations of a corpus: what a fuzzer without feedback does, from a seed.

/// xorshift64* (Vigna 2016).
pub(crate) struct Rng(u64);

impl Rng {
    /// Numbers that follow from a name.
    pub(crate) fn new(name: &str) -> Self {
        // FNV-1a.
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`; 0 where that is 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

/// Numbers at which lengths, counts and offsets break.
const NUMBERS: [u64; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX / 2, u64::MAX];

/// A file of the corpus with one to six changes.
pub(crate) fn mutated(corpus: &[Vec<u8>], words: &[&[u8]], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = corpus[rng.below(corpus.len())].clone();
    for _ in 0..=rng.below(6) {
        change(&mut bytes, corpus, words, rng);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&[u8]], rng: &mut Rng) {
    let at = rng.below(bytes.len());
    let end = at + rng.below((bytes.len() - at).min(64) + 1);
    match rng.below(9) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
        1 if !bytes.is_empty() => bytes[at] = rng.below(256) as u8,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        5 => {
            let word = rng.pick(words);
            let over = if rng.below(2) == 0 { at } else { (at + word.len()).min(bytes.len()) };
            bytes.splice(at..over, word.iter().copied());
        }
        6 => {
            let number = NUMBERS[rng.below(NUMBERS.len())];
            let width = [1, 2, 4, 8][rng.below(4)].min(bytes.len() - at);
            let number = if rng.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
            let from = if number[0] == 0 && number[7] != 0 { 8 - width } else { 0 };
            bytes[at..at + width].copy_from_slice(&number[from..from + width]);
        }
        7 => {
            let other = &corpus[rng.below(corpus.len())];
            bytes.truncate(at);
            bytes.extend(&other[rng.below(other.len())..]);
        }
        _ => {
            let word = rng.pick(words);
            let times = 1 << rng.below(11);
            bytes.splice(at..at, word.repeat(times));
        }
    }
}
