//! What delta is offered for: results of the old epoch as they are in the new one.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::Delta;
use crate::{
    oprf::{
        BadElement, BlindedElements, Encoding, Epoch, EvaluatedElements, Evaluation, Proof,
        PublicKey, UnblindedElement,
    },
    server::{EvaluateError, directory::MemberBatch, quota::CarryOverPermit},
    suite::MAX_BATCH,
};

/// Results of the old epoch, still blinded, as they are in the new one: what goes back to the client.
#[derive(Debug)]
pub struct CarriedOver {
    /// `delta*G`.
    pub delta_key: PublicKey,
    /// `delta` times each blinded element, in order.
    pub elements: EvaluatedElements,
    /// That it is so, and that `delta` leads from the old public key to the new one.
    pub proof: Proof,
}

/// The delta of a soft rotation, at work.
///
/// A result is multiplied like an element is evaluated: the proof is that of RFC 9497, section 2.2.1, with `delta` for the
/// key and `delta*G` for the public key. It is about one pair more than was asked for, the last one: the public key of the
/// old epoch and that of the new one. A client has both from signed manifests, and they fix delta.
///
/// # Security
///
/// It gives nobody a new number: of `H(x)` it makes `delta*H(x)`, which is of no use without `k`. What it takes from an
/// account is counted against what that account has had evaluated in the old epoch ([`CarryOverPermit`]).
#[derive(Debug)]
pub struct CarryOver {
    from: Epoch,
    to: Epoch,
    old_key: PublicKey,
    delta: Delta,
    delta_key: PublicKey,
}

impl CarryOver {
    /// Puts a delta to work that leads from the epoch of `old_key` to another one.
    #[must_use]
    pub fn new(from: Epoch, to: Epoch, old_key: PublicKey, delta: Delta) -> Self {
        Self {
            from,
            to,
            old_key,
            delta_key: delta.public_key(),
            delta,
        }
    }

    /// The epoch that results come from, and the one that they go to.
    #[must_use]
    pub fn epochs(&self) -> (Epoch, Epoch) {
        (self.from, self.to)
    }

    /// What a registrar asks for who has evaluated in the old epoch, as it is in the new one.
    ///
    /// # Errors
    ///
    /// An element isn't one.
    pub fn members(&self, batch: MemberBatch) -> Result<MemberBatch, BadElement> {
        let (members, changes): (Vec<_>, Vec<_>) = batch.changes.into_iter().unzip();
        let mut old: Vec<Encoding> = members.iter().map(|member| *member.expose()).collect();
        let new = self.delta.multiply(&old);
        old.zeroize();
        let new = new?.into_iter().map(UnblindedElement::from_trusted);
        Ok(MemberBatch {
            epoch: self.to,
            changes: new.zip(changes).collect(),
            at: batch.at,
        })
    }

    /// Multiplies a batch and proves it.
    ///
    /// # Errors
    ///
    /// [`EvaluateError::BadElement`] if any element of the batch isn't a canonical encoding or is the identity;
    /// [`EvaluateError::OtherPermit`] if the permit is for another batch or another epoch.
    ///
    /// # Security
    ///
    /// The product with delta is constant time. The permit is consumed.
    pub fn carry_over<R: CryptoRng + ?Sized>(
        &self,
        permit: CarryOverPermit,
        blinded: &BlindedElements,
        rng: &mut R,
    ) -> Result<CarriedOver, EvaluateError> {
        let same_count = usize::try_from(permit.elements()).is_ok_and(|paid| paid == blinded.len());
        if !same_count
            || blinded.len() >= MAX_BATCH
            || permit.to() != self.to
            || !permit.covers(&blinded.digest())
        {
            return Err(EvaluateError::OtherPermit);
        }
        let mut batch = blinded.encodings().to_vec();
        batch.push(self.old_key.encode());
        let batch = BlindedElements::new(batch).map_err(|_| EvaluateError::OtherPermit)?;
        let Evaluation { elements, proof } =
            Evaluation::of(&self.delta.0, &self.delta_key, &batch, rng)?;
        let mut carried = elements.into_encodings();
        carried.truncate(blinded.len());
        Ok(CarriedOver {
            delta_key: self.delta_key.clone(),
            elements: EvaluatedElements::new(carried).map_err(|_| BadElement)?,
            proof,
        })
    }
}
