//! Scalars as signed odd digits, a window of bits at a time.
//!
//! Every scalar is a sum of `n` signed powers of two, `k = sum((2 m_i - 1) 2^i)`, where `m_i` are the bits of
//! `m = (k + 2^n - 1)/2` modulo the group order. A window of `w` bits of `m` with the value `u` then is the odd
//! digit `2u - (2^w - 1)`: no digit is zero, no carry runs from one to the next, and a table holds odd
//! multiples only, half as many as there are digits.

use core::arch::x86_64::*;

use zeroize::{Zeroize, Zeroizing};

use super::{
    field::{Mask, words_from_bytes},
    lanes::{LANES, Lanes, splat},
};
use crate::group::{Encoding, Scalar};

/// Bits of a scalar.
const SCALAR_BITS: usize = 253;

/// Windows of `width` bits that cover a scalar.
pub(super) const fn windows(width: usize) -> usize {
    SCALAR_BITS.div_ceil(width)
}

/// Turns scalars into their `m` for one window width.
pub(super) struct Recoder(Scalar);

impl Recoder {
    pub(super) fn new(width: usize) -> Self {
        Self(Scalar::half_of_ones(windows(width) * width))
    }

    /// The bits `m` of a scalar.
    pub(super) fn recode(&self, scalar: &Scalar) -> Zeroizing<Encoding> {
        Zeroizing::new(scalar.half().add(&self.0).encode())
    }
}

/// The recoded scalars of one group. Wiped by the owner.
#[derive(Clone, Copy)]
pub(super) struct Recoded([Lanes; 4]);

/// One digit a lane: which odd multiple, and where it is to be subtracted.
#[derive(Clone, Copy)]
pub(super) struct Digit {
    pub(super) index: Lanes,
    pub(super) negative: Mask,
}

impl Recoded {
    /// One scalar for each lane; lanes without one get digits all the same, which the owner ignores.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn each(recoder: &Recoder, scalars: &[Scalar]) -> Self {
        let mut recoded = Zeroizing::new([[0; 32]; LANES]);
        for (slot, scalar) in recoded.iter_mut().zip(scalars) {
            *slot = *recoder.recode(scalar);
        }
        Self(words_from_bytes(recoded.iter()))
    }

    /// The same scalar in every lane.
    #[cfg(feature = "server")]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn same(recoder: &Recoder, scalar: &Scalar) -> Self {
        let recoded = recoder.recode(scalar);
        Self(words_from_bytes([&*recoded; LANES].into_iter()))
    }

    /// The digit of window `window`, which is public, as `width` is.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn digit(&self, window: usize, width: usize) -> Digit {
        let bit = window * width;
        let (word, shift) = (bit / 64, bit % 64);
        let count = |bits: usize| _mm_cvtsi64_si128(bits as i64);
        let mut bits = _mm512_srl_epi64(self.0[word], count(shift));
        if shift + width > 64 && word + 1 < self.0.len() {
            bits = _mm512_or_si512(bits, _mm512_sll_epi64(self.0[word + 1], count(64 - shift)));
        }
        let magnitudes = splat((1 << (width - 1)) - 1);
        // The top bit of the window is set where the digit is positive.
        let negative = _mm512_testn_epi64_mask(bits, splat(1 << (width - 1)));
        let index = _mm512_mask_xor_epi64(bits, negative, bits, magnitudes);
        Digit {
            index: _mm512_and_si512(index, magnitudes),
            negative,
        }
    }
}

impl Zeroize for Recoded {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}
