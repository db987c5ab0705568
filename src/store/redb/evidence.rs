//! Who could be found when, in the embedded store.

use super::{RedbStore, tables};
use crate::{
    oprf::{Encoding, Epoch},
    server::{directory::Window, incident::Period},
    store::{AffectedPage, EvidenceStore, StoreError},
};

impl EvidenceStore for RedbStore {
    async fn lost(&self) -> Result<Option<Period>, StoreError> {
        self.read(tables::lost)
    }

    async fn members_between(
        &self,
        epoch: Epoch,
        window: Window,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<AffectedPage, StoreError> {
        self.read(|read| tables::between(read, epoch, &window, after, limit))
    }
}
