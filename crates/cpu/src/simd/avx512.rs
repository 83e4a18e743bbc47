//! AVX-512F: vectors of 16.

use super::Simd;
use std::arch::x86_64::{
    __m512, _CMP_LT_OQ, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm_storeu_si128,
    _mm256_loadu_si256, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_epi8, _mm512_cvtepi32_ps, _mm512_cvtepu16_epi32,
    _mm512_cvtph_ps, _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_max_epi32,
    _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps,
    _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_shuffle_f32x4, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_epi32,
    _mm512_sub_ps, _mm512_ternarylogic_epi32, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd,
    _mm512_unpacklo_ps,
};

/// The proof that the CPU has AVX-512F.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof.
    ///
    /// # Safety
    /// The CPU must have AVX-512F, and the caller be compiled for it.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

macro_rules! binary {
    ($($name:ident = $instruction:ident),*) => {
        $(#[inline(always)]
        fn $name(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: `self` proves that the CPU has the instruction.
            unsafe { $instruction(a, b) }
        })*
    };
}

impl Simd for Avx512 {
    type F = __m512;
    const LANES: usize = 16;

    binary!(
        add = _mm512_add_ps,
        sub = _mm512_sub_ps,
        mul = _mm512_mul_ps,
        div = _mm512_div_ps,
        max = _mm512_max_ps,
        min = _mm512_min_ps
    );

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the address, `self` for the instruction.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> __m512 {
        // SAFETY: the caller vouches for the address, `self` for the instructions.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m512 {
        // SAFETY: the caller vouches for the address, `self` for the instructions.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m512) {
        // SAFETY: the caller vouches for the address, `self` for the instruction.
        unsafe { _mm512_storeu_ps(to, x) }
    }

    #[inline(always)]
    fn integers(self, bits: __m512) -> __m512 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm512_cvtepi32_ps(_mm512_castps_si512(bits)) }
    }

    #[inline(always)]
    fn sub_integers(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b))) }
    }

    #[inline(always)]
    fn max_integers(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b))) }
    }

    #[inline(always)]
    unsafe fn store_low_bytes(self, to: *mut u8, x: __m512) {
        // SAFETY: the caller vouches for the address, `self` for the instructions.
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_castps_si512(x))) }
    }

    #[inline(always)]
    unsafe fn store_low_bytes_of_four(self, to: *mut u8, x: [__m512; 4]) {
        /// Bits of the second operand where those of the first are set, else of the third.
        const CHOOSE: i32 = 0xca;
        // SAFETY: the caller vouches for the address, `self` for the instructions.
        unsafe {
            let [a, b, c, d] = x.map(|x| _mm512_castps_si512(x));
            let (b, c, d) =
                (_mm512_slli_epi32::<8>(b), _mm512_slli_epi32::<16>(c), _mm512_slli_epi32::<24>(d));
            let ab = _mm512_ternarylogic_epi32::<CHOOSE>(_mm512_set1_epi32(0xff), a, b);
            let cd = _mm512_ternarylogic_epi32::<CHOOSE>(_mm512_set1_epi32(0xff_ffff), c, d);
            let all = _mm512_ternarylogic_epi32::<CHOOSE>(_mm512_set1_epi32(0xffff), ab, cd);
            _mm512_storeu_si512(to.cast(), all);
        }
    }

    #[inline(always)]
    fn prefetch(self, from: *const f32) {
        // SAFETY: a prefetch of an address that is not mapped does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }

    #[inline(always)]
    fn prefetch_far(self, from: *const f32) {
        // SAFETY: a prefetch of an address that is not mapped does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn sum(self, x: __m512) -> f32 {
        // SAFETY: `self` proves that the CPU has the instructions.
        unsafe { _mm512_reduce_add_ps(x) }
    }

    #[inline(always)]
    fn largest(self, x: __m512) -> f32 {
        // SAFETY: `self` proves that the CPU has the instructions.
        unsafe { _mm512_reduce_max_ps(x) }
    }

    #[inline(always)]
    fn where_below(self, x: __m512, limit: __m512, below: __m512, otherwise: __m512) -> __m512 {
        // SAFETY: `self` proves that the CPU has the instructions.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, limit), otherwise, below) }
    }

    #[inline(always)]
    fn round(self, x: __m512) -> __m512 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(x) }
    }

    #[inline(always)]
    fn times_power(self, x: __m512, n: __m512) -> __m512 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm512_scalef_ps(x, n) }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32) {
        // SAFETY: the caller vouches for the addresses, `self` for the instructions.
        unsafe {
            // Of four rows each: column 4 l + j of all four in quarter l of vector j.
            let mut fours = [[_mm512_setzero_ps(); 4]; 4];
            for (i, four) in fours.iter_mut().enumerate() {
                let row = |r: usize| _mm512_loadu_ps(from.add((4 * i + r) * stride));
                let (a, b, c, d) = (row(0), row(1), row(2), row(3));
                let low = [_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d)].map(|x| _mm512_castps_pd(x));
                let high = [_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d)].map(|x| _mm512_castps_pd(x));
                *four = [
                    _mm512_castpd_ps(_mm512_unpacklo_pd(low[0], low[1])),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(low[0], low[1])),
                    _mm512_castpd_ps(_mm512_unpacklo_pd(high[0], high[1])),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(high[0], high[1])),
                ];
            }
            for (j, [a, b, c, d]) in crate::transpose::transposed(fours).into_iter().enumerate() {
                // Even and odd quarters of two vectors each.
                let (even, odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
                let (even_2, odd_2) =
                    (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
                let columns = [
                    _mm512_shuffle_f32x4::<0x88>(even, even_2),
                    _mm512_shuffle_f32x4::<0x88>(odd, odd_2),
                    _mm512_shuffle_f32x4::<0xdd>(even, even_2),
                    _mm512_shuffle_f32x4::<0xdd>(odd, odd_2),
                ];
                for (quarter, column) in columns.into_iter().enumerate() {
                    _mm512_storeu_ps(to.add((4 * quarter + j) * 16), column);
                }
            }
        }
    }
}
