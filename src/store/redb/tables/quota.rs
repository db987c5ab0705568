//! The rows of the quota.

use std::{ops::Bound, vec::Vec};

use redb::{ReadTransaction, ReadableTable};

use super::{
    EVALUATIONS, META, Tables,
    accounts::{self, Place, holder, spent_accounts},
    ledger::hour_key,
    logged::NETWORKS,
};
use crate::{
    oprf::Epoch,
    server::ledger::{Suspension, append},
    server::quota::{
        AccountKey, Activity, Bucket, ChargeRows, Claim, Day, DayRow, Hour, Meter, NetworkActivity,
        NetworkKey, ReplayKey, Suspect,
    },
    store::{
        REPLAY_MEMORY, StoreError, SweepKey,
        redb::{pending::Section, store_error},
        signals::SWEEP,
    },
    timestamp::Timestamp,
};

impl Tables<'_> {
    pub(in crate::store::redb) fn suspend(
        &mut self,
        suspension: &Suspension,
    ) -> Result<(), StoreError> {
        self.set_suspension(suspension.suspect(), suspension.until())?;
        append(self, suspension.at(), &suspension.entry())
    }

    pub(super) fn set_suspension(
        &mut self,
        suspect: &Suspect,
        until: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let key = suspect.encode();
        match until {
            Some(until) => self.suspended.insert(key, until.as_micros())?,
            None => self.suspended.remove(key)?,
        };
        Ok(())
    }

    /// Whether a row waits among those that are looked at next.
    pub(in crate::store::redb) fn waits_to_be_swept(
        &self,
        after: Option<&SweepKey>,
    ) -> Result<bool, StoreError> {
        let (section, after) = place_of(after);
        self.logged.waits_behind(section, after)
    }

    /// Has the rows folded that can be among the next `limit` ones that are looked at.
    pub(in crate::store::redb) fn fold_swept(
        &mut self,
        after: Option<&SweepKey>,
        limit: usize,
    ) -> Result<(), StoreError> {
        let (section, after) = place_of(after);
        self.logged.fold_behind(section, after, limit)
    }

    /// Forgets rows that mean nothing any more, of those that didn't when somebody looked.
    pub(in crate::store::redb) fn forget_spent(
        &mut self,
        at: Timestamp,
        rows: &SpentRows,
    ) -> Result<usize, StoreError> {
        let mut forgotten = self.forget_spent_accounts(at, &rows.accounts)?;
        for network in &rows.networks {
            let level = self.level_of(network)?;
            if level.is_some_and(|level| level <= at.as_micros()) {
                self.hot.networks.remove(network);
                self.logged.remove_network(network)?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    fn level_of(&self, network: &[u8; 32]) -> Result<Option<u64>, StoreError> {
        if let Some(level) = self.hot.networks.get(network) {
            return Ok(Some(*level));
        }
        self.logged.network(network)
    }

    /// Forgets days that no baseline needs any more, suspensions that are over, and what detection doesn't look for any more.
    pub(in crate::store::redb) fn forget_past(&mut self, at: Timestamp) -> Result<(), StoreError> {
        let oldest = Day::of(at).oldest_needed().get();
        self.days.retain(|(_, day), _| day >= oldest)?;
        self.suspended.retain(|_, until| until > at.as_micros())?;
        self.detect.forget(Day::of(at), SWEEP)?;
        Ok(())
    }
}

pub(in crate::store::redb) fn evaluations(
    read: &ReadTransaction,
    epoch: Epoch,
) -> Result<u64, StoreError> {
    let table = read.open_table(EVALUATIONS).map_err(store_error)?;
    Ok(table.get(epoch.get())?.map_or(0, |count| count.value()))
}

/// The latest charge, as far as it is durable.
pub(in crate::store::redb) fn latest(
    read: &ReadTransaction,
) -> Result<Option<Timestamp>, StoreError> {
    let table = read.open_table(META).map_err(store_error)?;
    let latest = table.get("latest")?;
    Ok(latest.map(|micros| Timestamp::from_micros(micros.value())))
}

/// Rows of the quota that mean nothing any more.
#[derive(Default)]
pub(in crate::store::redb) struct SpentRows {
    accounts: Vec<Vec<u8>>,
    networks: Vec<[u8; 32]>,
}

impl SpentRows {
    pub(in crate::store::redb) fn len(&self) -> usize {
        self.accounts.len() + self.networks.len()
    }

    pub(in crate::store::redb) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A [`SweepKey`] begins with the table.
const IN_QUOTA: u8 = 0;
const IN_NETWORKS: u8 = 1;

fn place_of(after: Option<&SweepKey>) -> (Section, Option<&[u8]>) {
    match after.and_then(|after| after.split_first()) {
        Some((&IN_NETWORKS, network)) => (Section::Networks, Some(network)),
        Some((_, key)) => (Section::Quota, Some(key)),
        None => (Section::Quota, None),
    }
}

/// Those of the next `limit` rows that mean nothing any more, and the last one looked at.
pub(in crate::store::redb) fn spent_rows(
    read: &ReadTransaction,
    at: Timestamp,
    after: Option<SweepKey>,
    limit: usize,
) -> Result<(SpentRows, Option<SweepKey>), StoreError> {
    let mut rows = SpentRows::default();
    let (section, after) = place_of(after.as_ref());
    let from = match section {
        Section::Networks => {
            let network = after.and_then(|network| <[u8; 32]>::try_from(network).ok());
            network.map_or(Bound::Unbounded, Bound::Excluded)
        }
        _ => {
            let (spent, last) = spent_accounts(read, at, after, limit)?;
            rows.accounts = spent;
            if let Some(last) = last {
                return Ok((rows, Some([&[IN_QUOTA][..], &last].concat())));
            }
            Bound::Unbounded
        }
    };
    let table = read.open_table(NETWORKS).map_err(store_error)?;
    let mut last = None;
    for row in table
        .range::<[u8; 32]>((from, Bound::Unbounded))?
        .take(limit)
    {
        let (network, level) = row?;
        last = Some([&[IN_NETWORKS][..], &network.value()].concat());
        if level.value() <= at.as_micros() {
            rows.networks.push(network.value());
        }
    }
    Ok((rows, last))
}

impl ChargeRows for Tables<'_> {
    type Error = StoreError;

    fn latest(&mut self) -> Result<Option<Timestamp>, StoreError> {
        if self.hot.latest.is_some() {
            return Ok(self.hot.latest);
        }
        Ok(self
            .meta
            .get("latest")?
            .map(|micros| Timestamp::from_micros(micros.value())))
    }

    fn lost_until(&mut self) -> Result<Option<Timestamp>, StoreError> {
        if let Some(known) = self.hot.lost_until {
            return Ok(known);
        }
        let until = self.lost()?.map(|lost| lost.until);
        self.hot.lost_until = Some(until);
        Ok(until)
    }

    fn level(&mut self, bucket: &Bucket) -> Result<Option<Timestamp>, StoreError> {
        let level = match Place::of(bucket) {
            Place::Elements(holder) => self.account(&holder)?.elements,
            Place::Requests(holder) => self.account(&holder)?.requests,
            Place::Network(network) => self.level_of(network.as_bytes())?.unwrap_or(0),
        };
        Ok(Some(level)
            .filter(|level| *level > 0)
            .map(Timestamp::from_micros))
    }

    fn oldest_open(&mut self) -> Result<Option<Hour>, StoreError> {
        self.oldest_unsealed()
    }

    fn charged(
        &mut self,
        request: &ReplayKey,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let then = self.charged_at(&accounts::request(request))?;
        Ok(then
            .filter(|then| now.as_micros().saturating_sub(*then) < REPLAY_MEMORY)
            .map(Timestamp::from_micros))
    }

    fn evaluations(&mut self, epoch: Epoch) -> Result<u64, StoreError> {
        if let Some(evaluations) = self.hot.evaluations.get(&epoch.get()) {
            return Ok(*evaluations);
        }
        Ok(self
            .evaluations
            .get(epoch.get())?
            .map_or(0, |count| count.value()))
    }

    fn suspended(&mut self, suspect: &Suspect) -> Result<Option<Timestamp>, StoreError> {
        Ok(self
            .suspended
            .get(suspect.encode())?
            .map(|micros| Timestamp::from_micros(micros.value())))
    }

    fn day(&mut self, meter: Meter, day: Day) -> Result<Option<DayRow>, StoreError> {
        let key = (meter.encode(), day.get());
        if let Some(row) = self.hot.days.get(&key) {
            return Ok(Some(*row));
        }
        let row = self.days.get(key)?;
        Ok(row.map(|row| {
            let (charged, baseline) = row.value();
            DayRow { charged, baseline }
        }))
    }

    fn activity(
        &mut self,
        hour: Hour,
        account: &AccountKey,
    ) -> Result<Option<Activity>, StoreError> {
        let key = hour_key(hour, account.as_bytes());
        if let Some(row) = self.hot.activity.get(&key) {
            return Ok(Some(*row));
        }
        self.logged.activity(&key)
    }

    fn network_activity(
        &mut self,
        hour: Hour,
        network: &NetworkKey,
    ) -> Result<Option<NetworkActivity>, StoreError> {
        let key = hour_key(hour, network.as_bytes());
        if let Some(row) = self.hot.network_activity.get(&key) {
            return Ok(Some(*row));
        }
        self.logged.network_activity(&key)
    }

    fn set_activity(
        &mut self,
        hour: Hour,
        account: &AccountKey,
        row: Activity,
    ) -> Result<(), StoreError> {
        let key = hour_key(hour, account.as_bytes());
        self.hot.activity.insert(key, row);
        Ok(())
    }

    fn set_network_activity(
        &mut self,
        hour: Hour,
        network: &NetworkKey,
        row: NetworkActivity,
    ) -> Result<(), StoreError> {
        let key = hour_key(hour, network.as_bytes());
        self.hot.network_activity.insert(key, row);
        Ok(())
    }

    fn claim(&mut self, account: &AccountKey) -> Result<Option<Claim>, StoreError> {
        Ok(self.account(&holder(account, false))?.claim)
    }

    fn set_claim(&mut self, account: &AccountKey, claim: Claim) -> Result<(), StoreError> {
        self.change_account(&holder(account, false), |row| row.claim = Some(claim))
    }

    fn set_day(&mut self, meter: Meter, day: Day, row: DayRow) -> Result<(), StoreError> {
        self.hot.days.insert((meter.encode(), day.get()), row);
        Ok(())
    }

    fn set_latest(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.hot.latest = Some(now);
        Ok(())
    }

    fn set_level(&mut self, bucket: &Bucket, level: Timestamp) -> Result<(), StoreError> {
        let level = level.as_micros();
        match Place::of(bucket) {
            Place::Elements(holder) => self.change_account(&holder, |row| row.elements = level),
            Place::Requests(holder) => self.change_account(&holder, |row| row.requests = level),
            Place::Network(network) => {
                self.hot.networks.insert(*network.as_bytes(), level);
                Ok(())
            }
        }
    }

    fn set_charged(&mut self, request: &ReplayKey, now: Timestamp) -> Result<(), StoreError> {
        self.remember_request(accounts::request(request), now);
        Ok(())
    }

    fn set_evaluations(&mut self, epoch: Epoch, evaluations: u64) -> Result<(), StoreError> {
        self.hot.evaluations.insert(epoch.get(), evaluations);
        Ok(())
    }
}
