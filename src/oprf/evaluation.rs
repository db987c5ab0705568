//! One batch evaluated and proved: `BlindEvaluate` of RFC 9497, section 3.3.2.

use rand_core::CryptoRng;

use super::{BadElement, BlindedElements, EvaluatedElements, Proof, PublicKey, dleq::Statement};
use crate::{group::Scalar, secret::declassify};

/// The evaluated batch and its proof: what goes back to the client.
#[derive(Debug)]
pub struct Evaluation {
    /// `k` times each blinded element, in order.
    pub elements: EvaluatedElements,
    /// That it is so.
    pub proof: Proof,
}

impl Evaluation {
    /// Implements `BlindEvaluate` from RFC 9497, section 3.3.2, for a batch.
    ///
    /// Crate-private: the public way to it consumes a permit.
    pub(crate) fn of<R: CryptoRng + ?Sized>(
        key: &Scalar,
        public_key: &PublicKey,
        blinded: &BlindedElements,
        rng: &mut R,
    ) -> Result<Self, BadElement> {
        let elements = blinded.decode()?;
        let mut encodings = elements.multiply_and_encode(key);
        // They are the answer, and the proof's public sums weigh them in variable time.
        declassify(encodings.as_mut_slice());
        let statement = Statement {
            public_key,
            blinded: blinded.encodings(),
            evaluated: &encodings,
        };
        let proof = Proof::generate(key, &statement, &elements, rng);
        Ok(Self {
            elements: EvaluatedElements::from_same_size(encodings, blinded),
            proof,
        })
    }
}
