//! What entries say:
//!
//! ```text
//! kind                body
//!  1  charges         hour u32, n x { pseudonym[16], `Activity`[26] }, ascending by pseudonym, n <= 4,096
//!  2  totals          hour u32, accounts, requests, refused, elements, carried, young elements, emptied: u64 each
//!  3  signal          `Signal`, under pseudonyms: 16 bytes, then zeros
//!  4  suspended       who, until u64
//!  5  lifted          who
//!  6  published       sequence u64, hash of the manifest[32]
//!  7  rotation        from u64, hard u8, step u8
//!  8  incident        number u64, step u8, accounts u32, networks u32
//!  9  key destroyed   month u32
//! 10  restored        steps that were taken u64, steps that are there u64
//!
//! who: 1 account, 2 network, 3 all young accounts; pseudonym[16], zeros for the last
//! ```
//!
//! An hour that has many accounts has several entries of charges, and one of totals behind them. If more comes for it later it
//! has more of both: they add up.

use alloc::vec::Vec;

use super::{BadEntry, LedgerKey, Month, Pseudonym};
use crate::{
    oprf::Epoch,
    server::{
        Timestamp,
        detect::{Signal, Subject},
        incident::Step,
        quota::{AccountKey, AccountKind, Activity, Hour, NetworkKey},
        rotation::{Phase, Rotation, RotationKind},
    },
};

/// Most accounts in one entry.
pub(super) const MOST_ROWS: usize = 4_096;
const ROW: usize = Pseudonym::LENGTH + Activity::ENCODED;
/// Longest body in bytes.
pub(super) const LONGEST: usize = 4 + MOST_ROWS * ROW;

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// What accounts did in an hour.
    Charges {
        /// Which one.
        hour: Hour,
        /// Each account once, ascending by pseudonym: the order says nothing of who it is.
        rows: Vec<(Pseudonym, Activity)>,
    },
    /// What all of them did, who are in the entries of the hour before this one.
    Totals(Totals),
    /// Detection had something to say. Accounts and networks in it are pseudonyms of the month, padded with zeros.
    Signal(Signal),
    /// An operator suspended somebody.
    Suspended {
        /// Whom.
        who: Who,
        /// Until when; [`Timestamp::MAX`] for until it is lifted.
        until: Timestamp,
    },
    /// An operator let somebody go.
    Lifted {
        /// Whom.
        who: Who,
    },
    /// A manifest was published.
    Published {
        /// Its place in the chain.
        sequence: u64,
        /// [`Manifest::hash`](crate::snapshot::Manifest::hash); zeros for bytes that aren't a manifest.
        hash: [u8; 32],
    },
    /// A rotation took a step.
    Rotation {
        /// The epoch that ends.
        from: Epoch,
        /// What for.
        kind: RotationKind,
        /// Which step.
        step: RotationStep,
    },
    /// An incident took a step.
    Incident {
        /// Its number.
        incident: u64,
        /// Which step.
        step: Step,
        /// Accounts that were named as suspects, and containing suspends.
        accounts: u32,
        /// Networks that were.
        networks: u32,
    },
    /// Nobody can say any more whose counts those of a month are.
    KeyDestroyed {
        /// Which month.
        month: Month,
    },
    /// The store was found to be an older copy of itself: what came after it is missing.
    Restored {
        /// Steps that had been taken.
        taken: u64,
        /// Steps that are there.
        kept: u64,
    },
}

/// Sums over the accounts of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Which hour.
    pub hour: Hour,
    /// Accounts that asked.
    pub accounts: u64,
    /// Requests, answered or refused.
    pub requests: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Elements charged.
    pub elements: u64,
    /// Elements carried over.
    pub carried: u64,
    /// Elements charged to young accounts.
    pub young_elements: u64,
    /// Accounts that emptied their bucket.
    pub emptied: u64,
}

/// Somebody in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Who {
    /// An account, by its name in the month of the entry.
    Account(Pseudonym),
    /// A network, likewise.
    Network(Pseudonym),
    /// All young accounts.
    YoungAccounts,
}

/// A step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RotationStep {
    /// It was begun, or made a hard one.
    Begun,
    /// The new epoch is served, and results of the old one are carried over.
    Window,
    /// Nothing of the old epoch is served any more.
    Ending,
    /// Keys and rows of the old epoch are destroyed.
    Finished,
}

impl Totals {
    /// Length of the encoding in bytes.
    pub const ENCODED: usize = 4 + 7 * 8;

    /// Of an hour in which nobody asked.
    #[must_use]
    pub const fn none(hour: Hour) -> Self {
        Self {
            hour,
            accounts: 0,
            requests: 0,
            refused: 0,
            elements: 0,
            carried: 0,
            young_elements: 0,
            emptied: 0,
        }
    }

    /// Adds what one account did.
    pub fn add(&mut self, activity: &Activity) {
        let young = activity.kind == AccountKind::Young;
        for (sum, more) in [
            (&mut self.accounts, 1),
            (&mut self.requests, activity.requests.into()),
            (&mut self.refused, activity.refused.into()),
            (&mut self.elements, activity.elements),
            (&mut self.carried, activity.carried),
            (
                &mut self.young_elements,
                if young { activity.elements } else { 0 },
            ),
            (&mut self.emptied, activity.emptied.into()),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// `hour u32` and seven numbers, u64 each.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::ENCODED);
        out.extend(self.hour.get().to_be_bytes());
        for sum in [
            self.accounts,
            self.requests,
            self.refused,
            self.elements,
            self.carried,
            self.young_elements,
            self.emptied,
        ] {
            out.extend(sum.to_be_bytes());
        }
        out
    }

    /// `None` for bytes that [`Self::encode`] doesn't write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let hour = hour(&mut rest)?;
        let mut sums = [0; 7];
        for sum in &mut sums {
            *sum = number(&mut rest)?;
        }
        let [
            accounts,
            requests,
            refused,
            elements,
            carried,
            young_elements,
            emptied,
        ] = sums;
        rest.is_empty().then_some(Self {
            hour,
            accounts,
            requests,
            refused,
            elements,
            carried,
            young_elements,
            emptied,
        })
    }
}

impl RotationStep {
    const ALL: [(Self, u8); 4] = [
        (Self::Begun, 1),
        (Self::Window, 2),
        (Self::Ending, 3),
        (Self::Finished, 4),
    ];
}

impl Body {
    /// What detection said, under the pseudonyms of a month.
    #[must_use]
    pub fn signal(mut signal: Signal, key: &LedgerKey) -> Self {
        let padded = |pseudonym: Pseudonym| {
            let mut bytes = [0; 32];
            let (head, _) = bytes.split_at_mut(Pseudonym::LENGTH);
            head.copy_from_slice(pseudonym.as_bytes());
            bytes
        };
        match &mut signal.subject {
            Subject::SaturatedAccount { account, .. }
            | Subject::Canary {
                account: Some(account),
            } => *account = AccountKey::new(padded(key.account(account))),
            Subject::YoungCluster { network, .. } => {
                *network = NetworkKey::new(padded(key.network(network)));
            }
            Subject::UnusualDay { .. } | Subject::Canary { account: None } => {}
        }
        Self::Signal(signal)
    }

    /// What accounts did in an hour, under the pseudonyms of its month.
    #[must_use]
    pub fn charges(hour: Hour, rows: &[(AccountKey, Activity)], key: &LedgerKey) -> Self {
        let rows = rows.iter();
        let mut rows: Vec<_> = rows
            .map(|(account, activity)| (key.account(account), *activity))
            .collect();
        rows.sort_unstable_by_key(|(pseudonym, _)| *pseudonym);
        Self::Charges { hour, rows }
    }

    /// The step that a rotation takes, if it is one; `None` in place of a rotation for one that doesn't exist yet, or not any more.
    #[must_use]
    pub fn rotation(before: Option<&Rotation>, after: Option<&Rotation>) -> Option<Self> {
        let of = |rotation: &Rotation, step| Self::Rotation {
            from: rotation.from,
            kind: rotation.kind,
            step,
        };
        let reached = |rotation: &Rotation| {
            let step = match rotation.phase {
                Phase::Rekeying { .. } => RotationStep::Begun,
                Phase::Window(_) => RotationStep::Window,
                Phase::Ending => RotationStep::Ending,
            };
            of(rotation, step)
        };
        match (before, after) {
            (Some(before), None) => Some(of(before, RotationStep::Finished)),
            (before, after) => {
                let step = after.map(reached);
                step.filter(|step| before.map(reached).as_ref() != Some(step))
            }
        }
    }

    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Charges { .. } => 1,
            Self::Totals(_) => 2,
            Self::Signal(_) => 3,
            Self::Suspended { .. } => 4,
            Self::Lifted { .. } => 5,
            Self::Published { .. } => 6,
            Self::Rotation { .. } => 7,
            Self::Incident { .. } => 8,
            Self::KeyDestroyed { .. } => 9,
            Self::Restored { .. } => 10,
        }
    }

    /// Its stable name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Charges { .. } => "charges",
            Self::Totals(_) => "totals",
            Self::Signal(_) => "signal",
            Self::Suspended { .. } => "suspended",
            Self::Lifted { .. } => "lifted",
            Self::Published { .. } => "published",
            Self::Rotation { .. } => "rotation",
            Self::Incident { .. } => "incident",
            Self::KeyDestroyed { .. } => "key-destroyed",
            Self::Restored { .. } => "restored",
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Charges { hour, rows } => {
                out.reserve_exact(4 + rows.len() * ROW);
                out.extend(hour.get().to_be_bytes());
                for (pseudonym, activity) in rows {
                    out.extend(pseudonym.as_bytes());
                    out.extend(activity.encode());
                }
            }
            Self::Totals(totals) => out = totals.encode(),
            Self::Signal(signal) => out = signal.encode(),
            Self::Suspended { who, until } => {
                put_who(who, &mut out);
                out.extend(until.as_micros().to_be_bytes());
            }
            Self::Lifted { who } => put_who(who, &mut out),
            Self::Published { sequence, hash } => {
                out.extend(sequence.to_be_bytes());
                out.extend(hash);
            }
            Self::Rotation { from, kind, step } => {
                out.extend(from.get().to_be_bytes());
                out.push(u8::from(*kind == RotationKind::Hard));
                let number = RotationStep::ALL.iter().find(|(known, _)| known == step);
                out.push(number.map_or(0, |(_, number)| *number));
            }
            Self::Incident {
                incident,
                step,
                accounts,
                networks,
            } => {
                out.extend(incident.to_be_bytes());
                out.push(step.number());
                out.extend(accounts.to_be_bytes());
                out.extend(networks.to_be_bytes());
            }
            Self::KeyDestroyed { month } => out.extend(month.get().to_be_bytes()),
            Self::Restored { taken, kept } => {
                out.extend(taken.to_be_bytes());
                out.extend(kept.to_be_bytes());
            }
        }
        out
    }

    pub(super) fn decode(kind: u8, bytes: &[u8]) -> Result<Self, BadEntry> {
        if !(1..=10).contains(&kind) {
            return Err(BadEntry::Unknown);
        }
        let body = read(kind, bytes).ok_or(BadEntry::Body)?;
        // Whatever is decoded is what would be written: no second encoding of anything.
        if body.encode() == bytes {
            Ok(body)
        } else {
            Err(BadEntry::Body)
        }
    }
}

fn put_who(who: &Who, out: &mut Vec<u8>) {
    let (kind, pseudonym) = match who {
        Who::Account(pseudonym) => (1, *pseudonym.as_bytes()),
        Who::Network(pseudonym) => (2, *pseudonym.as_bytes()),
        Who::YoungAccounts => (3, [0; 16]),
    };
    out.push(kind);
    out.extend(pseudonym);
}

fn read(kind: u8, bytes: &[u8]) -> Option<Body> {
    let rest = &mut &*bytes;
    Some(match kind {
        1 => {
            let hour = hour(rest)?;
            let (rows, []) = rest.as_chunks::<ROW>() else {
                return None;
            };
            if rows.len() > MOST_ROWS {
                return None;
            }
            let rows: Option<_> = rows.iter().map(charges_row).collect();
            Body::Charges { hour, rows: rows? }
        }
        2 => Body::Totals(Totals::decode(bytes)?),
        3 => Body::Signal(Signal::decode(bytes)?),
        4 => Body::Suspended {
            who: who(rest)?,
            until: Timestamp::from_micros(number(rest)?),
        },
        5 => Body::Lifted { who: who(rest)? },
        6 => Body::Published {
            sequence: number(rest)?,
            hash: array(rest)?,
        },
        7 => {
            let from = Epoch::new(number(rest)?);
            let [hard, number] = array(rest)?;
            let mut steps = RotationStep::ALL.into_iter();
            let (step, _) = steps.find(|(_, known)| *known == number)?;
            let kind = match hard {
                0 => RotationKind::Soft,
                _ => RotationKind::Hard,
            };
            Body::Rotation { from, kind, step }
        }
        8 => Body::Incident {
            incident: number(rest)?,
            step: {
                let [number] = array(rest)?;
                Step::from_number(number)?
            },
            accounts: u32::from_be_bytes(array(rest)?),
            networks: u32::from_be_bytes(array(rest)?),
        },
        9 => Body::KeyDestroyed {
            month: Month::new(u32::from_be_bytes(array(rest)?)),
        },
        _ => Body::Restored {
            taken: number(rest)?,
            kept: number(rest)?,
        },
    })
}

fn charges_row(bytes: &[u8; ROW]) -> Option<(Pseudonym, Activity)> {
    let (pseudonym, activity) = bytes.split_first_chunk()?;
    let activity = Activity::decode(activity.first_chunk()?)?;
    Some((Pseudonym::new(*pseudonym), activity))
}

fn who(rest: &mut &[u8]) -> Option<Who> {
    let [kind] = array(rest)?;
    let pseudonym = Pseudonym::new(array(rest)?);
    match kind {
        1 => Some(Who::Account(pseudonym)),
        2 => Some(Who::Network(pseudonym)),
        3 => Some(Who::YoungAccounts),
        _ => None,
    }
}

fn hour(rest: &mut &[u8]) -> Option<Hour> {
    array(rest).map(|number| Hour::new(u32::from_be_bytes(number)))
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    array(rest).map(u64::from_be_bytes)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}
