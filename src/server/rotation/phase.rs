//! How far a rotation has come, as a store keeps it.

use core::fmt;

use crate::{
    oprf::{Encoding, Epoch},
    timestamp::Timestamp,
};

/// What a rotation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RotationKind {
    /// Routine. Phones carry over what they have paid for.
    Soft,
    /// After an incident. The old epoch isn't served from the switch on, and delta is never offered.
    Hard,
}

/// A rotation that isn't finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The epoch that ends.
    pub from: Epoch,
    /// The epoch that begins.
    pub to: Epoch,
    /// What for.
    pub kind: RotationKind,
    /// How far it has come.
    pub phase: Phase,
}

/// How far a rotation has come.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Members get a row in the new epoch. The old one is served as before.
    Rekeying {
        /// Those up to here have theirs, in the order of their unblinded elements.
        after: Option<Encoding>,
        /// How many that are.
        done: u64,
        /// Whether those are all, but for who changes meanwhile.
        complete: bool,
    },
    /// The new epoch is served, and the old one to those who haven't heard of it. Soft rotations only.
    Window(Window),
    /// The new epoch is served alone. What is left of the old one goes.
    Ending,
}

/// How long what is offered after a soft switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Until when the old key evaluates: when the last manifest that names it expires.
    pub evaluate_until: Timestamp,
    /// Until when results are carried over. Not before the old key ceases to evaluate.
    pub carry_until: Timestamp,
}

impl Rotation {
    /// Whether the new epoch is the one that is served.
    #[must_use]
    pub fn is_switched(&self) -> bool {
        !matches!(self.phase, Phase::Rekeying { .. })
    }
}

impl fmt::Display for RotationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        })
    }
}

/// An unblinded element isn't for a log.
impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rekeying { done, complete, .. } => f
                .debug_struct("Rekeying")
                .field("done", done)
                .field("complete", complete)
                .finish_non_exhaustive(),
            Self::Window(window) => f.debug_tuple("Window").field(window).finish(),
            Self::Ending => f.write_str("Ending"),
        }
    }
}
