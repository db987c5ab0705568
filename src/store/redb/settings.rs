//! What accounts choose, in the embedded store.

use super::{RedbStore, tables};
use crate::{
    label::Label,
    server::directory::{Choice, ChoiceOutcome, Identity, choose},
    store::{LabelledPage, SettingStore, StoreError},
};

impl SettingStore for RedbStore {
    async fn labelled(
        &self,
        label: &Label,
        after: Option<Identity>,
        limit: usize,
    ) -> Result<LabelledPage, StoreError> {
        self.read(|read| tables::labelled(read, label, after, limit))
    }

    async fn choose(
        &self,
        choice: Choice,
        after: Option<Identity>,
        limit: usize,
    ) -> Result<ChoiceOutcome, StoreError> {
        self.writer
            .submit(1, move |tables| choose(tables, &choice, after, limit))
            .await
    }
}
