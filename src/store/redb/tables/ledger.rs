//! The rows of hours that are open.

use std::{ops::Bound, vec::Vec};

use redb::{ReadTransaction, TableDefinition};

use super::{ACTIVITY, NETWORK_ACTIVITY, damaged};
use crate::{
    server::quota::{AccountKey, Activity, Hour, NetworkActivity, NetworkKey},
    store::{StoreError, redb::store_error},
};

/// `hour_be[4] || account or network[32]`.
pub(super) type HourKey = [u8; 36];

pub(super) fn hour_key(hour: Hour, of: &[u8; 32]) -> HourKey {
    numbered_key(hour.get(), of)
}

pub(super) fn numbered_key(number: u32, of: &[u8; 32]) -> HourKey {
    let mut key = [0; 36];
    let (head, tail) = key.split_at_mut(4);
    head.copy_from_slice(&number.to_be_bytes());
    tail.copy_from_slice(of);
    key
}

pub(super) fn hour_of(key: &HourKey) -> Hour {
    let hour = key.first_chunk().copied().unwrap_or_default();
    Hour::new(u32::from_be_bytes(hour))
}

pub(super) fn activity(bytes: &[u8; Activity::ENCODED]) -> Result<Activity, StoreError> {
    Activity::decode(bytes).ok_or_else(|| damaged("an hour's activity"))
}

pub(in crate::store::redb) fn open_activity(
    read: &ReadTransaction,
    hour: Hour,
    after: Option<AccountKey>,
    limit: usize,
) -> Result<Vec<(AccountKey, Activity)>, StoreError> {
    let after = after.map(|account| *account.as_bytes());
    page(read, ACTIVITY, hour, after, limit, |key, row| {
        Ok((AccountKey::new(key), activity(&row)?))
    })
}

pub(in crate::store::redb) fn open_network_activity(
    read: &ReadTransaction,
    hour: Hour,
    after: Option<NetworkKey>,
    limit: usize,
) -> Result<Vec<(NetworkKey, NetworkActivity)>, StoreError> {
    let after = after.map(|network| *network.as_bytes());
    page(read, NETWORK_ACTIVITY, hour, after, limit, |key, row| {
        let (young_accounts, young_elements) = row;
        let row = NetworkActivity {
            young_accounts,
            young_elements,
        };
        Ok((NetworkKey::new(key), row))
    })
}

fn page<V: redb::Value + 'static, T>(
    read: &ReadTransaction,
    table: TableDefinition<'_, HourKey, V>,
    hour: Hour,
    after: Option<[u8; 32]>,
    limit: usize,
    decode: impl Fn([u8; 32], V::SelfType<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let table = read.open_table(table).map_err(store_error)?;
    let from = match &after {
        Some(after) => Bound::Excluded(hour_key(hour, after)),
        None => Bound::Included(hour_key(hour, &[0; 32])),
    };
    let to = Bound::Included(hour_key(hour, &[0xff; 32]));
    let mut rows = Vec::new();
    for row in table.range::<HourKey>((from, to))?.take(limit) {
        let (key, value) = row?;
        let key = key.value();
        let of = key.last_chunk().copied().unwrap_or([0; 32]);
        rows.push(decode(of, value.value())?);
    }
    Ok(rows)
}
