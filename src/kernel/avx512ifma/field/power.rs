//! Powers by the usual addition chains, inverses, and many inverses for the price of one.

use super::Reduced;

/// `x^(2^250 - 1)` and `x^11`, of several groups at once: one group alone would wait for each product.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
fn power_22501<const N: usize>(x: [Reduced; N]) -> ([Reduced; N], [Reduced; N]) {
    let x2 = squarings(x, 1);
    let x9 = products(x, squarings(x2, 2));
    let x11 = products(x2, x9);
    // e_n is x^(2^n - 1).
    let e5 = products(x9, squarings(x11, 1));
    let e10 = products(squarings(e5, 5), e5);
    let e20 = products(squarings(e10, 10), e10);
    let e40 = products(squarings(e20, 20), e20);
    let e50 = products(squarings(e40, 10), e10);
    let e100 = products(squarings(e50, 50), e50);
    let e200 = products(squarings(e100, 100), e100);
    let e250 = products(squarings(e200, 50), e50);
    (e250, x11)
}

/// `x^((p - 5) / 8)`, the exponent being `2^252 - 3`.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
pub(in super::super) fn power_p58<const N: usize>(x: [Reduced; N]) -> [Reduced; N] {
    let (e250, _) = power_22501(x);
    products(squarings(e250, 2), x)
}

/// `1/x`, or zero for zero: `x^(p - 2)`, the exponent being `2^255 - 21`.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
pub(super) fn invert(x: Reduced) -> Reduced {
    let (e250, x11) = power_22501([x]);
    let [inverse] = products(squarings(e250, 5), x11);
    inverse
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn squarings<const N: usize>(mut x: [Reduced; N], count: usize) -> [Reduced; N] {
    for _ in 0..count {
        for x in &mut x {
            *x = x.squared();
        }
    }
    x
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn products<const N: usize>(mut x: [Reduced; N], y: [Reduced; N]) -> [Reduced; N] {
    for (x, y) in x.iter_mut().zip(y) {
        *x = x.times(y);
    }
    x
}

/// Inverts each lane of each group in place, all with one inversion; zero stays zero.
///
/// `scratch` is as long as `values`, its content doesn't matter and stays as secret as the values.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn invert_batch(values: &mut [Reduced], scratch: &mut [Reduced]) {
    let one = Reduced::one();
    let mut product = one;
    for (value, before) in values.iter_mut().zip(scratch.iter_mut()) {
        // A zero is replaced by one, and marked by the zero that its prefix becomes.
        let zero = value.is_zero();
        *before = product.select(zero, Reduced::zero());
        *value = value.select(zero, one);
        product = product.times(*value);
    }
    let mut inverse = invert(product);
    for (value, before) in values.iter_mut().zip(scratch.iter()).rev() {
        let next = inverse.times(*value);
        *value = inverse.times(*before);
        inverse = next;
    }
}
