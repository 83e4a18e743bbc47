//! Vectors of `f32` as one small trait, so that every kernel is written once.
//!
//! A kernel is a [`Kernel`]: a struct of arguments whose `run` is generic over [`Simd`]. [`Isa`](crate::isa::Isa) runs it
//! inside a function that enables the instructions; as everything in between is `#[inline(always)]`, the compiler
//! sees straight-line vector code. A value of a `Simd` type is the proof that the CPU has the instructions.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod portable;

/// The widest vector of any instruction set, in lanes.
pub(crate) const MAX_LANES: usize = 16;

/// Vector arithmetic of one instruction set.
pub(crate) trait Simd: Copy {
    /// A vector of `LANES` elements.
    type F: Copy;
    /// Elements of a vector.
    const LANES: usize;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// The `LANES` elements at `from`, at any alignment.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load(self, from: *const f32) -> Self::F;
    /// The `LANES` IEEE 754 halves at `from`, widened.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_f16(self, from: *const u16) -> Self::F;
    /// The `LANES` upper halves of `f32` at `from`, widened.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_bf16(self, from: *const u16) -> Self::F;
    /// Writes `LANES` elements at `to`, at any alignment.
    ///
    /// # Safety
    /// They must be writable, and nobody else's.
    unsafe fn store(self, to: *mut f32, x: Self::F);
    /// The lanes' bits, taken to be integers, rounded to `f32`.
    fn integers(self, bits: Self::F) -> Self::F;
    /// The larger of the integers whose bits the lanes hold, as bits.
    fn max_integers(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b` of the integers whose bits the lanes hold, as bits.
    fn sub_integers(self, a: Self::F, b: Self::F) -> Self::F;
    /// Writes the low byte of each lane's representation at `to`.
    ///
    /// # Safety
    /// `LANES` bytes must be writable, and nobody else's.
    unsafe fn store_low_bytes(self, to: *mut u8, x: Self::F);
    /// The same of four vectors, the bytes of a lane together.
    ///
    /// # Safety
    /// `4 * LANES` bytes must be writable, and nobody else's.
    unsafe fn store_low_bytes_of_four(self, to: *mut u8, x: [Self::F; 4]);
    /// Asks the first-level cache for the line at `from`, which may be any address.
    fn prefetch(self, from: *const f32);
    /// Asks the second-level cache for the line at `from`, which may be any address.
    fn prefetch_far(self, from: *const f32);
    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the instruction set can.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `below` where `x < limit`, else `otherwise`.
    fn where_below(self, x: Self::F, limit: Self::F, below: Self::F, otherwise: Self::F) -> Self::F;
    /// The nearest whole number, for `|x| < 2^22`.
    fn round(self, x: Self::F) -> Self::F;
    /// `x 2^n` for a whole `n` that leaves a normal `x` normal.
    fn times_power(self, x: Self::F, n: Self::F) -> Self::F;

    /// Transposes `LANES` rows of `LANES` elements, at distances of `stride`, into rows that lie behind each other.
    ///
    /// # Safety
    /// The rows must be readable at `from`, and `LANES * LANES` elements writable at `to`, and nobody else's.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32) {
        for row in 0..Self::LANES {
            for column in 0..Self::LANES {
                // SAFETY: the caller vouches for both places.
                unsafe { *to.add(column * Self::LANES + row) = *from.add(row * stride + column) };
            }
        }
    }

    /// The first `LANES` elements, or those there are, followed by zeros.
    #[inline(always)]
    fn read(self, from: &[f32]) -> Self::F {
        if from.len() >= Self::LANES {
            // SAFETY: the slice has LANES elements.
            unsafe { self.load(from.as_ptr()) }
        } else {
            let mut lanes = [0.0; MAX_LANES];
            lanes[..from.len()].copy_from_slice(from);
            // SAFETY: no instruction set has more than MAX_LANES lanes.
            unsafe { self.load(lanes.as_ptr()) }
        }
    }

    /// Writes the first `LANES` elements, or those there is room for.
    #[inline(always)]
    fn write(self, to: &mut [f32], x: Self::F) {
        if to.len() >= Self::LANES {
            // SAFETY: the slice has LANES elements.
            unsafe { self.store(to.as_mut_ptr(), x) }
        } else {
            let lanes = self.lanes(x);
            to.copy_from_slice(&lanes[..to.len()]);
        }
    }

    /// The lanes as an array, the rest zeros.
    #[inline(always)]
    fn lanes(self, x: Self::F) -> [f32; MAX_LANES] {
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: no instruction set has more than MAX_LANES lanes.
        unsafe { self.store(lanes.as_mut_ptr(), x) };
        lanes
    }

    /// The sum of the lanes, halves first.
    #[inline(always)]
    fn sum(self, x: Self::F) -> f32 {
        fold(self.lanes(x), Self::LANES, |a, b| a + b)
    }

    /// The largest lane.
    #[inline(always)]
    fn largest(self, x: Self::F) -> f32 {
        fold(self.lanes(x), Self::LANES, |a, b| if a > b { a } else { b })
    }
}

/// Folds the upper half of the lanes onto the lower until one is left.
#[inline(always)]
fn fold(mut lanes: [f32; MAX_LANES], count: usize, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = count / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Work that can be done with any instruction set.
pub(crate) trait Kernel {
    /// What it gives.
    type Output;

    /// Does it. Implementations must be `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    struct Exercise;

    impl Kernel for Exercise {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let ramp: Vec<f32> = (0..MAX_LANES).map(|i| i as f32 - 2.0).collect();
            let x = s.read(&ramp);
            let last = S::LANES - 1;
            assert_eq!(s.sum(x), (0..S::LANES).map(|i| i as f32 - 2.0).sum::<f32>());
            assert_eq!(s.largest(x), last as f32 - 2.0);
            assert_eq!(s.lanes(s.fma(x, x, s.splat(1.0)))[last], ramp[last] * ramp[last] + 1.0);
            assert_eq!(s.lanes(s.div(s.sub(x, s.splat(1.0)), s.splat(2.0)))[0], -1.5);
            assert_eq!(s.lanes(s.add(s.mul(x, x), x))[0], 2.0);
            assert_eq!(s.lanes(s.max(s.min(x, s.splat(0.0)), s.splat(-1.0)))[..4], [-1.0, -1.0, 0.0, 0.0]);
            let chosen = s.where_below(x, s.splat(0.0), s.splat(7.0), s.splat(8.0));
            assert_eq!(s.lanes(chosen)[..4], [7.0, 7.0, 8.0, 8.0]);
            assert_eq!(s.lanes(s.times_power(s.splat(1.5), s.sub(x, s.splat(1.0))))[0], 0.1875);
            let rounded = s.lanes(s.round(s.mul(x, s.splat(0.75))));
            assert_eq!(rounded[..4], [-2.0, -1.0, 0.0, 1.0]);
            let halves = ramp.iter().map(|&x| half::f16::from_f32(x / 8.0).to_bits()).collect::<Vec<_>>();
            // SAFETY: there are MAX_LANES halves.
            let wide = s.lanes(unsafe { s.load_f16(halves.as_ptr()) });
            assert!(wide[..S::LANES].iter().zip(&ramp).all(|(&x, &y)| x == y / 8.0), "{wide:?}");
            let halves = ramp.iter().map(|&x| (x.to_bits() >> 16) as u16).collect::<Vec<_>>();
            // SAFETY: as above.
            let wide = s.lanes(unsafe { s.load_bf16(halves.as_ptr()) });
            assert_eq!(wide[..S::LANES], ramp[..S::LANES]);
            s.prefetch(ramp.as_ptr());
            s.prefetch_far(ramp.as_ptr());

            assert_eq!(s.lanes(s.read(&ramp[..3]))[1..4], [-1.0, 0.0, 0.0]);
            let bits = |x: i32| f32::from_bits(x.cast_unsigned());
            let integers: Vec<f32> = (0..MAX_LANES as i32).map(|i| bits(100_000 * i - 7)).collect();
            let integers = s.read(&integers);
            assert_eq!(s.lanes(s.integers(integers))[..2], [-7.0, 99_993.0]);
            let larger = s.max_integers(integers, s.splat(bits(-3)));
            assert_eq!(s.lanes(s.integers(larger))[..2], [-3.0, 99_993.0]);
            let difference = s.sub_integers(integers, s.splat(bits(-3)));
            assert_eq!(s.lanes(s.integers(difference))[..2], [-4.0, 99_996.0]);
            let mut bytes = [9_u8; MAX_LANES];
            // SAFETY: no instruction set has more than MAX_LANES lanes.
            unsafe { s.store_low_bytes(bytes.as_mut_ptr(), s.splat(bits(0x1234_56ab))) };
            assert!(bytes.iter().enumerate().all(|(i, &b)| b == if i < S::LANES { 0xab } else { 9 }));
            let mut bytes = [9_u8; 4 * MAX_LANES];
            let four = [0x1234_56ab, -1, -2, 0x7fff_ff80].map(|x| s.splat(bits(x)));
            // SAFETY: as above.
            unsafe { s.store_low_bytes_of_four(bytes.as_mut_ptr(), four) };
            for (i, four) in bytes.as_chunks::<4>().0.iter().enumerate() {
                assert_eq!(*four, if i < S::LANES { [0xab, 0xff, 0xfe, 0x80] } else { [9; 4] });
            }

            let mut out = [9.0; 3];
            s.write(&mut out[..2], x);
            assert_eq!(out, [-2.0, -1.0, 9.0]);
        }
    }

    #[test]
    fn every_instruction_set_computes_alike() {
        for isa in Isa::supported() {
            isa.run(Exercise);
        }
    }
}
