//! The role that holds identifiers: blinding, verifying, unblinding, matching.
//!
//! Layer 4: stands on the wire and the snapshot and must not know the server role. It does no I/O and
//! reads no clock.

mod blind;
mod carry_over;
#[cfg(feature = "contacts")]
pub mod contacts;
mod finalize;
mod identifier;
mod matching;
mod padding;
mod partial;
mod sync;

pub use blind::{BlindError, ExpectEvaluation, OprfClient};
pub use carry_over::ExpectCarryOver;
pub use finalize::{FinalizeError, rfc_output};
pub use identifier::{
    Identifier, IdentifierError, IdentifierKind, MAX_INPUT_LENGTH, NormalisationProfile,
};
pub use matching::{Match, OwnEntry};
pub use padding::PADDING_CLASSES;
pub use partial::{BeliefFactor, BeliefFactorError, Chosen, Part, PartError};
pub use sync::{ExpectAnswer, ExpectCarriedOver, Followed, StateError, SyncError, SyncState};
