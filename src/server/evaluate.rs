//! `BlindEvaluate` of RFC 9497, section 3.3.2, for whoever has a permit.

use core::fmt;

use rand_core::CryptoRng;

use super::{Delta, EvaluationKey, quota::Permit};
use crate::oprf::{BadElement, BlindedElements, Epoch, Evaluation, PublicKey};

/// A batch that isn't evaluated. Its permit is used up nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The client is to blame: an element isn't one. It isn't told which.
    #[error(transparent)]
    BadElement(#[from] BadElement),
    /// The caller is to blame: the permit is for another batch or another epoch.
    #[error("the permit was given for something else")]
    OtherPermit,
}

/// The key of one epoch, at work.
pub struct Evaluator {
    epoch: Epoch,
    key: EvaluationKey,
}

impl Evaluator {
    /// Puts a key to work in its epoch.
    #[must_use]
    pub fn new(epoch: Epoch, key: EvaluationKey) -> Self {
        Self { epoch, key }
    }

    /// The epoch of the key.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// `pkS`, for the manifest.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    /// The key of the next epoch: `k' = delta * k`.
    #[must_use]
    pub fn rotate(&self, delta: &Delta) -> EvaluationKey {
        self.key.rotate(delta)
    }

    /// Evaluates a batch and proves it.
    ///
    /// The random source only hedges the proof's nonce: one that repeats itself doesn't give the key away.
    ///
    /// # Errors
    ///
    /// [`EvaluateError::BadElement`] if any element of the batch isn't a canonical encoding or is the
    /// identity; [`EvaluateError::OtherPermit`] if it wasn't this batch that was paid for.
    ///
    /// # Security
    ///
    /// The product with the key is constant time. The permit is consumed: the only way to another
    /// evaluation is through the quota.
    pub fn blind_evaluate<R: CryptoRng + ?Sized>(
        &self,
        permit: Permit,
        blinded: &BlindedElements,
        rng: &mut R,
    ) -> Result<Evaluation, EvaluateError> {
        self.check(&permit, blinded.len(), &blinded.digest())?;
        Ok(Evaluation::of(
            self.key.scalar(),
            self.key.public_key(),
            blinded,
            rng,
        )?)
    }

    /// Evaluates private inputs that the caller holds itself: `Evaluate` of RFC 9497, section 3.3.2, without
    /// its last hash. For an import job in a process that has both roles.
    ///
    /// The permit is for the number of inputs and for [`digest_inputs`](crate::oprf::digest_inputs).
    ///
    /// # Errors
    ///
    /// An input is longer than 255 bytes, or the permit is for something else.
    #[cfg(feature = "client")]
    pub fn evaluate(
        &self,
        permit: Permit,
        inputs: &[&[u8]],
    ) -> Result<alloc::vec::Vec<crate::oprf::UnblindedElement>, DirectError> {
        use crate::{
            oprf::{UnblindedElement, digest_inputs, hash_to_group},
            secret::declassify,
        };

        let mut digest = digest_inputs(inputs);
        // The store of charges has kept it.
        declassify(&mut digest);
        self.check(&permit, inputs.len(), &digest)?;
        let elements = hash_to_group(inputs, 0)?;
        Ok(elements
            .multiply_and_encode(self.key.scalar())
            .into_iter()
            .map(UnblindedElement::from_trusted)
            .collect())
    }

    fn check(&self, permit: &Permit, count: usize, digest: &[u8; 32]) -> Result<(), EvaluateError> {
        let same_count = usize::try_from(permit.elements()).is_ok_and(|paid| paid == count);
        if !same_count || permit.epoch() != self.epoch || !permit.covers(digest) {
            return Err(EvaluateError::OtherPermit);
        }
        Ok(())
    }
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// Inputs that aren't evaluated.
#[cfg(feature = "client")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectError {
    /// A private input is too long.
    #[error(transparent)]
    InputTooLong(#[from] crate::oprf::InputTooLong),
    /// The permit doesn't fit.
    #[error(transparent)]
    Permit(#[from] EvaluateError),
}
