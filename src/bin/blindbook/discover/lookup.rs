//! One sync: follow the manifest, evaluate what is new, look everything up in the published set.

use std::fmt;

use blindbook::{
    client::{
        Match, SyncState,
        contacts::{ContactSet, PhoneError, RejectReason},
    },
    snapshot::{Advance, Segment},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;

use crate::{config::clock, connection::Connection, failure::Failure, text::count};

/// What a sync did.
#[derive(Debug, Serialize)]
pub(crate) struct Lookup {
    #[serde(skip)]
    pub(crate) matches: Vec<Match>,
    /// Contacts that were evaluated now.
    pub(crate) evaluated: usize,
    /// Contacts whose evaluation was known from an earlier run.
    known: usize,
    /// Contacts that couldn't be evaluated yet.
    pub(crate) pending: usize,
    /// Elements that were paid for, with padding.
    pub(crate) elements: usize,
    /// Contacts that were forgotten because the key was rotated.
    forgotten: usize,
    members: u64,
    sequence: u64,
    epoch: u64,
    /// Manifests that were published since the last run and not seen.
    skipped_manifests: u64,
    /// Whether the service's registrars normalise otherwise than this program.
    other_normalisation: bool,
    /// Why not all contacts were evaluated, if they weren't.
    refused: Option<String>,
    retry_after: Option<u64>,
}

/// A sync, and why it stopped early if it did.
pub(crate) struct Outcome {
    pub(crate) lookup: Lookup,
    pub(crate) refused: Option<Failure>,
}

/// Syncs; `keep` stores the state after each step that cost something.
pub(crate) fn look_up(
    connection: &Connection,
    state: &mut SyncState,
    contacts: &ContactSet,
    keep: impl Fn(&SyncState) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let identifiers = contacts.identifiers();
    let manifest = connection.manifest()?;
    let now = clock().as_micros() / 1_000_000;
    let followed = state.follow(&manifest, now).map_err(Failure::bad_input)?;
    if is_whole(contacts) {
        state.retain(identifiers);
    }
    keep(state)?;
    let mut lookup = Lookup {
        matches: Vec::new(),
        evaluated: 0,
        known: identifiers.len() - state.pending(identifiers),
        pending: 0,
        elements: 0,
        forgotten: followed.forgotten,
        members: manifest.claims().members(),
        sequence: manifest.claims().sequence,
        epoch: manifest.claims().epoch.get(),
        skipped_manifests: match followed.advance {
            Advance::Skipped(manifests) => manifests,
            Advance::Same | Advance::Next => 0,
        },
        other_normalisation: followed.other_normalisation.is_some(),
        refused: None,
        retry_after: None,
    };
    let refused = evaluate_new(connection, state, contacts, &mut lookup, keep)?;
    lookup.refused = refused.as_ref().map(Failure::to_string);
    lookup.retry_after = refused.as_ref().and_then(Failure::retry_after);
    lookup.pending = state.pending(identifiers);

    let segment = connection.segment(&manifest)?;
    lookup.matches = connection.local("look-up", || {
        let segment = Segment::open(&segment, &manifest).map_err(Failure::bad_input)?;
        state
            .find(&mut [segment], identifiers)
            .map_err(Failure::bad_input)
    })?;
    Ok(Outcome { lookup, refused })
}

/// Whether a contact that isn't there has gone: not if its number misses the region that was forgotten this time, or
/// if the file ends in the middle of a card. What is forgotten has to be paid for again.
fn is_whole(contacts: &ContactSet) -> bool {
    !contacts.rejected().iter().any(|rejected| {
        matches!(
            rejected.reason,
            RejectReason::Phone(PhoneError::NoRegion) | RejectReason::UnterminatedCard
        )
    })
}

/// Evaluates what isn't known; an exhausted quota ends it early.
fn evaluate_new(
    connection: &Connection,
    state: &mut SyncState,
    contacts: &ContactSet,
    lookup: &mut Lookup,
    keep: impl Fn(&SyncState) -> Result<(), Failure>,
) -> Result<Option<Failure>, Failure> {
    let identifiers = contacts.identifiers();
    let left = || {
        let left = connection.quota().map_or(0, |quota| quota.remaining);
        usize::try_from(left).unwrap_or(usize::MAX)
    };
    let mut budget = usize::MAX;
    let mut refused = None;
    while let Some(expect) = connection
        .local("blind", || {
            state.next_request(identifiers, budget, &mut UnwrapErr(SysRng))
        })
        .map_err(Failure::bad_input)?
    {
        let elements = expect.elements();
        match connection.evaluate(&expect.message()) {
            Ok(answer) => {
                lookup.evaluated += connection
                    .local("verify, unblind", || state.finish(expect, &answer))
                    .map_err(Failure::defect)?;
                lookup.elements += elements;
                keep(state)?;
                if refused.is_some() {
                    // What is left is known by now, and one more refusal would cost one more request.
                    budget = left();
                }
            }
            Err(failure @ Failure::Refused { .. }) => {
                // A smaller request may be affordable; else there is no use in asking again.
                budget = left().min(elements - 1);
                if lookup.evaluated == 0 && lookup.known == 0 && budget == 0 {
                    return Err(failure);
                }
                refused = Some(failure);
            }
            Err(other) => return Err(other),
        }
    }
    let all = state.pending(identifiers) == 0;
    Ok(refused.filter(|_| !all))
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.other_normalisation {
            writeln!(
                f,
                "WARNING: the service normalises numbers otherwise than this program, so some contacts are missed; \
                 update it"
            )?;
        }
        if self.forgotten > 0 {
            writeln!(
                f,
                "the key was rotated: {} contacts are evaluated again",
                count(self.forgotten as u64)
            )?;
        }
        write!(
            f,
            "{} evaluated now (as {} elements), {} known from before; set {} of {} members",
            count(self.evaluated as u64),
            count(self.elements as u64),
            count(self.known as u64),
            self.sequence,
            count(self.members)
        )?;
        if let Some(refused) = &self.refused {
            write!(
                f,
                "\nNOT LOOKED UP: {}; {refused}",
                count(self.pending as u64)
            )?;
        }
        Ok(())
    }
}
