//! The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), and normals from it as PyTorch makes them on a CPU.

use super::single::{ln, sine_and_cosine};

const WORDS: usize = 624;
const SHIFT: usize = 397;

/// Fewer values than this are drawn one by one in double precision.
const BLOCK: usize = 16;

/// The generator of one seed.
#[derive(Debug, Clone)]
pub struct MersenneTwister {
    state: [u32; WORDS],
    next: usize,
    /// The second value of a pair drawn in double precision, kept for the next such draw.
    spare: Option<f64>,
}

impl MersenneTwister {
    /// The generator of the low 32 bits of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut state = [0u32; WORDS];
        state[0] = seed as u32;
        for index in 1..WORDS {
            let last = state[index - 1];
            state[index] = (last ^ (last >> 30)).wrapping_mul(1_812_433_253).wrapping_add(index as u32);
        }
        Self { state, next: WORDS, spare: None }
    }

    /// The next integer of the stream.
    pub fn integer(&mut self) -> u32 {
        if self.next == WORDS {
            self.renew();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C_5680;
        y ^= (y << 15) & 0xEFC6_0000;
        y ^ (y >> 18)
    }

    fn renew(&mut self) {
        for index in 0..WORDS {
            let mixed = (self.state[index] & 0x8000_0000) | (self.state[(index + 1) % WORDS] & 0x7FFF_FFFF);
            let twist = if mixed & 1 == 1 { 0x9908_B0DF } else { 0 };
            self.state[index] = self.state[(index + SHIFT) % WORDS] ^ (mixed >> 1) ^ twist;
        }
        self.next = 0;
    }

    /// The values of the next call of `torch.randn`.
    ///
    /// From 16 values on, uniforms fill the whole, then each block of 16 becomes normals; if the count is no multiple
    /// of 16, the last 16 values are drawn anew.
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        if count < BLOCK {
            return (0..count).map(|_| self.normal() as f32).collect();
        }
        let mut values: Vec<f32> = (0..count).map(|_| self.uniform()).collect();
        for block in values.as_chunks_mut::<BLOCK>().0 {
            box_muller(block);
        }
        if !count.is_multiple_of(BLOCK) {
            let mut tail = [0.0; BLOCK];
            tail.fill_with(|| self.uniform());
            box_muller(&mut tail);
            values[count - BLOCK..].copy_from_slice(&tail);
        }
        values
    }

    /// Goes past a call for `count` values.
    pub fn skip(&mut self, count: usize) {
        if count < BLOCK {
            self.normals(count);
        } else {
            let tail = if count.is_multiple_of(BLOCK) { 0 } else { BLOCK };
            (0..count + tail).for_each(|_| _ = self.integer());
        }
    }

    /// 24 random bits as a number from 0 up to, not including, 1.
    fn uniform(&mut self) -> f32 {
        (self.integer() & 0x00FF_FFFF) as f32 / 16_777_216.0
    }

    /// 53 random bits as a number from 0 up to, not including, 1.
    fn uniform_double(&mut self) -> f64 {
        let high = u64::from(self.integer()) << 32;
        let bits = high | u64::from(self.integer());
        (bits & ((1 << 53) - 1)) as f64 / 9_007_199_254_740_992.0
    }

    /// One value in double precision. Values come in pairs, of which the second is kept.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let angle = 2.0 * std::f64::consts::PI * self.uniform_double();
        let radius = libm::sqrt(-2.0 * libm::log1p(-self.uniform_double()));
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }
}

/// Box and Muller 1958 on a block: radii from the first half, angles from the second.
fn box_muller(block: &mut [f32; BLOCK]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (a, b) in radii.iter_mut().zip(angles) {
        let radius = (-2.0 * ln(1.0 - *a)).sqrt();
        let (sine, cosine) = sine_and_cosine(2.0 * std::f32::consts::PI * *b);
        *a = radius * cosine;
        *b = radius * sine;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 10,000th integer of seed 5489, which the C++ standard gives for `std::mt19937`.
    #[test]
    fn agrees_with_the_standard() {
        let mut twister = MersenneTwister::new(5489);
        let last = (0..10_000).map(|_| twister.integer()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn skipping_is_drawing_without_looking() {
        for count in [3, 16, 37] {
            let mut a = MersenneTwister::new(1);
            let mut b = a.clone();
            a.normals(count);
            b.skip(count);
            assert_eq!(a.normals(40), b.normals(40), "{count}");
        }
    }
}
