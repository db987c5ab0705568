//! The one charging function, and the rows that it reads and writes.

use core::{fmt, num::NonZeroU32, time::Duration};

use super::{AccountKey, Charge, Limit, Scope};
use crate::{
    oprf::Epoch,
    server::{Timestamp, policy::Policy},
};

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
}

impl Bucket {
    /// The bucket's key in a store: `subject[32] || kind[1]`, so that an account's buckets lie together.
    #[must_use]
    pub fn encode(&self) -> [u8; 33] {
        let (kind, subject) = match self {
            Self::AccountElements(account) => (1, account),
            Self::AccountRequests(account) => (2, account),
            Self::RegistrarElements(account) => (3, account),
            Self::RegistrarRequests(account) => (4, account),
        };
        let mut key = [kind; 33];
        let (head, _) = key.split_at_mut(32);
        head.copy_from_slice(subject.as_bytes());
        key
    }
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
    fn new(charge: &Charge) -> Self {
        let scope = match charge.scope {
            Scope::Discover => 1,
            Scope::Enrol => 2,
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

/// A charge with the limits that apply to it: all that a store has to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Debit {
    /// The bucket that pays for the elements.
    pub elements: Draw,
    /// The bucket that pays for the request.
    pub requests: Draw,
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
        Debit {
            elements,
            requests,
            count: charge.elements,
            elements_per_request,
            refill_per_day,
            replay_key: ReplayKey::new(&charge),
            replay_window: self.replay.window(),
            epoch: charge.epoch,
            key_budget: self.key.refuse,
            clock_back: self.clock.back(),
            clock_ahead: self.clock.ahead(),
            at: charge.at,
        }
    }
}

/// The rows that [`charge()`] reads and writes, inside one atomic step of a store.
pub trait ChargeRows {
    /// Why a row can't be read or written.
    type Error;

    /// The latest time at which anything was charged.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn latest(&mut self) -> Result<Option<Timestamp>, Self::Error>;

    /// The level of a bucket; `None` if it was never drawn from.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn level(&mut self, bucket: &Bucket) -> Result<Option<Timestamp>, Self::Error>;

    /// When a request was charged, if that was within 24 hours before `now`.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn charged(
        &mut self,
        request: &ReplayKey,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Self::Error>;

    /// How many elements the key of an epoch has evaluated.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn evaluations(&mut self, epoch: Epoch) -> Result<u64, Self::Error>;

    /// Replaces [`Self::latest`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_latest(&mut self, now: Timestamp) -> Result<(), Self::Error>;

    /// Replaces [`Self::level`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_level(&mut self, bucket: &Bucket, level: Timestamp) -> Result<(), Self::Error>;

    /// Remembers for 24 hours that a request was charged.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_charged(&mut self, request: &ReplayKey, now: Timestamp) -> Result<(), Self::Error>;

    /// Replaces [`Self::evaluations`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_evaluations(&mut self, epoch: Epoch, evaluations: u64) -> Result<(), Self::Error>;
}

/// What an account has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaStatus {
    /// Elements that it could have evaluated now.
    pub remaining: u32,
    /// Elements that its full bucket holds now.
    pub capacity: u32,
    /// Elements that it gains in a day.
    pub refill_per_day: u32,
}

/// What a debit left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// What the account has left.
    pub status: QuotaStatus,
    /// The same request was charged before, and its elements not again.
    pub replayed: bool,
    /// How many elements the key has evaluated. Repeated requests, which tell nothing new, aren't counted.
    pub key_evaluations: u64,
}

/// How a charge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChargeOutcome {
    /// The debit was taken, now or before.
    Admitted(Receipt),
    /// Nothing was taken, but perhaps a request.
    Refused(Refusal),
}

/// Why a request isn't evaluated, and when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// The same request can be admitted this long after; `None` if time alone won't help.
    pub retry_after: Option<Duration>,
    /// What the account has left.
    pub status: QuotaStatus,
}

/// Why a request isn't evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// Too many requests. Nothing was taken.
    RequestRate,
    /// The bucket doesn't hold enough elements now. A request was taken.
    Elements,
    /// More elements than one request may have. A request was taken.
    RequestTooLarge {
        /// Most elements in one request.
        limit: u32,
    },
    /// The key has evaluated all that it may: the operator has to rotate it. A request was taken.
    KeyBudget,
    /// The clock is behind the latest charge. Nothing was taken.
    ClockWentBack,
    /// The clock is so far ahead of the latest charge that it can't be believed. Nothing was taken.
    ClockJumpedAhead,
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestRate => f.write_str("too many requests"),
            Self::Elements => f.write_str("fewer elements are left than were asked for"),
            Self::RequestTooLarge { limit } => {
                write!(f, "a request has at most {limit} elements")
            }
            Self::KeyBudget => f.write_str("the key has evaluated all that it may"),
            Self::ClockWentBack => f.write_str("the clock is behind the latest charge"),
            Self::ClockJumpedAhead => f.write_str("the clock is far ahead of the latest charge"),
        }
    }
}

/// Decides on a charge and takes the debit: the single charging function of the service.
///
/// To be run by a store inside one atomic step. In this order:
///
/// 1. *Clock.* A little behind the latest charge counts as that time; so a clock that goes back gives
///    nothing. Further off, either way, everything is refused and nothing changes. A jump ahead within the
///    limit fills each bucket, once.
/// 2. *Request rate.* Refused requests are drawn too, from here on: guessing at the quota isn't free.
/// 3. *Repeated request.* Within 24 hours: admitted, and no elements are drawn.
/// 4. *Size*, *key budget*, *elements.* All draws are decided before the first one is written.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn charge<R: ChargeRows>(rows: &mut R, debit: &Debit) -> Result<ChargeOutcome, R::Error> {
    let latest = rows.latest()?.unwrap_or(debit.at);
    let now = latest.max(debit.at);
    let level = rows.level(&debit.elements.bucket)?;
    let refuse = |reason, retry_after| {
        Ok(ChargeOutcome::Refused(Refusal {
            reason,
            retry_after,
            status: debit.status(level, now),
        }))
    };

    if debit.at.saturating_add(debit.clock_back) < latest {
        let wait = latest.saturating_since(debit.at.saturating_add(debit.clock_back));
        return refuse(RefusalReason::ClockWentBack, Some(wait));
    }
    if debit.at > latest.saturating_add(debit.clock_ahead) {
        return refuse(RefusalReason::ClockJumpedAhead, None);
    }

    let requests = &debit.requests;
    let requests_level = rows.level(&requests.bucket)?;
    let Some(requests_level) = requests.limit.draw(requests_level, 1, now) else {
        let wait = requests.limit.wait(requests_level, 1, now);
        return refuse(RefusalReason::RequestRate, wait);
    };
    rows.set_level(&requests.bucket, requests_level)?;
    rows.set_latest(now)?;

    let evaluations = rows.evaluations(debit.epoch)?;
    let replayed = rows
        .charged(&debit.replay_key, now)?
        .is_some_and(|then| now.saturating_since(then) < debit.replay_window);
    if replayed {
        return Ok(ChargeOutcome::Admitted(Receipt {
            status: debit.status(level, now),
            replayed,
            key_evaluations: evaluations,
        }));
    }

    let count = debit.count.get();
    if count > debit.elements_per_request {
        let limit = debit.elements_per_request;
        return refuse(RefusalReason::RequestTooLarge { limit }, None);
    }
    let evaluations = evaluations.saturating_add(u64::from(count));
    if evaluations > debit.key_budget {
        return refuse(RefusalReason::KeyBudget, None);
    }
    let elements = &debit.elements;
    let Some(drawn) = elements.limit.draw(level, count, now) else {
        let wait = elements.limit.wait(level, count, now);
        let request_wait = requests.limit.wait(Some(requests_level), 1, now);
        return refuse(
            RefusalReason::Elements,
            wait.zip(request_wait).map(|(a, b)| a.max(b)),
        );
    };
    rows.set_level(&elements.bucket, drawn)?;
    rows.set_evaluations(debit.epoch, evaluations)?;
    rows.set_charged(&debit.replay_key, now)?;
    Ok(ChargeOutcome::Admitted(Receipt {
        status: debit.status(Some(drawn), now),
        replayed,
        key_evaluations: evaluations,
    }))
}

impl Debit {
    fn status(&self, level: Option<Timestamp>, now: Timestamp) -> QuotaStatus {
        QuotaStatus {
            remaining: self.elements.limit.remaining(level, now),
            capacity: self.elements.limit.capacity_at(now),
            refill_per_day: self.refill_per_day,
        }
    }
}
