//! The limits themselves, with their defaults, and the buckets that they describe.

use core::time::Duration;

use crate::server::{
    Timestamp,
    quota::{DAY, Limit, MeterRule},
};

const MINUTE: u64 = 60_000_000;

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

/// What the accounts behind one network may discover together while they are young.
///
/// Networks are keyed pseudonyms of a prefix ([`Origin`](crate::server::quota::Origin)). Old accounts draw nothing here, so that
/// nobody suffers from a neighbour for long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct NetworkLimits {
    /// Elements a day for an IPv6 /64, about one home or one phone: 3,000.
    pub ipv6_64_per_day: u32,
    /// Elements a day for an IPv6 /48, about one site: 30,000.
    pub ipv6_48_per_day: u32,
    /// Elements a day for an IPv6 /32, about one provider: 300,000.
    pub ipv6_32_per_day: u32,
    /// Elements a day for an IPv4 /24: 30,000. Hundreds of phones can be behind one.
    pub ipv4_24_per_day: u32,
}

/// What all young accounts may discover together: what no number of fake accounts gets around.
///
/// The baseline of a day is the 99th percentile of the 28 days before, by nearest rank: their largest. It can't be more
/// than `growth_percent_per_week` above the baseline of the week before or above what the floor allows, whichever is more. So who
/// wants it to rise faster raises the floor, and only the operator can.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct YoungLimits {
    /// Days for which an account is young: 14.
    pub days: u32,
    /// Elements a day that young accounts can always discover, whatever the baseline: 1,000,000.
    pub floor_per_day: u64,
    /// Elements a day, in percent of the baseline: 150.
    pub percent_of_baseline: u32,
    /// By how much the baseline can grow in a week: 10.
    pub growth_percent_per_week: u32,
}

/// What all accounts may discover together. The baseline is that of [`YoungLimits`], over everybody.
///
/// Registrars don't count here: an import mustn't lock phones out, nor raise what counts as usual.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct ServiceLimits {
    /// Elements a day that can always be discovered, whatever the baseline: 2,000,000.
    pub floor_per_day: u64,
    /// Elements a day, in percent of the baseline: 200.
    pub percent_of_baseline: u32,
    /// By how much the baseline can grow in a week: 10.
    pub growth_percent_per_week: u32,
    /// Percent of the day's limit from which on somebody should look: 70.
    pub page_percent: u32,
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

impl NetworkLimits {
    pub(crate) fn limit(per_day: u32) -> Limit {
        Limit::new(per_day, per_day, DAY)
    }
}

impl YoungLimits {
    /// How long an account is young.
    pub(crate) fn lasts(&self) -> Duration {
        Duration::from_secs(u64::from(self.days) * 86_400)
    }

    pub(crate) fn rule(&self) -> MeterRule {
        MeterRule {
            floor: self.floor_per_day,
            percent_of_baseline: self.percent_of_baseline,
            growth_percent_per_week: self.growth_percent_per_week,
        }
    }
}

impl ServiceLimits {
    pub(crate) fn rule(&self) -> MeterRule {
        MeterRule {
            floor: self.floor_per_day,
            percent_of_baseline: self.percent_of_baseline,
            growth_percent_per_week: self.growth_percent_per_week,
        }
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
            elements_per_request: super::MOST_PER_PROOF,
            request_burst: 1_000,
            requests_per_minute: 6_000,
        }
    }
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            ipv6_64_per_day: 3_000,
            ipv6_48_per_day: 30_000,
            ipv6_32_per_day: 300_000,
            ipv4_24_per_day: 30_000,
        }
    }
}

impl Default for YoungLimits {
    fn default() -> Self {
        Self {
            days: 14,
            floor_per_day: 1_000_000,
            percent_of_baseline: 150,
            growth_percent_per_week: 10,
        }
    }
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            floor_per_day: 2_000_000,
            percent_of_baseline: 200,
            growth_percent_per_week: 10,
            page_percent: 70,
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
