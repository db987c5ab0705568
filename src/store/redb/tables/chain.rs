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

use super::{
    Tables, damaged,
    ledger::{HourKey, activity, hour_key, hour_of},
};
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

/// The oldest hour that has a row, or sums.
pub(super) fn oldest<A: redb::Value + 'static, N: redb::Value + 'static>(
    accounts: &impl ReadableTable<HourKey, A>,
    networks: &impl ReadableTable<HourKey, N>,
    state: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<Hour>, StoreError> {
    let hours = [
        accounts.first()?.map(|(key, _)| hour_of(&key.value())),
        networks.first()?.map(|(key, _)| hour_of(&key.value())),
        totals(state)?.map(|totals| totals.hour),
    ];
    Ok(hours.into_iter().flatten().min())
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

pub(in crate::store::redb) fn oldest_open(
    read: &ReadTransaction,
) -> Result<Option<Hour>, StoreError> {
    oldest(
        &read.open_table(super::ACTIVITY).map_err(store_error)?,
        &read
            .open_table(super::NETWORK_ACTIVITY)
            .map_err(store_error)?,
        &read.open_table(STATE).map_err(store_error)?,
    )
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
    pub(super) fn oldest_unsealed(&mut self) -> Result<Option<Hour>, StoreError> {
        let kept = match self.hot.oldest {
            Some(known) => known,
            None => oldest(&self.activity, &self.network_activity, &self.ledger.state)?,
        };
        self.hot.oldest = Some(kept);
        // Those that are held back.
        let accounts = self.hot.activity.first_key_value().map(|(key, _)| key);
        let networks = self.hot.network_activity.first_key_value();
        let networks = networks.map(|(key, _)| key);
        let held = [accounts, networks].into_iter().flatten().map(hour_of);
        Ok(held.chain(kept).min())
    }

    /// Writes what is held back of hours, so that all of it is in one place.
    fn settle_hours(&mut self) -> Result<(), StoreError> {
        for (key, row) in mem::take(&mut self.hot.activity) {
            self.activity.insert(key, row.encode())?;
        }
        for (key, row) in mem::take(&mut self.hot.network_activity) {
            self.network_activity
                .insert(key, (row.young_accounts, row.young_elements))?;
        }
        self.hot.oldest = None;
        Ok(())
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
        self.settle_hours()?;
        let taken = take(&mut self.activity, hour, limit)?;
        let rows = taken.into_iter();
        rows.map(|(account, row)| Ok((AccountKey::new(account), activity(&row)?)))
            .collect()
    }

    fn take_network_activity(
        &mut self,
        hour: Hour,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, StoreError> {
        self.settle_hours()?;
        let taken = take(&mut self.network_activity, hour, limit)?;
        let rows = taken.into_iter().map(|(network, row)| {
            let (young_accounts, young_elements) = row;
            let row = NetworkActivity {
                young_accounts,
                young_elements,
            };
            (NetworkKey::new(network), row)
        });
        Ok(rows.collect())
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

/// Removes the first rows of an hour.
fn take<V, T>(
    table: &mut Table<'_, HourKey, V>,
    hour: Hour,
    limit: usize,
) -> Result<Vec<([u8; 32], T)>, StoreError>
where
    V: for<'v> redb::Value<SelfType<'v> = T> + 'static,
{
    let all = hour_key(hour, &[0; 32])..=hour_key(hour, &[0xff; 32]);
    let mut taken = Vec::new();
    for row in table.extract_from_if(all, |_, _| true)?.take(limit) {
        let (key, row) = row?;
        let of = key.value().last_chunk().copied().unwrap_or([0; 32]);
        taken.push((of, row.value()));
    }
    Ok(taken)
}
