//! Checkpoints: where the chain had come to, signed by the snapshot key.
//!
//! ```text
//! service_id_hash[32], index u64, hash[32], at u64 (microseconds),
//! Ed25519 signature[64] of "blindbook-v1-ledger-checkpoint" || everything before it
//! ```
//!
//! They are kept outside the store, and are worth most where the operator of the store can't reach: mailed, printed, or with
//! somebody else.

use crate::{
    server::Timestamp,
    snapshot::{SnapshotKey, SnapshotPublicKey},
};

const PREFIX: &[u8] = b"blindbook-v1-ledger-checkpoint";
const SIGNED: usize = 32 + 8 + 32 + 8;

/// Bytes that aren't a checkpoint of this signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint that is signed by this key")]
pub struct BadCheckpoint;

/// Where a chain had come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose ledger: [`ServiceId::hash`](crate::oprf::ServiceId::hash).
    pub service: [u8; 32],
    /// The newest entry.
    pub index: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// When that was.
    pub at: Timestamp,
}

impl Checkpoint {
    /// Length of a signed one in bytes.
    pub const LENGTH: usize = SIGNED + 64;

    /// The bytes, signed.
    #[must_use]
    pub fn sign(&self, key: &SnapshotKey) -> [u8; Self::LENGTH] {
        let signed = self.encode();
        let signature = key.sign_statement(PREFIX, &signed);
        let mut out = [0; Self::LENGTH];
        for (byte, &part) in out.iter_mut().zip(signed.iter().chain(&signature)) {
            *byte = part;
        }
        out
    }

    /// Takes a checkpoint whose signature is good.
    ///
    /// # Errors
    ///
    /// [`BadCheckpoint`].
    pub fn verify(bytes: &[u8], key: &SnapshotPublicKey) -> Result<Self, BadCheckpoint> {
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().map_err(|_| BadCheckpoint)?;
        let (signed, signature) = bytes.split_first_chunk::<SIGNED>().ok_or(BadCheckpoint)?;
        let signature = signature.first_chunk().ok_or(BadCheckpoint)?;
        if !key.has_signed(PREFIX, signed, signature) {
            return Err(BadCheckpoint);
        }
        Self::decode(signed).ok_or(BadCheckpoint)
    }

    fn encode(&self) -> [u8; SIGNED] {
        let mut out = [0; SIGNED];
        let parts: [&[u8]; 4] = [
            &self.service,
            &self.index.to_be_bytes(),
            &self.hash,
            &self.at.as_micros().to_be_bytes(),
        ];
        for (byte, &part) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = part;
        }
        out
    }

    fn decode(bytes: &[u8; SIGNED]) -> Option<Self> {
        let (&service, rest) = bytes.split_first_chunk()?;
        let (&index, rest) = rest.split_first_chunk()?;
        let (&hash, rest) = rest.split_first_chunk()?;
        let at = u64::from_be_bytes(*rest.first_chunk()?);
        let checkpoint = Self {
            service,
            index: u64::from_be_bytes(index),
            hash,
            at: Timestamp::from_micros(at),
        };
        (checkpoint.encode() == *bytes).then_some(checkpoint)
    }
}
