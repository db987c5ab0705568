//! What detection has found, in the embedded store.

use std::vec::Vec;

use super::{RedbStore, tables};
use crate::{
    server::detect::{Signal, SignalRows},
    store::{SignalStore, StoreError},
};

impl SignalStore for RedbStore {
    async fn signals(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Signal)>, StoreError> {
        self.read(|read| tables::signals(read, before, limit))
    }

    async fn keep_signal(&self, signal: Signal) -> Result<u64, StoreError> {
        self.writer
            .submit(1, move |tables| tables.keep_signal(&signal))
            .await
    }
}
