//! From what was learned under the old key to the same under the new one: the client's side of a soft rotation.
//!
//! Part of the client role (layer 4). What comes back is proved like an evaluation, with `delta` for the key, `delta*G` for
//! the public key, and one pair more: the public key of the old epoch and that of the new one, which come from signed
//! manifests. So there is one `delta` that the proof can be about, and nobody has to vouch for `delta*G`.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::{
    blind::{ExpectEvaluation, OprfClient},
    finalize::FinalizeError,
};
use crate::{
    group::{Encoding, Scalar, random_scalars},
    kernel::Elements,
    oprf::{
        BatchSizeError, BlindedElements, EvaluatedElements, Proof, PublicKey, UnblindedElement,
    },
    suite::MAX_BATCH,
};

/// Old results sent blinded, the new ones awaited. Consumed by [`finalize`](Self::finalize).
#[must_use]
pub struct ExpectCarryOver {
    old: PublicKey,
    new: PublicKey,
    blinds: Vec<Scalar>,
    request: BlindedElements,
}

impl OprfClient {
    /// Blinds results of the epoch whose public key is `old`, to be carried over to the epoch of this client:
    /// `A[i] = N[i] + r[i]*G`, then `padding` random elements.
    ///
    /// # Errors
    ///
    /// No element at all, or more than 65,534.
    ///
    /// # Security
    ///
    /// As for [`blind`](Self::blind): every blind is fresh, and to try again the *same* request is sent.
    pub fn blind_results<R: CryptoRng + ?Sized>(
        &self,
        old: &PublicKey,
        results: &[&UnblindedElement],
        padding: usize,
        rng: &mut R,
    ) -> Result<ExpectCarryOver, BatchSizeError> {
        let count = results.len().saturating_add(padding);
        if count == 0 || count >= MAX_BATCH {
            return Err(BatchSizeError(count));
        }
        // Any element will do for the padding, once it is blinded.
        let filler = core::iter::repeat_n(old.encode(), padding);
        let mut encodings = Vec::with_capacity(count);
        encodings.extend(results.iter().map(|result| *result.expose()));
        encodings.extend(filler);
        let elements = Elements::decode(&encodings);
        zeroize::Zeroize::zeroize(&mut encodings);
        let mut blinds = random_scalars(count, rng);
        // Results were checked when they came.
        let elements = elements.map_err(|_| BatchSizeError(count))?;
        let (_, encodings) = elements.offset_and_encode(&blinds, self.generator());
        blinds.truncate(results.len());
        Ok(ExpectCarryOver {
            old: old.clone(),
            new: self.public_key().clone(),
            blinds,
            request: BlindedElements::new(encodings)?,
        })
    }
}

impl ExpectCarryOver {
    /// What to send, and to send again unchanged if no answer came.
    #[must_use]
    pub fn request(&self) -> &BlindedElements {
        &self.request
    }

    /// Verifies the proof over the whole batch and the two public keys, then takes the blinds off:
    /// `N'[i] = B[i] - r[i]*D`.
    ///
    /// Returns one element for each result, in their order; the padding is dropped.
    ///
    /// # Errors
    ///
    /// [`FinalizeError`] for any answer but the right one, whatever is wrong with it.
    pub fn finalize(
        self,
        delta_key: &Encoding,
        carried: &EvaluatedElements,
        proof: &Proof,
    ) -> Result<Vec<UnblindedElement>, FinalizeError> {
        let delta_key = PublicKey::decode(delta_key).map_err(|_| FinalizeError)?;
        // An evaluation under the key `delta`, in which the public keys come last.
        let with = |elements: &[Encoding], key: &PublicKey| [elements, &[key.encode()]].concat();
        let request = BlindedElements::new(with(self.request.encodings(), &self.old))
            .map_err(|_| FinalizeError)?;
        let carried = EvaluatedElements::new(with(carried.encodings(), &self.new))
            .map_err(|_| FinalizeError)?;
        let expect = ExpectEvaluation {
            client: OprfClient::new(delta_key),
            blinds: self.blinds,
            elements: request.decode().map_err(|_| FinalizeError)?,
            request,
        };
        expect.finalize(&carried, proof)
    }

    pub(super) fn blinds(&self) -> &[Scalar] {
        &self.blinds
    }

    /// Awaits the answer to a request that was made before. `None` if it can't have been.
    pub(super) fn resume(
        old: &PublicKey,
        new: &PublicKey,
        blinds: &[Encoding],
        request: &BlindedElements,
    ) -> Option<Self> {
        Some(Self {
            old: old.clone(),
            new: new.clone(),
            blinds: blinds.iter().map(Scalar::decode).collect::<Option<_>>()?,
            request: request.clone(),
        })
    }
}

impl core::fmt::Debug for ExpectCarryOver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ExpectCarryOver")
            .field("elements", &self.request.len())
            .finish_non_exhaustive()
    }
}
