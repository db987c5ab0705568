//! The bytes of a [`SyncState`]:
//!
//! ```text
//! "bbsync" version=3                7 bytes
//! 1 chain + 2 part + 4 request
//!   + 8 old + 16 carry-over         1
//! service id hash                  32
//! salt                             32
//! chain state                      ChainState::LENGTH, if there is one
//! part, if there is one {
//!   bits of a run                   1
//!   fewest runs drawn at once       4
//!   count                           4
//!   count x run                     4, ascending }
//! request that wasn't answered, if there is one {
//!   epoch of its results            8
//!   second in which it was made     8
//!   count of contacts               2
//!   count of elements               2
//!   contacts x fingerprint         16
//!   contacts x blind               32
//!   elements x blinded element     32 }
//! epoch before, if something of it is to be carried over {
//!   epoch                           8
//!   public key                     32
//!   known contacts                  as below }
//! carry-over that wasn't answered, if there is one: as a request
//! known contacts {
//!   count                           4
//!   count x { fingerprint          16
//!             absent since          4, in days; 0 for not at all
//!             N                    32 }      ascending by fingerprint }
//! ```
//!
//! Integers are big-endian, times since 1970-01-01T00:00:00Z. Earlier versions are still read. Version 2 has nothing of the
//! epoch before, and no epoch in its request; version 1 has no part, no request and no day.

use alloc::{collections::BTreeMap, vec::Vec};

use zeroize::Zeroizing;

use super::{Fingerprint, Known, SyncState, carry_over::Old, request::Unanswered};
use crate::{
    client::{OprfClient, partial::Chosen},
    oprf::{BlindedElements, Epoch, PublicKey, ServiceId, UnblindedElement},
    secret::SecretBytes,
    snapshot::{ChainState, Runs},
};

const MAGIC: [u8; 6] = *b"bbsync";
const VERSION: u8 = 3;
const CHAIN: u8 = 1;
const PART: u8 = 2;
const REQUEST: u8 = 4;
const OLD: u8 = 8;
const CARRY_OVER: u8 = 16;
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
        let old = self.old.as_ref().map(encode_old);
        let old = old.as_ref().map_or(&[][..], |old| old);
        let carry_over = self.old.as_ref().and_then(|old| old.request.as_ref());
        let carry_over = carry_over.map(encode_request);
        let carry_over = carry_over.as_ref().map_or(&[][..], |request| request);
        let optional = [
            (CHAIN, chain),
            (PART, part),
            (REQUEST, request),
            (OLD, old),
            (CARRY_OVER, carry_over),
        ];
        // Of the final size at once: a vector that grows leaves copies of secrets behind.
        let sections: usize = optional.iter().map(|(_, section)| section.len()).sum();
        let known = 4 + self.known.len() * ENTRY;
        let mut out = Zeroizing::new(Vec::with_capacity(MAGIC.len() + 2 + 64 + sections + known));
        out.extend_from_slice(&MAGIC);
        let there = optional.iter().filter(|(_, section)| !section.is_empty());
        out.extend_from_slice(&[VERSION, there.fold(0, |all, (what, _)| all | what)]);
        out.extend_from_slice(&self.service);
        out.extend_from_slice(self.salt.expose());
        for (_, section) in optional {
            out.extend_from_slice(section);
        }
        encode_known(&self.known, &mut out);
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
        let all = match version {
            1 => CHAIN,
            2 => CHAIN | PART | REQUEST,
            VERSION => CHAIN | PART | REQUEST | OLD | CARRY_OVER,
            _ => return Err(StateError::Damaged),
        };
        // Everything is of an epoch, and a carry-over is of two.
        let whole = (has == 0 || has & CHAIN != 0) && (has & CARRY_OVER == 0 || has & OLD != 0);
        if has & !all != 0 || !whole {
            return Err(StateError::Damaged);
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
        let epoch = chain.as_ref().map(ChainState::epoch);
        let request = match (has & REQUEST, epoch) {
            (0, _) | (_, None) => None,
            (_, Some(epoch)) => Some(decode_request(&mut rest, (version == 2).then_some(epoch))?),
        };
        let mut old = match has & OLD {
            0 => None,
            _ => Some(decode_old(&mut rest)?),
        };
        if let Some(old) = old.as_mut().filter(|_| has & CARRY_OVER != 0) {
            old.request = Some(decode_request(&mut rest, None)?);
        }
        let before = old.as_ref().map(|old| old.epoch);
        let carried_to = old.as_ref().and_then(|old| old.request.as_ref());
        let fits = before.is_none_or(|before| before.next() == epoch)
            && request.as_ref().is_none_or(|request| {
                Some(request.epoch) == epoch || Some(request.epoch) == before
            })
            && carried_to.is_none_or(|request| Some(request.epoch) == epoch);
        let known = decode_known(&mut rest, version)?;
        if !fits || !rest.is_empty() || (!known.is_empty() && chain.is_none()) {
            return Err(StateError::Damaged);
        }
        Ok(Self {
            service: service_hash,
            salt,
            client: chain
                .as_ref()
                .map(|chain| OprfClient::new(chain.public_key().clone())),
            chain,
            known,
            old,
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
    let length = 20 + 48 * prints.len() + 32 * elements.len();
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    out.extend_from_slice(&unanswered.epoch.get().to_be_bytes());
    out.extend_from_slice(&unanswered.made.to_be_bytes());
    out.extend_from_slice(&(prints.len() as u16).to_be_bytes());
    out.extend_from_slice(&(elements.len() as u16).to_be_bytes());
    out.extend_from_slice(prints.as_flattened());
    out.extend_from_slice(&unanswered.blinds);
    out.extend_from_slice(elements.as_flattened());
    out
}

/// Whether it can be used is seen when it is. `epoch` is for a version that doesn't say it.
fn decode_request(rest: &mut &[u8], epoch: Option<Epoch>) -> Result<Unanswered, StateError> {
    let epoch = match epoch {
        Some(epoch) => epoch,
        None => Epoch::new(u64::from_be_bytes(array(rest)?)),
    };
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
        epoch,
        made,
        prints: section(16 * contacts)?.as_chunks().0.to_vec(),
        blinds: Zeroizing::new(section(32 * contacts)?.to_vec()),
        request: BlindedElements::new(section(32 * elements)?.as_chunks().0.to_vec())
            .map_err(|_| StateError::Damaged)?,
    })
}

fn encode_old(old: &Old) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(44 + old.known.len() * ENTRY));
    out.extend_from_slice(&old.epoch.get().to_be_bytes());
    out.extend_from_slice(&old.public_key.encode());
    encode_known(&old.known, &mut out);
    out
}

fn decode_old(rest: &mut &[u8]) -> Result<Old, StateError> {
    Ok(Old {
        epoch: Epoch::new(u64::from_be_bytes(array(rest)?)),
        public_key: PublicKey::decode(&array(rest)?).map_err(|_| StateError::Damaged)?,
        known: decode_known(rest, VERSION)?,
        request: None,
    })
}

fn encode_known(all: &BTreeMap<Fingerprint, Known>, out: &mut Vec<u8>) {
    out.extend_from_slice(&(all.len() as u32).to_be_bytes());
    for (print, known) in all {
        out.extend_from_slice(print);
        out.extend_from_slice(&known.absent_since.to_be_bytes());
        out.extend_from_slice(known.unblinded.expose());
    }
}

fn decode_known(rest: &mut &[u8], version: u8) -> Result<BTreeMap<Fingerprint, Known>, StateError> {
    let count = u32::from_be_bytes(array(rest)?) as usize;
    let entry = if version == 1 { ENTRY - 4 } else { ENTRY };
    if count.checked_mul(entry).is_none_or(|all| all > rest.len()) {
        return Err(StateError::Damaged);
    }
    let mut all = BTreeMap::new();
    for _ in 0..count {
        let print = array(rest)?;
        let absent_since = match version {
            1 => 0,
            _ => u32::from_be_bytes(array(rest)?),
        };
        let encoding = Zeroizing::new(array(rest)?);
        let unblinded = UnblindedElement::decode(&encoding).map_err(|_| StateError::Damaged)?;
        if all.last_key_value().is_some_and(|(last, _)| *last >= print) {
            return Err(StateError::Damaged);
        }
        let known = Known {
            unblinded,
            absent_since,
        };
        all.insert(print, known);
    }
    Ok(all)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StateError> {
    let (taken, left) = rest.split_first_chunk().ok_or(StateError::Damaged)?;
    *rest = left;
    Ok(*taken)
}
