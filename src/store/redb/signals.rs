//! What detection has found, in the embedded store.

use std::{sync::Arc, vec::Vec};

use super::{RedbStore, tables};
use crate::{
    server::{
        detect::Signal,
        ledger::{LedgerKey, note_signal},
    },
    store::{SignalStore, StoreError},
    timestamp::Timestamp,
};

impl SignalStore for RedbStore {
    async fn signals(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Signal)>, StoreError> {
        self.read(|read| tables::signals(read, before, limit))
    }

    async fn note_signal(
        &self,
        signal: Signal,
        key: Arc<LedgerKey>,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        self.writer
            .submit(1, move |tables| note_signal(tables, &signal, &key, at))
            .await
    }
}
