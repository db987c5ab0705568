//! How a charge ends.

use core::{fmt, time::Duration};

use super::Usage;

/// What an account has left: of its bucket, or, if it asked for a carry-over, of what it can carry over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaStatus {
    /// Elements that it could have evaluated now, or carry over.
    pub remaining: u32,
    /// Elements that its full bucket holds now; 0 for a carry-over.
    pub capacity: u32,
    /// Elements that it gains in a day; 0 for a carry-over.
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
    /// What all young accounts have used today; `None` if nothing was drawn there.
    pub young: Option<Usage>,
    /// What all accounts have used today; `None` if nothing was drawn there.
    pub service: Option<Usage>,
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
    /// Fewer elements were evaluated in the epoch before than are to be carried over. A request was taken.
    CarryOver,
    /// The bucket doesn't hold enough elements now. A request was taken.
    Elements,
    /// The young accounts of this network have discovered what they may for now. A request was taken.
    NetworkElements,
    /// All young accounts together have discovered what they may today. A request was taken.
    YoungElements,
    /// All accounts together have discovered what they may today. A request was taken.
    ServiceElements,
    /// What was charged more than a day ago isn't in the ledger yet. Nothing was taken.
    LedgerBehind,
    /// The operator has suspended the account. Nothing was taken.
    AccountSuspended,
    /// The operator has suspended the network. Nothing was taken.
    NetworkSuspended,
    /// The operator has suspended all young accounts. Nothing was taken.
    YoungSuspended,
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
            Self::CarryOver => {
                f.write_str("fewer elements were evaluated before than are to be carried over")
            }
            Self::Elements => f.write_str("fewer elements are left than were asked for"),
            Self::NetworkElements => {
                f.write_str("new accounts of this network have used what they may for now")
            }
            Self::YoungElements => f.write_str("new accounts have used what they may today"),
            Self::ServiceElements => f.write_str("all accounts have used what they may today"),
            Self::LedgerBehind => f.write_str("the ledger is more than a day behind"),
            Self::AccountSuspended => f.write_str("the account is suspended"),
            Self::NetworkSuspended => f.write_str("the network is suspended"),
            Self::YoungSuspended => f.write_str("new accounts are suspended"),
            Self::RequestTooLarge { limit } => {
                write!(f, "a request has at most {limit} elements")
            }
            Self::KeyBudget => f.write_str("the key has evaluated all that it may"),
            Self::ClockWentBack => f.write_str("the clock is behind the latest charge"),
            Self::ClockJumpedAhead => f.write_str("the clock is far ahead of the latest charge"),
        }
    }
}
