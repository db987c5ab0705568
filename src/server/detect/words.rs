//! Signals in plain words, for the person who reads them.

use core::fmt;

use super::{Signal, SignalKind, Subject};
use crate::server::quota::Meter;

/// What was seen, without naming whom.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::SaturatedAccount { days, emptied, .. } => {
                write!(f, "has used up its refill on {days} of 14 days")?;
                if *emptied {
                    f.write_str(", after it had emptied its bucket")?;
                }
                Ok(())
            }
            Subject::YoungCluster {
                accounts, usual, ..
            } => write!(
                f,
                "{accounts} new accounts have begun to ask in one hour, where {usual} usually do"
            ),
            Subject::UnusualDay {
                meter,
                counted,
                usual,
            } => {
                let what = match meter {
                    Meter::Young | Meter::SeenYoung => "elements of new accounts",
                    Meter::Service | Meter::SeenService => "elements of everybody",
                    Meter::SeenEmptied => "emptied buckets",
                    Meter::SeenRefused => "refused new accounts",
                };
                write!(
                    f,
                    "{counted} {what} so far on this day, where {usual} would have been the most"
                )
            }
            Subject::Canary { account: Some(_) } => {
                f.write_str("has met a member who doesn't exist")
            }
            Subject::Canary { account: None } => {
                f.write_str("somebody has met a member who doesn't exist")
            }
        }
    }
}

impl SignalKind {
    /// What such a signal means.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::SaturatedAccount => {
                "the account looks numbers up as fast as it may, and an address book comes to an end; it began up to 14 days before the signal"
            }
            Self::YoungCluster => {
                "somebody makes accounts; or a school, a stadium or a campaign has joined at once"
            }
            Self::UnusualDay => {
                "many accounts at once, however they are spread; or the service has been in the news"
            }
            Self::Canary => {
                "a number was tried that was never assigned and is in no address book: near proof of enumeration"
            }
        }
    }

    /// What to do about one.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::SaturatedAccount => {
                "suspend it by the signal's number; several in the same days belong together: open an incident"
            }
            Self::YoungCluster => {
                "ask your sign-up what these accounts have in common; suspend the network by the signal's number if nothing explains them"
            }
            Self::UnusualDay => {
                "look for signals that name somebody, and at sign-ups of the day; suspend new accounts if it goes on"
            }
            Self::Canary => {
                "suspend who is named and open an incident, from some days before the account's first request on"
            }
        }
    }
}
