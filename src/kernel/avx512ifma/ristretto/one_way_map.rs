//! The one-way map of RFC 9496, section 4.3.4.

use super::{SQRT_M1, Words, sqrt_ratio};
use crate::kernel::avx512ifma::{
    edwards::{Completed, D, Extended},
    field::{Constant, Reduced},
};

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

/// Maps the two halves of 64 uniform bytes to an element.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn from_uniform_words(halves: [Words; 2]) -> Extended {
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
