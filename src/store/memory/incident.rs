//! Incidents, and the rows of their notices.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    ops::Bound,
    vec::Vec,
};

use super::{MemoryStore, Rows, never};
use crate::{
    label::Label,
    server::{
        incident::{
            HandOut, Incident, IncidentRows, Lease, Notice, NoticeId, NoticeState, Tally, confirm,
            enlist, hand_out, open, replace,
        },
        quota::Suspect,
    },
    store::{IncidentStore, StoreError},
    timestamp::Timestamp,
};

/// Incidents, and whom they concern.
#[derive(Default)]
pub(super) struct Incidents {
    incidents: BTreeMap<u64, Incident>,
    untold: BTreeMap<(u64, NoticeId), (Label, bool)>,
    told: BTreeMap<(u64, NoticeId), Timestamp>,
    tallies: HashMap<u64, Tally>,
    leases: HashMap<u64, Lease>,
}

impl Incidents {
    /// Whether evidence has to stay.
    pub(super) fn is_frozen(&self) -> bool {
        let mut incidents = self.incidents.values();
        incidents.any(|incident| incident.closing().is_none())
    }
}

impl IncidentStore for MemoryStore {
    async fn open_incident(&self, incident: Incident) -> Result<Incident, StoreError> {
        Ok(never(open(&mut *self.rows()?, incident)))
    }

    async fn incidents(&self) -> Result<Vec<Incident>, StoreError> {
        Ok(never(self.rows()?.incidents()))
    }

    async fn replace_incident(
        &self,
        before: Incident,
        after: Incident,
    ) -> Result<bool, StoreError> {
        Ok(never(replace(&mut *self.rows()?, &before, &after)))
    }

    async fn enlist_notices(&self, incident: u64, notices: Vec<Notice>) -> Result<(), StoreError> {
        never(enlist(&mut *self.rows()?, incident, &notices));
        Ok(())
    }

    async fn hand_out_notices(
        &self,
        incident: u64,
        lease: Lease,
        now: Timestamp,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<HandOut, StoreError> {
        let mut rows = self.rows()?;
        Ok(never(hand_out(
            &mut *rows, incident, lease, now, after, limit,
        )))
    }

    async fn confirm_notices(
        &self,
        incident: u64,
        ids: Vec<NoticeId>,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Tally, StoreError> {
        Ok(never(confirm(
            &mut *self.rows()?,
            incident,
            &ids,
            lease,
            now,
        )))
    }

    async fn notice_tally(&self, incident: u64) -> Result<Tally, StoreError> {
        Ok(never(self.rows()?.tally(incident)))
    }
}

impl IncidentRows for Rows {
    fn incidents(&mut self) -> Result<Vec<Incident>, Infallible> {
        Ok(self.incident.incidents.values().cloned().collect())
    }

    fn set_incident(&mut self, incident: &Incident) -> Result<(), Infallible> {
        self.incident
            .incidents
            .insert(incident.id(), incident.clone());
        Ok(())
    }

    fn set_suspended(&mut self, suspect: Suspect, suspended: bool) -> Result<(), Infallible> {
        if suspended {
            self.suspended.insert(suspect, Timestamp::MAX);
        } else {
            self.suspended.remove(&suspect);
        }
        Ok(())
    }

    fn lease(&mut self, incident: u64) -> Result<Option<Lease>, Infallible> {
        Ok(self.incident.leases.get(&incident).copied())
    }

    fn set_lease(&mut self, incident: u64, lease: Lease) -> Result<(), Infallible> {
        self.incident.leases.insert(incident, lease);
        Ok(())
    }

    fn tally(&mut self, incident: u64) -> Result<Tally, Infallible> {
        let tally = self.incident.tallies.get(&incident).copied();
        Ok(tally.unwrap_or_default())
    }

    fn set_tally(&mut self, incident: u64, tally: Tally) -> Result<(), Infallible> {
        self.incident.tallies.insert(incident, tally);
        Ok(())
    }

    fn notice(&mut self, incident: u64, id: &NoticeId) -> Result<Option<NoticeState>, Infallible> {
        let key = (incident, *id);
        if self.incident.told.contains_key(&key) {
            return Ok(Some(NoticeState::Told));
        }
        let untold = self.incident.untold.get(&key);
        Ok(untold.map(|(_, in_flight)| state(*in_flight)))
    }

    fn untold(
        &mut self,
        incident: u64,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<Vec<(Notice, NoticeState)>, Infallible> {
        let first = (incident, NoticeId::new([0; 16]));
        let from = after.map_or(Bound::Included(first), |after| {
            Bound::Excluded((incident, after))
        });
        let last = (incident, NoticeId::new([0xff; 16]));
        let untold = self.incident.untold.range((from, Bound::Included(last)));
        Ok(untold
            .take(limit)
            .map(|((_, id), (label, in_flight))| {
                let label = label.clone();
                (Notice { id: *id, label }, state(*in_flight))
            })
            .collect())
    }

    fn set_untold(
        &mut self,
        incident: u64,
        notice: &Notice,
        in_flight: bool,
    ) -> Result<(), Infallible> {
        let row = (notice.label.clone(), in_flight);
        self.incident.untold.insert((incident, notice.id), row);
        Ok(())
    }

    fn set_told(&mut self, incident: u64, id: &NoticeId, at: Timestamp) -> Result<(), Infallible> {
        self.incident.untold.remove(&(incident, *id));
        self.incident.told.insert((incident, *id), at);
        Ok(())
    }
}

fn state(in_flight: bool) -> NoticeState {
    if in_flight {
        NoticeState::InFlight
    } else {
        NoticeState::Waiting
    }
}
