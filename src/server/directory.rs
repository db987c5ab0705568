//! Members: who can be found, since when, and with whose consent.
//!
//! Layer 4: stands on unblinded elements and labels and must not know where members are stored. Absence is the
//! setting: whether a member can be found is whether it has an open interval, and a store keeps those apart
//! from all others.
//!
//! A decision not to be found outranks every consent given before it. So a request that is repeated, delayed or
//! replayed from a file brings nobody back.

mod batch;
mod change;
mod choice;
mod member;
mod regions;

use core::{fmt, time::Duration};

pub use batch::{BatchOutcome, MemberBatch, MemberRows, change};
pub use change::{Change, apply};
pub use choice::{Choice, ChoiceOutcome, Identity, LabelRows, Standing, choose};
pub use member::{Interval, Member, Window};
pub use regions::{Regions, RegionsError, Residence};

pub use crate::wire::{
    Audience, ChangeError, Consent, ConsentError, Enrolment, Region, RegionError, Setting,
};

/// How long it is kept when a member could be found: two years (DESIGN, section 7).
pub const EVIDENCE_RETENTION: Duration = Duration::from_secs(2 * 366 * 86_400);

/// How long a decision not to be found is kept for somebody who is deleted and never could be found: 30 days.
pub const DECISION_RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// How far ahead of the service's clock a consent may be dated: 5 minutes.
pub const CONSENT_AHEAD: Duration = Duration::from_secs(300);

/// Most intervals kept for one member; of more, two neighbours become one that covers both.
pub const MAX_INTERVALS: usize = 64;

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody",
            Self::Everyone => "everyone",
        })
    }
}
