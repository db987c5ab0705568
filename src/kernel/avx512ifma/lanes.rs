//! Eight 64-bit lanes: the only loads, stores and transpositions of the backend.

use core::arch::x86_64::*;

/// Eight 64-bit words, one for each element of a group.
pub(super) type Lanes = __m512i;

/// Elements in a group.
pub(super) const LANES: usize = 8;

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
pub(super) fn splat(word: u64) -> Lanes {
    _mm512_set1_epi64(word.cast_signed())
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
#[allow(unsafe_code, reason = "a load")]
pub(super) fn load(words: &[u64; LANES]) -> Lanes {
    // SAFETY: reads 64 bytes, which is what the array has; the instruction asks for no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
pub(super) fn store(lanes: Lanes) -> [u64; LANES] {
    let mut words = [0; LANES];
    store_to(lanes, &mut words);
    words
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
#[allow(unsafe_code, reason = "a store")]
pub(super) fn store_to(lanes: Lanes, words: &mut [u64; LANES]) {
    // SAFETY: writes 64 bytes, which is what the array has; the instruction asks for no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), lanes) }
}

/// Eight rows to eight columns: word `j` of row `i` becomes word `i` of row `j`.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
pub(super) fn transpose(rows: [Lanes; LANES]) -> [Lanes; LANES] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let pairs = [
        _mm512_unpacklo_epi64(r0, r1),
        _mm512_unpackhi_epi64(r0, r1),
        _mm512_unpacklo_epi64(r2, r3),
        _mm512_unpackhi_epi64(r2, r3),
        _mm512_unpacklo_epi64(r4, r5),
        _mm512_unpackhi_epi64(r4, r5),
        _mm512_unpacklo_epi64(r6, r7),
        _mm512_unpackhi_epi64(r6, r7),
    ];
    let low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    let high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    let quads = [
        _mm512_permutex2var_epi64(pairs[0], low, pairs[2]),
        _mm512_permutex2var_epi64(pairs[1], low, pairs[3]),
        _mm512_permutex2var_epi64(pairs[0], high, pairs[2]),
        _mm512_permutex2var_epi64(pairs[1], high, pairs[3]),
        _mm512_permutex2var_epi64(pairs[4], low, pairs[6]),
        _mm512_permutex2var_epi64(pairs[5], low, pairs[7]),
        _mm512_permutex2var_epi64(pairs[4], high, pairs[6]),
        _mm512_permutex2var_epi64(pairs[5], high, pairs[7]),
    ];
    const LOW_HALVES: i32 = 0x44;
    const HIGH_HALVES: i32 = 0xee;
    [
        _mm512_shuffle_i64x2::<LOW_HALVES>(quads[0], quads[4]),
        _mm512_shuffle_i64x2::<LOW_HALVES>(quads[1], quads[5]),
        _mm512_shuffle_i64x2::<LOW_HALVES>(quads[2], quads[6]),
        _mm512_shuffle_i64x2::<LOW_HALVES>(quads[3], quads[7]),
        _mm512_shuffle_i64x2::<HIGH_HALVES>(quads[0], quads[4]),
        _mm512_shuffle_i64x2::<HIGH_HALVES>(quads[1], quads[5]),
        _mm512_shuffle_i64x2::<HIGH_HALVES>(quads[2], quads[6]),
        _mm512_shuffle_i64x2::<HIGH_HALVES>(quads[3], quads[7]),
    ]
}
