//! ristretto255 (RFC 9496) on lanes: decoding, encoding, the one-way map. Constant time throughout.
//!
//! Inverse square roots are computed for [`WIDTH`] groups at a time. One exponentiation alone is a chain of
//! 254 squarings, each of which waits for the one before it.

#[cfg(feature = "server")]
mod doubled;
#[cfg(feature = "client")]
mod one_way_map;

#[cfg(feature = "server")]
pub(super) use self::doubled::double_and_encode;
#[cfg(feature = "client")]
pub(super) use self::one_way_map::from_uniform_words;
use super::{
    edwards::{D, Extended},
    field::{Constant, Mask, Reduced, power_p58},
    lanes::Lanes,
};

/// Groups whose inverse square roots are computed side by side.
///
/// See "what was tried and lost" in the module above.
pub(super) const WIDTH: usize = 2;

/// Canonical 32-byte encodings as four words of eight lanes.
pub(super) type Words = [Lanes; 4];

/// `sqrt(-1)`.
const SQRT_M1: Constant = Constant([
    0x61b274a0ea0b0,
    0x0d5a5fc8f189d,
    0x7ef5e9cbd0c60,
    0x78595a6804c9e,
    0x2b8324804fc1d,
]);

/// `1/sqrt(a - d)`.
const INVSQRT_A_MINUS_D: Constant = Constant([
    0x0fdaa805d40ea,
    0x2eb482e57d339,
    0x007610274bc58,
    0x6510b613dc8ff,
    0x786c8905cfaff,
]);

/// `SQRT_RATIO_M1` of RFC 9496, section 4.2: whether `u/v` is a square, and the non-negative root of it or of
/// `sqrt(-1) * u/v`.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
fn sqrt_ratio<const N: usize>(u: [Reduced; N], v: [Reduced; N]) -> [(Mask, Reduced); N] {
    let mut roots = u;
    let mut powers = u;
    for ((root, power), v) in roots.iter_mut().zip(&mut powers).zip(v) {
        let v3 = v.squared().times(v);
        let v7 = v3.squared().times(v);
        *power = power.times(v7);
        *root = root.times(v3);
    }
    let powers = power_p58(powers);
    let i = Reduced::splat(SQRT_M1);
    let mut results = roots.map(|root| (0, root));
    for (((result, power), u), v) in results.iter_mut().zip(powers).zip(u).zip(v) {
        let root = result.1.times(power);
        let check = v.times(root.squared());
        let negated = u.negate();
        let correct = check.equals(u);
        let flipped = check.equals(negated);
        let flipped_i = check.equals(negated.times(i));
        let root = root.select(flipped | flipped_i, root.times(i));
        *result = (correct | flipped, root.absolute());
    }
    results
}

/// `Decode` of RFC 9496, section 4.3.1. The lanes of the mask hold elements; the identity is refused too.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn decode<const N: usize>(words: [Words; N]) -> [(Mask, Extended); N] {
    let one = Reduced::one();
    let s = words.map(|words| Reduced::from_words(words));
    let mut u1 = s;
    let mut u2 = s;
    let mut v = s;
    let mut radicand = s;
    for (((s, u1), u2), (v, radicand)) in s
        .iter()
        .zip(&mut u1)
        .zip(&mut u2)
        .zip(v.iter_mut().zip(&mut radicand))
    {
        let ss = s.squared();
        *u1 = one.minus(ss);
        *u2 = one.plus(ss);
        let u2_square = u2.square();
        let d_u1_square = u1.squared().multiply(Reduced::splat(D));
        *v = d_u1_square.add(u2_square).reduce().negate();
        *radicand = v.times(u2_square.reduce());
    }
    let roots = sqrt_ratio([one; N], radicand);
    let mut decoded = roots.map(|(_, root)| {
        let unset = Extended {
            x: root,
            y: root,
            z: one,
            t: root,
        };
        (0, unset)
    });
    for (group, (valid, point)) in decoded.iter_mut().enumerate() {
        let (was_square, inverse_root) = roots[group];
        let den_x = inverse_root.times(u2[group]);
        let den_y = inverse_root.times(den_x).times(v[group]);
        let x = s[group].plus(s[group]).times(den_x).absolute();
        let y = u1[group].times(den_y);
        let t = x.times(y);
        // Reading takes 255 bits, whatever they stand for; only canonical bytes are read back the same.
        let read_back = s[group].to_words();
        let mut canonical = Mask::MAX;
        for (word, read_back) in words[group].iter().zip(read_back) {
            canonical &= core::arch::x86_64::_mm512_cmpeq_epi64_mask(*word, read_back);
        }
        *valid = canonical
            & !s[group].is_negative()
            & was_square
            & !t.is_negative()
            & !y.is_zero()
            & !s[group].is_zero();
        *point = Extended { x, y, z: one, t };
    }
    decoded
}

/// `Encode` of RFC 9496, section 4.3.2.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn encode<const N: usize>(points: [Extended; N]) -> [Words; N] {
    let u1 = points.map(|point| point.z.plus(point.y).times(point.z.minus(point.y)));
    let u2 = points.map(|point| point.x.times(point.y));
    let mut radicand = u1;
    for (radicand, u2) in radicand.iter_mut().zip(u2) {
        *radicand = radicand.times(u2.squared());
    }
    let roots = sqrt_ratio([Reduced::one(); N], radicand);
    let i = Reduced::splat(SQRT_M1);
    let mut group = 0;
    points.map(|Extended { x, y, z, t }| {
        let den1 = roots[group].1.times(u1[group]);
        let den2 = roots[group].1.times(u2[group]);
        group += 1;
        let z_inverse = den1.times(den2).times(t);
        let rotate = t.times(z_inverse).is_negative();
        let rotated_x = x.select(rotate, y.times(i));
        let rotated_y = y.select(rotate, x.times(i));
        let enchanted = den1.times(Reduced::splat(INVSQRT_A_MINUS_D));
        let den = den2.select(rotate, enchanted);
        let y = rotated_y.negate_if(rotated_x.times(z_inverse).is_negative());
        den.times(z.minus(y)).absolute().to_words()
    })
}
