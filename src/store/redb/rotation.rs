//! The rotation, in the embedded store.

use std::{ops::Range, sync::Arc, vec::Vec};

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

/// Members in one step: few enough that a charge behind it doesn't wait long.
const PAGE: usize = 1_024;
/// Labels in one step, which are less work.
const LABELS: usize = 4 * PAGE;

fn pages(rows: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    let first = (0..rows).step_by(size);
    first.map(move |first| first..rows.min(first + size))
}

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

    async fn rekey(&self, rekeyed: Rekeyed) -> Result<(), StoreError> {
        let Rekeyed {
            members,
            again,
            end,
        } = rekeyed;
        let members = Arc::new(members);
        for page in pages(members.len(), PAGE) {
            let members = Arc::clone(&members);
            self.writer
                .submit(page.len(), move |tables| {
                    tables.rekey(members.get(page).unwrap_or_default(), again)
                })
                .await?;
        }
        if again {
            return Ok(());
        }
        // By label they come in another order: one after the other, they would touch a page each.
        let labels = Arc::new(self.read(|read| tables::labels_to_rekey(read, &members))?);
        for page in pages(labels.len(), LABELS) {
            let labels = Arc::clone(&labels);
            self.writer
                .submit(page.len(), move |tables| {
                    tables.index_labels(labels.get(page).unwrap_or_default())
                })
                .await?;
        }
        match end {
            Some(end) => {
                self.writer
                    .submit(1, move |tables| tables.end_run(end))
                    .await
            }
            None => Ok(()),
        }
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
        self.writer
            .submit(limit, move |tables| tables.fold_accounts(after, limit))
            .await?;
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
