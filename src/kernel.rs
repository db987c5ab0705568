//! Batch group arithmetic: everything works on slices, from encodings to encodings.
//!
//! Layer 1: stands on [`crate::group`] and must not know what an element stands for. A *batch* of
//! elements stays in the representation of the backend that made it. The portable backend is built on
//! curve25519-dalek; another backend is one more variant of [`Elements`] and one more file.
//!
//! | operation | per element |
//! |---|---|
//! | [`Elements::decode`] | one inverse square root |
//! | [`Elements::from_uniform_bytes`] | the one-way map: two inverse square roots |
//! | [`Elements::multiply_and_encode`] | one product with a shared scalar; one inversion for the whole batch |
//! | [`Elements::offset_and_encode`] | one fixed-base product, one addition, one inverse square root |
//! | [`Elements::multiscalar_vartime`] | about 3 microseconds at a thousand elements; public inputs only |
//!
//! Products with secrets are constant time. With the feature `parallel` a batch is split over cores
//! in chunks of [`CHUNK`] elements.

mod portable;

use alloc::vec::Vec;

use crate::group::{Element, Encoding, FixedBase, Scalar};

/// An encoding in the batch isn't canonical, or is the identity. It isn't told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an element isn't a canonical encoding of a group element other than the identity")]
pub struct BadElement;

/// Elements a core takes at a time; small enough to balance two cores, large enough to share an inversion.
const CHUNK: usize = 256;

/// A batch of group elements.
pub(crate) struct Elements(portable::Elements);

impl Elements {
    /// Decodes a whole batch, or refuses it.
    pub(crate) fn decode(encodings: &[Encoding]) -> Result<Self, BadElement> {
        portable::Elements::decode(encodings).map(Self)
    }

    /// Maps 64 uniform bytes to each element (RFC 9496, section 4.3.4).
    #[cfg(feature = "client")]
    pub(crate) fn from_uniform_bytes(uniform: &[[u8; 64]]) -> Self {
        Self(portable::Elements::from_uniform_bytes(uniform))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Encodes `scalar * P[i]`.
    pub(crate) fn multiply_and_encode(&self, scalar: &Scalar) -> Vec<Encoding> {
        self.0.multiply_and_encode(scalar)
    }

    /// Encodes `scalars[i] * P[i]`: the multiplicative blinding of RFC 9497.
    #[cfg(feature = "client")]
    pub(crate) fn multiply_each_and_encode(&self, scalars: &[Scalar]) -> Vec<Encoding> {
        debug_assert_eq!(scalars.len(), self.len());
        self.0.multiply_each_and_encode(scalars)
    }

    /// Encodes `P[i] + scalars[i] * B`.
    #[cfg(feature = "client")]
    pub(crate) fn offset_and_encode(&self, scalars: &[Scalar], base: &FixedBase) -> Vec<Encoding> {
        debug_assert_eq!(scalars.len(), self.len());
        self.0.offset_and_encode(scalars, base)
    }

    /// `sum(weights[i] * P[i])` in variable time: for public inputs only.
    pub(crate) fn multiscalar_vartime(&self, weights: &[Scalar]) -> Element {
        debug_assert_eq!(weights.len(), self.len());
        self.0.multiscalar_vartime(weights)
    }
}
