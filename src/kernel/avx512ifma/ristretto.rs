//! ristretto255 (RFC 9496) on lanes: decoding, encoding, the one-way map. Constant time throughout.
//!
//! Inverse square roots are computed for [`WIDTH`] groups at a time. One exponentiation alone is a chain of
//! 254 squarings, each of which waits for the one before it.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::{
    edwards::{Completed, D, Extended},
    field::{Constant, Mask, Reduced, invert_batch, power_p58},
    lanes::Lanes,
};

/// Groups whose inverse square roots are computed side by side.
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

/// `sqrt(ad - 1)`.
const SQRT_AD_MINUS_ONE: Constant = Constant([
    0x7f6a0497b2e1b,
    0x1836f0a97afd2,
    0x7d747f6be7638,
    0x456079e7e6498,
    0x376931bf2b834,
]);

/// `1 - d^2`.
const ONE_MINUS_D_SQ: Constant = Constant([
    0x409c1945fc176,
    0x719abc6a1fc4f,
    0x1c37f90b20684,
    0x06bccca55eedf,
    0x029072a8b2b3e,
]);

/// `(d - 1)^2`.
const D_MINUS_ONE_SQ: Constant = Constant([
    0x55aaa44ed4d20,
    0x59603c3332635,
    0x26d3baf4a7928,
    0x120a66e6997a9,
    0x5968b37af66c2,
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

/// Encodes the double of each point, all with one inversion.
///
/// `2P` is the image of a point of the Jacobi quartic that can be had from `P` without a root, and its
/// abscissa, up to the sign and the coset, is the encoding (Hamburg's Decaf; RFC 9496 only has the
/// square root). The choice of the coset is that of [`encode`].
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn double_and_encode(halves: &[Extended], mut write: impl FnMut(usize, Words)) {
    let mut states = Zeroizing::new(Vec::with_capacity(halves.len()));
    let mut inverses = Zeroizing::new(Vec::with_capacity(halves.len()));
    for half in halves {
        let tt = half.t.squared().multiply(Reduced::splat(D));
        let zz = half.z.square();
        let xx = half.x.square();
        let yy = half.y.square();
        let xy = half.x.multiply(half.y);
        let state = Completed {
            e: xy.add(xy).reduce(),
            f: zz.add(tt).reduce(),
            g: yy.add(xx).reduce(),
            h: zz.subtract(tt).reduce(),
        };
        let eg = state.e.times(state.g);
        let fh = state.f.times(state.h);
        inverses.push(eg.times(fh));
        states.push((state, eg, fh));
    }
    let mut scratch = Zeroizing::new(inverses.to_vec());
    invert_batch(&mut inverses, &mut scratch);
    let i = Reduced::splat(SQRT_M1);
    for (index, ((state, eg, fh), inverse)) in states.iter().zip(inverses.iter()).enumerate() {
        let z_inverse = eg.times(*inverse);
        let t_inverse = fh.times(*inverse);
        let rotate = eg.times(z_inverse).is_negative();
        let e = state.e.select(rotate, state.g);
        let g = state.g.select(rotate, state.e.negate());
        let h = state.h.select(rotate, state.f.times(i));
        let magic = Reduced::splat(INVSQRT_A_MINUS_D).select(rotate, i);
        let g = g.negate_if(h.times(e).times(z_inverse).is_negative());
        let s = h.minus(g).times(magic.times(g.times(t_inverse)));
        write(index, s.absolute().to_words());
    }
}

/// The one-way map of RFC 9496, section 4.3.4, from the two halves of 64 uniform bytes.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn from_uniform_words(halves: [Words; 2]) -> Extended {
    let [first, second] = map(halves.map(|words| Reduced::from_words(words)));
    let first = first.extended();
    let second = second.extended();
    first.add(&second.projective_niels()).extended()
}

/// `MAP` of RFC 9496, section 4.3.4.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
fn map<const N: usize>(t: [Reduced; N]) -> [Completed; N] {
    let one = Reduced::one();
    let d = Reduced::splat(D);
    let i = Reduced::splat(SQRT_M1);
    let r = t.map(|t| i.times(t.squared()));
    let u = r.map(|r| r.plus(one).times(Reduced::splat(ONE_MINUS_D_SQ)));
    let v = r.map(|r| {
        let factor = r.times(d).plus(one).negate();
        factor.times(r.plus(d))
    });
    let roots = sqrt_ratio(u, v);
    let mut group = 0;
    roots.map(|(was_square, root)| {
        let (t, r, v) = (t[group], r[group], v[group]);
        group += 1;
        let s = root.times(t).absolute().negate().select(was_square, root);
        let c = r.select(was_square, one.negate());
        let n = c
            .times(r.minus(one))
            .multiply(Reduced::splat(D_MINUS_ONE_SQ))
            .subtract(v.unreduced())
            .reduce();
        let sv = s.multiply(v);
        let ss = s.squared();
        Completed {
            e: sv.add(sv).reduce(),
            f: one.plus(ss),
            g: n.times(Reduced::splat(SQRT_AD_MINUS_ONE)),
            h: one.minus(ss),
        }
    })
}
