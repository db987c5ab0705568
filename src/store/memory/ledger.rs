//! The ledger, in memory.

use std::{collections::BTreeMap, ops::Bound, vec::Vec};

use super::MemoryStore;
use crate::{
    server::quota::{AccountKey, Activity, Hour, NetworkActivity, NetworkKey},
    store::{LedgerStore, StoreError},
};

/// The rows of the ledger.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) activity: BTreeMap<(Hour, AccountKey), Activity>,
    pub(super) network_activity: BTreeMap<(Hour, NetworkKey), NetworkActivity>,
}

impl Ledger {
    /// Forgets hours before one.
    pub(super) fn forget(&mut self, oldest: Hour) {
        self.activity.retain(|(hour, _), _| *hour >= oldest);
        self.network_activity.retain(|(hour, _), _| *hour >= oldest);
    }

    pub(super) fn oldest_open(&self) -> Option<Hour> {
        let first = self.activity.first_key_value();
        first.map(|((hour, _), _)| *hour)
    }
}

impl LedgerStore for MemoryStore {
    async fn oldest_open(&self) -> Result<Option<Hour>, StoreError> {
        Ok(self.rows()?.ledger.oldest_open())
    }

    async fn open_activity(
        &self,
        hour: Hour,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<Vec<(AccountKey, Activity)>, StoreError> {
        let first = AccountKey::new([0; 32]);
        let rows = self.rows()?;
        Ok(page(&rows.ledger.activity, hour, after, first, limit))
    }

    async fn open_network_activity(
        &self,
        hour: Hour,
        after: Option<NetworkKey>,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, StoreError> {
        let first = NetworkKey::new([0; 32]);
        let rows = self.rows()?;
        Ok(page(
            &rows.ledger.network_activity,
            hour,
            after,
            first,
            limit,
        ))
    }
}

fn page<K: Ord + Copy, V: Copy>(
    rows: &BTreeMap<(Hour, K), V>,
    hour: Hour,
    after: Option<K>,
    first: K,
    limit: usize,
) -> Vec<(K, V)> {
    let from = match after {
        Some(after) => Bound::Excluded((hour, after)),
        None => Bound::Included((hour, first)),
    };
    let rows = rows.range((from, Bound::Unbounded));
    rows.take_while(|((of, _), _)| *of == hour)
        .map(|((_, key), row)| (*key, *row))
        .take(limit)
        .collect()
}
