//! Philox4x32-10 (Salmon et al. 2011), counted as CUDA's `curand_normal4` counts it in `torch.randn`, one value a
//! thread. That holds while a tensor has no more values than the device runs threads, as latents of pictures do.

/// Round multipliers.
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Key increments.
const INCREMENTS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// The generator of one seed.
#[derive(Debug, Clone)]
pub struct Philox {
    key: [u32; 2],
    calls: u32,
}

impl Philox {
    /// The generator of `seed`, before its first call.
    pub fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], calls: 0 }
    }

    /// The four integers of element `index` in the call that comes next.
    pub fn integers(&self, index: u32) -> [u32; 4] {
        let mut key = self.key;
        let mut counter = [self.calls, 0, index, 0];
        for _ in 0..ROUNDS {
            counter = round(counter, key);
            key = [key[0].wrapping_add(INCREMENTS[0]), key[1].wrapping_add(INCREMENTS[1])];
        }
        counter
    }

    /// The values of the next call.
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        let values = (0..count).map(|index| normal(self.integers(index as u32))).collect();
        self.skip(1);
        values
    }

    /// Goes past some calls.
    pub fn skip(&mut self, calls: u32) {
        self.calls = self.calls.wrapping_add(calls);
    }
}

fn round([a, b, c, d]: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let wide = |x: u32, multiplier: u32| {
        let product = u64::from(x) * u64::from(multiplier);
        ((product >> 32) as u32, product as u32)
    };
    let (high_a, low_a) = wide(a, MULTIPLIERS[0]);
    let (high_c, low_c) = wide(c, MULTIPLIERS[1]);
    [high_c ^ b ^ key[0], low_c, high_a ^ d ^ key[1], low_a]
}

/// Box and Muller 1958: the sine half of the pair that the first two integers make. In double precision throughout, as
/// the values that A1111 documents are; CUDA's own fast sine and A1111's single-precision factors are some 5e-7 off.
fn normal([x, y, ..]: [u32; 4]) -> f32 {
    let unit = |integer: u32| (f64::from(integer) + 0.5) / 4_294_967_296.0;
    let radius = libm::sqrt(-2.0 * libm::log(unit(x)));
    (radius * libm::sin(2.0 * std::f64::consts::PI * unit(y))) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that the authors publish with the algorithm, for ten rounds.
    #[test]
    fn agrees_with_the_published_vectors() {
        let zeros = Philox { key: [0, 0], calls: 0 };
        assert_eq!(zeros.integers(0), [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]);
        let mut counter = [u32::MAX; 4];
        let mut key = [u32::MAX; 2];
        for _ in 0..ROUNDS {
            counter = round(counter, key);
            key = [key[0].wrapping_add(INCREMENTS[0]), key[1].wrapping_add(INCREMENTS[1])];
        }
        assert_eq!(counter, [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]);
    }

    #[test]
    fn calls_are_counted() {
        let mut a = Philox::new(7);
        let mut b = a.clone();
        let first = a.normals(8);
        b.skip(1);
        assert_eq!(a.normals(8), b.normals(8));
        assert_ne!(first, a.normals(8));
    }
}
