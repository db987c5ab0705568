//! Every limit of the service in one value.
//!
//! Layer 4: stands on nothing but [`Timestamp`] and must not know how charges are stored. The limits are
//! enforced by [`quota::charge`](super::quota::charge) and nowhere else.
//!
//! The unit is one element in an evaluation request. Defaults: DESIGN, section 8.

use core::{fmt, time::Duration};

use super::{
    Timestamp,
    quota::{DAY, Limit},
};

const MINUTE: u64 = 60_000_000;

/// The most elements that one proof covers (RFC 9497, section 2.2.1: the index has two bytes).
const MOST_PER_PROOF: u32 = 65_535;

/// The longest time that a bucket may take to fill: a hundred years, in days.
const LONGEST_REFILL: u64 = 36_500;

/// Every limit of the service.
///
/// A plain value: [`Quota::new`](super::quota::Quota::new) refuses one that contradicts itself. Printed with
/// `{}` it says in plain words what it buys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "http", derive(serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct Policy {
    /// What an account may discover.
    pub account: AccountLimits,
    /// What a registrar may evaluate to enrol.
    pub registrar: RegistrarLimits,
    /// How often a key may be used.
    pub key: KeyBudget,
    /// What becomes of repeated requests.
    pub replay: ReplayLimits,
    /// How far the clock may be off.
    pub clock: ClockLimits,
}

/// What one account may discover. Starts full.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct AccountLimits {
    /// Elements that the bucket of a new account holds: 1,024.
    pub initial_capacity: u32,
    /// Elements that the bucket holds in the end: 5,120.
    pub capacity: u32,
    /// Days over which the capacity grows linearly: 14.
    pub growth_days: u32,
    /// Elements gained in a day: 96.
    pub refill_per_day: u32,
    /// Most elements in one request: 1,024.
    pub elements_per_request: u32,
    /// Requests that can be made at once: 10.
    pub request_burst: u32,
    /// Requests gained in a minute: 10.
    pub requests_per_minute: u32,
}

/// What one registrar may evaluate to enrol. Starts full.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct RegistrarLimits {
    /// Elements that the bucket holds: 1,000,000.
    pub capacity: u32,
    /// Elements gained in a day: 1,000,000.
    pub refill_per_day: u32,
    /// Most elements in one request: 65,535.
    pub elements_per_request: u32,
    /// Requests that can be made at once: 1,000.
    pub request_burst: u32,
    /// Requests gained in a minute: 6,000.
    pub requests_per_minute: u32,
}

/// How many elements one key may evaluate in its life (RFC 9497, section 7.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct KeyBudget {
    /// Time to rotate: 2^36.
    pub warn: u64,
    /// Nothing is evaluated any more: 2^40.
    pub refuse: u64,
}

/// What becomes of the same bytes from the same account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct ReplayLimits {
    /// Hours in which they are answered again and not charged again: 24, which is the most.
    pub hours: u32,
}

/// How far the clock may be from the latest charge.
///
/// Within these limits a clock that goes back counts as one that stands still, and one that jumps ahead fills
/// each bucket once at most. Beyond them everything is refused and nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct ClockLimits {
    /// Seconds that it may go back: 300.
    pub back_seconds: u32,
    /// Days that it may go ahead, so also the longest that the service may rest: 90.
    pub ahead_days: u32,
}

/// A policy that contradicts itself, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A limit of zero, under which nothing could ever be done.
    #[error("{0} is zero: nothing could ever be evaluated")]
    Zero(&'static str),
    /// A new account would hold more than an old one.
    #[error("account.initial_capacity is more than account.capacity")]
    ShrinkingCapacity,
    /// A request of the permitted size can never be afforded.
    #[error(
        "{0}.elements_per_request is more than {0}.capacity: such a request could never succeed"
    )]
    RequestBeyondCapacity(&'static str),
    /// A batch larger than one proof can cover.
    #[error("{0}.elements_per_request is more than 65,535, the most that one proof covers")]
    RequestBeyondProof(&'static str),
    /// An emptied bucket would take longer than a hundred years to fill.
    #[error("{0}.capacity would take more than a hundred years to refill")]
    EndlessRefill(&'static str),
    /// Growth over more than a hundred years.
    #[error("account.growth_days is more than a hundred years")]
    EndlessGrowth,
    /// The warning would come after the refusal.
    #[error("key.warn is more than key.refuse")]
    WarnAfterRefuse,
    /// More evaluations than the analysis of the suite supports.
    #[error("key.refuse is more than 2^40 (RFC 9497, section 7.2.3)")]
    KeyBudget,
    /// Records of answered requests are kept for 24 hours.
    #[error("replay.hours is more than 24")]
    ReplayWindow,
}

impl Policy {
    /// Checks that the limits can hold together.
    ///
    /// # Errors
    ///
    /// The first contradiction.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let Self {
            account,
            registrar,
            key,
            replay,
            clock,
        } = self;
        for (name, value) in [
            ("account.initial_capacity", account.initial_capacity),
            ("account.refill_per_day", account.refill_per_day),
            ("account.elements_per_request", account.elements_per_request),
            ("account.request_burst", account.request_burst),
            ("account.requests_per_minute", account.requests_per_minute),
            ("registrar.capacity", registrar.capacity),
            ("registrar.refill_per_day", registrar.refill_per_day),
            (
                "registrar.elements_per_request",
                registrar.elements_per_request,
            ),
            ("registrar.request_burst", registrar.request_burst),
            (
                "registrar.requests_per_minute",
                registrar.requests_per_minute,
            ),
            ("clock.ahead_days", clock.ahead_days),
        ] {
            if value == 0 {
                return Err(PolicyError::Zero(name));
            }
        }
        if account.initial_capacity > account.capacity {
            return Err(PolicyError::ShrinkingCapacity);
        }
        if u64::from(account.growth_days) > LONGEST_REFILL {
            return Err(PolicyError::EndlessGrowth);
        }
        for (name, per_request, capacity, refill) in [
            (
                "account",
                account.elements_per_request,
                account.capacity,
                account.refill_per_day,
            ),
            (
                "registrar",
                registrar.elements_per_request,
                registrar.capacity,
                registrar.refill_per_day,
            ),
        ] {
            if per_request > MOST_PER_PROOF {
                return Err(PolicyError::RequestBeyondProof(name));
            }
            if per_request > capacity {
                return Err(PolicyError::RequestBeyondCapacity(name));
            }
            if u64::from(capacity) > u64::from(refill) * LONGEST_REFILL {
                return Err(PolicyError::EndlessRefill(name));
            }
        }
        if key.warn > key.refuse {
            return Err(PolicyError::WarnAfterRefuse);
        }
        if key.refuse == 0 {
            return Err(PolicyError::Zero("key.refuse"));
        }
        if key.refuse > 1 << 40 {
            return Err(PolicyError::KeyBudget);
        }
        if replay.hours > 24 {
            return Err(PolicyError::ReplayWindow);
        }
        Ok(())
    }

    /// The most elements that one account, however old, can have evaluated in any `days` days.
    ///
    /// Exact: an account that keeps asking reaches it. The same bytes again, which tell nothing new, don't count.
    #[must_use]
    pub fn most_elements(&self, days: u32) -> u64 {
        let micros = u64::from(days) * DAY;
        let limit = self.account.elements_limit(Timestamp::from_micros(0));
        u64::from(self.account.capacity) + limit.refilled_in(micros)
    }

    /// The most elements that an account can have evaluated in its first `days` days. Exact.
    #[must_use]
    pub fn most_elements_of_new_account(&self, days: u32) -> u64 {
        let micros = u64::from(days) * DAY;
        let limit = self.account.elements_limit(Timestamp::from_micros(0));
        u64::from(limit.capacity_at(Timestamp::from_micros(micros))) + limit.refilled_in(micros)
    }
}

impl AccountLimits {
    pub(crate) fn elements_limit(&self, created: Timestamp) -> Limit {
        Limit::new(self.capacity, self.refill_per_day, DAY).growing(
            self.initial_capacity,
            created,
            u64::from(self.growth_days) * DAY,
        )
    }

    pub(crate) fn requests_limit(&self) -> Limit {
        Limit::new(self.request_burst, self.requests_per_minute, MINUTE)
    }
}

impl RegistrarLimits {
    pub(crate) fn elements_limit(&self) -> Limit {
        Limit::new(self.capacity, self.refill_per_day, DAY)
    }

    pub(crate) fn requests_limit(&self) -> Limit {
        Limit::new(self.request_burst, self.requests_per_minute, MINUTE)
    }
}

impl ReplayLimits {
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs(u64::from(self.hours) * 3_600)
    }
}

impl ClockLimits {
    pub(crate) fn back(&self) -> Duration {
        Duration::from_secs(u64::from(self.back_seconds))
    }

    pub(crate) fn ahead(&self) -> Duration {
        Duration::from_secs(u64::from(self.ahead_days) * 86_400)
    }
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self {
            initial_capacity: 1_024,
            capacity: 5_120,
            growth_days: 14,
            refill_per_day: 96,
            elements_per_request: 1_024,
            request_burst: 10,
            requests_per_minute: 10,
        }
    }
}

impl Default for RegistrarLimits {
    fn default() -> Self {
        Self {
            capacity: 1_000_000,
            refill_per_day: 1_000_000,
            elements_per_request: MOST_PER_PROOF,
            request_burst: 1_000,
            requests_per_minute: 6_000,
        }
    }
}

impl Default for KeyBudget {
    fn default() -> Self {
        Self {
            warn: 1 << 36,
            refuse: 1 << 40,
        }
    }
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self { hours: 24 }
    }
}

impl Default for ClockLimits {
    fn default() -> Self {
        Self {
            back_seconds: 300,
            ahead_days: 90,
        }
    }
}

/// What the policy buys, in plain words: a few lines.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account,
            registrar,
            key,
            replay,
            clock,
        } = self;
        writeln!(
            f,
            "an account can look up {} elements when it is new, {} once it is {} days old, and {} more each day",
            account.initial_capacity, account.capacity, account.growth_days, account.refill_per_day,
        )?;
        for days in [1, 25, 60] {
            writeln!(
                f,
                "an account learns at most {} elements in {days} days, {} if it was made on the first",
                self.most_elements(days),
                self.most_elements_of_new_account(days),
            )?;
        }
        writeln!(
            f,
            "an account makes {} requests at once, then {} a minute, of at most {} elements",
            account.request_burst, account.requests_per_minute, account.elements_per_request,
        )?;
        writeln!(
            f,
            "a registrar evaluates {} elements at once, then {} a day, in requests of at most {}",
            registrar.capacity, registrar.refill_per_day, registrar.elements_per_request,
        )?;
        writeln!(
            f,
            "the same bytes from the same account are answered again for {} hours and not charged again",
            replay.hours,
        )?;
        writeln!(
            f,
            "a key evaluates at most {} elements, with a warning at {}",
            key.refuse, key.warn,
        )?;
        write!(
            f,
            "everything is refused while the clock is {} seconds behind or {} days ahead of the latest request",
            clock.back_seconds, clock.ahead_days,
        )
    }
}
