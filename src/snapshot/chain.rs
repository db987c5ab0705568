//! What a client remembers of the manifests it has seen, so that nobody can show it another history.

use core::fmt;

use super::manifest::Manifest;
use crate::oprf::{Epoch, PublicKey};

/// The newest manifest that was followed: its place in the chain, its hash, and the key of its epoch.
///
/// Not a secret. Two clients of one service that compare theirs find out if they were shown different sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainState {
    sequence: u64,
    hash: [u8; 32],
    epoch: Epoch,
    public_key: PublicKey,
}

/// How a manifest continues the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Advance {
    /// It is the one that was seen last.
    Same,
    /// It is the next one, and names the last one as the one before it.
    Next,
    /// So many lie between, unseen: the signature alone vouches for the link.
    Skipped(u64),
}

/// A manifest that doesn't continue what was seen. Its publisher is to blame, or whoever delivers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Its time is over.
    #[error("the manifest has expired")]
    Expired,
    /// Its time hasn't come.
    #[error("the manifest isn't valid yet; is the clock right?")]
    NotYetValid,
    /// It is older than one that was seen before.
    #[error("the manifest is older than one that was seen before")]
    Rollback,
    /// It contradicts one that was seen before: somebody is shown another history.
    #[error("the manifest contradicts one that was seen before")]
    Fork,
    /// It goes back to an epoch that has ended.
    #[error("the manifest goes back to an earlier epoch")]
    EpochRollback,
    /// It has another public key for the epoch that is known.
    #[error("the manifest changes the public key within an epoch")]
    KeyChanged,
    /// So many before it weren't seen, where every one is wanted.
    #[error("{0} manifests before this one weren't seen")]
    Skipped(u64),
}

/// Eighty bytes that aren't a chain state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a chain state")]
pub struct ChainStateError;

impl ChainState {
    /// Length of the encoding, in bytes: `sequence[8] || hash[32] || epoch[8] || public key[32]`.
    pub const LENGTH: usize = 80;

    /// Begins with the first manifest that a client ever sees.
    ///
    /// # Errors
    ///
    /// [`ChainError::Expired`] or [`ChainError::NotYetValid`]; `now` is in seconds since
    /// 1970-01-01T00:00:00Z.
    pub fn start(manifest: &Manifest, now: u64) -> Result<Self, ChainError> {
        let claims = manifest.claims();
        if now < claims.not_before {
            return Err(ChainError::NotYetValid);
        }
        if now > claims.not_after {
            return Err(ChainError::Expired);
        }
        Ok(Self {
            sequence: claims.sequence,
            hash: *manifest.hash(),
            epoch: claims.epoch,
            public_key: claims.public_key.clone(),
        })
    }

    /// Goes on to another manifest.
    ///
    /// # Errors
    ///
    /// See [`ChainError`]; the state stays as it is.
    pub fn advance(&self, manifest: &Manifest, now: u64) -> Result<(Self, Advance), ChainError> {
        let next = Self::start(manifest, now)?;
        let ahead = next
            .sequence
            .checked_sub(self.sequence)
            .ok_or(ChainError::Rollback)?;
        let continues = match ahead {
            0 => next.hash == self.hash,
            1 => manifest.claims().previous == self.hash,
            _ => true,
        };
        if !continues {
            return Err(ChainError::Fork);
        }
        if next.epoch < self.epoch {
            return Err(ChainError::EpochRollback);
        }
        if next.epoch == self.epoch && next.public_key != self.public_key {
            return Err(ChainError::KeyChanged);
        }
        let advance = match ahead {
            0 => Advance::Same,
            1 => Advance::Next,
            _ => Advance::Skipped(ahead - 1),
        };
        Ok((next, advance))
    }

    /// Goes on to the next manifest and not beyond it, for whoever watches that none is hidden.
    ///
    /// # Errors
    ///
    /// [`ChainError::Skipped`], or as [`advance`](Self::advance).
    pub fn advance_by_one(&self, manifest: &Manifest, now: u64) -> Result<Self, ChainError> {
        match self.advance(manifest, now)? {
            (_, Advance::Skipped(unseen)) => Err(ChainError::Skipped(unseen)),
            (next, Advance::Same | Advance::Next) => Ok(next),
        }
    }

    /// Place in the chain, from 1.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Hash of the manifest.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The epoch in which to evaluate.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The key to verify proofs against.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The bytes to keep, or to compare with others.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut out = [0; Self::LENGTH];
        let parts: [&[u8]; 4] = [
            &self.sequence.to_be_bytes(),
            &self.hash,
            &self.epoch.get().to_be_bytes(),
            &self.public_key.encode(),
        ];
        for (byte, part) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = *part;
        }
        out
    }

    /// Takes kept bytes.
    ///
    /// # Errors
    ///
    /// The sequence is 0, or the public key isn't one.
    pub fn decode(bytes: &[u8; Self::LENGTH]) -> Result<Self, ChainStateError> {
        let ([sequence, hash_1, hash_2, hash_3, hash_4, epoch], public_key) = split(bytes);
        let sequence = u64::from_be_bytes(sequence);
        if sequence == 0 {
            return Err(ChainStateError);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice([hash_1, hash_2, hash_3, hash_4].as_flattened());
        Ok(Self {
            sequence,
            hash,
            epoch: Epoch::new(u64::from_be_bytes(epoch)),
            public_key: PublicKey::decode(&public_key).map_err(|_| ChainStateError)?,
        })
    }
}

/// `sequence:hash` for comparing with others; alternate (`{:#}`) for reading out, the first 16 digits of the hash.
impl fmt::Display for ChainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.sequence)?;
        let shown = if f.alternate() { 8 } else { self.hash.len() };
        self.hash
            .iter()
            .take(shown)
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Six words, and the public key behind them.
fn split(bytes: &[u8; ChainState::LENGTH]) -> ([[u8; 8]; 6], [u8; 32]) {
    let mut words = [[0; 8]; 6];
    let mut public_key = [0; 32];
    let (head, tail) = bytes.split_at(48);
    words.as_flattened_mut().copy_from_slice(head);
    public_key.copy_from_slice(tail);
    (words, public_key)
}
