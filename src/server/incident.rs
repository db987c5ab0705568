//! An incident, worked through: what is recorded of it, in which order, and what can be proved about it.
//!
//! Layer 4: stands on the quota's pseudonyms and must not know where an incident is kept, who is told by which
//! way, or what time it is.
//!
//! ```text
//! open --> contain --> (hard rotation) --> report --> notify --> close
//!  |                                        ^  |
//!  | evidence is frozen from here           |__|  again, as more is known
//! ```
//!
//! The service never sees what was asked for. So nobody can say whose number was tried: what can be proved is how much was
//! asked for at most ([`Bound`]), and who could have been found at all. Whoever could is told.
//!
//! # What counts as exposed
//!
//! Whoever has evaluated a number can look it up in every set that is published under the same key: a tag that was
//! learned in the window stays good until a hard rotation. So a member is exposed who could be found
//! (and for a while after deciding otherwise, see [`outlasts`]) at any time from the begin of the window
//! until the rotation that ended it, or until now if there was none.

mod bound;
mod findings;
mod journal;
mod notice;
mod page;
mod record;
mod report;
mod steps;
mod words;

pub use bound::Bound;
pub use findings::{Counted, Evaluations, Findings, RegionCount, SuspectCounts, outlasts};
pub use journal::{
    HandOut, IncidentRows, Lease, NoticeState, confirm, enlist, hand_out, open, replace, rotated,
};
pub use notice::{BadNoticeId, Notice, NoticeId, Tally};
pub use record::BadRecord;
pub use report::{Article33, Deadline, Phase, RegionBound, Report};
pub use steps::{Closing, Incident, Listing, OpenError, OrderError, Period, Step, Suspects, Terms};
pub use words::{OperatorWords, WordsError};
