//! The rows of what is published.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::{CHANGES, DECOYS_FROM, DECOYS_TO, FINDABLE, MANIFESTS, META, SETTLED, Tables, number};
use crate::store::{
    Progress, Settled, StoreError, StoredManifest, append_published, redb::store_error,
};

impl Tables<'_> {
    pub(in crate::store::redb) fn append_manifest(
        &mut self,
        manifest: &StoredManifest,
        settled: Settled,
    ) -> Result<bool, StoreError> {
        let next = self
            .manifests
            .last()?
            .map_or(1, |(last, _)| last.value() + 1);
        if manifest.sequence != next {
            return Ok(false);
        }
        append_published(self, manifest)?;
        self.manifests.insert(next, manifest.bytes.as_slice())?;
        for (name, number) in [
            (SETTLED, settled.changes),
            (DECOYS_FROM, settled.decoys.0),
            (DECOYS_TO, settled.decoys.1),
        ] {
            self.meta.insert(name, number)?;
        }
        Ok(true)
    }

    /// Removes rows of changes that are settled.
    pub(in crate::store::redb) fn drop_settled(
        &mut self,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let settled = number(&self.meta, SETTLED)?;
        let mut removed = 0;
        let rows = self
            .changed
            .extract_if(|_, (number, _)| number <= settled)?
            .take(limit);
        for row in rows {
            row?;
            removed += 1;
        }
        Ok(removed)
    }
}

pub(in crate::store::redb) fn latest_manifest(
    read: &ReadTransaction,
) -> Result<Option<StoredManifest>, StoreError> {
    let manifests = read.open_table(MANIFESTS).map_err(store_error)?;
    Ok(manifests.last()?.map(|(sequence, bytes)| StoredManifest {
        sequence: sequence.value(),
        bytes: bytes.value().to_vec(),
    }))
}

pub(in crate::store::redb) fn progress(read: &ReadTransaction) -> Result<Progress, StoreError> {
    let meta = read.open_table(META).map_err(store_error)?;
    let findable = read.open_table(FINDABLE).map_err(store_error)?;
    Ok(Progress {
        findable: findable.len()?,
        changes: number(&meta, CHANGES)?,
        settled: Settled {
            changes: number(&meta, SETTLED)?,
            decoys: (number(&meta, DECOYS_FROM)?, number(&meta, DECOYS_TO)?),
        },
    })
}
