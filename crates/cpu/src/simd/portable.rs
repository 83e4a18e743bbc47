//! Vectors of 4 in plain Rust, which every compiler turns into the vectors of its baseline target.

use super::Simd;
use half::f16;

/// Needs no proof.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

/// A vector, aligned as the hardware wants it.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
pub(crate) struct Lanes([f32; 4]);

#[inline(always)]
fn zip(a: Lanes, b: Lanes, join: impl Fn(f32, f32) -> f32) -> Lanes {
    Lanes([join(a.0[0], b.0[0]), join(a.0[1], b.0[1]), join(a.0[2], b.0[2]), join(a.0[3], b.0[3])])
}

impl Simd for Portable {
    type F = Lanes;
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        Lanes([x; 4])
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Lanes {
        // SAFETY: the caller vouches for the address.
        Lanes(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> Lanes {
        // SAFETY: the caller vouches for the address.
        Lanes(unsafe { from.cast::<[u16; 4]>().read_unaligned() }.map(|bits| f16::from_bits(bits).to_f32()))
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> Lanes {
        // SAFETY: the caller vouches for the address.
        let halves = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        Lanes(halves.map(|bits| f32::from_bits(u32::from(bits) << 16)))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: Lanes) {
        // SAFETY: the caller vouches for the address.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(x.0) }
    }

    #[inline(always)]
    fn integers(self, bits: Lanes) -> Lanes {
        Lanes(bits.0.map(|x| x.to_bits().cast_signed() as f32))
    }

    #[inline(always)]
    fn sub_integers(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| f32::from_bits(a.to_bits().wrapping_sub(b.to_bits())))
    }

    #[inline(always)]
    fn max_integers(self, a: Lanes, b: Lanes) -> Lanes {
        let bits = |x: f32| x.to_bits().cast_signed();
        zip(a, b, |a, b| f32::from_bits(bits(a).max(bits(b)).cast_unsigned()))
    }

    #[inline(always)]
    unsafe fn store_low_bytes(self, to: *mut u8, x: Lanes) {
        // SAFETY: the caller vouches for the address.
        unsafe { to.cast::<[u8; 4]>().write_unaligned(x.0.map(|x| x.to_bits() as u8)) }
    }

    #[inline(always)]
    unsafe fn store_low_bytes_of_four(self, to: *mut u8, x: [Lanes; 4]) {
        let lane = |i: usize| x.map(|x| x.0[i].to_bits() as u8);
        // SAFETY: the caller vouches for the address.
        unsafe { to.cast::<[[u8; 4]; 4]>().write_unaligned([lane(0), lane(1), lane(2), lane(3)]) }
    }

    #[inline(always)]
    fn prefetch(self, _from: *const f32) {}

    #[inline(always)]
    fn prefetch_far(self, _from: *const f32) {}

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        // Not `f32::mul_add`, which is a slow function where the baseline has no such instruction.
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn where_below(self, x: Lanes, limit: Lanes, below: Lanes, otherwise: Lanes) -> Lanes {
        let lane = |i: usize| if x.0[i] < limit.0[i] { below.0[i] } else { otherwise.0[i] };
        Lanes([lane(0), lane(1), lane(2), lane(3)])
    }

    #[inline(always)]
    fn round(self, x: Lanes) -> Lanes {
        // Not `f32::round_ties_even`, which is a slow function where the baseline has no such instruction.
        let round = self.splat(12_582_912.0);
        self.sub(self.add(x, round), round)
    }

    #[inline(always)]
    fn times_power(self, x: Lanes, n: Lanes) -> Lanes {
        zip(x, n, |x, n| f32::from_bits(x.to_bits().wrapping_add((n as i32 as u32) << 23)))
    }
}
