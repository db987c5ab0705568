//! `Blind` of RFC 9497, section 3.3.2, with an additive blind and for whole batches.

use alloc::{sync::Arc, vec::Vec};
use core::fmt;

use rand_core::CryptoRng;

use crate::{
    group::{Element, Encoding, Scalar, random_scalars},
    kernel::{Elements, FixedBase},
    oprf::{BatchSizeError, BlindedElements, InputTooLong, PublicKey, hash_to_group},
    suite::MAX_BATCH,
};

/// Inputs that can't be blinded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlindError {
    /// A private input is longer than 255 bytes.
    #[error(transparent)]
    InputTooLong(#[from] InputTooLong),
    /// Inputs and padding together are no batch.
    #[error(transparent)]
    BatchSize(#[from] BatchSizeError),
}

/// The client's side of the protocol for one public key.
///
/// Holds multiplication tables (60 KiB, and 320 KiB more where AVX-512 is used), so make one for many
/// batches; clones share them.
#[derive(Clone)]
pub struct OprfClient(Arc<Prepared>);

struct Prepared {
    public_key: PublicKey,
    generator: FixedBase,
    /// A table for `-K`: unblinding adds `r * -K`.
    negated_key: FixedBase,
}

impl OprfClient {
    /// Prepares for a public key.
    ///
    /// # Security
    ///
    /// The key must come from a verified manifest. A server that could choose a key for one client could
    /// recognise what that client looks up.
    #[must_use]
    pub fn new(public_key: PublicKey) -> Self {
        Self(Arc::new(Prepared {
            generator: FixedBase::new(&Element::generator()),
            negated_key: FixedBase::new(&public_key.element.negate()),
            public_key,
        }))
    }

    /// The key that proofs will be verified against.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }

    /// Blinds private inputs: `A[i] = HashToGroup(inputs[i]) + r[i]*G`, then `padding` random elements.
    ///
    /// The order of the inputs is kept. Padding is uniform like everything else, evaluated and proved like
    /// everything else, and dropped by `finalize`.
    ///
    /// # Errors
    ///
    /// An input longer than 255 bytes; no element at all, or more than 65,535.
    ///
    /// # Security
    ///
    /// Every blind is fresh, uniform and nonzero, so a blinded element is a uniform element that says nothing
    /// about its input. To try again after a failed transmission, send the *same* request
    /// ([`ExpectEvaluation::request`]) again: it is answered again and isn't charged again.
    pub fn blind<R: CryptoRng + ?Sized>(
        &self,
        inputs: &[&[u8]],
        padding: usize,
        rng: &mut R,
    ) -> Result<ExpectEvaluation, BlindError> {
        let count = inputs.len().saturating_add(padding);
        if count == 0 || count > MAX_BATCH {
            return Err(BatchSizeError(count).into());
        }
        // Padding is the identity, blinded like everything else.
        let hashed = hash_to_group(inputs, padding)?;
        let mut blinds = random_scalars(count, rng);
        let (elements, encodings) = hashed.offset_and_encode(&blinds, &self.0.generator);
        blinds.truncate(inputs.len());
        Ok(ExpectEvaluation {
            client: self.clone(),
            blinds,
            elements,
            request: BlindedElements::new(encodings)?,
        })
    }

    pub(super) fn generator(&self) -> &FixedBase {
        &self.0.generator
    }

    pub(super) fn negated_key(&self) -> &FixedBase {
        &self.0.negated_key
    }
}

impl fmt::Debug for OprfClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OprfClient")
            .field("public_key", &self.0.public_key)
            .finish_non_exhaustive()
    }
}

/// Blinds sent, evaluation awaited. Consumed by [`finalize`](Self::finalize).
///
/// Dropping it wipes the blinds; what was asked can't be finalized any more then, and asking again costs
/// quota again.
#[must_use]
pub struct ExpectEvaluation {
    pub(super) client: OprfClient,
    pub(super) blinds: Vec<Scalar>,
    pub(super) elements: Elements,
    pub(super) request: BlindedElements,
}

impl ExpectEvaluation {
    /// What to send, and to send again unchanged if no answer came.
    #[must_use]
    pub fn request(&self) -> &BlindedElements {
        &self.request
    }

    /// The blinds, to be kept until the answer comes; a secret.
    pub(super) fn blinds(&self) -> &[Scalar] {
        &self.blinds
    }

    /// Awaits the answer to a request that was made before. `None` if it can't have been.
    pub(super) fn resume(
        client: &OprfClient,
        blinds: &[Encoding],
        request: &BlindedElements,
    ) -> Option<Self> {
        let blinds = blinds.iter().map(Scalar::decode).collect::<Option<_>>()?;
        Some(Self {
            client: client.clone(),
            blinds,
            elements: request.decode().ok()?,
            request: request.clone(),
        })
    }
}

impl fmt::Debug for ExpectEvaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectEvaluation")
            .field("elements", &self.request.len())
            .finish_non_exhaustive()
    }
}
