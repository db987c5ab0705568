//! `Finalize` of RFC 9497, section 3.3.2: verify first, then unblind.

use alloc::vec::Vec;

use sha2::{Digest, Sha512};

use super::blind::ExpectEvaluation;
use crate::oprf::{EvaluatedElements, Proof, Statement, UnblindedElement};

/// The server's answer isn't an evaluation of what was asked under the key of the manifest.
///
/// One error for everything a server can do wrong: which element it was, and why, would tell a server
/// that plays games what its game achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the evaluation isn't what was asked for, under the key that was published")]
pub struct FinalizeError;

impl ExpectEvaluation {
    /// Verifies the proof over the whole batch, then takes the blinds off: `N[i] = Z[i] - r[i]*K`.
    ///
    /// Returns one element for each private input, in their order; the padding is dropped.
    ///
    /// # Errors
    ///
    /// [`FinalizeError`] for any answer but the right one. Nothing is learned from a wrong answer, not even
    /// for the elements that are right in it.
    pub fn finalize(
        self,
        evaluated: &EvaluatedElements,
        proof: &Proof,
    ) -> Result<Vec<UnblindedElement>, FinalizeError> {
        if evaluated.len() != self.request.len() {
            return Err(FinalizeError);
        }
        let mut elements = evaluated.decode().map_err(|_| FinalizeError)?;
        let statement = Statement {
            public_key: self.client.public_key(),
            blinded: self.request.encodings(),
            evaluated: evaluated.encodings(),
        };
        proof
            .verify_vartime(&statement, &self.elements, &elements)
            .map_err(|_| FinalizeError)?;
        elements.truncate(self.blinds.len());
        let (_, unblinded) = elements.offset_and_encode(&self.blinds, self.client.negated_key());
        Ok(unblinded
            .into_iter()
            .map(UnblindedElement::from_trusted)
            .collect())
    }
}

/// The output of `Finalize` from RFC 9497, section 3.3.2, for interoperability with other OPRF services.
///
/// Contact keys aren't made from it: it hashes the raw input, which would make re-keying impossible.
///
/// # Security
///
/// A secret of the caller's, like the input.
#[must_use]
pub fn rfc_output(input: &[u8], unblinded: &UnblindedElement) -> [u8; 64] {
    let mut hash = Sha512::new();
    for part in [input, unblinded.expose()] {
        hash.update((part.len() as u16).to_be_bytes());
        hash.update(part);
    }
    hash.update(b"Finalize");
    hash.finalize().into()
}
