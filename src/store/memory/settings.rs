//! What accounts choose, in memory.

use std::{convert::Infallible, ops::Bound, vec::Vec};

use super::{MemoryStore, Rows, never};
use crate::{
    label::Label,
    oprf::Epoch,
    server::directory::{Choice, ChoiceOutcome, Identity, LabelRows, choose},
    store::{LabelledPage, SettingStore, StoreError},
};

impl SettingStore for MemoryStore {
    async fn labelled(
        &self,
        label: &Label,
        after: Option<Identity>,
        limit: usize,
    ) -> Result<LabelledPage, StoreError> {
        let mut rows = self.rows()?;
        let identities = never(LabelRows::labelled(&mut *rows, label, after, limit));
        let members = identities.iter().filter_map(|(epoch, unblinded)| {
            let member = rows.members.get(&(epoch.get(), *unblinded))?;
            Some((*epoch, member.clone()))
        });
        Ok(LabelledPage {
            members: members.collect(),
            last: identities
                .last()
                .filter(|_| identities.len() == limit)
                .copied(),
        })
    }

    async fn choose(
        &self,
        choice: Choice,
        after: Option<Identity>,
        limit: usize,
    ) -> Result<ChoiceOutcome, StoreError> {
        Ok(never(choose(&mut *self.rows()?, &choice, after, limit)))
    }
}

impl LabelRows for Rows {
    fn labelled(
        &mut self,
        label: &Label,
        after: Option<Identity>,
        limit: usize,
    ) -> Result<Vec<Identity>, Infallible> {
        let label = label.as_bytes().to_vec();
        let first = match after {
            Some((epoch, unblinded)) => Bound::Excluded((label.clone(), (epoch.get(), unblinded))),
            None => Bound::Included((label.clone(), (0, [0; 32]))),
        };
        let end = Bound::Included((label, (u64::MAX, [0xff; 32])));
        let page = self.labelled.range((first, end)).take(limit);
        Ok(page
            .map(|(_, (epoch, unblinded))| (Epoch::new(*epoch), *unblinded))
            .collect())
    }
}
