//! An operator's order to suspend somebody or to let them go, with what the ledger says of it.

use super::{Body, LedgerKey, Who};
use crate::server::{Timestamp, quota::Suspect};

/// An order to suspend somebody, or to let them go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    suspect: Suspect,
    until: Option<Timestamp>,
    who: Who,
    at: Timestamp,
}

impl Suspension {
    /// Until a point in time, [`Timestamp::MAX`] for until it is lifted; `None` lifts it. Given at `at`, in the month of the key.
    #[must_use]
    pub fn new(suspect: Suspect, until: Option<Timestamp>, at: Timestamp, key: &LedgerKey) -> Self {
        Self {
            suspect,
            until,
            who: key.who(&suspect),
            at,
        }
    }

    /// Whom.
    #[must_use]
    pub const fn suspect(&self) -> &Suspect {
        &self.suspect
    }

    /// Until when; `None` lifts it.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// When it was ordered.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// What the ledger says.
    #[must_use]
    pub const fn entry(&self) -> Body {
        let who = self.who;
        match self.until {
            Some(until) => Body::Suspended { who, until },
            None => Body::Lifted { who },
        }
    }
}
