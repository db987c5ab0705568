//! From one evaluation key to the next without identifiers: `k' = delta * k`.
//!
//! The directory keeps `N = k * P` of each member. Multiplied by delta it is `k' * P`, which is what the member's
//! identifier evaluates to under the new key; nobody has to enrol again.

use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;

use super::EvaluationKey;
use crate::{
    group::{Encoding, Scalar},
    kernel::Elements,
    oprf::BadElement,
};

/// What one evaluation key is multiplied by to get the next: a random scalar, not zero.
///
/// # Security
///
/// Whoever holds it can carry everything that was learned under the old key over to the new one. Wiped on
/// drop, redacted, never cloned.
pub struct Delta(Scalar);

impl Delta {
    /// Draws a new one.
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(Scalar::random(rng))
    }

    /// Multiplies each element, in order; none is fine.
    ///
    /// # Errors
    ///
    /// An encoding isn't canonical, or is the identity: nothing is multiplied then.
    ///
    /// # Security
    ///
    /// The product is constant time. Evaluated elements are secrets, before and after: the caller's to wipe.
    pub fn multiply(&self, elements: &[Encoding]) -> Result<Vec<Encoding>, BadElement> {
        Ok(Elements::decode(elements)?.multiply_and_encode(&self.0))
    }
}

impl EvaluationKey {
    /// The key of the next epoch: `k' = delta * k`.
    #[must_use]
    pub fn rotate(&self, delta: &Delta) -> Self {
        Self::from_scalar(self.scalar().multiply(&delta.0))
    }
}

impl fmt::Debug for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delta(<redacted>)")
    }
}
