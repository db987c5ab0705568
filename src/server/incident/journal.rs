//! The journal of an incident: its record and its notices, as the rows of a store.
//!
//! ```text
//!             enlist              hand_out               confirm
//! (nobody) ----------> waiting ------------> in flight ----------> told
//!                                   ^____________|
//!                                   again, under the same name
//! ```
//!
//! A notice is in flight before anybody has it, and told after somebody has confirmed it. So whatever is killed in between:
//! nobody is missed, and what is handed over again has the name that it had.

use alloc::vec::Vec;

use super::{Incident, Notice, NoticeId, Tally};
use crate::{
    server::{
        ledger::{Body, LedgerRows, append},
        quota::Suspect,
    },
    timestamp::Timestamp,
};

/// How far a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoticeState {
    /// Nobody has tried yet.
    Waiting,
    /// Handed over; nobody knows whether it arrived.
    InFlight,
    /// Confirmed.
    Told,
}

/// Who hands notices over: one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// A random number of whoever does it.
    pub holder: u64,
    /// Until when nobody else does.
    pub until: Timestamp,
}

/// Notices to hand over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandOut {
    /// These. Fewer than were asked for means that there are no more.
    Notices(Vec<Notice>),
    /// Somebody else hands them over, or may, until then.
    Leased(Timestamp),
}

/// The rows that a step reads and writes, inside one atomic step of a store.
pub trait IncidentRows: LedgerRows {
    /// All incidents, ascending by number.
    ///
    /// # Errors
    ///
    /// A row can't be read.
    fn incidents(&mut self) -> Result<Vec<Incident>, Self::Error>;

    /// Adds or replaces an incident.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_incident(&mut self, incident: &Incident) -> Result<(), Self::Error>;

    /// Suspends somebody until it is lifted, or lifts it.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_suspended(&mut self, suspect: Suspect, suspended: bool) -> Result<(), Self::Error>;

    /// Who hands over the notices of an incident.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn lease(&mut self, incident: u64) -> Result<Option<Lease>, Self::Error>;

    /// Replaces [`Self::lease`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_lease(&mut self, incident: u64, lease: Lease) -> Result<(), Self::Error>;

    /// How many notices there are of each state.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn tally(&mut self, incident: u64) -> Result<Tally, Self::Error>;

    /// Replaces [`Self::tally`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_tally(&mut self, incident: u64, tally: Tally) -> Result<(), Self::Error>;

    /// How far a notice is; `None` if it isn't on the list.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn notice(&mut self, incident: u64, id: &NoticeId) -> Result<Option<NoticeState>, Self::Error>;

    /// Up to `limit` notices that aren't told, ascending by name, those after `after`.
    ///
    /// # Errors
    ///
    /// A row can't be read.
    fn untold(
        &mut self,
        incident: u64,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<Vec<(Notice, NoticeState)>, Self::Error>;

    /// Adds a notice, or says how far it is, before it is told.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_untold(
        &mut self,
        incident: u64,
        notice: &Notice,
        in_flight: bool,
    ) -> Result<(), Self::Error>;

    /// Says that a notice is told: its name stays, whose it was doesn't.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_told(&mut self, incident: u64, id: &NoticeId, at: Timestamp) -> Result<(), Self::Error>;
}

/// Keeps a new incident under the next number; if the same one is open already, that one is answered and nothing is kept.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn open<R: IncidentRows>(rows: &mut R, mut incident: Incident) -> Result<Incident, R::Error> {
    let known = rows.incidents()?;
    if let Some(same) = known.iter().find(|known| known.is_same(&incident)) {
        return Ok(same.clone());
    }
    incident.id = known.last().map_or(1, |last| last.id + 1);
    record(rows, None, &incident)?;
    Ok(incident)
}

/// Keeps an incident, with an entry of the ledger for each step that is new.
fn record<R: IncidentRows>(
    rows: &mut R,
    before: Option<&Incident>,
    after: &Incident,
) -> Result<(), R::Error> {
    let earlier = before.map(Incident::steps).unwrap_or_default();
    let suspects = after.terms().suspects.count();
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    for (step, at) in after.steps() {
        if earlier.iter().all(|(taken, _)| *taken != step) {
            let entry = Body::Incident {
                incident: after.id,
                step,
                accounts: count(suspects.accounts),
                networks: count(suspects.networks),
            };
            append(rows, at, &entry)?;
        }
    }
    rows.set_incident(after)
}

/// Replaces an incident, if it is still as it was `before`; `false`, and nothing is changed, if it isn't.
///
/// Containing it suspends the suspects in the same step. Closing it lets new accounts go that containing has stopped, and all
/// suspects if it was unfounded.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn replace<R: IncidentRows>(
    rows: &mut R,
    before: &Incident,
    after: &Incident,
) -> Result<bool, R::Error> {
    if !rows.incidents()?.contains(before) || before.id != after.id {
        return Ok(false);
    }
    let suspects = &after.terms().suspects;
    if before.contained_at.is_none() && after.contained_at.is_some() {
        for suspect in suspects.to_suspend() {
            rows.set_suspended(suspect, true)?;
        }
    }
    if let (None, Some(closing), Some(_)) = (before.closing, after.closing, after.contained_at) {
        for suspect in suspects.to_suspend() {
            if closing.unfounded || suspect == Suspect::YoungAccounts {
                rows.set_suspended(suspect, false)?;
            }
        }
    }
    record(rows, Some(before), after)?;
    Ok(true)
}

/// Records in all incidents that the key has been rotated hard, in the step that does it.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn rotated<R: IncidentRows>(rows: &mut R, at: Timestamp) -> Result<(), R::Error> {
    for before in rows.incidents()? {
        let mut after = before.clone();
        after.learn_of_rotation(at);
        if after != before {
            record(rows, Some(&before), &after)?;
        }
    }
    Ok(())
}

/// Puts notices on the list of an incident. Those that are on it stay as far as they are.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn enlist<R: IncidentRows>(
    rows: &mut R,
    incident: u64,
    notices: &[Notice],
) -> Result<(), R::Error> {
    let mut tally = rows.tally(incident)?;
    for notice in notices {
        if rows.notice(incident, &notice.id)?.is_none() {
            rows.set_untold(incident, notice, false)?;
            tally.waiting += 1;
        }
    }
    rows.set_tally(incident, tally)
}

/// Takes up to `limit` notices that aren't told to hand them over, ascending by name, those after `after`.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn hand_out<R: IncidentRows>(
    rows: &mut R,
    incident: u64,
    lease: Lease,
    now: Timestamp,
    after: Option<NoticeId>,
    limit: usize,
) -> Result<HandOut, R::Error> {
    if let Some(held) = rows.lease(incident)?
        && held.holder != lease.holder
        && held.until > now
    {
        return Ok(HandOut::Leased(held.until));
    }
    rows.set_lease(incident, lease)?;
    let mut tally = rows.tally(incident)?;
    let mut notices = Vec::new();
    for (notice, state) in rows.untold(incident, after, limit)? {
        if state == NoticeState::Waiting {
            rows.set_untold(incident, &notice, true)?;
            tally.waiting = tally.waiting.saturating_sub(1);
            tally.in_flight += 1;
        }
        notices.push(notice);
    }
    rows.set_tally(incident, tally)?;
    Ok(HandOut::Notices(notices))
}

/// Says that notices have arrived. One that was confirmed before, or isn't on the list, changes nothing.
///
/// Whoever's lease is over may confirm too: what arrived has arrived. If the lease is still theirs, it is renewed.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn confirm<R: IncidentRows>(
    rows: &mut R,
    incident: u64,
    ids: &[NoticeId],
    lease: Lease,
    now: Timestamp,
) -> Result<Tally, R::Error> {
    if rows
        .lease(incident)?
        .is_some_and(|held| held.holder == lease.holder)
    {
        rows.set_lease(incident, lease)?;
    }
    let mut tally = rows.tally(incident)?;
    for id in ids {
        let from = match rows.notice(incident, id)? {
            Some(NoticeState::InFlight) => &mut tally.in_flight,
            Some(NoticeState::Waiting) => &mut tally.waiting,
            Some(NoticeState::Told) | None => continue,
        };
        *from = from.saturating_sub(1);
        tally.told += 1;
        rows.set_told(incident, id, now)?;
    }
    rows.set_tally(incident, tally)?;
    Ok(tally)
}
