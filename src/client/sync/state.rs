//! The bytes of a [`SyncState`]:
//!
//! ```text
//! "bbsync" version=1 chain?(0|1)    8 bytes
//! service id hash                  32
//! salt                             32
//! chain state                      ChainState::LENGTH, if there is one
//! count                             4, big-endian
//! count x { fingerprint  16
//!           N            32 }      ascending by fingerprint
//! ```

use alloc::{collections::BTreeMap, vec::Vec};

use zeroize::Zeroizing;

use super::SyncState;
use crate::{
    client::OprfClient,
    oprf::{ServiceId, UnblindedElement},
    secret::SecretBytes,
    snapshot::ChainState,
};

const MAGIC: [u8; 7] = *b"bbsync\x01";
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
        let chain_length = chain.as_ref().map_or(0, |chain| chain.len());
        // Of the final size at once: a vector that grows leaves copies of secrets behind.
        let length = MAGIC.len() + 1 + 64 + chain_length + 4 + self.known.len() * ENTRY;
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.extend_from_slice(&MAGIC);
        out.push(u8::from(chain.is_some()));
        out.extend_from_slice(&self.service);
        out.extend_from_slice(self.salt.expose());
        if let Some(chain) = chain {
            out.extend_from_slice(&chain);
        }
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
        let [has_chain] = array(&mut rest)?;
        let service_hash = array(&mut rest)?;
        if service_hash != service.hash() {
            return Err(StateError::OtherService);
        }
        let salt = SecretBytes::new(&mut array(&mut rest)?);
        let chain = match has_chain {
            0 => None,
            1 => Some(
                ChainState::decode(&array::<{ ChainState::LENGTH }>(&mut rest)?)
                    .map_err(|_| StateError::Damaged)?,
            ),
            _ => return Err(StateError::Damaged),
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
        })
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StateError> {
    let (taken, left) = rest.split_first_chunk().ok_or(StateError::Damaged)?;
    *rest = left;
    Ok(*taken)
}
