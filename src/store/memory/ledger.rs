//! The ledger, in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    ops::Bound,
    vec::Vec,
};

use super::{MemoryStore, Rows, never};
use crate::{
    server::{
        ledger::{
            Body, Entry, Head, LedgerRows, Month, SealRows, Sealed, Sealing, Topic, Totals, append,
            seal,
        },
        quota::{AccountKey, Activity, Hour, NetworkActivity, NetworkKey},
    },
    store::{LedgerStore, StoreError},
    timestamp::Timestamp,
};

/// The rows of the ledger.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) activity: BTreeMap<(Hour, AccountKey), Activity>,
    pub(super) network_activity: BTreeMap<(Hour, NetworkKey), NetworkActivity>,
    service: [u8; 32],
    entries: Vec<Entry>,
    by_topic: BTreeSet<(Topic, u64)>,
    /// Of an hour that is sealed in part.
    totals: Option<Totals>,
}

impl Ledger {
    /// The oldest hour that has a row, or sums.
    pub(super) fn oldest_open(&self) -> Option<Hour> {
        let accounts = self.activity.first_key_value().map(|((hour, _), _)| *hour);
        let networks = self.network_activity.first_key_value();
        let networks = networks.map(|((hour, _), _)| *hour);
        let totals = self.totals.map(|totals| totals.hour);
        [accounts, networks, totals].into_iter().flatten().min()
    }
}

impl LedgerRows for Rows {
    type Error = Infallible;

    fn head(&mut self) -> Result<Head, Infallible> {
        let newest = self.ledger.entries.last();
        Ok(newest.map_or_else(|| Head::first(&self.ledger.service), Head::behind))
    }

    fn put_entry(&mut self, entry: &Entry) -> Result<(), Infallible> {
        if let Some(topic) = entry.topic() {
            self.ledger.by_topic.insert((topic, entry.index()));
        }
        self.ledger.entries.push(entry.clone());
        Ok(())
    }
}

impl SealRows for Rows {
    fn take_activity(
        &mut self,
        hour: Hour,
        limit: usize,
    ) -> Result<Vec<(AccountKey, Activity)>, Infallible> {
        Ok(take(&mut self.ledger.activity, hour, limit))
    }

    fn take_network_activity(
        &mut self,
        hour: Hour,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, Infallible> {
        Ok(take(&mut self.ledger.network_activity, hour, limit))
    }

    fn totals(&mut self) -> Result<Option<Totals>, Infallible> {
        Ok(self.ledger.totals)
    }

    fn set_totals(&mut self, totals: Option<&Totals>) -> Result<(), Infallible> {
        self.ledger.totals = totals.copied();
        Ok(())
    }
}

impl LedgerStore for MemoryStore {
    async fn begin_ledger(&self, service: [u8; 32]) -> Result<(), StoreError> {
        let ledger = &mut self.rows()?.ledger;
        if ledger.entries.is_empty() {
            ledger.service = service;
        }
        Ok(())
    }

    async fn ledger_head(&self) -> Result<Head, StoreError> {
        Ok(never(self.rows()?.head()))
    }

    async fn kept_since(&self) -> Result<Hour, StoreError> {
        Ok(Hour::new(0))
    }

    async fn ledger(&self, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let rows = self.rows()?;
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let page = rows.ledger.entries.iter().skip(from).take(limit);
        Ok(page.cloned().collect())
    }

    async fn ledger_about(
        &self,
        from: (Topic, u64),
        last: Topic,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let rows = self.rows()?;
        if from > (last, u64::MAX) {
            return Ok(Vec::new());
        }
        let found = rows.ledger.by_topic.range(from..=(last, u64::MAX));
        let entry = |(_, index): &(Topic, u64)| {
            let entries = &rows.ledger.entries;
            entries.get(usize::try_from(*index).ok()?).cloned()
        };
        Ok(found.take(limit).filter_map(entry).collect())
    }

    async fn seal(&self, sealing: Sealing, at: Timestamp) -> Result<Sealed, StoreError> {
        Ok(never(seal(&mut *self.rows()?, &sealing, at)))
    }

    async fn note_destroyed(&self, month: Month, at: Timestamp) -> Result<bool, StoreError> {
        let mut rows = self.rows()?;
        let topic = Topic::Key(month);
        let mut noted = rows.ledger.by_topic.range((topic, 0)..=(topic, u64::MAX));
        if noted.next().is_some() {
            return Ok(false);
        }
        never(append(&mut *rows, at, &Body::KeyDestroyed { month }));
        Ok(true)
    }

    async fn latest_charge(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.rows()?.latest)
    }

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

/// Removes the first rows of an hour.
fn take<K: Ord + Copy, V: Copy>(
    rows: &mut BTreeMap<(Hour, K), V>,
    hour: Hour,
    limit: usize,
) -> Vec<(K, V)> {
    let mut taken = Vec::new();
    while taken.len() < limit
        && let Some(first) = rows.first_entry()
        && first.key().0 == hour
    {
        let ((_, key), row) = first.remove_entry();
        taken.push((key, row));
    }
    taken
}
