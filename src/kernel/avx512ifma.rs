//! Eight elements at a time, on the 52-bit multiplier of AVX-512 IFMA.
//!
//! Layer 1, behind [`crate::kernel`], chosen at run time. curve25519-dalek puts the four coordinates of one
//! point in one vector; here a vector is the same limb of eight points, so that nothing is ever shuffled
//! and every scalar formula is also a vector formula.
//!
//! ```text
//! digits  fixed_base  variable_base  multiscalar     products, by what is secret and what is shared
//!         ristretto                                  bytes to points and back
//!         edwards                                    complete addition and doubling
//!         field                                      limbs and their bounds: see its table
//!         lanes                                      loads, stores, transpositions
//! ```
//!
//! # Constant time
//!
//! Secrets meet no branch, no memory index and no instruction whose time depends on its operands: choices are
//! masks, or permutations inside a register. Only [`multiscalar`] is variable time, for public inputs.
//! Lanes without an element hold public values, at first the identity. `.ci/constant-time` reads the machine code
//! for exceptions, and times it.
//!
//! # How it is tested
//!
//! One suite for every backend, with the vectors of RFC 9496 and RFC 9497 in every lane; the field against plain
//! integers, at its bounds and a million times at random; and a fuzz target that gives both backends the same
//! bytes: 10,155,603 runs without a difference.
//!
//! # What was tried and lost
//!
//! Microseconds an element at 1,024 elements, one thread of a Zen 4 core, the least of forty runs. As it is:
//! blind 3.2, evaluate with proof 8.2, finalize with verification 5.6, build a set 7.2; evaluating without proof
//! 6.0 by the bench's median. The core finishes two 512-bit instructions a cycle whatever they are (shifts and
//! `vpmullq`: one), so instructions are what counts: 84 for a product and its carry, 71 for a square.
//!
//! | try | instead of | result |
//! |---|---|---|
//! | windows of five bits in [`variable_base`] | four | build 7.4 |
//! | windows of five bits in `fixed_base` | six | blind 3.3 |
//! | roots of one group at a time | two | finalize 1 % slower |
//! | roots of four groups at a time | two | finalize 2 % slower |
//! | shared doublings for long sums | buckets from 160 points on | evaluate 9.6, finalize 7.8 |
//! | buckets for short sums | shared doublings | evaluate 8 elements: 31 instead of 27 |
//! | `(X + Y)^2 - X^2 - Y^2` in doublings, raises added apart | `2XY`, products that start from a raise | evaluate 8.5 |
//!
//! What is left by profile: half in [`variable_base`], a tenth in SHA-512 (one message at a time, not here), a
//! tenth in the roots of decoding, encoding and the one-way map.

// Every index is a limb, a lane or a window, with a bound known when this is compiled; the tests run them all.
#![allow(clippy::indexing_slicing)]

mod digits;
mod edwards;
mod field;
#[cfg(feature = "client")]
mod fixed_base;
mod lanes;
mod multiscalar;
mod ristretto;
mod variable_base;

use alloc::{vec, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering};

use zeroize::{Zeroize, Zeroizing};

use self::{
    digits::{Recoded, Recoder},
    edwards::Extended,
    field::{Mask, words_from_bytes, words_to_bytes},
    lanes::LANES,
    ristretto::{WIDTH, Words},
};
use super::{BadElement, CHUNK, fill_chunks_of, sum_parts};
use crate::group::{ENCODED_LENGTH, Element, Encoding, Scalar};

/// The shortest batch that is at least as fast here as in the portable backend, in every operation.
///
/// With two elements evaluating takes 103 us instead of 97 and finalizing 106 instead of 90; with three, 70
/// instead of 78 and 71 as before; blinding is faster from one on.
pub(super) const SHORTEST: usize = 3;

/// Groups a core takes at a time.
const GROUPS: usize = CHUNK / LANES;

#[cfg(feature = "parallel")]
const _: () = assert!(super::WHOLE.is_multiple_of(LANES) && CHUNK.is_multiple_of(LANES));

/// The proof that this CPU has the instructions: whoever holds one may call into this module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512Ifma(());

#[allow(unsafe_code, reason = "entry points: the value proves what they need")]
impl Avx512Ifma {
    pub(super) fn detect() -> Option<Self> {
        (std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512ifma"))
        .then_some(Self(()))
    }

    pub(super) fn decode(self, encodings: &[Encoding]) -> Result<Elements, BadElement> {
        let mut elements = self.identities(encodings.len());
        let bad = AtomicBool::new(false);
        fill_chunks_of(GROUPS, &mut elements.groups, |start, slots| {
            let chunk = &encodings[start * LANES..];
            // SAFETY: `self` proves that the CPU has the instructions.
            if unsafe { decode_chunk(chunk, slots) }.is_err() {
                bad.store(true, Ordering::Relaxed);
            }
        });
        if bad.into_inner() {
            return Err(BadElement);
        }
        Ok(elements)
    }

    /// `padding` identities follow the elements.
    #[cfg(feature = "client")]
    pub(super) fn map_uniform_bytes(self, uniform: &[[u8; 64]], padding: usize) -> Elements {
        let mut elements = self.identities(uniform.len() + padding);
        fill_chunks_of(GROUPS, &mut elements.groups, |start, slots| {
            let chunk = uniform.get(start * LANES..).unwrap_or_default();
            // SAFETY: `self` proves that the CPU has the instructions.
            unsafe { map_chunk(chunk, slots) };
        });
        elements
    }

    #[cfg(feature = "client")]
    pub(super) fn fixed_base(self, base: &Element) -> FixedBase {
        // SAFETY: `self` proves that the CPU has the instructions.
        FixedBase(unsafe { table(&base.encode()) })
    }

    fn identities(self, count: usize) -> Elements {
        Elements {
            backend: self,
            // SAFETY: `self` proves that the CPU has the instructions.
            groups: vec![unsafe { Extended::identity() }; count.div_ceil(LANES)],
            count,
        }
    }
}

/// Groups of eight; the last one may be filled up with identities.
pub(super) struct Elements {
    #[cfg_attr(not(feature = "client"), allow(dead_code, reason = "held as a proof"))]
    backend: Avx512Ifma,
    groups: Vec<Extended>,
    count: usize,
}

#[cfg(feature = "client")]
pub(super) struct FixedBase(fixed_base::Table);

#[allow(unsafe_code, reason = "entry points: the value proves what they need")]
impl Elements {
    #[cfg(feature = "client")]
    pub(super) fn backend(&self) -> Avx512Ifma {
        self.backend
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    #[cfg(feature = "client")]
    pub(super) fn truncate(&mut self, count: usize) {
        self.count = self.count.min(count);
        self.groups.truncate(self.count.div_ceil(LANES));
    }

    /// Multiplies by half of the scalar: only doubled points can be encoded with a shared inversion.
    #[cfg(feature = "server")]
    pub(super) fn multiply_and_encode(&self, scalar: &Scalar) -> Vec<Encoding> {
        let half = scalar.half();
        let mut encodings = vec![[0; ENCODED_LENGTH]; self.count];
        fill_chunks_of(CHUNK, &mut encodings, |start, slots| {
            let groups = &self.groups[start / LANES..][..slots.len().div_ceil(LANES)];
            // SAFETY: `self.backend` proves that the CPU has the instructions.
            unsafe { multiply_chunk(groups, &half, slots) };
        });
        encodings
    }

    #[cfg(feature = "client")]
    pub(super) fn offset_and_encode(
        mut self,
        scalars: &[Scalar],
        base: &FixedBase,
    ) -> (Self, Vec<Encoding>) {
        let recoder = Recoder::new(fixed_base::WIDTH);
        fill_chunks_of(GROUPS, &mut self.groups, |start, sums| {
            let scalars = &scalars[start * LANES..];
            // SAFETY: `self.backend` proves that the CPU has the instructions.
            unsafe { offset_chunk(sums, scalars, &recoder, base) };
        });
        let mut encodings = vec![[0; ENCODED_LENGTH]; self.count];
        fill_chunks_of(CHUNK, &mut encodings, |start, slots| {
            let groups = &self.groups[start / LANES..][..slots.len().div_ceil(LANES)];
            // SAFETY: `self.backend` proves that the CPU has the instructions.
            unsafe { encode_chunk(groups, slots) };
        });
        (self, encodings)
    }

    pub(super) fn multiscalar_vartime(&self, weights: &[Scalar]) -> Element {
        sum_parts(weights, |start, weights| {
            let groups = &self.groups[start / LANES..][..weights.len().div_ceil(LANES)];
            let mut encoding = [0; ENCODED_LENGTH];
            // SAFETY: `self.backend` proves that the CPU has the instructions.
            unsafe { multiscalar_chunk(weights, groups, &mut encoding) };
            // The sum is an element or, encoded as zeros, the identity.
            Element::decode(&encoding).unwrap_or_default()
        })
    }
}

impl Drop for Elements {
    fn drop(&mut self) {
        self.groups.zeroize();
    }
}

/// Reads a group, or what is left of one.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn read<'a>(encodings: impl Iterator<Item = &'a Encoding>) -> Words {
    words_from_bytes(encodings.take(LANES))
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn decode_chunk(encodings: &[Encoding], slots: &mut [Extended]) -> Result<(), BadElement> {
    for (pair, slots) in slots.chunks_mut(WIDTH).enumerate() {
        let group = |index: usize| {
            let start = (pair * WIDTH + index) * LANES;
            encodings.get(start..).unwrap_or_default()
        };
        let words = core::array::from_fn::<_, WIDTH, _>(|index| read(group(index).iter()));
        for ((index, slot), (valid, point)) in
            slots.iter_mut().enumerate().zip(ristretto::decode(words))
        {
            let elements = group(index).len().min(LANES);
            let used = Mask::MAX >> (LANES - elements);
            if valid & used != used {
                return Err(BadElement);
            }
            *slot = Extended::identity().select(used, &point);
        }
    }
    Ok(())
}

#[cfg(feature = "client")]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn map_chunk(uniform: &[[u8; 64]], slots: &mut [Extended]) {
    for (slot, uniform) in slots.iter_mut().zip(uniform.chunks(LANES)) {
        let halves = uniform
            .iter()
            .map(|bytes| bytes.as_chunks::<ENCODED_LENGTH>().0);
        let halves = [0, 1].map(|half| read(halves.clone().map(|halves| &halves[half])));
        let used = Mask::MAX >> (LANES - uniform.len());
        *slot = Extended::identity().select(used, &ristretto::from_uniform_words(halves));
    }
}

#[cfg(feature = "server")]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn multiply_chunk(groups: &[Extended], scalar: &Scalar, slots: &mut [Encoding]) {
    let scalar = Zeroizing::new(Recoded::same(&Recoder::new(variable_base::WIDTH), scalar));
    let mut products = Zeroizing::new(groups.to_vec());
    for product in products.iter_mut() {
        *product = variable_base::multiply(product, &scalar);
    }
    let mut slots = slots.chunks_mut(LANES);
    ristretto::double_and_encode(&products, |_, words| {
        if let Some(slots) = slots.next() {
            words_to_bytes(words, slots);
        }
    });
}

#[cfg(feature = "client")]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn offset_chunk(sums: &mut [Extended], scalars: &[Scalar], recoder: &Recoder, base: &FixedBase) {
    let scalars: Zeroizing<Vec<Recoded>> = Zeroizing::new(
        scalars
            .chunks(LANES)
            .take(sums.len())
            .map(|scalars| Recoded::each(recoder, scalars))
            .collect(),
    );
    base.0.add_products(&scalars, sums);
}

#[cfg(feature = "client")]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn encode_chunk(groups: &[Extended], slots: &mut [Encoding]) {
    for (groups, slots) in groups.chunks(WIDTH).zip(slots.chunks_mut(WIDTH * LANES)) {
        let last = groups.len() - 1;
        let points = core::array::from_fn::<_, WIDTH, _>(|index| groups[index.min(last)]);
        for (words, slots) in ristretto::encode(points)
            .into_iter()
            .zip(slots.chunks_mut(LANES))
        {
            words_to_bytes(words, slots);
        }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn multiscalar_chunk(weights: &[Scalar], groups: &[Extended], encoding: &mut Encoding) {
    let sum = multiscalar::sum_vartime(groups, weights);
    let [words] = ristretto::encode([sum]);
    words_to_bytes(words, core::slice::from_mut(encoding));
}

#[cfg(feature = "client")]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn table(base: &Encoding) -> fixed_base::Table {
    let [(_, point)] = ristretto::decode([read([base; LANES].into_iter())]);
    fixed_base::Table::new(&point)
}
