//! The encodings of doubled points: without a root, and with one inversion for all.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::{INVSQRT_A_MINUS_D, SQRT_M1, Words};
use crate::kernel::avx512ifma::{
    edwards::{Completed, D, Extended},
    field::{Reduced, invert_batch},
};

/// Encodes the double of each point, all with one inversion.
///
/// `2P` is the image of a point of the Jacobi quartic that can be had from `P` without a root, and its
/// abscissa, up to the sign and the coset, is the encoding (Hamburg's Decaf; RFC 9496 only has the
/// square root). The choice of the coset is that of [`super::encode`].
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn double_and_encode(
    halves: &[Extended],
    mut write: impl FnMut(usize, Words),
) {
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
