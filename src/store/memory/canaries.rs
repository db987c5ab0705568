//! Canaries, in memory.

use std::vec::Vec;

use super::MemoryStore;
use crate::{
    label::Label,
    store::{Canaries, CanaryStore, StoreError},
    timestamp::Timestamp,
};

impl CanaryStore for MemoryStore {
    async fn add_canaries(&self, labels: Vec<Label>, _: Timestamp) -> Result<usize, StoreError> {
        let canaries = &mut self.rows()?.canaries;
        let before = canaries.len();
        canaries.extend(labels.iter().map(|label| label.as_bytes().to_vec()));
        Ok(canaries.len() - before)
    }

    async fn canaries(&self) -> Result<Canaries, StoreError> {
        let rows = self.rows()?;
        let labels = rows
            .canaries
            .iter()
            .filter_map(|label| Label::new(label).ok());
        Ok(Canaries::new(labels.collect()))
    }
}
