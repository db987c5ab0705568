//! OPRF(ristretto255, SHA-512), mode VOPRF: the constants and hash functions of the suite.
//!
//! Layer 1: stands on `group` and must not know messages or keys' owners. Implements
//! RFC 9497, section 4.1 on `expand_message_xmd` from RFC 9380, section 5.3.1.

use sha2::{Digest, Sha512};
use zeroize::Zeroize;

use crate::group::Scalar;

/// The identifier of the suite (RFC 9497, section 4.1).
pub const IDENTIFIER: &str = "ristretto255-SHA512";

/// The mode byte of VOPRF (RFC 9497, section 3.1).
pub const MODE_VOPRF: u8 = 0x01;

/// Most elements in one batch: RFC 9497 numbers them with two bytes in the proof.
pub const MAX_BATCH: usize = 65_535;

/// Longest private input in bytes. RFC 9497 allows 65,535; no identifier needs more than this.
pub const MAX_INPUT: usize = 255;

/// `contextString` of RFC 9497, section 3.1, with the prefix `$prefix` before it.
macro_rules! with_context {
    ($prefix:literal) => {
        concat!($prefix, "OPRFV1-\x01-ristretto255-SHA512").as_bytes()
    };
}

#[cfg(feature = "client")]
const HASH_TO_GROUP_DST: &[u8] = with_context!("HashToGroup-");
const HASH_TO_SCALAR_DST: &[u8] = with_context!("HashToScalar-");
#[cfg(feature = "server")]
const DERIVE_KEY_PAIR_DST: &[u8] = with_context!("DeriveKeyPair");
pub(crate) const SEED_DST: &[u8] = with_context!("Seed-");

/// `expand_message_xmd` for 64 bytes of output: one block, so one pass through the chain.
///
/// Holds the hash state after the block of zeros that every message begins with: a third of the work on
/// a short message.
pub(crate) struct Expander {
    padded: Sha512,
    dst: &'static [u8],
}

impl Expander {
    fn new(dst: &'static [u8]) -> Self {
        debug_assert!(dst.len() <= 255);
        Self {
            padded: Sha512::new_with_prefix([0; 128]),
            dst,
        }
    }

    /// For `HashToGroup`: its output goes through the one-way map.
    #[cfg(feature = "client")]
    pub(crate) fn to_group() -> Self {
        Self::new(HASH_TO_GROUP_DST)
    }

    /// For `HashToScalar`: see [`Self::scalar`].
    pub(crate) fn to_scalar() -> Self {
        Self::new(HASH_TO_SCALAR_DST)
    }

    /// Expands the concatenation of `parts`.
    pub(crate) fn expand(&self, parts: &[&[u8]]) -> [u8; 64] {
        let mut first = self.padded.clone();
        for part in parts {
            first.update(part);
        }
        // The length of the output, two bytes; the counter of b_0.
        first.update([0, 64, 0]);
        let mut second = Sha512::new_with_prefix(self.finish(first));
        second.update([1]);
        self.finish(second)
    }

    /// Implements `HashToScalar` from RFC 9497, section 4.1.
    pub(crate) fn scalar(&self, parts: &[&[u8]]) -> Scalar {
        let mut uniform = self.expand(parts);
        let scalar = Scalar::from_uniform_bytes(&uniform);
        uniform.zeroize();
        scalar
    }

    /// Appends `DST_prime`.
    fn finish(&self, mut hash: Sha512) -> [u8; 64] {
        hash.update(self.dst);
        hash.update([self.dst.len() as u8]);
        hash.finalize().into()
    }
}

/// The info string or the seed gave no key in 256 tries, or the info is longer than 65,535 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no key can be derived from this seed and info")]
pub struct DeriveKeyError;

#[cfg(feature = "server")]
/// Implements `DeriveKeyPair` from RFC 9497, section 3.2.1; the public key is the caller's to compute.
pub(crate) fn derive_key(seed: &[u8; 32], info: &[u8]) -> Result<Scalar, DeriveKeyError> {
    let length = u16::try_from(info.len()).map_err(|_| DeriveKeyError)?;
    let expander = Expander::new(DERIVE_KEY_PAIR_DST);
    (0..=u8::MAX)
        .map(|counter| expander.scalar(&[seed, &length.to_be_bytes(), info, &[counter]]))
        .find(|key| !key.is_zero())
        .ok_or(DeriveKeyError)
}
