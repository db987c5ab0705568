//! Every limit of the service in one value.
//!
//! Layer 4: stands on nothing but [`Timestamp`](crate::timestamp::Timestamp) and must not know how charges are
//! stored. The limits are enforced by [`quota::charge`](super::quota::charge) and nowhere else.
//!
//! The unit is one element in an evaluation request. Defaults: DESIGN, section 8.

mod bound;
mod limits;
mod words;

use super::detect::{DetectRules, DetectRulesError};
pub use bound::{Attack, Usual};
pub use limits::{
    AccountLimits, ClockLimits, KeyBudget, NetworkLimits, RegistrarLimits, ReplayLimits,
    ServiceLimits, YoungLimits,
};

/// The most elements that one proof covers (RFC 9497, section 2.2.1: the index has two bytes).
const MOST_PER_PROOF: u32 = 65_535;

/// The most that a day's limit may be of what is usual, in percent.
const MOST_PERCENT: u64 = 1_000;

/// The most elements that a floor may promise for a day: the whole budget of a key.
const MOST_A_DAY: u64 = 1 << 40;

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
    /// What a network may discover, through accounts that are young.
    pub network: NetworkLimits,
    /// What all young accounts may discover together.
    pub young: YoungLimits,
    /// What all accounts may discover together.
    pub service: ServiceLimits,
    /// What a registrar may evaluate to enrol.
    pub registrar: RegistrarLimits,
    /// How often a key may be used.
    pub key: KeyBudget,
    /// What becomes of repeated requests.
    pub replay: ReplayLimits,
    /// How far the clock may be off.
    pub clock: ClockLimits,
    /// When something is a signal. Not a limit: nobody is refused by it.
    pub detect: DetectRules,
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
    /// A request that an account may make would be refused for ever by a limit above the account's.
    #[error("{0} is less than account.elements_per_request: such a request could never succeed")]
    RequestBeyondShare(&'static str),
    /// A network would hold less than one inside of it, or everybody less than the young accounts among them.
    #[error("{0} is less than {1}, which is a part of it")]
    PartBeyondWhole(&'static str, &'static str),
    /// Accounts would be young for more than a hundred years.
    #[error("young.days is more than a hundred years")]
    EndlessYouth,
    /// A day like the one before would be refused.
    #[error("{0}.percent_of_baseline is less than 100: a usual day would be refused")]
    BelowBaseline(&'static str),
    /// A percentage so large that it is no limit.
    #[error("{0} is more than {1}: it would limit nothing")]
    NoLimit(&'static str, u64),
    /// The page would come after the refusal.
    #[error("service.page_percent is more than 100")]
    PageAfterRefuse,
    /// The warning would come after the refusal.
    #[error("key.warn is more than key.refuse")]
    WarnAfterRefuse,
    /// More evaluations than the analysis of the suite supports.
    #[error("key.refuse is more than 2^40 (RFC 9497, section 7.2.3)")]
    KeyBudget,
    /// Records of answered requests are kept for 24 hours.
    #[error("replay.hours is more than 24")]
    ReplayWindow,
    /// Everything or nothing would be a signal.
    #[error("detect.{0}")]
    Detect(#[from] DetectRulesError),
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
            service,
            registrar,
            key,
            replay,
            clock,
            detect,
            ..
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
            ("service.page_percent", service.page_percent),
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
        self.validate_shares()?;
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
        detect.validate()?;
        Ok(())
    }

    /// Checks the limits of what several accounts share.
    fn validate_shares(&self) -> Result<(), PolicyError> {
        let Self {
            account,
            network,
            young,
            service,
            ..
        } = self;
        if u64::from(young.days) > LONGEST_REFILL {
            return Err(PolicyError::EndlessYouth);
        }
        for (name, whole) in [
            (
                "network.ipv6_64_per_day",
                u64::from(network.ipv6_64_per_day),
            ),
            (
                "network.ipv4_24_per_day",
                u64::from(network.ipv4_24_per_day),
            ),
            ("young.floor_per_day", young.floor_per_day),
            ("service.floor_per_day", service.floor_per_day),
        ] {
            if whole < u64::from(account.elements_per_request) {
                return Err(PolicyError::RequestBeyondShare(name));
            }
        }
        for (whole, part, holds) in [
            (
                "network.ipv6_48_per_day",
                "network.ipv6_64_per_day",
                network.ipv6_48_per_day >= network.ipv6_64_per_day,
            ),
            (
                "network.ipv6_32_per_day",
                "network.ipv6_48_per_day",
                network.ipv6_32_per_day >= network.ipv6_48_per_day,
            ),
            (
                "service.floor_per_day",
                "young.floor_per_day",
                service.floor_per_day >= young.floor_per_day,
            ),
        ] {
            if !holds {
                return Err(PolicyError::PartBeyondWhole(whole, part));
            }
        }
        for (name, percent) in [
            ("young", young.percent_of_baseline),
            ("service", service.percent_of_baseline),
        ] {
            if percent < 100 {
                return Err(PolicyError::BelowBaseline(name));
            }
        }
        for (name, value, most) in [
            (
                "young.percent_of_baseline",
                u64::from(young.percent_of_baseline),
                MOST_PERCENT,
            ),
            (
                "service.percent_of_baseline",
                u64::from(service.percent_of_baseline),
                MOST_PERCENT,
            ),
            (
                "young.growth_percent_per_week",
                u64::from(young.growth_percent_per_week),
                100,
            ),
            (
                "service.growth_percent_per_week",
                u64::from(service.growth_percent_per_week),
                100,
            ),
            ("service.floor_per_day", service.floor_per_day, MOST_A_DAY),
        ] {
            if value > most {
                return Err(PolicyError::NoLimit(name, most));
            }
        }
        if service.page_percent > 100 {
            return Err(PolicyError::PageAfterRefuse);
        }
        Ok(())
    }
}
