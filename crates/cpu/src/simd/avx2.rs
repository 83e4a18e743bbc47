//! AVX2 with FMA and F16C: vectors of 8.

use super::Simd;
use std::arch::x86_64::{
    __m256, _CMP_LT_OQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T0, _MM_HINT_T1,
    _mm_loadu_si128, _mm_packus_epi16, _mm_packus_epi32, _mm_prefetch, _mm_storel_epi64, _mm256_add_epi32,
    _mm256_add_ps, _mm256_and_si256, _mm256_blendv_ps, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_cvtepu16_epi32, _mm256_cvtph_ps,
    _mm256_cvtps_epi32, _mm256_div_ps, _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_max_epi32, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_or_si256, _mm256_round_ps,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_storeu_si256,
    _mm256_sub_epi32, _mm256_sub_ps,
};

/// The proof that the CPU has AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof.
    ///
    /// # Safety
    /// The CPU must have AVX2, FMA and F16C, and the caller be compiled for it.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

macro_rules! binary {
    ($($name:ident = $instruction:ident),*) => {
        $(#[inline(always)]
        fn $name(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: `self` proves that the CPU has the instruction.
            unsafe { $instruction(a, b) }
        })*
    };
}

impl Simd for Avx2 {
    type F = __m256;
    const LANES: usize = 8;

    binary!(
        add = _mm256_add_ps,
        sub = _mm256_sub_ps,
        mul = _mm256_mul_ps,
        div = _mm256_div_ps,
        max = _mm256_max_ps,
        min = _mm256_min_ps
    );

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for the address, `self` for the instruction.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> __m256 {
        // SAFETY: the caller vouches for the address, `self` for the instructions.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m256 {
        // SAFETY: the caller vouches for the address, `self` for the instructions.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m256) {
        // SAFETY: the caller vouches for the address, `self` for the instruction.
        unsafe { _mm256_storeu_ps(to, x) }
    }

    #[inline(always)]
    fn integers(self, bits: __m256) -> __m256 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm256_cvtepi32_ps(_mm256_castps_si256(bits)) }
    }

    #[inline(always)]
    fn sub_integers(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b))) }
    }

    #[inline(always)]
    fn max_integers(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b))) }
    }

    #[inline(always)]
    unsafe fn store_low_bytes(self, to: *mut u8, x: __m256) {
        // SAFETY: the caller vouches for the address, `self` for the instructions.
        unsafe {
            let low = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0xff));
            let (low, high) = (_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
            let words = _mm_packus_epi32(low, high);
            _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
        }
    }

    #[inline(always)]
    unsafe fn store_low_bytes_of_four(self, to: *mut u8, x: [__m256; 4]) {
        // SAFETY: the caller vouches for the address, `self` for the instructions.
        unsafe {
            let low = |x| _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0xff));
            let [a, b, c, d] = x;
            let (b, c) = (_mm256_slli_epi32::<8>(low(b)), _mm256_slli_epi32::<16>(low(c)));
            let d = _mm256_slli_epi32::<24>(_mm256_castps_si256(d));
            let all = _mm256_or_si256(_mm256_or_si256(low(a), b), _mm256_or_si256(c, d));
            _mm256_storeu_si256(to.cast(), all);
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
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn where_below(self, x: __m256, limit: __m256, below: __m256, otherwise: __m256) -> __m256 {
        // SAFETY: `self` proves that the CPU has the instructions.
        unsafe { _mm256_blendv_ps(otherwise, below, _mm256_cmp_ps::<_CMP_LT_OQ>(x, limit)) }
    }

    #[inline(always)]
    fn round(self, x: __m256) -> __m256 {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn times_power(self, x: __m256, n: __m256) -> __m256 {
        // SAFETY: `self` proves that the CPU has the instructions.
        unsafe {
            let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent))
        }
    }
}
