//! The rows of incidents:
//!
//! ```text
//! table           key                                 value
//! incidents       incident u64                        see `Incident::encode`
//! notices         incident_be[8] notice[16]           in flight u8, label
//! notices_told    incident_be[8] notice[16]           when, microseconds u64
//! notice_tallies  incident u64                        waiting u64, in flight u64, told u64
//! notice_leases   incident u64                        holder u64, until, microseconds u64
//! ```
//!
//! A notice that is told goes from `notices` to `notices_told`, without its label.

use std::{ops::Bound, vec::Vec};

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};
use zeroize::Zeroizing;

use super::{Tables, damaged};
use crate::{
    label::Label,
    server::{
        incident::{Incident, IncidentRows, Lease, Notice, NoticeId, NoticeState, Tally},
        quota::Suspect,
    },
    store::{StoreError, redb::store_error},
    timestamp::Timestamp,
};

type NoticeKey = [u8; 24];

const INCIDENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("incidents");
const NOTICES: TableDefinition<'_, NoticeKey, &[u8]> = TableDefinition::new("notices");
const TOLD: TableDefinition<'_, NoticeKey, u64> = TableDefinition::new("notices_told");
const TALLIES: TableDefinition<'_, u64, (u64, u64, u64)> = TableDefinition::new("notice_tallies");
const LEASES: TableDefinition<'_, u64, (u64, u64)> = TableDefinition::new("notice_leases");

/// The tables of incidents, inside one transaction.
pub(super) struct IncidentTables<'a> {
    incidents: Table<'a, u64, &'static [u8]>,
    notices: Table<'a, NoticeKey, &'static [u8]>,
    told: Table<'a, NoticeKey, u64>,
    tallies: Table<'a, u64, (u64, u64, u64)>,
    leases: Table<'a, u64, (u64, u64)>,
}

impl<'a> IncidentTables<'a> {
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            incidents: transaction.open_table(INCIDENTS)?,
            notices: transaction.open_table(NOTICES)?,
            told: transaction.open_table(TOLD)?,
            tallies: transaction.open_table(TALLIES)?,
            leases: transaction.open_table(LEASES)?,
        })
    }
}

fn notice_key(incident: u64, id: &NoticeId) -> NoticeKey {
    let mut key = [0; 24];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&incident.to_be_bytes());
    tail.copy_from_slice(id.as_bytes());
    key
}

fn all(incidents: &impl ReadableTable<u64, &'static [u8]>) -> Result<Vec<Incident>, StoreError> {
    let rows = incidents.iter()?;
    rows.map(|row| Incident::decode(row?.1.value()).map_err(|_| damaged("an incident")))
        .collect()
}

fn tally(
    tallies: &impl ReadableTable<u64, (u64, u64, u64)>,
    incident: u64,
) -> Result<Tally, StoreError> {
    let row = tallies.get(incident)?;
    let (waiting, in_flight, told) = row.map(|row| row.value()).unwrap_or_default();
    Ok(Tally {
        waiting,
        in_flight,
        told,
    })
}

pub(in crate::store::redb) fn incidents(
    read: &ReadTransaction,
) -> Result<Vec<Incident>, StoreError> {
    all(&read.open_table(INCIDENTS).map_err(store_error)?)
}

pub(in crate::store::redb) fn notice_tally(
    read: &ReadTransaction,
    incident: u64,
) -> Result<Tally, StoreError> {
    tally(&read.open_table(TALLIES).map_err(store_error)?, incident)
}

impl Tables<'_> {
    /// Whether evidence has to stay.
    pub(in crate::store::redb) fn is_frozen(&self) -> Result<bool, StoreError> {
        let incidents = all(&self.incident.incidents)?;
        Ok(incidents.iter().any(|one| one.closing().is_none()))
    }
}

impl IncidentRows for Tables<'_> {
    fn incidents(&mut self) -> Result<Vec<Incident>, StoreError> {
        all(&self.incident.incidents)
    }

    fn set_incident(&mut self, incident: &Incident) -> Result<(), StoreError> {
        let bytes = incident.encode();
        self.incident
            .incidents
            .insert(incident.id(), bytes.as_slice())?;
        Ok(())
    }

    fn set_suspended(&mut self, suspect: Suspect, suspended: bool) -> Result<(), StoreError> {
        self.set_suspension(&suspect, suspended.then_some(Timestamp::MAX))
    }

    fn lease(&mut self, incident: u64) -> Result<Option<Lease>, StoreError> {
        let row = self.incident.leases.get(incident)?;
        Ok(row.map(|row| {
            let (holder, until) = row.value();
            let until = Timestamp::from_micros(until);
            Lease { holder, until }
        }))
    }

    fn set_lease(&mut self, incident: u64, lease: Lease) -> Result<(), StoreError> {
        let row = (lease.holder, lease.until.as_micros());
        self.incident.leases.insert(incident, row)?;
        Ok(())
    }

    fn tally(&mut self, incident: u64) -> Result<Tally, StoreError> {
        tally(&self.incident.tallies, incident)
    }

    fn set_tally(&mut self, incident: u64, tally: Tally) -> Result<(), StoreError> {
        let row = (tally.waiting, tally.in_flight, tally.told);
        self.incident.tallies.insert(incident, row)?;
        Ok(())
    }

    fn notice(&mut self, incident: u64, id: &NoticeId) -> Result<Option<NoticeState>, StoreError> {
        let key = notice_key(incident, id);
        if self.incident.told.get(key)?.is_some() {
            return Ok(Some(NoticeState::Told));
        }
        let row = self.incident.notices.get(key)?;
        let row = row.map(|row| decode(*id, row.value())).transpose()?;
        Ok(row.map(|(_, state)| state))
    }

    fn untold(
        &mut self,
        incident: u64,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<Vec<(Notice, NoticeState)>, StoreError> {
        let first = notice_key(incident, &NoticeId::new([0; 16]));
        let from = after.map_or(Bound::Included(first), |after| {
            Bound::Excluded(notice_key(incident, &after))
        });
        let last = notice_key(incident, &NoticeId::new([0xff; 16]));
        let rows = self
            .incident
            .notices
            .range::<NoticeKey>((from, Bound::Included(last)))?;
        rows.take(limit)
            .map(|row| {
                let (key, value) = row?;
                let id = key.value().last_chunk().copied().unwrap_or_default();
                decode(NoticeId::new(id), value.value())
            })
            .collect()
    }

    fn set_untold(
        &mut self,
        incident: u64,
        notice: &Notice,
        in_flight: bool,
    ) -> Result<(), StoreError> {
        // Wiped, as the label is.
        let mut row = Zeroizing::new(Vec::with_capacity(1 + notice.label.as_bytes().len()));
        row.push(u8::from(in_flight));
        row.extend_from_slice(notice.label.as_bytes());
        let key = notice_key(incident, &notice.id);
        self.incident.notices.insert(key, row.as_slice())?;
        Ok(())
    }

    fn set_told(&mut self, incident: u64, id: &NoticeId, at: Timestamp) -> Result<(), StoreError> {
        let key = notice_key(incident, id);
        self.incident.notices.remove(key)?;
        self.incident.told.insert(key, at.as_micros())?;
        Ok(())
    }
}

fn decode(id: NoticeId, row: &[u8]) -> Result<(Notice, NoticeState), StoreError> {
    let state = match row.first() {
        Some(0) => NoticeState::Waiting,
        Some(1) => NoticeState::InFlight,
        _ => return Err(damaged("a notice")),
    };
    let label = Label::new(row.get(1..).unwrap_or_default()).map_err(|_| damaged("a label"))?;
    Ok((Notice { id, label }, state))
}
