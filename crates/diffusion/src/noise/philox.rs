//! Philox4x32-10 (Salmon et al. 2011), counted as CUDA's `curand_normal4` counts it in `torch.randn`, one value a
//! thread. That holds while a tensor has no more values than the device runs threads, as latents of pictures do.

/// Round multipliers.
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Key increments.
const INCREMENTS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// CUDA's factor from an integer to the unit interval, 2^-32.
const TO_UNIT: f32 = 2.328_306_4e-10;
/// The same to a full turn. The product is formed in double precision.
const TO_TURN: f32 = (2.328_306_4e-10_f64 * 6.283_185_5_f64) as f32;

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

/// Box and Muller 1958: the sine half of the pair that the first two integers make.
fn normal([x, y, ..]: [u32; 4]) -> f32 {
    let (unit, turn) = (f64::from(TO_UNIT), f64::from(TO_TURN));
    let radius = libm::sqrt(-2.0 * libm::log(f64::from(x) * unit + f64::from(TO_UNIT / 2.0)));
    let angle = f64::from(y) * turn + f64::from(TO_TURN / 2.0);
    (radius * libm::sin(angle)) as f32
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
