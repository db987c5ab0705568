//! The bytes of a [`SyncState`]:
//!
//! ```text
//! "bbsync" version=2                7 bytes
//! 1 chain + 2 part + 4 request      1
//! service id hash                  32
//! salt                             32
//! chain state                      ChainState::LENGTH, if there is one
//! part, if there is one {
//!   bits of a run                   1
//!   fewest runs drawn at once       4
//!   count                           4
//!   count x run                     4, ascending }
//! request that wasn't answered, if there is one {
//!   second in which it was made     8
//!   count of contacts               2
//!   count of elements               2
//!   contacts x fingerprint         16
//!   contacts x blind               32
//!   elements x blinded element     32 }
//! count                             4, big-endian
//! count x { fingerprint            16
//!           absent since            4, in days; 0 for not at all
//!           N                      32 }      ascending by fingerprint
//! ```
//!
//! Integers are big-endian, times since 1970-01-01T00:00:00Z. Version 1, which is still read, has no part, no request and
//! no day.

use alloc::{collections::BTreeMap, vec::Vec};

use zeroize::Zeroizing;

use super::{Known, SyncState, request::Unanswered};
use crate::{
    client::{OprfClient, partial::Chosen},
    oprf::{BlindedElements, ServiceId, UnblindedElement},
    secret::SecretBytes,
    snapshot::{ChainState, Runs},
};

const MAGIC: [u8; 6] = *b"bbsync";
const VERSION: u8 = 2;
const CHAIN: u8 = 1;
const PART: u8 = 2;
const REQUEST: u8 = 4;
const ENTRY: usize = 16 + 4 + 32;

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
        let request = self.request.as_ref().map(encode_request);
        let request = request.as_ref().map_or(&[][..], |request| request);
        // Of the final size at once: a vector that grows leaves copies of secrets behind.
        let optional = chain.len() + part.len() + request.len();
        let length = MAGIC.len() + 2 + 64 + optional + 4 + self.known.len() * ENTRY;
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.extend_from_slice(&MAGIC);
        let has = |what: u8, bytes: &[u8]| if bytes.is_empty() { 0 } else { what };
        out.extend_from_slice(&[
            VERSION,
            has(CHAIN, chain) | has(PART, part) | has(REQUEST, request),
        ]);
        out.extend_from_slice(&self.service);
        out.extend_from_slice(self.salt.expose());
        out.extend_from_slice(chain);
        out.extend_from_slice(part);
        out.extend_from_slice(request);
        out.extend_from_slice(&(self.known.len() as u32).to_be_bytes());
        for (print, known) in &self.known {
            out.extend_from_slice(print);
            out.extend_from_slice(&known.absent_since.to_be_bytes());
            out.extend_from_slice(known.unblinded.expose());
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
            // A part and a request are of an epoch.
            (VERSION, has) if has & CHAIN != 0 && has <= CHAIN | PART | REQUEST => {}
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
        let request = match has & REQUEST {
            0 => None,
            _ => Some(decode_request(&mut rest)?),
        };
        let count = u32::from_be_bytes(array(&mut rest)?) as usize;
        let entry = if version == 1 { ENTRY - 4 } else { ENTRY };
        if count.checked_mul(entry) != Some(rest.len()) || (count > 0 && chain.is_none()) {
            return Err(StateError::Damaged);
        }
        let mut known = BTreeMap::new();
        for _ in 0..count {
            let print = array(&mut rest)?;
            let absent_since = match version {
                1 => 0,
                _ => u32::from_be_bytes(array(&mut rest)?),
            };
            let encoding = Zeroizing::new(array(&mut rest)?);
            let unblinded = UnblindedElement::decode(&encoding).map_err(|_| StateError::Damaged)?;
            if known
                .last_key_value()
                .is_some_and(|(last, _)| *last >= print)
            {
                return Err(StateError::Damaged);
            }
            known.insert(
                print,
                Known {
                    unblinded,
                    absent_since,
                },
            );
        }
        Ok(Self {
            service: service_hash,
            salt,
            client: chain
                .as_ref()
                .map(|chain| OprfClient::new(chain.public_key().clone())),
            chain,
            known,
            request,
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

fn encode_request(unanswered: &Unanswered) -> Zeroizing<Vec<u8>> {
    let (prints, elements) = (&unanswered.prints, unanswered.request.encodings());
    let length = 12 + 48 * prints.len() + 32 * elements.len();
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    out.extend_from_slice(&unanswered.made.to_be_bytes());
    out.extend_from_slice(&(prints.len() as u16).to_be_bytes());
    out.extend_from_slice(&(elements.len() as u16).to_be_bytes());
    out.extend_from_slice(prints.as_flattened());
    out.extend_from_slice(&unanswered.blinds);
    out.extend_from_slice(elements.as_flattened());
    out
}

/// Whether it can be used is seen when it is.
fn decode_request(rest: &mut &[u8]) -> Result<Unanswered, StateError> {
    let made = u64::from_be_bytes(array(rest)?);
    let contacts = usize::from(u16::from_be_bytes(array(rest)?));
    let elements = usize::from(u16::from_be_bytes(array(rest)?));
    if contacts > elements {
        return Err(StateError::Damaged);
    }
    let mut section = |length: usize| {
        let (section, behind) = rest.split_at_checked(length).ok_or(StateError::Damaged)?;
        *rest = behind;
        Ok(section)
    };
    Ok(Unanswered {
        made,
        prints: section(16 * contacts)?.as_chunks().0.to_vec(),
        blinds: Zeroizing::new(section(32 * contacts)?.to_vec()),
        request: BlindedElements::new(section(32 * elements)?.as_chunks().0.to_vec())
            .map_err(|_| StateError::Damaged)?,
    })
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StateError> {
    let (taken, left) = rest.split_first_chunk().ok_or(StateError::Damaged)?;
    *rest = left;
    Ok(*taken)
}
