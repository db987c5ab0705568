//! From one evaluation key to the next without identifiers: `k' = delta * k`.
//!
//! Layer 4: stands on the kernel and the quota and must not know where keys and members are kept. The directory keeps
//! `N = k * P` of each member. Multiplied by delta it is `k' * P`, which is what the member's identifier evaluates to under
//! the new key; nobody has to enrol again.
//!
//! ```text
//! Rekeying ---switch---> Window ---------------> Ending ---> (none)
//!    every member's N     delta is offered, the    delta and the old
//!    is multiplied        old key still evaluates  key are destroyed
//!       \------------------- hard ----------------/
//! ```
//!
//! The switch is one step: the base of the new epoch is built before, and its manifest is appended together with the phase.
//! A *soft* rotation keeps what phones have paid for: they [carry it over](CarryOver). A *hard* one keeps nothing.

mod carry_over;
mod phase;

use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroize;

pub use self::{
    carry_over::{CarriedOver, CarryOver},
    phase::{Phase, Rotation, RotationKind, Window},
};
use super::{BadKey, EvaluationKey};
use crate::{
    group::{Element, Encoding, Scalar},
    kernel::Elements,
    oprf::{BadElement, PublicKey},
    secret::SecretBytes,
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

    /// Takes one that [`expose`](Self::expose) showed; the caller's copy is wiped.
    ///
    /// # Errors
    ///
    /// Not a reduced scalar, or zero.
    pub fn from_bytes(bytes: &mut Encoding) -> Result<Self, BadKey> {
        let scalar = Scalar::decode(bytes).filter(|scalar| !scalar.is_zero());
        bytes.zeroize();
        scalar.map(Self).ok_or(BadKey)
    }

    /// Shows it, for sealing it.
    pub fn expose(&self) -> SecretBytes<32> {
        SecretBytes::new(&mut self.0.encode())
    }

    /// `delta*G`.
    fn public_key(&self) -> PublicKey {
        PublicKey::from_element(Element::generator_product(&self.0))
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
