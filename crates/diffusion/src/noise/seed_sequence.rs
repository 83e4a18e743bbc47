//! How numpy's `SeedSequence` makes independent seeds out of one (O'Neill 2015, `seed_seq_fe`), to the bit.

/// 32-bit words that the entropy is mixed into; torchsde's Brownian tree takes 24.
const POOL: usize = 24;

/// The first seed that `entropy` gives, or, with a `spawn_key`, the first of its child of that key.
pub(super) fn first_seed(entropy: u64, spawn_key: &[u64]) -> u32 {
    let mut words = words(entropy);
    if !spawn_key.is_empty() {
        words.resize(POOL, 0);
    }
    words.extend(spawn_key.iter().flat_map(|&key| self::words(key)));
    let first = mixed(&words)[0];
    let value = (first ^ 0x8B51_F9DD).wrapping_mul(0x8B51_F9DD_u32.wrapping_mul(0x58F3_8DED));
    value ^ (value >> 16)
}

/// A number in 32-bit words, lowest first, without leading zeros.
fn words(number: u64) -> Vec<u32> {
    let (low, high) = (number as u32, (number >> 32) as u32);
    if high == 0 { vec![low] } else { vec![low, high] }
}

/// The pool after all words went in.
fn mixed(words: &[u32]) -> [u32; POOL] {
    let mut multiplier = 0x43B0_D7E5_u32;
    let mut hash = |word: u32| {
        let value = word ^ multiplier;
        multiplier = multiplier.wrapping_mul(0x931E_8875);
        let value = value.wrapping_mul(multiplier);
        value ^ (value >> 16)
    };
    let mix = |x: u32, y: u32| {
        let value = x.wrapping_mul(0xCA01_F9DD).wrapping_sub(y.wrapping_mul(0x4973_F715));
        value ^ (value >> 16)
    };
    let mut pool: [u32; POOL] = std::array::from_fn(|at| hash(words.get(at).copied().unwrap_or(0)));
    for source in 0..POOL {
        for target in (0..POOL).filter(|&target| target != source) {
            pool[target] = mix(pool[target], hash(pool[source]));
        }
    }
    for &word in words.iter().skip(POOL) {
        for value in &mut pool {
            *value = mix(*value, hash(word));
        }
    }
    pool
}
