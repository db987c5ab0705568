//! Who could be found when, in memory.

use std::{ops::Bound, vec::Vec};

use super::MemoryStore;
use crate::{
    oprf::{Encoding, Epoch},
    server::{directory::Window, incident::Period},
    store::{Affected, AffectedPage, EvidenceStore, StoreError},
};

impl EvidenceStore for MemoryStore {
    async fn lost(&self) -> Result<Option<Period>, StoreError> {
        Ok(None)
    }

    async fn members_between(
        &self,
        epoch: Epoch,
        window: Window,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<AffectedPage, StoreError> {
        let rows = self.rows()?;
        let first = match after {
            Some(after) => Bound::Excluded((epoch.get(), after)),
            None => Bound::Included((epoch.get(), [0; 32])),
        };
        let end = Bound::Included((epoch.get(), [0xff; 32]));
        let page: Vec<_> = rows.members.range((first, end)).take(limit).collect();
        let affected = page.iter().filter_map(|(_, member)| {
            let labels = member.labels_within(&window);
            let region = member.region();
            (!labels.is_empty()).then_some(Affected { region, labels })
        });
        Ok(AffectedPage {
            affected: affected.collect(),
            last: page
                .last()
                .filter(|_| page.len() == limit)
                .map(|(key, _)| key.1),
        })
    }
}
