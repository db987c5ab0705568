//! Batch group arithmetic: everything works on slices, from encodings to encodings.
//!
//! Layer 1: stands on [`crate::group`] and must not know what an element stands for. A batch of
//! elements stays in the representation of the [`Backend`] that made it: curve25519-dalek's points, or
//! eight elements a vector where the CPU has AVX-512 IFMA.
//!
//! | operation | per element |
//! |---|---|
//! | [`Elements::decode`] | an inverse square root |
//! | `Elements::from_uniform_bytes` | the one-way map: two inverse square roots |
//! | [`Elements::multiply_and_encode`] | a product; one inversion for the whole batch |
//! | `Elements::offset_and_encode` | a fixed-base product, an addition and an inverse square root |
//! | [`Elements::multiscalar_vartime`] | a fraction of a product at a thousand elements; public inputs only |
//!
//! Products with secrets are constant time. With the feature `parallel` a batch is split over cores in
//! chunks of [`CHUNK`] elements. Nothing allocates per element.

#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx512ifma;
mod backend;
#[cfg(all(
    any(test, fuzzing),
    feature = "client",
    feature = "server",
    feature = "std"
))]
mod differential;
mod portable;
#[cfg(all(test, feature = "client", feature = "server", feature = "std"))]
mod tests;

use alloc::vec::Vec;

#[cfg(feature = "client")]
pub(crate) use self::backend::FixedBase;
#[cfg(feature = "std")]
pub use self::backend::force_portable_backend;
use self::backend::{Backend, Held};
#[cfg(all(fuzzing, feature = "client", feature = "server", feature = "std"))]
pub use self::differential::compare_backends;
use crate::group::{Element, Encoding, Scalar};

/// An encoding in the batch isn't canonical, or is the identity. It isn't told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the canonical encoding of a group element other than the identity")]
pub struct BadElement;

/// Elements a core takes at a time: few enough to balance the cores, enough to share an inversion.
const CHUNK: usize = 128;

/// Elements that aren't divided among cores, since a backend may compute them at a time.
#[cfg(feature = "parallel")]
const WHOLE: usize = 8;

/// A batch of group elements, wiped on drop.
pub(crate) struct Elements(Held);

impl Elements {
    /// Decodes a whole batch, or refuses it.
    pub(crate) fn decode(encodings: &[Encoding]) -> Result<Self, BadElement> {
        Backend::for_batch(encodings.len())
            .decode(encodings)
            .map(Self)
    }

    /// Maps 64 uniform bytes to each element (RFC 9496, section 4.3.4); `padding` identities follow.
    #[cfg(feature = "client")]
    pub(crate) fn from_uniform_bytes(uniform: &[[u8; 64]], padding: usize) -> Self {
        let backend = Backend::for_batch(uniform.len() + padding);
        Self(backend.map_uniform_bytes(uniform, padding))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(feature = "client")]
    pub(crate) fn truncate(&mut self, count: usize) {
        self.0.truncate(count);
    }

    #[cfg(feature = "server")]
    /// Encodes `scalar * P[i]`.
    pub(crate) fn multiply_and_encode(&self, scalar: &Scalar) -> Vec<Encoding> {
        self.0.multiply_and_encode(scalar)
    }

    /// `P[i] + scalars[i] * B`, and its encodings.
    #[cfg(feature = "client")]
    pub(crate) fn offset_and_encode(
        self,
        scalars: &[Scalar],
        base: &FixedBase,
    ) -> (Self, Vec<Encoding>) {
        assert_eq!(scalars.len(), self.len(), "one scalar an element");
        let (elements, encodings) = self.0.offset_and_encode(scalars, base);
        (Self(elements), encodings)
    }

    /// `sum(weights[i] * P[i])` in variable time: for public inputs only.
    pub(crate) fn multiscalar_vartime(&self, weights: &[Scalar]) -> Element {
        assert_eq!(weights.len(), self.len(), "one weight an element");
        self.0.multiscalar_vartime(weights)
    }
}

/// Fills `output` chunk by chunk, on all cores with the feature `parallel`. `fill` is told where its
/// chunk begins.
pub(crate) fn fill_chunks<T: Send>(output: &mut [T], fill: impl Fn(usize, &mut [T]) + Sync) {
    fill_chunks_of(CHUNK, output, fill);
}

/// [`fill_chunks`] for items of which `length` make a chunk.
fn fill_chunks_of<T: Send>(length: usize, output: &mut [T], fill: impl Fn(usize, &mut [T]) + Sync) {
    #[cfg(feature = "parallel")]
    {
        use rayon::prelude::*;
        output
            .par_chunks_mut(length)
            .enumerate()
            .for_each(|(chunk, slots)| fill(chunk * length, slots));
    }
    #[cfg(not(feature = "parallel"))]
    for (chunk, slots) in output.chunks_mut(length).enumerate() {
        fill(chunk * length, slots);
    }
}

/// A weighted sum by its parts, one for each core with the feature `parallel`. `sum` is told where its part
/// begins.
fn sum_parts(weights: &[Scalar], sum: impl Fn(usize, &[Scalar]) -> Element + Sync) -> Element {
    #[cfg(feature = "parallel")]
    {
        use rayon::prelude::*;
        // Fewer, longer sums are cheaper per element; below a chunk one core is as fast.
        let share = weights.len().div_ceil(rayon::current_num_threads());
        let length = share.next_multiple_of(WHOLE).max(CHUNK);
        weights
            .par_chunks(length)
            .enumerate()
            .map(|(part, weights)| sum(part * length, weights))
            .reduce(Element::default, |sum, part| sum.add(&part))
    }
    #[cfg(not(feature = "parallel"))]
    sum(0, weights)
}
