//! Canaries, in the embedded store.

use std::vec::Vec;

use super::{RedbStore, tables};
use crate::{
    label::Label,
    store::{Canaries, CanaryStore, StoreError},
    timestamp::Timestamp,
};

impl CanaryStore for RedbStore {
    async fn add_canaries(&self, labels: Vec<Label>, at: Timestamp) -> Result<usize, StoreError> {
        self.writer
            .submit(labels.len(), move |tables| tables.add_canaries(&labels, at))
            .await
    }

    async fn canaries(&self) -> Result<Canaries, StoreError> {
        self.read(tables::canaries)
    }
}
