//! The ledger: what was done, as evidence that nobody can change unseen.
//!
//! Layer 4: stands on the quota's counts and pseudonyms and must not know where entries and keys are kept, or what time it
//! is. It knows counts only: no number, address, tag, element or name.
//!
//! ```text
//! entry 0 ---> entry 1 ---> entry 2 ---> ...      each has the hash of the one before in its own
//!                              ^
//!                          checkpoint             signed by the snapshot key, kept outside the store
//! ```
//!
//! Hours of requests are [sealed](seal()) into it when they are over; everything else that an operator or the service does is
//! appended in the step of the store that does it. Accounts and networks are in it under pseudonyms that are keyed by month:
//! once a [month's key](LedgerKey) is destroyed, nobody can say any more whose counts they were, and the counts stay.
//!
//! # What the chain proves
//!
//! A [`Verifier`] finds every entry that was edited, dropped, repeated or moved, up to the newest checkpoint that it was given.
//! Whoever can write the store can replace what came after that one, and whoever also holds the snapshot key can replace
//! everything; but not the checkpoints that others have copied.

mod body;
mod chain;
mod checkpoint;
mod entry;
mod key;
mod month;
mod seal;
mod suspension;
#[cfg(test)]
mod tests;
mod topic;
mod verify;

pub use body::{Body, RotationStep, Totals, Who};
pub use chain::{Head, LedgerRows, append};
pub use checkpoint::{BadCheckpoint, Checkpoint};
pub use entry::{BadEntry, Entry, ExportHeader};
pub use key::{LedgerKey, Pseudonym};
pub use month::{BadMonth, Month};
pub use seal::{SealRows, Sealed, Sealing, note_signal, seal};
pub use suspension::Suspension;
pub use topic::Topic;
pub use verify::{Fault, Finding, Verifier};
