//! The portable backend: curve25519-dalek's points in a vector.
//!
//! Layer 1, behind [`crate::kernel`]. It is the fallback on every machine and the oracle for any other
//! backend.

use alloc::{vec, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroize;

use super::{BadElement, fill_chunks, sum_parts};
#[cfg(feature = "client")]
use crate::group::FixedBase;
use crate::group::{ENCODED_LENGTH, Element, Encoding, Scalar};

pub(super) struct Elements(Vec<Element>);

impl Elements {
    pub(super) fn decode(encodings: &[Encoding]) -> Result<Self, BadElement> {
        let mut elements = Self::identities(encodings.len());
        let bad = AtomicBool::new(false);
        fill_chunks(&mut elements.0, |start, slots| {
            for (slot, encoding) in slots.iter_mut().zip(encodings.iter().skip(start)) {
                match Element::decode(encoding) {
                    Some(element) => *slot = element,
                    None => {
                        bad.store(true, Ordering::Relaxed);
                        return;
                    }
                }
            }
        });
        if bad.into_inner() {
            return Err(BadElement);
        }
        Ok(elements)
    }

    #[cfg(feature = "client")]
    pub(super) fn from_uniform_bytes(uniform: &[[u8; 64]], padding: usize) -> Self {
        let mut elements = Self::identities(uniform.len() + padding);
        fill_chunks(&mut elements.0, |start, slots| {
            for (slot, bytes) in slots.iter_mut().zip(uniform.iter().skip(start)) {
                *slot = Element::from_uniform_bytes(bytes);
            }
        });
        elements
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(feature = "client")]
    pub(super) fn truncate(&mut self, count: usize) {
        self.0.truncate(count);
    }

    #[cfg(feature = "server")]
    /// Multiplies by half of the scalar: only doubled points can be encoded with a shared inversion.
    pub(super) fn multiply_and_encode(&self, scalar: &Scalar) -> Vec<Encoding> {
        let half = scalar.half();
        let mut encodings = vec![[0; ENCODED_LENGTH]; self.len()];
        fill_chunks(&mut encodings, |start, slots| {
            let chunk = self.0.iter().skip(start).take(slots.len());
            double_and_encode(chunk.map(|element| element.multiply(&half)), slots);
        });
        encodings
    }

    #[cfg(feature = "client")]
    pub(super) fn offset_and_encode(
        mut self,
        scalars: &[Scalar],
        base: &FixedBase,
    ) -> (Self, Vec<Encoding>) {
        fill_chunks(&mut self.0, |start, sums| {
            for (sum, scalar) in sums.iter_mut().zip(scalars.iter().skip(start)) {
                *sum = sum.add(&base.multiply(scalar));
            }
        });
        let mut encodings = vec![[0; ENCODED_LENGTH]; self.len()];
        fill_chunks(&mut encodings, |start, slots| {
            for (slot, sum) in slots.iter_mut().zip(self.0.iter().skip(start)) {
                *slot = sum.encode();
            }
        });
        (self, encodings)
    }

    pub(super) fn multiscalar_vartime(&self, weights: &[Scalar]) -> Element {
        sum_parts(weights, |start, weights| {
            let elements = self.0.get(start..start + weights.len());
            Element::multiscalar_vartime(weights, elements.unwrap_or_default())
        })
    }

    fn identities(count: usize) -> Self {
        Self(vec![Element::default(); count])
    }
}

impl Drop for Elements {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(feature = "server")]
/// Encodes the double of each half into its slot.
fn double_and_encode(halves: impl Iterator<Item = Element>, slots: &mut [Encoding]) {
    let halves = Elements(halves.collect());
    let encodings = Element::double_and_encode_batch(&halves.0);
    for (slot, encoding) in slots.iter_mut().zip(encodings) {
        *slot = encoding;
    }
}
