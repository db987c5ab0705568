//! An entry, byte by byte; and the file that entries are exported to.
//!
//! ```text
//! entry:   index u64, at u64 (microseconds), kind u8, length u32, body, hash[32]
//! export:  magic "bbledger", version u8 = 1, service_id_hash[32], then entries
//!
//! hash = SHA-256("blindbook-v1-ledger-entry" || hash of the entry before || everything of the entry but its hash)
//! ```
//!
//! Before the first entry comes `SHA-256("blindbook-v1-ledger" || service_id_hash)`. Integers are big-endian. A store keeps
//! the same bytes.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::{Body, body::LONGEST};
use crate::server::Timestamp;

/// Bytes in front of a body.
const HEAD: usize = 8 + 8 + 1 + 4;
const HASH: usize = 32;

/// Bytes that aren't an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadEntry {
    /// There are fewer bytes than the entry says.
    #[error("the entry is truncated")]
    Truncated,
    /// It says that it is longer than any entry.
    #[error("the entry is longer than any can be")]
    TooLong,
    /// It was written at a time that doesn't exist.
    #[error("the entry's time has no meaning")]
    Time,
    /// It is of a kind from the future.
    #[error("an entry of a kind that isn't known here")]
    Unknown,
    /// Its body has no meaning.
    #[error("the entry's body has no meaning")]
    Body,
    /// The file isn't a ledger's, or one from the future.
    #[error("not a ledger of this version")]
    NotALedger,
}

/// An entry as it is kept, whatever it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub(super) index: u64,
    pub(super) at: Timestamp,
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
    pub(super) hash: [u8; HASH],
}

impl Entry {
    /// Longest encoding in bytes.
    pub const LONGEST: usize = HEAD + LONGEST + HASH;

    /// Its place in the chain, from 0.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// When it was written, by the clock of whoever did what it says. Where no clock was at hand it is the time of the latest
    /// charge.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// What the next entry has in its own.
    #[must_use]
    pub const fn hash(&self) -> &[u8; HASH] {
        &self.hash
    }

    /// What it says.
    ///
    /// # Errors
    ///
    /// [`BadEntry::Unknown`] or [`BadEntry::Body`].
    pub fn body(&self) -> Result<Body, BadEntry> {
        Body::decode(self.kind, &self.body)
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.body.len() + HASH);
        self.put_hashed(&mut out);
        out.extend(self.hash);
        out
    }

    /// Takes an entry off the front of bytes.
    ///
    /// # Errors
    ///
    /// [`BadEntry::Truncated`] if there has to be more behind them; [`BadEntry::TooLong`];
    /// [`BadEntry::Time`]. Nothing is taken then.
    pub fn take(bytes: &mut &[u8]) -> Result<Self, BadEntry> {
        let mut rest = *bytes;
        let index = u64::from_be_bytes(array(&mut rest)?);
        let at = u64::from_be_bytes(array(&mut rest)?);
        let [kind] = array(&mut rest)?;
        let length = u32::from_be_bytes(array(&mut rest)?) as usize;
        if length > LONGEST {
            return Err(BadEntry::TooLong);
        }
        // No entry has another encoding than the one that is hashed.
        if at > Timestamp::MAX.as_micros() {
            return Err(BadEntry::Time);
        }
        let (body, behind) = rest.split_at_checked(length).ok_or(BadEntry::Truncated)?;
        rest = behind;
        let hash = array(&mut rest)?;
        *bytes = rest;
        Ok(Self {
            index,
            at: Timestamp::from_micros(at),
            kind,
            body: body.to_vec(),
            hash,
        })
    }

    /// Reads one entry and nothing else.
    ///
    /// # Errors
    ///
    /// See [`BadEntry`].
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BadEntry> {
        let entry = Self::take(&mut bytes)?;
        if bytes.is_empty() {
            Ok(entry)
        } else {
            Err(BadEntry::TooLong)
        }
    }

    /// The hash that the entry has behind this one.
    pub(super) fn hash_after(&self, previous: &[u8; HASH]) -> [u8; HASH] {
        let mut out = Vec::with_capacity(HEAD + self.body.len());
        self.put_hashed(&mut out);
        Sha256::new_with_prefix(b"blindbook-v1-ledger-entry")
            .chain_update(previous)
            .chain_update(out)
            .finalize()
            .into()
    }

    fn put_hashed(&self, out: &mut Vec<u8>) {
        out.extend(self.index.to_be_bytes());
        out.extend(self.at.as_micros().to_be_bytes());
        out.push(self.kind);
        // At most `LONGEST`.
        out.extend(
            u32::try_from(self.body.len())
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
        );
        out.extend(&self.body);
    }
}

/// What comes before the first entry.
pub(super) fn before_first(service: &[u8; 32]) -> [u8; HASH] {
    Sha256::new_with_prefix(b"blindbook-v1-ledger")
        .chain_update(service)
        .finalize()
        .into()
}

/// What stands at the begin of an export: whose ledger it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportHeader {
    /// [`ServiceId::hash`](crate::oprf::ServiceId::hash).
    pub service: [u8; 32],
}

impl ExportHeader {
    /// Length in bytes.
    pub const LENGTH: usize = 8 + 1 + 32;
    const MAGIC: [u8; 9] = *b"bbledger\x01";

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&Self::MAGIC[..], &self.service].concat()
    }

    /// Takes it off the front of bytes.
    ///
    /// # Errors
    ///
    /// [`BadEntry::NotALedger`].
    pub fn take(bytes: &mut &[u8]) -> Result<Self, BadEntry> {
        let mut rest = *bytes;
        if array(&mut rest) != Ok(Self::MAGIC) {
            return Err(BadEntry::NotALedger);
        }
        let service = array(&mut rest).map_err(|_| BadEntry::NotALedger)?;
        *bytes = rest;
        Ok(Self { service })
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BadEntry> {
    let (taken, left) = rest.split_first_chunk().ok_or(BadEntry::Truncated)?;
    *rest = left;
    Ok(*taken)
}
