//! The rows of the quota.

use std::{ops::Bound, vec::Vec};

use redb::{ReadTransaction, ReadableTable};

use super::{
    BUCKETS, EVALUATIONS, META, SWEPT, Tables,
    ledger::{activity, hour_key},
};
use crate::{
    oprf::Epoch,
    server::quota::{
        AccountKey, Activity, Bucket, ChargeRows, Claim, Day, DayRow, Hour, Meter, NetworkActivity,
        NetworkKey, ReplayKey, Suspect,
    },
    store::{BucketKey, REPLAY_MEMORY, StoreError, redb::store_error, signals::SWEEP},
    timestamp::Timestamp,
};

impl Tables<'_> {
    pub(in crate::store::redb) fn suspend(
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

    /// Forgets buckets that are full, of those that were when somebody looked.
    pub(in crate::store::redb) fn forget_full(
        &mut self,
        at: Timestamp,
        buckets: &[BucketKey],
    ) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        for key in buckets {
            let level = self.buckets.get(key)?.map(|level| level.value());
            if level.is_some_and(|level| level <= at.as_micros()) {
                self.buckets.remove(key)?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// Forgets days that no baseline needs any more and suspensions that are over, and, unless an incident is open, what was
    /// done in hours long ago.
    pub(in crate::store::redb) fn forget_past(&mut self, at: Timestamp) -> Result<(), StoreError> {
        let oldest = Day::of(at).oldest_needed().get();
        self.days.retain(|(_, day), _| day >= oldest)?;
        self.suspended.retain(|_, until| until > at.as_micros())?;
        self.detect.forget(Day::of(at), SWEEP)?;
        if self.is_frozen()? {
            return Ok(());
        }
        let oldest = Hour::of(at).oldest_kept();
        self.activity
            .retain_in(..hour_key(oldest, &[0; 32]), |_, _| false)?;
        self.network_activity
            .retain_in(..hour_key(oldest, &[0; 32]), |_, _| false)?;
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

/// Those of the next `limit` buckets that are full, and the last one looked at.
pub(in crate::store::redb) fn full_buckets(
    read: &ReadTransaction,
    at: Timestamp,
    after: Option<BucketKey>,
    limit: usize,
) -> Result<(Vec<BucketKey>, Option<BucketKey>), StoreError> {
    let table = read.open_table(BUCKETS).map_err(store_error)?;
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut full = Vec::new();
    let mut last = None;
    for row in table
        .range::<BucketKey>((from, Bound::Unbounded))?
        .take(limit)
    {
        let (key, level) = row?;
        last = Some(key.value());
        if level.value() <= at.as_micros() {
            full.push(key.value());
        }
    }
    Ok((full, last))
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

    fn level(&mut self, bucket: &Bucket) -> Result<Option<Timestamp>, StoreError> {
        Ok(self
            .buckets
            .get(bucket.encode())?
            .map(|micros| Timestamp::from_micros(micros.value())))
    }

    fn charged(
        &mut self,
        request: &ReplayKey,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let then = self.charged.get(request.as_bytes())?;
        Ok(then
            .map(|micros| micros.value())
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
        let row = self.activity.get(key)?;
        row.map(|row| activity(&row.value())).transpose()
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
        let row = self.network_activity.get(key)?;
        Ok(row.map(|row| {
            let (young_accounts, young_elements) = row.value();
            NetworkActivity {
                young_accounts,
                young_elements,
            }
        }))
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
        if let Some(claim) = self.hot.claims.get(account.as_bytes()) {
            return Ok(Some(*claim));
        }
        let row = self.claims.get(account.as_bytes())?;
        Ok(row.map(|row| {
            let (epoch, evaluated, carry) = row.value();
            Claim {
                epoch: Epoch::new(epoch),
                evaluated,
                carry,
            }
        }))
    }

    fn set_claim(&mut self, account: &AccountKey, claim: Claim) -> Result<(), StoreError> {
        self.hot.claims.insert(*account.as_bytes(), claim);
        Ok(())
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
        self.buckets.insert(bucket.encode(), level.as_micros())?;
        Ok(())
    }

    fn set_charged(&mut self, request: &ReplayKey, now: Timestamp) -> Result<(), StoreError> {
        let now = now.as_micros();
        for _ in 0..SWEPT {
            let oldest = self.charged_by.first()?.map(|(key, _)| key.value());
            let Some((then, key)) =
                oldest.filter(|(then, _)| now.saturating_sub(*then) >= REPLAY_MEMORY)
            else {
                break;
            };
            self.charged_by.remove((then, key))?;
            let current = self.charged.get(key)?.map(|when| when.value());
            if current == Some(then) {
                self.charged.remove(key)?;
            }
        }
        self.charged.insert(request.as_bytes(), now)?;
        self.charged_by.insert((now, *request.as_bytes()), ())?;
        Ok(())
    }

    fn set_evaluations(&mut self, epoch: Epoch, evaluations: u64) -> Result<(), StoreError> {
        self.hot.evaluations.insert(epoch.get(), evaluations);
        Ok(())
    }
}
