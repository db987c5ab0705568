//! Eight elements of the field of `p = 2^255 - 19`, in radix `2^51`: five limbs of eight lanes.
//!
//! # Bounds
//!
//! The multiplier takes 52 bits and gives the low or the high 52 bits of a product, so a limb may grow to
//! `2^52` between two products and to `2^64` after one. A type says which:
//!
//! | value | each limb at most | kept by |
//! |---|---|---|
//! | [`Reduced`] | that of `2p`: `2^52 - 38`, then `2^52 - 2` | what can be multiplied |
//! | ... from [`Unreduced::reduce`] | `2^51 + 2^18` | any `Unreduced` |
//! | ... from [`Reduced::negate`] | that of `2p` | `2p - x` for any `Reduced` |
//! | a product, a square | `267 * 2^52` | any two `Reduced` |
//! | [`Raised<11>`](Raised) | `2^11 * p` more than a product: `1,291 * 2^52` | up to three products can be subtracted |
//! | [`Raised<12>`](Raised) | `2^12 * p` more than two products: `2,582 * 2^52` | ... or a product and a `Raised<11>` |
//! | [`Unreduced::subtract`] | `2^11 * p` more than the first | at most three products on either side |
//! | [`Unreduced`] | `2^64 = 4,096 * 2^52` | [`Unreduced::reduce`] |
//!
//! Where 267 comes from: column 5 of a product is made of four low halves and twice five high halves, all
//! below `2^52`: `14 * 2^52`. Since `2^255 = 19`, it is added nineteen times to column 0, which has one low
//! half of its own: `(1 + 19 * 14) * 2^52`.
//!
//! # Columns
//!
//! The multiplier splits at bit 52 and the limbs at bit 51, so a high half counts twice in the next column. All
//! high halves are summed first, doubled once a column, and the low halves are added on top.

mod power;
#[cfg(all(test, feature = "client", feature = "server"))]
mod tests;

use core::arch::x86_64::*;

use zeroize::Zeroize;

pub(super) use self::power::{invert_batch, power_p58};
use super::lanes::{LANES, Lanes, load, splat, store};
use crate::group::Encoding;

const LIMBS: usize = 5;
const LIMB_BITS: u32 = 51;
const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;

/// The limbs of `p`.
const P: [u64; LIMBS] = [LIMB_MASK - 18, LIMB_MASK, LIMB_MASK, LIMB_MASK, LIMB_MASK];

/// A field element with the same value in every lane.
#[derive(Clone, Copy)]
pub(super) struct Constant(pub(super) [u64; LIMBS]);

impl Constant {
    pub(super) const ONE: Self = Self([1, 0, 0, 0, 0]);
}

/// Eight field elements that can be multiplied: limbs at most those of `2p`.
#[derive(Clone, Copy)]
pub(super) struct Reduced(pub(super) [Lanes; LIMBS]);

/// Eight field elements with limbs below `2^64`.
#[derive(Clone, Copy)]
pub(super) struct Unreduced([Lanes; LIMBS]);

/// `2^SHIFT * p` and a product or two: what products can be subtracted from without going below zero.
///
/// The raise costs nothing: a product starts from it instead of from zero.
#[derive(Clone, Copy)]
pub(super) struct Raised<const SHIFT: u32>(Unreduced);

/// One bit a lane.
pub(super) type Mask = __mmask8;

impl Unreduced {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn add(self, other: Self) -> Self {
        let mut sum = self.0;
        for (limb, other) in sum.iter_mut().zip(other.0) {
            *limb = _mm512_add_epi64(*limb, other);
        }
        Self(sum)
    }

    /// `self - other + 2^11 * p`.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn subtract(self, other: Self) -> Self {
        let mut difference = self.0;
        for ((limb, other), p) in difference.iter_mut().zip(other.0).zip(P) {
            *limb = _mm512_sub_epi64(_mm512_add_epi64(*limb, splat(p << 11)), other);
        }
        Self(difference)
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn twice(self) -> Self {
        self.add(self)
    }

    /// Carries once: a limb keeps 51 bits and passes on at most 13.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn reduce(self) -> Reduced {
        let mask = splat(LIMB_MASK);
        let [a0, a1, a2, a3, a4] = self.0;
        let low = |limb| _mm512_and_si512(limb, mask);
        let carry = |limb| _mm512_srli_epi64::<LIMB_BITS>(limb);
        Reduced([
            _mm512_madd52lo_epu64(low(a0), carry(a4), splat(19)),
            _mm512_add_epi64(low(a1), carry(a0)),
            _mm512_add_epi64(low(a2), carry(a1)),
            _mm512_add_epi64(low(a3), carry(a2)),
            _mm512_add_epi64(low(a4), carry(a3)),
        ])
    }

    /// Adds nineteen times columns 5 to 9 to columns 0 to 4.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    fn fold(columns: [Lanes; 10]) -> Self {
        let [c0, c1, c2, c3, c4, c5, c6, c7, c8, c9] = columns;
        let nineteen = splat(19);
        let fold = |low, high| _mm512_add_epi64(low, _mm512_mullo_epi64(high, nineteen));
        Self([
            fold(c0, c5),
            fold(c1, c6),
            fold(c2, c7),
            fold(c3, c8),
            fold(c4, c9),
        ])
    }
}

impl<const SHIFT: u32> Raised<SHIFT> {
    #[inline]
    pub(super) fn unreduced(self) -> Unreduced {
        self.0
    }

    /// Subtracts what the table of bounds allows.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn subtract(self, other: Unreduced) -> Unreduced {
        let mut difference = self.0.0;
        for (limb, other) in difference.iter_mut().zip(other.0) {
            *limb = _mm512_sub_epi64(*limb, other);
        }
        Unreduced(difference)
    }
}

impl Raised<11> {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn twice(self) -> Raised<12> {
        Raised(self.0.twice())
    }
}

impl Raised<10> {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn twice(self) -> Raised<11> {
        Raised(self.0.twice())
    }
}

impl Reduced {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn splat(constant: Constant) -> Self {
        let [c0, c1, c2, c3, c4] = constant.0;
        Self([splat(c0), splat(c1), splat(c2), splat(c3), splat(c4)])
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn zero() -> Self {
        Self([_mm512_setzero_si512(); LIMBS])
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn one() -> Self {
        Self::splat(Constant::ONE)
    }

    #[inline]
    pub(super) fn unreduced(self) -> Unreduced {
        Unreduced(self.0)
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn multiply(self, other: Self) -> Unreduced {
        self.multiply_onto([_mm512_setzero_si512(); LIMBS], other)
    }

    /// `2^SHIFT * p + self * other`.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn multiply_raised<const SHIFT: u32>(self, other: Self) -> Raised<SHIFT> {
        Raised(self.multiply_onto(raise::<SHIFT>(), other))
    }

    /// `start` becomes a part of the columns before they are doubled, all but column 0.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    fn multiply_onto(self, start: [Lanes; LIMBS], other: Self) -> Unreduced {
        let (a, b) = (self.0, other.0);
        let mut columns = [_mm512_setzero_si512(); 10];
        columns[..LIMBS].copy_from_slice(&start);
        for i in 0..LIMBS {
            for j in 0..LIMBS {
                columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], a[i], b[j]);
            }
        }
        for column in &mut columns[1..] {
            *column = _mm512_add_epi64(*column, *column);
        }
        for i in 0..LIMBS {
            for j in 0..LIMBS {
                columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], a[i], b[j]);
            }
        }
        Unreduced::fold(columns)
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn square(self) -> Unreduced {
        self.square_onto([_mm512_setzero_si512(); LIMBS])
    }

    /// `2^SHIFT * p + self^2`.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn square_raised<const SHIFT: u32>(self) -> Raised<SHIFT> {
        Raised(self.square_onto(raise::<SHIFT>()))
    }

    /// `start` becomes a part of the columns before they are doubled for the last time, all but column 0.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    fn square_onto(self, start: [Lanes; LIMBS]) -> Unreduced {
        let a = self.0;
        let twice = |column| _mm512_add_epi64(column, column);
        // Mixed products count twice, high halves count twice: mixed high halves four times.
        let mut columns = [_mm512_setzero_si512(); 10];
        for i in 0..LIMBS {
            for j in i + 1..LIMBS {
                columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], a[i], a[j]);
            }
        }
        for column in &mut columns[2..9] {
            *column = twice(*column);
        }
        for (column, start) in columns.iter_mut().zip(start) {
            *column = _mm512_add_epi64(*column, start);
        }
        for i in 0..LIMBS {
            columns[2 * i + 1] = _mm512_madd52hi_epu64(columns[2 * i + 1], a[i], a[i]);
            for j in i + 1..LIMBS {
                columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], a[i], a[j]);
            }
        }
        for column in &mut columns[1..] {
            *column = twice(*column);
        }
        for i in 0..LIMBS {
            columns[2 * i] = _mm512_madd52lo_epu64(columns[2 * i], a[i], a[i]);
        }
        Unreduced::fold(columns)
    }

    /// `self * other`, ready for the next product.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn times(self, other: Self) -> Self {
        self.multiply(other).reduce()
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn squared(self) -> Self {
        self.square().reduce()
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn plus(self, other: Self) -> Self {
        self.unreduced().add(other.unreduced()).reduce()
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn minus(self, other: Self) -> Self {
        self.unreduced().subtract(other.unreduced()).reduce()
    }

    /// `2p - self`, without a carry.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn negate(self) -> Self {
        let mut negated = self.0;
        for (limb, p) in negated.iter_mut().zip(P) {
            *limb = _mm512_sub_epi64(splat(2 * p), *limb);
        }
        Self(negated)
    }

    /// Takes `other` in the lanes of the mask.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn select(self, mask: Mask, other: Self) -> Self {
        let mut selected = self.0;
        for (limb, other) in selected.iter_mut().zip(other.0) {
            *limb = _mm512_mask_mov_epi64(*limb, mask, other);
        }
        Self(selected)
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn negate_if(self, mask: Mask) -> Self {
        let mut negated = self.0;
        for (limb, p) in negated.iter_mut().zip(P) {
            *limb = _mm512_mask_sub_epi64(*limb, mask, splat(2 * p), *limb);
        }
        Self(negated)
    }

    /// The limbs of the one representative below `p`.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    fn canonical(self) -> [Lanes; LIMBS] {
        let mut limbs = self.unreduced().reduce().0;
        // What is above p overflows bit 255 once 19 is added.
        let mut quotient = splat(19);
        for limb in limbs {
            quotient = _mm512_srli_epi64::<LIMB_BITS>(_mm512_add_epi64(limb, quotient));
        }
        let mut carry = _mm512_madd52lo_epu64(_mm512_setzero_si512(), quotient, splat(19));
        for limb in &mut limbs {
            let sum = _mm512_add_epi64(*limb, carry);
            carry = _mm512_srli_epi64::<LIMB_BITS>(sum);
            *limb = _mm512_and_si512(sum, splat(LIMB_MASK));
        }
        limbs
    }

    /// The lanes whose value is odd, which RFC 9496 calls negative.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn is_negative(self) -> Mask {
        _mm512_test_epi64_mask(self.canonical()[0], splat(1))
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn is_zero(self) -> Mask {
        let [a0, a1, a2, a3, a4] = self.canonical();
        let low = _mm512_or_si512(_mm512_or_si512(a0, a1), _mm512_or_si512(a2, a3));
        let any = _mm512_or_si512(low, a4);
        _mm512_testn_epi64_mask(any, any)
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn equals(self, other: Self) -> Mask {
        self.minus(other).is_zero()
    }

    /// `CT_ABS` of RFC 9496.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn absolute(self) -> Self {
        self.negate_if(self.is_negative())
    }

    /// Takes 255 bits of each word, little-endian; whether they are canonical is [`Self::to_words`] to
    /// tell.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn from_words([w0, w1, w2, w3]: [Lanes; 4]) -> Self {
        let mask = splat(LIMB_MASK);
        let low = |word| _mm512_and_si512(word, mask);
        Self([
            low(w0),
            low(_mm512_or_si512(
                _mm512_srli_epi64::<51>(w0),
                _mm512_slli_epi64::<13>(w1),
            )),
            low(_mm512_or_si512(
                _mm512_srli_epi64::<38>(w1),
                _mm512_slli_epi64::<26>(w2),
            )),
            low(_mm512_or_si512(
                _mm512_srli_epi64::<25>(w2),
                _mm512_slli_epi64::<39>(w3),
            )),
            low(_mm512_srli_epi64::<12>(w3)),
        ])
    }

    /// The canonical value as four little-endian words.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    pub(super) fn to_words(self) -> [Lanes; 4] {
        let [a0, a1, a2, a3, a4] = self.canonical();
        [
            _mm512_or_si512(a0, _mm512_slli_epi64::<51>(a1)),
            _mm512_or_si512(_mm512_srli_epi64::<13>(a1), _mm512_slli_epi64::<38>(a2)),
            _mm512_or_si512(_mm512_srli_epi64::<26>(a2), _mm512_slli_epi64::<25>(a3)),
            _mm512_or_si512(_mm512_srli_epi64::<39>(a3), _mm512_slli_epi64::<12>(a4)),
        ]
    }
}

/// What the columns of a product start from if it is to be raised.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
fn raise<const SHIFT: u32>() -> [Lanes; LIMBS] {
    let [p0, p1, p2, p3, p4] = P;
    let half = |limb: u64| splat(limb << (SHIFT - 1));
    [splat(p0 << SHIFT), half(p1), half(p2), half(p3), half(p4)]
}

/// Reads up to eight times 32 bytes as little-endian words; lanes without bytes are zero.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
pub(super) fn words_from_bytes<'a>(encodings: impl Iterator<Item = &'a Encoding>) -> [Lanes; 4] {
    let mut words = [[0; LANES]; 4];
    for (lane, encoding) in encodings.enumerate() {
        for (row, bytes) in words.iter_mut().zip(encoding.as_chunks::<8>().0) {
            row[lane] = u64::from_le_bytes(*bytes);
        }
    }
    [
        load(&words[0]),
        load(&words[1]),
        load(&words[2]),
        load(&words[3]),
    ]
}

/// Writes as many lanes as there are slots.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
pub(super) fn words_to_bytes(words: [Lanes; 4], slots: &mut [Encoding]) {
    let words = [
        store(words[0]),
        store(words[1]),
        store(words[2]),
        store(words[3]),
    ];
    for (lane, slot) in slots.iter_mut().enumerate() {
        for (bytes, row) in slot.as_chunks_mut::<8>().0.iter_mut().zip(&words) {
            *bytes = row[lane].to_le_bytes();
        }
    }
}

impl Zeroize for Reduced {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}
