//! Incidents, in the embedded store.

use std::vec::Vec;

use super::{RedbStore, tables};
use crate::{
    server::incident::{
        HandOut, Incident, Lease, Notice, NoticeId, Tally, confirm, enlist, hand_out, open, replace,
    },
    store::{IncidentStore, StoreError},
    timestamp::Timestamp,
};

impl IncidentStore for RedbStore {
    async fn open_incident(&self, incident: Incident) -> Result<Incident, StoreError> {
        self.writer
            .submit(1, move |tables| open(tables, incident))
            .await
    }

    async fn incidents(&self) -> Result<Vec<Incident>, StoreError> {
        self.read(tables::incidents)
    }

    async fn replace_incident(
        &self,
        before: Incident,
        after: Incident,
    ) -> Result<bool, StoreError> {
        self.writer
            .submit(1, move |tables| replace(tables, &before, &after))
            .await
    }

    async fn enlist_notices(&self, incident: u64, notices: Vec<Notice>) -> Result<(), StoreError> {
        self.writer
            .submit(notices.len(), move |tables| {
                enlist(tables, incident, &notices)
            })
            .await
    }

    async fn hand_out_notices(
        &self,
        incident: u64,
        lease: Lease,
        now: Timestamp,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<HandOut, StoreError> {
        self.writer
            .submit(limit, move |tables| {
                hand_out(tables, incident, lease, now, after, limit)
            })
            .await
    }

    async fn confirm_notices(
        &self,
        incident: u64,
        ids: Vec<NoticeId>,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Tally, StoreError> {
        self.writer
            .submit(ids.len(), move |tables| {
                confirm(tables, incident, &ids, lease, now)
            })
            .await
    }

    async fn notice_tally(&self, incident: u64) -> Result<Tally, StoreError> {
        self.read(|read| tables::notice_tally(read, incident))
    }
}
