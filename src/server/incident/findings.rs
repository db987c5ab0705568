//! What was found out about an incident: all that a report is made of.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use super::{Bound, Incident, Period, Suspects, Tally};
use crate::timestamp::Timestamp;

/// Whose evaluations were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "http", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Counted {
    /// Those of the accounts that are named.
    NamedAccounts,
    /// Those of all young accounts, and of the named ones.
    NewAccounts,
    /// Those of all accounts of apps, and of named registrars: the ledger can't tell the suspects' from the others'.
    AllAccounts,
}

/// What is kept of what accounts did in a window, rounded to whole hours outwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
pub struct Evaluations {
    /// Elements that were evaluated, as far as it is kept: Q, if it is complete.
    pub elements: u64,
    /// Whether all hours of the window are kept. Otherwise anything can have been evaluated.
    pub complete: bool,
    /// Requests that they came in.
    pub requests: u64,
    /// Whose.
    pub counted: Counted,
    /// Named accounts without an entry in the window: their names are misspelt, or they did nothing.
    pub silent_accounts: u64,
}

/// Members of a region who could be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionCount {
    /// Two letters (ISO 3166-1); `None` where the region isn't known.
    pub region: Option<String>,
    /// Members: M.
    pub members: u64,
    /// Mobile numbers of the region: S.
    pub numbers: Option<u64>,
}

impl RegionCount {
    pub(super) fn bound(&self, evaluated: u64) -> Bound {
        Bound {
            evaluated,
            members: self.members,
            numbers: self.numbers,
        }
    }
}

/// How many suspects there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
pub struct SuspectCounts {
    /// Accounts that are named.
    pub accounts: u64,
    /// Networks that are named.
    pub networks: u64,
    /// Whether all young accounts are.
    pub new_accounts: bool,
    /// Whether it may have been any account.
    pub unknown: bool,
}

impl Suspects {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> SuspectCounts {
        SuspectCounts {
            accounts: self.accounts.len() as u64,
            networks: self.networks.len() as u64,
            new_accounts: self.new_accounts,
            unknown: self.unknown,
        }
    }
}

/// How long somebody who has decided not to be found can still be: a slot until the next set, an hour in which the files of the
/// one before are still served, and one in which caches may.
#[must_use]
pub fn outlasts(slot: Duration) -> Duration {
    slot.saturating_add(Duration::from_secs(2 * 3_600))
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// The service's name.
    pub service: String,
    /// What is recorded.
    pub incident: Incident,
    /// When this was found out.
    pub at: Timestamp,
    /// Seconds for which somebody who has decided not to be found can still be: see [`outlasts`].
    pub outlasts_seconds: u64,
    /// What the ledger says.
    pub evaluations: Evaluations,
    /// Who could be found, by region.
    pub regions: Vec<RegionCount>,
    /// How far telling has come.
    pub tally: Tally,
    /// The newest entry of the ledger, as text: what the figures can be checked against.
    pub ledger: Option<String>,
}

impl Findings {
    /// Q, or all that can be.
    pub(super) fn evaluated(&self) -> u64 {
        if self.evaluations.complete {
            self.evaluations.elements
        } else {
            u64::MAX
        }
    }

    /// Members of all regions.
    pub(super) fn members(&self) -> u64 {
        let members = self.regions.iter().map(|region| region.members);
        members.fold(0, u64::saturating_add)
    }

    pub(super) fn harvest(&self) -> Period {
        self.incident.harvest(self.at)
    }

    pub(super) fn exposed(&self) -> Period {
        self.incident.exposed(self.at)
    }
}
