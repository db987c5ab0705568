//! The rotation, in the embedded store.

use std::vec::Vec;

use super::{RedbStore, tables};
use crate::{
    oprf::{Encoding, Epoch, UnblindedElement},
    server::{
        quota::AccountKey,
        rotation::{Rotation, RotationKind, Window},
    },
    store::{DroppedClaims, Rekeyed, RotationStore, Settled, StoreError, StoredManifest, Switched},
    timestamp::Timestamp,
};

impl RotationStore for RedbStore {
    async fn rotation(&self) -> Result<Option<Rotation>, StoreError> {
        self.read(tables::rotation)
    }

    async fn begin_rotation(&self, from: Epoch, kind: RotationKind) -> Result<bool, StoreError> {
        self.writer
            .submit(1, move |tables| tables.begin_rotation(from, kind))
            .await
    }

    async fn harden_rotation(&self) -> Result<bool, StoreError> {
        self.writer
            .submit(1, |tables| tables.harden_rotation())
            .await
    }

    async fn to_rekey(
        &self,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<Vec<UnblindedElement>, StoreError> {
        self.read(|read| tables::to_rekey(read, after, limit))
    }

    async fn to_rekey_again(&self, limit: usize) -> Result<Vec<UnblindedElement>, StoreError> {
        self.read(|read| tables::to_rekey_again(read, limit))
    }

    async fn rekey(&self, members: Rekeyed) -> Result<(), StoreError> {
        self.writer
            .submit(members.members.len(), move |tables| tables.rekey(&members))
            .await
    }

    async fn switch_epoch(
        &self,
        manifest: StoredManifest,
        settled: Settled,
        window: Option<Window>,
    ) -> Result<Switched, StoreError> {
        self.writer
            .submit(1, move |tables| {
                tables.switch_epoch(&manifest, settled, window)
            })
            .await
    }

    async fn end_window(&self, at: Option<Timestamp>) -> Result<bool, StoreError> {
        self.writer
            .submit(1, move |tables| tables.end_window(at))
            .await
    }

    async fn drop_old(&self, limit: usize) -> Result<usize, StoreError> {
        self.writer
            .submit(limit, move |tables| tables.drop_old(limit))
            .await
    }

    async fn drop_claims(
        &self,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<DroppedClaims, StoreError> {
        // Looking is most of the work and doesn't keep charges waiting; what is found is looked at again.
        let (old, last) = self.read(|read| tables::old_claims(read, after, limit))?;
        let dropped = old.len();
        if dropped > 0 {
            self.writer
                .submit(dropped, move |tables| tables.drop_claims(&old))
                .await?;
        }
        Ok(DroppedClaims { last, dropped })
    }

    async fn finish_rotation(&self) -> Result<(), StoreError> {
        self.writer
            .submit(1, |tables| tables.finish_rotation())
            .await
    }
}
