//! The evaluation key, `skS` of RFC 9497.

use core::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::{
    group::{Element, Encoding, Scalar},
    oprf::PublicKey,
    secret::SecretBytes,
    suite::{self, DeriveKeyError},
};

/// Thirty-two bytes that aren't a key: not reduced, or zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an evaluation key")]
pub struct BadKey;

/// The key `k` that turns identifiers into tags.
///
/// # Security
///
/// Whoever holds it and the directory can try all phone numbers of a country in a few core-hours. Wiped
/// on drop, redacted, never cloned; keep it sealed at rest.
pub struct EvaluationKey {
    scalar: Scalar,
    public_key: PublicKey,
}

impl EvaluationKey {
    /// Draws a new key.
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::from_scalar(Scalar::random(rng))
    }

    /// Implements `DeriveKeyPair` from RFC 9497, section 3.2.1.
    ///
    /// # Errors
    ///
    /// `info` is longer than 65,535 bytes.
    pub fn derive(seed: &[u8; 32], info: &[u8]) -> Result<Self, DeriveKeyError> {
        suite::derive_key(seed, info).map(Self::from_scalar)
    }

    /// Takes a key that [`expose`](Self::expose) showed; the caller's copy is wiped.
    ///
    /// # Errors
    ///
    /// Not a reduced scalar, or zero.
    pub fn from_bytes(bytes: &mut Encoding) -> Result<Self, BadKey> {
        let scalar = Scalar::decode(bytes).filter(|scalar| !scalar.is_zero());
        bytes.zeroize();
        scalar.map(Self::from_scalar).ok_or(BadKey)
    }

    /// Shows the key, for sealing it.
    pub fn expose(&self) -> SecretBytes<32> {
        SecretBytes::new(&mut self.scalar.encode())
    }

    /// `pkS`, for the manifest.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    pub(crate) fn scalar(&self) -> &Scalar {
        &self.scalar
    }

    pub(super) fn from_scalar(scalar: Scalar) -> Self {
        Self {
            public_key: PublicKey::from_element(Element::generator_product(&scalar)),
            scalar,
        }
    }
}

impl fmt::Debug for EvaluationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EvaluationKey(<redacted>)")
    }
}
