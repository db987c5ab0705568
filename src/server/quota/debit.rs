//! From a request for an evaluation to the limits that apply to it.

use core::{num::NonZeroU32, time::Duration};

use super::{AccountKey, Charge, Limit, MeterRule, NetworkKey, Origin, Scope};
use crate::{
    oprf::Epoch,
    server::{
        Timestamp,
        policy::{NetworkLimits, Policy},
    },
};

/// How far ahead the clock may be of whoever mints credentials. An account that is made later than that is one of unknown age.
const FAST_CLOCKS: Duration = Duration::from_secs(300);

/// Names a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Bucket {
    /// Elements that an account may discover.
    AccountElements(AccountKey),
    /// Requests that an account may make.
    AccountRequests(AccountKey),
    /// Elements that a registrar may evaluate.
    RegistrarElements(AccountKey),
    /// Requests that a registrar may make.
    RegistrarRequests(AccountKey),
    /// Elements that the young accounts of a network may discover.
    Network(NetworkKey),
}

impl Bucket {
    /// The bucket's key in a store: `subject[32] || kind[1]`, so that an account's buckets lie together.
    #[must_use]
    pub fn encode(&self) -> [u8; 33] {
        let (kind, subject) = match self {
            Self::AccountElements(account) => (1, account.as_bytes()),
            Self::AccountRequests(account) => (2, account.as_bytes()),
            Self::RegistrarElements(account) => (3, account.as_bytes()),
            Self::RegistrarRequests(account) => (4, account.as_bytes()),
            Self::Network(network) => (5, network.as_bytes()),
        };
        subject_key(subject, kind)
    }
}

/// Who can be suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Suspect {
    /// An account or a registrar.
    Account(AccountKey),
    /// A network: its young and its old accounts, but no registrar.
    Network(NetworkKey),
    /// All young accounts.
    YoungAccounts,
}

impl Suspect {
    /// The suspect's key in a store: `subject[32] || kind[1]`.
    #[must_use]
    pub fn encode(&self) -> [u8; 33] {
        match self {
            Self::Account(account) => subject_key(account.as_bytes(), 1),
            Self::Network(network) => subject_key(network.as_bytes(), 2),
            Self::YoungAccounts => subject_key(&[0; 32], 3),
        }
    }
}

fn subject_key(subject: &[u8; 32], kind: u8) -> [u8; 33] {
    let mut key = [kind; 33];
    let (head, _) = key.split_at_mut(32);
    head.copy_from_slice(subject);
    key
}

/// A bucket and the rule that it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Draw {
    /// Which bucket.
    pub bucket: Bucket,
    /// What it holds and how fast it fills.
    pub limit: Limit,
}

/// What makes two requests the same request.
///
/// The epoch is part of it: under another key the same bytes tell something new, and cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplayKey([u8; ReplayKey::LENGTH]);

impl ReplayKey {
    /// Length in bytes.
    pub const LENGTH: usize = 77;

    /// `account[32] || digest[32] || epoch_be[8] || elements_be[4] || scope[1]`.
    fn new(charge: &Charge, purpose: Purpose) -> Self {
        let scope = match (purpose, charge.scope) {
            (Purpose::Evaluation, Scope::Discover) => 1,
            (Purpose::Evaluation, Scope::Enrol) => 2,
            (Purpose::CarryOver, _) => 3,
        };
        let mut key = [scope; Self::LENGTH];
        let parts: [&[u8]; 4] = [
            charge.account.as_bytes(),
            &charge.request_digest,
            &charge.epoch.get().to_be_bytes(),
            &charge.elements.get().to_be_bytes(),
        ];
        for (byte, &part) in key.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = part;
        }
        Self(key)
    }

    /// The key in a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// An evaluation.
    Evaluation,
    /// A carry-over to the epoch of the charge.
    CarryOver,
}

/// A charge with the limits that apply to it: all that a store has to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Debit {
    /// What for.
    pub purpose: Purpose,
    /// The bucket that pays for the elements.
    pub elements: Draw,
    /// The bucket that pays for the request.
    pub requests: Draw,
    /// What is shared with others; `None` for a registrar, who has only limits of its own.
    pub shared: Option<Shares>,
    /// Who pays.
    pub account: AccountKey,
    /// When the account was made, if the credential says so.
    pub made: Option<Timestamp>,
    /// How many elements.
    pub count: NonZeroU32,
    /// Most elements in one request.
    pub elements_per_request: u32,
    /// What the elements' bucket gains in a day.
    pub refill_per_day: u32,
    /// What makes a repeated request.
    pub replay_key: ReplayKey,
    /// How long a repeated request isn't charged; at most 24 hours.
    pub replay_window: Duration,
    /// Whose key evaluates.
    pub epoch: Epoch,
    /// How many elements that key evaluates at most.
    pub key_budget: u64,
    /// How far the clock may go back.
    pub clock_back: Duration,
    /// How far the clock may go ahead.
    pub clock_ahead: Duration,
    /// The present, by the edge's clock.
    pub at: Timestamp,
}

/// The limits that an account shares with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shares {
    /// Where the request comes from.
    pub origin: Origin,
    /// The networks' buckets, which pay while the account is young.
    pub networks: [Option<Draw>; 3],
    /// When the account ceases to be young.
    pub young_until: Timestamp,
    /// What all young accounts may discover together.
    pub young: MeterRule,
    /// What all accounts may discover together.
    pub service: MeterRule,
}

impl Policy {
    /// Looks up the limits that apply to a charge.
    #[must_use]
    pub fn debit(&self, charge: Charge) -> Debit {
        let account = charge.account;
        let (elements, requests, elements_per_request, refill_per_day) = match charge.scope {
            Scope::Discover => (
                Draw {
                    bucket: Bucket::AccountElements(account),
                    limit: self.account.elements_limit(charge.account_created),
                },
                Draw {
                    bucket: Bucket::AccountRequests(account),
                    limit: self.account.requests_limit(),
                },
                self.account.elements_per_request,
                self.account.refill_per_day,
            ),
            Scope::Enrol => (
                Draw {
                    bucket: Bucket::RegistrarElements(account),
                    limit: self.registrar.elements_limit(),
                },
                Draw {
                    bucket: Bucket::RegistrarRequests(account),
                    limit: self.registrar.requests_limit(),
                },
                self.registrar.elements_per_request,
                self.registrar.refill_per_day,
            ),
        };
        let shared = match charge.scope {
            Scope::Discover => Some(self.shares(&charge)),
            Scope::Enrol => None,
        };
        Debit {
            purpose: Purpose::Evaluation,
            elements,
            requests,
            shared,
            account,
            made: (charge.scope == Scope::Discover
                && charge.account_created <= charge.at.saturating_add(FAST_CLOCKS))
            .then_some(charge.account_created),
            count: charge.elements,
            elements_per_request,
            refill_per_day,
            replay_key: ReplayKey::new(&charge, Purpose::Evaluation),
            replay_window: self.replay.window(),
            epoch: charge.epoch,
            key_budget: self.key.refuse,
            clock_back: self.clock.back(),
            clock_ahead: self.clock.ahead(),
            at: charge.at,
        }
    }

    /// Looks up the limits that apply to a carry-over.
    #[must_use]
    pub fn carry_over(&self, charge: Charge) -> Debit {
        Debit {
            purpose: Purpose::CarryOver,
            replay_key: ReplayKey::new(&charge, Purpose::CarryOver),
            ..self.debit(charge)
        }
    }

    fn shares(&self, charge: &Charge) -> Shares {
        let origin = charge.origin;
        let network = &self.network;
        let per_day = match origin {
            Origin::V4 { .. } | Origin::Unknown => [network.ipv4_24_per_day, 0, 0],
            Origin::V6 { .. } => [
                network.ipv6_64_per_day,
                network.ipv6_48_per_day,
                network.ipv6_32_per_day,
            ],
        };
        let mut networks = [None; 3];
        for ((place, key), per_day) in networks.iter_mut().zip(origin.networks()).zip(per_day) {
            *place = Some(Draw {
                bucket: Bucket::Network(key),
                limit: NetworkLimits::limit(per_day),
            });
        }
        Shares {
            origin,
            networks,
            young_until: charge.account_created.saturating_add(self.young.lasts()),
            young: self.young.rule(),
            service: self.service.rule(),
        }
    }
}
