//! The bytes of an incident, as a store keeps them.
//!
//! ```text
//! version u8 = 1, id u64, salt[16], epoch u64,
//! aware_at, since, until, opened_at, contained_at, rotated_at, reported_at: microseconds u64, all ones for never
//! reports u32,
//! flags u8: 1 new accounts, 2 unknown, 4 listing, 8 list complete, 16 closed, 32 unfounded
//! listing: since, until, at, nameless u64     if there is one
//! closed at u64                              if it is closed
//! what the operator has said: see `words`
//! accounts u32, 32 bytes each; networks u32, 32 bytes each
//! ```

use alloc::vec::Vec;

use super::{Closing, Incident, Listing, OperatorWords, Period, Suspects, Terms};
use crate::{
    oprf::Epoch,
    server::quota::{AccountKey, NetworkKey},
    timestamp::Timestamp,
};

const VERSION: u8 = 1;
const NEVER: u64 = u64::MAX;

const NEW_ACCOUNTS: u8 = 1;
const UNKNOWN: u8 = 2;
const LISTING: u8 = 4;
const COMPLETE: u8 = 8;
const CLOSED: u8 = 16;
const UNFOUNDED: u8 = 32;

/// Bytes that aren't an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an incident's record")]
pub struct BadRecord;

impl Incident {
    /// The bytes for a store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.extend(self.id.to_be_bytes());
        out.extend(self.salt);
        out.extend(self.epoch.get().to_be_bytes());
        for at in [
            Some(self.terms.aware_at),
            Some(self.terms.since),
            self.terms.until,
            Some(self.opened_at),
            self.contained_at,
            self.rotated_at,
            self.reported_at,
        ] {
            out.extend(at.map_or(NEVER, Timestamp::as_micros).to_be_bytes());
        }
        out.extend(self.reports.to_be_bytes());
        let suspects = &self.terms.suspects;
        let complete = self.listing.is_some_and(|listing| listing.complete);
        let unfounded = self.closing.is_some_and(|closing| closing.unfounded);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(
            flag(suspects.new_accounts, NEW_ACCOUNTS)
                | flag(suspects.unknown, UNKNOWN)
                | flag(self.listing.is_some(), LISTING)
                | flag(complete, COMPLETE)
                | flag(self.closing.is_some(), CLOSED)
                | flag(unfounded, UNFOUNDED),
        );
        if let Some(listing) = &self.listing {
            for at in [listing.exposed.since, listing.exposed.until, listing.at] {
                out.extend(at.as_micros().to_be_bytes());
            }
            out.extend(listing.nameless.to_be_bytes());
        }
        if let Some(closing) = &self.closing {
            out.extend(closing.at.as_micros().to_be_bytes());
        }
        self.words.encode(&mut out);
        let accounts = suspects.accounts.iter().map(AccountKey::as_bytes);
        put_keys(accounts, &mut out);
        let networks = suspects.networks.iter().map(NetworkKey::as_bytes);
        put_keys(networks, &mut out);
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`BadRecord`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let mut rest = bytes;
        let incident = read(&mut rest).ok_or(BadRecord)?;
        // Whatever is decoded is what would be written: no second encoding of anything.
        (rest.is_empty() && incident.encode() == bytes)
            .then_some(incident)
            .ok_or(BadRecord)
    }
}

/// There are at most [`Suspects::MOST`].
fn put_keys<'a>(keys: impl ExactSizeIterator<Item = &'a [u8; 32]>, out: &mut Vec<u8>) {
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    out.extend(count.to_be_bytes());
    out.extend(keys.flatten());
}

fn read(rest: &mut &[u8]) -> Option<Incident> {
    if array(rest)? != [VERSION] {
        return None;
    }
    let id = u64::from_be_bytes(array(rest)?);
    let salt = array(rest)?;
    let epoch = Epoch::new(u64::from_be_bytes(array(rest)?));
    let mut times = [None; 7];
    for at in &mut times {
        *at = time(rest)?;
    }
    let [
        aware_at,
        since,
        until,
        opened_at,
        contained_at,
        rotated_at,
        reported_at,
    ] = times;
    let reports = u32::from_be_bytes(array(rest)?);
    let [flags] = array(rest)?;
    let has = |flag: u8| flags & flag != 0;
    let listing = if has(LISTING) {
        Some(Listing {
            exposed: Period {
                since: time(rest)??,
                until: time(rest)??,
            },
            at: time(rest)??,
            nameless: u64::from_be_bytes(array(rest)?),
            complete: has(COMPLETE),
        })
    } else {
        None
    };
    let closing = if has(CLOSED) {
        Some(Closing {
            at: time(rest)??,
            unfounded: has(UNFOUNDED),
        })
    } else {
        None
    };
    let words = OperatorWords::decode(rest)?;
    let accounts = keys(rest)?.into_iter().map(AccountKey::new).collect();
    let networks = keys(rest)?.into_iter().map(NetworkKey::new).collect();
    Some(Incident {
        id,
        salt,
        terms: Terms {
            aware_at: aware_at?,
            since: since?,
            until,
            suspects: Suspects {
                accounts,
                networks,
                new_accounts: has(NEW_ACCOUNTS),
                unknown: has(UNKNOWN),
            },
        },
        epoch,
        opened_at: opened_at?,
        contained_at,
        rotated_at,
        reports,
        reported_at,
        listing,
        closing,
        words,
    })
}

fn keys(rest: &mut &[u8]) -> Option<Vec<[u8; 32]>> {
    let count = u32::from_be_bytes(array(rest)?) as usize;
    if count > Suspects::MOST {
        return None;
    }
    let (taken, left) = rest.split_at_checked(count * 32)?;
    *rest = left;
    Some(taken.as_chunks::<32>().0.to_vec())
}

fn time(rest: &mut &[u8]) -> Option<Option<Timestamp>> {
    match u64::from_be_bytes(array(rest)?) {
        NEVER => Some(None),
        micros if micros <= Timestamp::MAX.as_micros() => {
            Some(Some(Timestamp::from_micros(micros)))
        }
        _ => None,
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::incident::Tally;

    fn incident() -> Incident {
        let at = Timestamp::from_secs(1_800_000_000);
        let terms = Terms {
            aware_at: at,
            since: at,
            until: None,
            suspects: Suspects {
                accounts: Vec::from([AccountKey::new([1; 32]), AccountKey::new([2; 32])]),
                networks: Vec::from([NetworkKey::new([3; 32])]),
                new_accounts: false,
                unknown: true,
            },
        };
        Incident::open(7, [9; 16], terms, Epoch::new(4), at).unwrap()
    }

    /// In each state that it passes through.
    fn states() -> Vec<Incident> {
        let mut incident = incident();
        let mut states = Vec::from([incident.clone()]);
        let later = |seconds: u64| Timestamp::from_secs(1_800_000_000 + seconds);
        incident.contain(later(1)).unwrap();
        states.push(incident.clone());
        incident.report(later(2)).unwrap();
        let words = OperatorWords {
            contact: Some("dpo@chat.example".into()),
            measures: Vec::from(["Größere Schrift".into()]),
            ..OperatorWords::default()
        };
        incident.say(words).unwrap();
        incident.learn_of_rotation(later(3));
        states.push(incident.clone());
        incident.list(false, later(4)).unwrap().nameless = 5;
        states.push(incident.clone());
        incident.list(false, later(5)).unwrap().complete = true;
        states.push(incident.clone());
        incident.close(false, &Tally::default(), later(6)).unwrap();
        states.push(incident);
        states
    }

    #[test]
    fn a_record_survives_in_every_state() {
        for state in states() {
            assert_eq!(Incident::decode(&state.encode()), Ok(state));
        }
    }

    #[test]
    fn what_is_cut_off_appended_to_or_impossible_is_no_record() {
        for state in states() {
            let bytes = state.encode();
            for length in 0..bytes.len() {
                assert_eq!(Incident::decode(&bytes[..length]), Err(BadRecord));
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(Incident::decode(&longer), Err(BadRecord));
        }
        let bytes = incident().encode();
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            Incident::decode(&bytes)
        };
        assert_eq!(with(0, 2), Err(BadRecord));
        // A count that lies, before memory is taken for it.
        let accounts = bytes.len() - 4 - 32 - 64 - 4;
        assert_eq!(with(accounts, 0xff), Err(BadRecord));
        // Complete without a list; a flag that nobody knows. Nothing said takes three lengths and a count.
        let flags = accounts - 7 - 1;
        assert_eq!(bytes[flags], UNKNOWN);
        assert_eq!(with(flags, UNKNOWN | COMPLETE), Err(BadRecord));
        assert_eq!(with(flags, UNKNOWN | 64), Err(BadRecord));
    }
}
