//! One sync: follow the manifest, evaluate what is new, look everything up in the published set.

use std::fmt;

use blindbook::{
    client::{
        Identifier, Match, OwnEntry, SyncState,
        contacts::{ContactSet, PhoneError, RejectReason},
    },
    label::Label,
    snapshot::Advance,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;

use super::set::{self, Fetched, SetArgs};
use crate::{
    connection::{Connection, Refusal},
    failure::Failure,
    text::count,
};

/// Whom to look up, and how.
pub(crate) struct Lookups<'a> {
    pub(crate) contacts: &'a ContactSet,
    pub(crate) own: Option<Own>,
    pub(crate) set: &'a SetArgs,
}

/// The member who looks, and what is expected to be found of them.
pub(crate) struct Own {
    /// Its index in the contacts' identifiers.
    pub(crate) identifier: usize,
    pub(crate) label: Option<Label>,
}

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
    /// Contacts whose evaluation was carried over, because the key was rotated.
    pub(crate) carried_over: usize,
    /// Contacts that were forgotten because the key was rotated.
    forgotten: usize,
    members: u64,
    sequence: u64,
    /// The manifest's hash: who compares it with others notices being shown another set than they.
    manifest_hash: String,
    epoch: u64,
    fetched: Fetched,
    /// Whether the member who looks is in the set: `listed`, `missing` or `other-label`.
    own: Option<&'static str>,
    /// Manifests that were published since the last run and not seen.
    skipped_manifests: u64,
    /// Whether the service's registrars normalise otherwise than this program.
    other_normalisation: bool,
    /// Why not all contacts were evaluated, if they weren't.
    refused: Option<String>,
    retry_after: Option<u64>,
}

/// A sync, and what went wrong if something did.
pub(crate) struct Outcome {
    pub(crate) lookup: Lookup,
    pub(crate) refused: Option<Failure>,
}

/// Syncs; `keep` stores the state after each step that cost something.
pub(crate) fn look_up(
    connection: &Connection,
    state: &mut SyncState,
    lookups: &Lookups<'_>,
    keep: impl Fn(&SyncState) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let contacts = lookups.contacts;
    let identifiers = contacts.identifiers();
    let manifest = connection.manifest()?;
    let now = connection.now();
    let followed = state.follow(&manifest, now).map_err(Failure::bad_input)?;
    if is_whole(contacts) {
        state.retain(identifiers, now);
    }
    keep(state)?;
    let mut lookup = Lookup {
        matches: Vec::new(),
        evaluated: 0,
        known: identifiers.len() - state.pending(identifiers),
        pending: 0,
        elements: 0,
        carried_over: 0,
        forgotten: followed.forgotten,
        members: manifest.claims().members(),
        sequence: manifest.claims().sequence,
        manifest_hash: crate::hex::encode(manifest.hash()),
        epoch: manifest.claims().epoch.get(),
        skipped_manifests: match followed.advance {
            Advance::Skipped(manifests) => manifests,
            Advance::Same | Advance::Next => 0,
        },
        other_normalisation: followed.other_normalisation.is_some(),
        fetched: Fetched::default(),
        own: None,
        refused: None,
        retry_after: None,
    };
    let waiting = carry_over(connection, state, now, &mut lookup, &keep)?;
    lookup.known = identifiers.len() - state.pending(identifiers);
    let evaluated = evaluate_new(connection, state, identifiers, now, &mut lookup, &keep)?;
    // The answer to a request of the old epoch may have come just now.
    let again = match waiting {
        None => carry_over(connection, state, now, &mut lookup, &keep)?,
        waiting => waiting,
    };
    let mut refused = evaluated.or(again);
    lookup.refused = refused.as_ref().map(Failure::to_string);
    lookup.retry_after = refused.as_ref().and_then(Failure::retry_after);
    lookup.pending = state.pending(identifiers);

    let (search, fetched) = set::search(
        lookups.set,
        connection,
        &manifest,
        state,
        identifiers,
        &keep,
    )?;
    lookup.fetched = fetched;
    if let Some(own) = &lookups.own {
        let entry = identifiers
            .get(own.identifier)
            .and_then(|number| state.check_own(&search, number, own.label.as_ref()));
        lookup.own = entry.map(name_of);
        if entry.is_some_and(|entry| entry != OwnEntry::Listed) {
            refused = refused.or(Some(Failure::bad_input(
                "the number of --own isn't listed as it should be",
            )));
        }
    }
    lookup.matches = connection.local("look-up", || {
        let mut matches = state.matches(search, identifiers);
        matches.retain(|found| !contacts.owners(found.identifier).is_empty());
        matches
    });
    Ok(Outcome { lookup, refused })
}

fn name_of(entry: OwnEntry) -> &'static str {
    match entry {
        OwnEntry::Listed => "listed",
        OwnEntry::Missing => "missing",
        OwnEntry::OtherLabel => "other-label",
    }
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

/// Carries over what was learned before the key was rotated. What can't be carried over is forgotten, and evaluated again;
/// a refusal that is for now only is returned.
fn carry_over(
    connection: &Connection,
    state: &mut SyncState,
    now: u64,
    lookup: &mut Lookup,
    keep: impl Fn(&SyncState) -> Result<(), Failure>,
) -> Result<Option<Failure>, Failure> {
    let mut budget = usize::MAX;
    while let Some(expect) = state
        .next_carry_over(budget, now, &mut UnwrapErr(SysRng))
        .map_err(Failure::bad_input)?
    {
        keep(state)?;
        let (answer, left) = connection.carry_over(&expect.message());
        let left = left.map(|left| usize::try_from(left).unwrap_or(usize::MAX));
        match answer {
            Ok(answer) => {
                lookup.carried_over += connection
                    .local("verify, unblind", || {
                        state.finish_carry_over(expect, &answer)
                    })
                    .map_err(Failure::defect)?;
            }
            Err(Refusal::TooMuch) => {
                // A smaller request may be possible.
                budget = left.unwrap_or(0).min(expect.elements() - 1);
                state.carry_over_refused(expect);
            }
            Err(Refusal::Never) => budget = 0,
            Err(Refusal::Other(failure @ Failure::Refused { .. })) => {
                state.carry_over_refused(expect);
                keep(state)?;
                return Ok(Some(failure));
            }
            Err(Refusal::Other(other)) => return Err(other),
        }
        if budget == 0 {
            break;
        }
        keep(state)?;
    }
    if state.to_carry_over() > 0 {
        lookup.forgotten += state.forget_old();
    }
    keep(state)?;
    Ok(None)
}

/// Evaluates what isn't known; an exhausted quota ends it early.
fn evaluate_new(
    connection: &Connection,
    state: &mut SyncState,
    identifiers: &[Identifier],
    now: u64,
    lookup: &mut Lookup,
    keep: impl Fn(&SyncState) -> Result<(), Failure>,
) -> Result<Option<Failure>, Failure> {
    let left = || {
        let left = connection.quota().map_or(0, |quota| quota.remaining);
        usize::try_from(left).unwrap_or(usize::MAX)
    };
    let mut budget = usize::MAX;
    let mut refused = None;
    while let Some(expect) = connection
        .local("blind", || {
            state.next_request(identifiers, budget, now, &mut UnwrapErr(SysRng))
        })
        .map_err(Failure::bad_input)?
    {
        // Whoever dies now sends the same bytes the next time, which are paid once.
        keep(state)?;
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
                state.refused(expect);
                // A smaller request may be affordable; else there is no use in asking again.
                budget = left().min(elements - 1);
                if lookup.evaluated == 0 && lookup.known == 0 && budget == 0 {
                    keep(state)?;
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

impl Lookup {
    /// Where the chain of manifests stands, to compare with others.
    fn chain(&self) -> String {
        let digits = self.manifest_hash.get(..16).unwrap_or_default();
        format!("{}:{digits}", self.sequence)
    }
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
        if self.carried_over > 0 {
            writeln!(
                f,
                "the key was rotated: {} contacts are carried over, for nothing",
                count(self.carried_over as u64)
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
            "{} evaluated now (as {} elements), {} known from before; set {} of {} members\n{}",
            count(self.evaluated as u64),
            count(self.elements as u64),
            count(self.known as u64),
            self.chain(),
            count(self.members),
            self.fetched
        )?;
        match self.own {
            None => {}
            Some("listed") => write!(f, "\nyour own number is in the set")?,
            Some("missing") => write!(f, "\nYOUR OWN NUMBER ISN'T IN THE SET")?,
            Some(_) => write!(f, "\nYOUR OWN NUMBER IS IN THE SET WITH ANOTHER LABEL")?,
        }
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
