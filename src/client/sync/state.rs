//! The bytes of a [`SyncState`]:
//!
//! ```text
//! "bbsync" version=2                7 bytes
//! 1 chain + 2 part                  1
//! service id hash                  32
//! salt                             32
//! chain state                      ChainState::LENGTH, if there is one
//! part, if there is one {
//!   bits of a run                   1
//!   fewest runs drawn at once       4
//!   count                           4
//!   count x run                     4, ascending }
//! count                             4, big-endian
//! count x { fingerprint  16
//!           N            32 }      ascending by fingerprint
//! ```
//!
//! Version 1, which is still read, has no part.

use alloc::{collections::BTreeMap, vec::Vec};

use zeroize::Zeroizing;

use super::SyncState;
use crate::{
    client::{OprfClient, partial::Chosen},
    oprf::{ServiceId, UnblindedElement},
    secret::SecretBytes,
    snapshot::{ChainState, Runs},
};

const MAGIC: [u8; 6] = *b"bbsync";
const VERSION: u8 = 2;
const CHAIN: u8 = 1;
const PART: u8 = 2;
const ENTRY: usize = 16 + 32;

/// Bytes that aren't a state of this service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Truncated, damaged, or something else altogether.
    #[error("the sync state is damaged")]
    Damaged,
    /// A state of another service.
    #[error("the sync state belongs to another service")]
    OtherService,
}

impl SyncState {
    /// The bytes to store.
    ///
    /// # Security
    ///
    /// As private as the address book; see [`SyncState`].
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let chain = self.chain.as_ref().map(ChainState::encode);
        let part = self.part.as_ref().map(encode_part);
        let chain = chain.as_ref().map_or(&[][..], |chain| chain);
        let part = part.as_deref().unwrap_or_default();
        // Of the final size at once: a vector that grows leaves copies of secrets behind.
        let length = MAGIC.len() + 2 + 64 + chain.len() + part.len() + 4 + self.known.len() * ENTRY;
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.extend_from_slice(&MAGIC);
        let has = |what: u8, bytes: &[u8]| if bytes.is_empty() { 0 } else { what };
        out.extend_from_slice(&[VERSION, has(CHAIN, chain) | has(PART, part)]);
        out.extend_from_slice(&self.service);
        out.extend_from_slice(self.salt.expose());
        out.extend_from_slice(chain);
        out.extend_from_slice(part);
        out.extend_from_slice(&(self.known.len() as u32).to_be_bytes());
        for (print, unblinded) in &self.known {
            out.extend_from_slice(print);
            out.extend_from_slice(unblinded.expose());
        }
        out
    }

    /// Takes stored bytes.
    ///
    /// # Errors
    ///
    /// [`StateError`]; an app that can't repair it starts with [`SyncState::new`] and pays the quota again.
    pub fn decode(bytes: &[u8], service: &ServiceId) -> Result<Self, StateError> {
        let mut rest = bytes;
        if array(&mut rest)? != MAGIC {
            return Err(StateError::Damaged);
        }
        let [version, has] = array(&mut rest)?;
        match (version, has) {
            (1, 0 | CHAIN) | (VERSION, 0 | CHAIN) => {}
            // A part is of an epoch.
            (VERSION, has) if has == CHAIN | PART => {}
            _ => return Err(StateError::Damaged),
        }
        let service_hash = array(&mut rest)?;
        if service_hash != service.hash() {
            return Err(StateError::OtherService);
        }
        let salt = SecretBytes::new(&mut array(&mut rest)?);
        let chain = match has & CHAIN {
            0 => None,
            _ => Some(
                ChainState::decode(&array::<{ ChainState::LENGTH }>(&mut rest)?)
                    .map_err(|_| StateError::Damaged)?,
            ),
        };
        let part = match has & PART {
            0 => None,
            _ => Some(decode_part(&mut rest)?),
        };
        let count = u32::from_be_bytes(array(&mut rest)?) as usize;
        if count.checked_mul(ENTRY) != Some(rest.len()) || (count > 0 && chain.is_none()) {
            return Err(StateError::Damaged);
        }
        let mut known = BTreeMap::new();
        for _ in 0..count {
            let print = array(&mut rest)?;
            let encoding = Zeroizing::new(array(&mut rest)?);
            let unblinded = UnblindedElement::decode(&encoding).map_err(|_| StateError::Damaged)?;
            if known
                .last_key_value()
                .is_some_and(|(last, _)| *last >= print)
            {
                return Err(StateError::Damaged);
            }
            known.insert(print, unblinded);
        }
        Ok(Self {
            service: service_hash,
            salt,
            client: chain
                .as_ref()
                .map(|chain| OprfClient::new(chain.public_key().clone())),
            chain,
            known,
            part,
        })
    }
}

fn encode_part(part: &Chosen) -> Vec<u8> {
    let runs = part.runs().indexes();
    let mut out = Vec::with_capacity(9 + 4 * runs.len());
    out.push(part.runs().bits());
    for number in [part.least(), runs.len() as u32].iter().chain(runs) {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out
}

fn decode_part(rest: &mut &[u8]) -> Result<Chosen, StateError> {
    let [bits] = array(rest)?;
    let least = u32::from_be_bytes(array(rest)?);
    let count = u32::from_be_bytes(array(rest)?) as usize;
    let length = count.checked_mul(4).ok_or(StateError::Damaged)?;
    let (runs, behind) = rest.split_at_checked(length).ok_or(StateError::Damaged)?;
    *rest = behind;
    let runs = runs.as_chunks().0.iter().copied().map(u32::from_be_bytes);
    Runs::new(bits, runs.collect())
        .and_then(|runs| Chosen::new(runs, least))
        .map_err(|_| StateError::Damaged)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StateError> {
    let (taken, left) = rest.split_first_chunk().ok_or(StateError::Damaged)?;
    *rest = left;
    Ok(*taken)
}
