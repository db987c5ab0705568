//! The rows of the chain:
//!
//! ```text
//! table           key                                 value
//! ledger          index u64                           see `Entry::encode`
//! ledger_by       topic[5] index_be[8]                -
//! ledger_state    "service" | "totals" | "since"      hash[32] | `Totals::encode` | hour_be[4]
//! ```
//!
//! "totals" is there while an hour is sealed in part; "since" in a file that was made by a version that forgot what accounts did.

use std::{mem, ops::Bound, vec::Vec};

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use super::{Tables, damaged, ledger::hour_of};
use crate::{
    server::{
        ledger::{Entry, Head, LedgerRows, SealRows, Topic, Totals},
        quota::{AccountKey, Activity, Hour, NetworkActivity, NetworkKey},
    },
    store::{StoreError, redb::store_error},
};

type TopicKey = [u8; Topic::ENCODED + 8];

const LEDGER: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("ledger");
const LEDGER_BY: TableDefinition<'_, TopicKey, ()> = TableDefinition::new("ledger_by");
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("ledger_state");

const SERVICE: &str = "service";
const TOTALS: &str = "totals";
const SINCE: &str = "since";

/// The tables of the chain, inside one transaction.
pub(super) struct LedgerTables<'a> {
    entries: Table<'a, u64, &'static [u8]>,
    by_topic: Table<'a, TopicKey, ()>,
    state: Table<'a, &'static str, &'static [u8]>,
}

impl<'a> LedgerTables<'a> {
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            entries: transaction.open_table(LEDGER)?,
            by_topic: transaction.open_table(LEDGER_BY)?,
            state: transaction.open_table(STATE)?,
        })
    }

    /// Says from which hour on everything is kept.
    pub(super) fn set_since(&mut self, hour: Hour) -> Result<(), StoreError> {
        let hour = hour.get().to_be_bytes();
        self.state.insert(SINCE, hour.as_slice())?;
        Ok(())
    }
}

fn topic_key(topic: Topic, index: u64) -> TopicKey {
    let mut key = [0; Topic::ENCODED + 8];
    let (head, tail) = key.split_at_mut(Topic::ENCODED);
    head.copy_from_slice(&topic.encode());
    tail.copy_from_slice(&index.to_be_bytes());
    key
}

fn decode(bytes: &[u8]) -> Result<Entry, StoreError> {
    Entry::decode(bytes).map_err(|_| damaged("an entry of the ledger"))
}

fn head(
    entries: &impl ReadableTable<u64, &'static [u8]>,
    state: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Head, StoreError> {
    if let Some((_, newest)) = entries.last()? {
        return Ok(Head::behind(&decode(newest.value())?));
    }
    let service = state.get(SERVICE)?;
    let service = service.and_then(|service| service.value().try_into().ok());
    Ok(Head::first(&service.unwrap_or_default()))
}

fn totals(
    state: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<Totals>, StoreError> {
    let row = state.get(TOTALS)?;
    row.map(|row| Totals::decode(row.value()).ok_or_else(|| damaged("an hour's sums")))
        .transpose()
}

pub(in crate::store::redb) fn ledger_head(read: &ReadTransaction) -> Result<Head, StoreError> {
    head(
        &read.open_table(LEDGER).map_err(store_error)?,
        &read.open_table(STATE).map_err(store_error)?,
    )
}

pub(in crate::store::redb) fn kept_since(read: &ReadTransaction) -> Result<Hour, StoreError> {
    let state = read.open_table(STATE).map_err(store_error)?;
    let since = state.get(SINCE)?;
    let since = since.and_then(|since| since.value().try_into().ok());
    Ok(Hour::new(since.map_or(0, u32::from_be_bytes)))
}

pub(in crate::store::redb) fn entries(
    read: &ReadTransaction,
    from: u64,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let table = read.open_table(LEDGER).map_err(store_error)?;
    let page = table.range(from..)?.take(limit);
    page.map(|row| decode(row?.1.value())).collect()
}

pub(in crate::store::redb) fn entries_about(
    read: &ReadTransaction,
    (topic, index): (Topic, u64),
    last: Topic,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let by_topic = read.open_table(LEDGER_BY).map_err(store_error)?;
    let entries = read.open_table(LEDGER).map_err(store_error)?;
    let (from, to) = (topic_key(topic, index), topic_key(last, u64::MAX));
    let mut page = Vec::new();
    let found = by_topic.range::<TopicKey>((Bound::Included(from), Bound::Included(to)))?;
    for row in found.take(limit) {
        let key = row?.0.value();
        let index = key.last_chunk().copied().unwrap_or_default();
        let entry = entries.get(u64::from_be_bytes(index))?;
        let entry = entry.ok_or_else(|| damaged("the ledger"))?;
        page.push(decode(entry.value())?);
    }
    Ok(page)
}

impl Tables<'_> {
    pub(in crate::store::redb) fn begin_ledger(
        &mut self,
        service: &[u8; 32],
    ) -> Result<(), StoreError> {
        if self.ledger.entries.first()?.is_none() {
            self.ledger.state.insert(SERVICE, service.as_slice())?;
        }
        Ok(())
    }

    pub(in crate::store::redb) fn is_in_ledger(&self, topic: Topic) -> Result<bool, StoreError> {
        let all = topic_key(topic, 0)..=topic_key(topic, u64::MAX);
        Ok(self.ledger.by_topic.range(all)?.next().is_some())
    }

    /// The oldest hour that isn't sealed, looked up once in a transaction.
    pub(in crate::store::redb) fn oldest_unsealed(&mut self) -> Result<Option<Hour>, StoreError> {
        let kept = match self.hot.oldest {
            Some(known) => known,
            None => {
                let begun = totals(&self.ledger.state)?.map(|totals| totals.hour);
                let hours = [self.logged.oldest_hour()?, begun];
                hours.into_iter().flatten().min()
            }
        };
        self.hot.oldest = Some(kept);
        // Those that are held back.
        let accounts = self.hot.activity.first_key_value().map(|(key, _)| key);
        let networks = self.hot.network_activity.first_key_value();
        let networks = networks.map(|(key, _)| key);
        let held = [accounts, networks].into_iter().flatten();
        let held = held.map(|key| hour_of(key));
        Ok(held.chain(kept).min())
    }

    /// Has what is held back of hours written, so that all of it is in one place.
    pub(super) fn write_hours(&mut self) -> Result<(), StoreError> {
        for (key, row) in mem::take(&mut self.hot.activity) {
            self.logged.set_activity(&key, &row)?;
        }
        for (key, row) in mem::take(&mut self.hot.network_activity) {
            self.logged.set_network_activity(&key, &row)?;
        }
        self.hot.oldest = None;
        Ok(())
    }

    pub(in crate::store::redb) fn open_activity(
        &mut self,
        hour: Hour,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<Vec<(AccountKey, Activity)>, StoreError> {
        self.write_hours()?;
        self.logged.activity_page(hour, after, limit)
    }

    pub(in crate::store::redb) fn open_network_activity(
        &mut self,
        hour: Hour,
        after: Option<NetworkKey>,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, StoreError> {
        self.write_hours()?;
        self.logged.network_activity_page(hour, after, limit)
    }
}

impl LedgerRows for Tables<'_> {
    type Error = StoreError;

    fn head(&mut self) -> Result<Head, StoreError> {
        head(&self.ledger.entries, &self.ledger.state)
    }

    fn put_entry(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let bytes = entry.encode();
        self.ledger
            .entries
            .insert(entry.index(), bytes.as_slice())?;
        if let Some(topic) = entry.topic() {
            let key = topic_key(topic, entry.index());
            self.ledger.by_topic.insert(key, ())?;
        }
        Ok(())
    }
}

impl SealRows for Tables<'_> {
    fn take_activity(
        &mut self,
        hour: Hour,
        limit: usize,
    ) -> Result<Vec<(AccountKey, Activity)>, StoreError> {
        self.write_hours()?;
        self.logged.take_activity(hour, limit)
    }

    fn take_network_activity(
        &mut self,
        hour: Hour,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, StoreError> {
        self.write_hours()?;
        self.logged.take_network_activity(hour, limit)
    }

    fn totals(&mut self) -> Result<Option<Totals>, StoreError> {
        totals(&self.ledger.state)
    }

    fn set_totals(&mut self, totals: Option<&Totals>) -> Result<(), StoreError> {
        self.hot.oldest = None;
        match totals {
            Some(totals) => {
                let row = totals.encode();
                self.ledger.state.insert(TOTALS, row.as_slice())?;
            }
            None => drop(self.ledger.state.remove(TOTALS)?),
        }
        Ok(())
    }
}
