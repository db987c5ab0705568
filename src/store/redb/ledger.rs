//! The ledger, in the embedded store.

use std::vec::Vec;

use super::{RedbStore, tables};
use crate::{
    server::{
        ledger::{Body, Entry, Head, Month, Sealed, Sealing, Topic, append, seal},
        quota::{AccountKey, Activity, Hour, NetworkActivity, NetworkKey},
    },
    store::{LedgerStore, StoreError},
    timestamp::Timestamp,
};

/// Rows that a step of sealing changes.
const PAGE: usize = 4_096;

impl LedgerStore for RedbStore {
    async fn begin_ledger(&self, service: [u8; 32]) -> Result<(), StoreError> {
        self.writer
            .submit(1, move |tables| tables.begin_ledger(&service))
            .await
    }

    async fn ledger_head(&self) -> Result<Head, StoreError> {
        self.read(tables::ledger_head)
    }

    async fn kept_since(&self) -> Result<Hour, StoreError> {
        self.read(tables::kept_since)
    }

    async fn ledger(&self, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(|read| tables::entries(read, from, limit))
    }

    async fn ledger_about(
        &self,
        from: (Topic, u64),
        last: Topic,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.read(|read| tables::entries_about(read, from, last, limit))
    }

    async fn seal(&self, sealing: Sealing, at: Timestamp) -> Result<Sealed, StoreError> {
        self.writer
            .submit(PAGE, move |tables| seal(tables, &sealing, at))
            .await
    }

    async fn note_destroyed(&self, month: Month, at: Timestamp) -> Result<bool, StoreError> {
        self.writer
            .submit(1, move |tables| {
                let new = !tables.is_in_ledger(Topic::Key(month))?;
                if new {
                    append(tables, at, &Body::KeyDestroyed { month })?;
                }
                Ok(new)
            })
            .await
    }

    async fn latest_charge(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(tables::latest)
    }

    async fn oldest_open(&self) -> Result<Option<Hour>, StoreError> {
        self.writer.look(|tables| tables.oldest_unsealed()).await
    }

    async fn open_activity(
        &self,
        hour: Hour,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<Vec<(AccountKey, Activity)>, StoreError> {
        self.writer
            .submit(limit, move |tables| {
                tables.open_activity(hour, after, limit)
            })
            .await
    }

    async fn open_network_activity(
        &self,
        hour: Hour,
        after: Option<NetworkKey>,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, StoreError> {
        self.writer
            .submit(limit, move |tables| {
                tables.open_network_activity(hour, after, limit)
            })
            .await
    }
}
