//! The tables whose rows go through the log, see [`pending`](crate::store::redb::pending):
//!
//! ```text
//! table        key                                    value
//! log          chunk u64                              see `Pending::add`
//! quota        see `accounts`
//! networks     network[32]                            level, microseconds u64
//! activity     hour_be[4] account[32]                 see `Activity::encode`
//! net_activity hour_be[4] network[32]                 young accounts u32, elements u64
//! ```
//!
//! Nobody else reads or changes a row of them. A run of rows is read in the table, where what can be among them is folded first.

use std::{ops::Bound, vec::Vec};

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use super::{
    META,
    accounts::{self, Request},
    check_known, damaged,
    ledger::{HourKey, activity, hour_key, hour_of, network_activity, page},
    number,
};
use crate::{
    server::quota::{AccountKey, Activity, Hour, NetworkActivity, NetworkKey},
    store::{
        StoreError,
        redb::{
            pending::{Pending, RowKey, RowRange, RowValue, Section, TooLong, row_key},
            store_error,
        },
    },
};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
pub(super) const QUOTA: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("quota");
pub(super) const NETWORKS: TableDefinition<'_, [u8; 32], u64> = TableDefinition::new("networks");
const ACTIVITY: TableDefinition<'_, HourKey, [u8; Activity::ENCODED]> =
    TableDefinition::new("activity");
const NETWORK_ACTIVITY: TableDefinition<'_, HourKey, (u32, u64)> =
    TableDefinition::new("net_activity");

/// What is in the log of a store. To be read before anything is written.
pub(in crate::store::redb) fn pending(read: &ReadTransaction) -> Result<Pending, StoreError> {
    let mut pending = Pending::new();
    let meta = match read.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(pending),
        meta => meta.map_err(store_error)?,
    };
    check_known(number(&meta, "version")?)?;
    let log = match read.open_table(LOG) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(pending),
        log => log.map_err(store_error)?,
    };
    for row in log.iter()? {
        let (number, chunk) = row?;
        let replayed = pending.replay(number.value(), chunk.value());
        replayed.ok_or_else(|| damaged("the log"))?;
    }
    Ok(pending)
}

impl From<TooLong> for StoreError {
    fn from(_: TooLong) -> Self {
        damaged("a row of the quota")
    }
}

/// The tables, inside one transaction, and what is pending for them.
pub(super) struct Logged<'a> {
    quota: Table<'a, &'static [u8], &'static [u8]>,
    networks: Table<'a, [u8; 32], u64>,
    activity: Table<'a, HourKey, [u8; Activity::ENCODED]>,
    network_activity: Table<'a, HourKey, (u32, u64)>,
    log: Table<'a, u64, &'static [u8]>,
    pending: &'a mut Pending,
}

impl<'a> Logged<'a> {
    pub(super) fn open(
        transaction: &'a WriteTransaction,
        pending: &'a mut Pending,
    ) -> Result<Self, TableError> {
        Ok(Self {
            quota: transaction.open_table(QUOTA)?,
            networks: transaction.open_table(NETWORKS)?,
            activity: transaction.open_table(ACTIVITY)?,
            network_activity: transaction.open_table(NETWORK_ACTIVITY)?,
            log: transaction.open_table(LOG)?,
            pending,
        })
    }

    pub(super) fn quota<T>(
        &self,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if let Some(row) = self.pending.get(Section::Quota, key) {
            return decode(row).map(Some);
        }
        let row = self.quota.get(key)?;
        row.map(|row| decode(row.value())).transpose()
    }

    pub(super) fn set_quota(&mut self, key: &[u8], row: &[u8]) -> Result<(), StoreError> {
        Ok(self.pending.set(Section::Quota, key, row)?)
    }

    pub(super) fn remove_quota(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.pending.remove(Section::Quota, key, key)?;
        self.quota.remove(key)?;
        Ok(())
    }

    pub(super) fn network(&self, network: &[u8; 32]) -> Result<Option<u64>, StoreError> {
        if let Some(row) = self.pending.get(Section::Networks, network) {
            return Ok(Some(u64::from_be_bytes(exactly(row)?)));
        }
        Ok(self.networks.get(network)?.map(|level| level.value()))
    }

    pub(super) fn set_network(&mut self, network: &[u8; 32], level: u64) -> Result<(), StoreError> {
        let row = level.to_be_bytes();
        Ok(self.pending.set(Section::Networks, network, &row)?)
    }

    pub(super) fn remove_network(&mut self, network: &[u8; 32]) -> Result<(), StoreError> {
        self.pending.remove(Section::Networks, network, network)?;
        self.networks.remove(network)?;
        Ok(())
    }

    pub(super) fn activity(&self, key: &HourKey) -> Result<Option<Activity>, StoreError> {
        let row = match self.pending.get(Section::Activity, key) {
            Some(row) => Some(exactly(row)?),
            None => self.activity.get(key)?.map(|row| row.value()),
        };
        row.map(|row| activity(&row)).transpose()
    }

    pub(super) fn set_activity(&mut self, key: &HourKey, row: &Activity) -> Result<(), StoreError> {
        Ok(self.pending.set(Section::Activity, key, &row.encode())?)
    }

    pub(super) fn network_activity(
        &self,
        key: &HourKey,
    ) -> Result<Option<NetworkActivity>, StoreError> {
        let row = match self.pending.get(Section::NetworkActivity, key) {
            Some(row) => Some(counts(row)?),
            None => self.network_activity.get(key)?.map(|row| row.value()),
        };
        Ok(row.map(network_activity))
    }

    pub(super) fn set_network_activity(
        &mut self,
        key: &HourKey,
        row: &NetworkActivity,
    ) -> Result<(), StoreError> {
        let accounts = row.young_accounts.to_be_bytes();
        let elements = row.young_elements.to_be_bytes();
        let row = [accounts.as_slice(), &elements].concat();
        Ok(self.pending.set(Section::NetworkActivity, key, &row)?)
    }

    /// The oldest hour that has a row.
    pub(super) fn oldest_hour(&self) -> Result<Option<Hour>, StoreError> {
        let waiting = |section| self.pending.first_key(section).map(hour_of);
        let hours = [
            self.activity.first()?.map(|(key, _)| hour_of(&key.value())),
            waiting(Section::Activity),
            self.network_activity
                .first()?
                .map(|(key, _)| hour_of(&key.value())),
            waiting(Section::NetworkActivity),
        ];
        Ok(hours.into_iter().flatten().min())
    }

    pub(super) fn activity_page(
        &mut self,
        hour: Hour,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<Vec<(AccountKey, Activity)>, StoreError> {
        let after = after.as_ref().map(AccountKey::as_bytes);
        self.fold_hour(Section::Activity, hour, after, limit)?;
        page(&self.activity, hour, after, limit, |key, row| {
            Ok((AccountKey::new(key), activity(&row)?))
        })
    }

    pub(super) fn network_activity_page(
        &mut self,
        hour: Hour,
        after: Option<NetworkKey>,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, StoreError> {
        let after = after.as_ref().map(NetworkKey::as_bytes);
        self.fold_hour(Section::NetworkActivity, hour, after, limit)?;
        page(&self.network_activity, hour, after, limit, |key, row| {
            Ok((NetworkKey::new(key), network_activity(row)))
        })
    }

    /// Removes the first rows of an hour.
    pub(super) fn take_activity(
        &mut self,
        hour: Hour,
        limit: usize,
    ) -> Result<Vec<(AccountKey, Activity)>, StoreError> {
        let rows = self.activity_page(hour, None, limit)?;
        if let Some((last, _)) = rows.last() {
            let table = &mut self.activity;
            let last = last.as_bytes();
            remove_to(self.pending, Section::Activity, table, hour, last)?;
        }
        Ok(rows)
    }

    /// Removes the first rows of an hour.
    pub(super) fn take_network_activity(
        &mut self,
        hour: Hour,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, StoreError> {
        let rows = self.network_activity_page(hour, None, limit)?;
        if let Some((last, _)) = rows.last() {
            let table = &mut self.network_activity;
            let last = last.as_bytes();
            remove_to(self.pending, Section::NetworkActivity, table, hour, last)?;
        }
        Ok(rows)
    }

    /// Changes all rows of the quota that `change` returns another one for, in the table itself and in one transaction.
    pub(super) fn change_all_quota(
        &mut self,
        change: impl Fn(&[u8], &[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<(), StoreError> {
        // Replayed, the log would undo what is changed.
        self.settle()?;
        let mut after: Vec<u8> = Vec::new();
        loop {
            let from = (Bound::Excluded(after.as_slice()), Bound::Unbounded);
            let (mut changed, mut last) = (Vec::new(), None);
            for row in self.quota.range::<&[u8]>(from)?.take(PAGE) {
                let (key, row) = row?;
                if let Some(row) = change(key.value(), row.value())? {
                    changed.push((key.value().to_vec(), row));
                }
                last = Some(key.value().to_vec());
            }
            for (key, row) in changed {
                self.quota.insert(key.as_slice(), row.as_slice())?;
            }
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Writes a row into its table at once: for files that have no log.
    pub(super) fn put_quota(&mut self, key: &[u8], row: &[u8]) -> Result<(), StoreError> {
        self.quota.insert(key, row)?;
        Ok(())
    }

    /// Writes a row into its table at once: for files that have no log.
    pub(super) fn put_network(&mut self, network: &[u8; 32], level: u64) -> Result<(), StoreError> {
        self.networks.insert(network, level)?;
        Ok(())
    }

    /// Writes what the transaction adds to the log, and folds as much as that takes in the long run.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        let due = self.pending.take_due();
        self.fold(due)?;
        let (added, first) = self.pending.log();
        let dropped = added.len() + DROPPED;
        for (number, chunk) in added {
            self.log.insert(number, chunk.as_slice())?;
        }
        let old = self.log.extract_from_if::<u64, _>(..first, |_, _| true)?;
        for chunk in old.take(dropped) {
            chunk?;
        }
        let oldest = self.log.first()?.map(|(number, _)| number.value());
        self.pending.dropped_before(oldest);
        Ok(())
    }

    /// Folds the next rows, when there is nothing else to do.
    pub(super) fn fold_next(&mut self, limit: usize) -> Result<(), StoreError> {
        let next = self.pending.take_next(limit);
        self.fold(next)
    }

    /// Folds all rows, so that the tables have everything.
    pub(super) fn fold_all(&mut self) -> Result<(), StoreError> {
        let all = self.pending.take_all();
        self.fold(all)
    }

    /// Folds all rows and drops the log, which has nothing then that isn't in the tables.
    fn settle(&mut self) -> Result<(), StoreError> {
        self.fold_all()?;
        self.pending.forget_added();
        self.log.retain(|_, _| false)?;
        Ok(())
    }

    /// Drops the log, when the store is opened, if it has become too long.
    pub(super) fn trim(&mut self) -> Result<(), StoreError> {
        match self.pending.is_overgrown() {
            true => self.settle(),
            false => Ok(()),
        }
    }

    /// Whether a row waits behind one of the quota, or of the networks, which follow it.
    pub(super) fn waits_behind(
        &self,
        section: Section,
        after: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        Ok(self.pending.waits(behind(section, after)?))
    }

    /// Folds the rows that can be among the next `limit` ones of the quota, or of the networks, which follow it.
    pub(super) fn fold_behind(
        &mut self,
        section: Section,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(), StoreError> {
        self.fold_range(behind(section, after)?, limit)
    }

    /// Folds the rows that can be among the next `limit` ones of an hour.
    fn fold_hour(
        &mut self,
        section: Section,
        hour: Hour,
        after: Option<&[u8; 32]>,
        limit: usize,
    ) -> Result<(), StoreError> {
        let key = |of: &[u8; 32]| row_key(section, &hour_key(hour, of));
        let from = match after {
            Some(after) => Bound::Excluded(key(after)?),
            None => Bound::Included(key(&[0; 32])?),
        };
        self.fold_range((from, Bound::Included(key(&[0xff; 32])?)), limit)
    }

    fn fold_range(&mut self, range: RowRange, limit: usize) -> Result<(), StoreError> {
        let rows = self.pending.take(range, limit);
        self.fold(rows)
    }

    fn fold(&mut self, rows: Vec<(RowKey, RowValue)>) -> Result<(), StoreError> {
        for ((section, key), row) in rows {
            let (key, row) = (key.as_bytes(), row.as_bytes());
            match section {
                Section::Quota => {
                    self.quota.insert(key, row)?;
                    if let Ok(request) = key.try_into() {
                        self.forget_behind(&request, row)?;
                    }
                }
                Section::Networks => {
                    let level = u64::from_be_bytes(exactly(row)?);
                    self.networks.insert(exactly(key)?, level)?;
                }
                Section::Activity => {
                    self.activity.insert(exactly(key)?, exactly(row)?)?;
                }
                Section::NetworkActivity => {
                    self.network_activity.insert(exactly(key)?, counts(row)?)?;
                }
            }
        }
        Ok(())
    }

    /// Forgets old requests of an account, a few that lie in the same page as a new one: so there are never many more than
    /// count, whether or not anybody sweeps.
    fn forget_behind(&mut self, request: &Request, row: &[u8]) -> Result<(), StoreError> {
        for old in accounts::spent_behind(&self.quota, request, row)? {
            // One that waits was charged anew.
            if self.pending.get(Section::Quota, &old).is_none() {
                self.remove_quota(&old)?;
            }
        }
        Ok(())
    }
}

/// What lies behind a row of the quota, or of the networks, which follow it.
fn behind(section: Section, after: Option<&[u8]>) -> Result<RowRange, StoreError> {
    let from = Bound::Excluded(row_key(section, after.unwrap_or_default())?);
    let to = Bound::Excluded(row_key(Section::Activity, &[])?);
    Ok((from, to))
}

/// Removes the rows of an hour up to one.
fn remove_to<V: redb::Value + 'static>(
    pending: &mut Pending,
    section: Section,
    table: &mut Table<'_, HourKey, V>,
    hour: Hour,
    last: &[u8; 32],
) -> Result<(), StoreError> {
    let (first, last) = (hour_key(hour, &[0; 32]), hour_key(hour, last));
    pending.remove(section, &first, &last)?;
    table.retain_in(first..=last, |_, _| false)?;
    Ok(())
}

/// Chunks that a transaction drops, beyond as many as it adds: dropping a whole round's would keep charges waiting.
const DROPPED: usize = 64;
/// Rows that are changed in a run.
const PAGE: usize = 16_384;

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| TooLong.into())
}

/// `young accounts u32 || elements u64`.
fn counts(row: &[u8]) -> Result<(u32, u64), StoreError> {
    let (accounts, elements) = row.split_at_checked(4).ok_or(TooLong)?;
    Ok((
        u32::from_be_bytes(exactly(accounts)?),
        u64::from_be_bytes(exactly(elements)?),
    ))
}
