//! The rows of hours that are open.

use std::{ops::Bound, vec::Vec};

use redb::ReadableTable;

use super::damaged;
use crate::{
    server::quota::{Activity, Hour, NetworkActivity},
    store::StoreError,
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

pub(super) fn hour_of(key: &[u8]) -> Hour {
    let hour = key.first_chunk().copied().unwrap_or_default();
    Hour::new(u32::from_be_bytes(hour))
}

pub(super) fn activity(bytes: &[u8; Activity::ENCODED]) -> Result<Activity, StoreError> {
    Activity::decode(bytes).ok_or_else(|| damaged("an hour's activity"))
}

pub(super) fn network_activity((young_accounts, young_elements): (u32, u64)) -> NetworkActivity {
    NetworkActivity {
        young_accounts,
        young_elements,
    }
}

/// The first rows of an hour behind an account or network.
pub(super) fn page<V: redb::Value + 'static, T>(
    table: &impl ReadableTable<HourKey, V>,
    hour: Hour,
    after: Option<&[u8; 32]>,
    limit: usize,
    decode: impl Fn([u8; 32], V::SelfType<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let from = match after {
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
