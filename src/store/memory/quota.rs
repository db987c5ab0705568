//! The rows of the quota.

use std::{boxed::Box, convert::Infallible};

use super::Rows;
use crate::{
    oprf::Epoch,
    server::quota::{
        AccountKey, Activity, Bucket, ChargeRows, Claim, Day, DayRow, Hour, Meter, NetworkActivity,
        NetworkKey, ReplayKey, Suspect,
    },
    store::REPLAY_MEMORY,
    timestamp::Timestamp,
};

impl ChargeRows for Rows {
    type Error = Infallible;

    fn latest(&mut self) -> Result<Option<Timestamp>, Self::Error> {
        Ok(self.latest)
    }

    fn lost_until(&mut self) -> Result<Option<Timestamp>, Self::Error> {
        Ok(None)
    }

    fn oldest_open(&mut self) -> Result<Option<Hour>, Self::Error> {
        Ok(self.ledger.oldest_open())
    }

    fn level(&mut self, bucket: &Bucket) -> Result<Option<Timestamp>, Self::Error> {
        Ok(self.levels.get(&bucket.encode()).copied())
    }

    fn charged(
        &mut self,
        request: &ReplayKey,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Self::Error> {
        let then = self.charged.get(request.as_bytes().as_slice()).copied();
        Ok(then.filter(|then| !is_old(*then, now)))
    }

    fn evaluations(&mut self, epoch: Epoch) -> Result<u64, Self::Error> {
        Ok(self.evaluations.get(&epoch.get()).copied().unwrap_or(0))
    }

    fn suspended(&mut self, suspect: &Suspect) -> Result<Option<Timestamp>, Self::Error> {
        Ok(self.suspended.get(suspect).copied())
    }

    fn day(&mut self, meter: Meter, day: Day) -> Result<Option<DayRow>, Self::Error> {
        Ok(self.days.get(&(meter, day)).copied())
    }

    fn claim(&mut self, account: &AccountKey) -> Result<Option<Claim>, Self::Error> {
        Ok(self.claims.get(account).copied())
    }

    fn set_claim(&mut self, account: &AccountKey, claim: Claim) -> Result<(), Self::Error> {
        self.claims.insert(*account, claim);
        Ok(())
    }

    fn activity(
        &mut self,
        hour: Hour,
        account: &AccountKey,
    ) -> Result<Option<Activity>, Self::Error> {
        Ok(self.ledger.activity.get(&(hour, *account)).copied())
    }

    fn network_activity(
        &mut self,
        hour: Hour,
        network: &NetworkKey,
    ) -> Result<Option<NetworkActivity>, Self::Error> {
        Ok(self.ledger.network_activity.get(&(hour, *network)).copied())
    }

    fn set_activity(
        &mut self,
        hour: Hour,
        account: &AccountKey,
        row: Activity,
    ) -> Result<(), Self::Error> {
        self.ledger.activity.insert((hour, *account), row);
        Ok(())
    }

    fn set_network_activity(
        &mut self,
        hour: Hour,
        network: &NetworkKey,
        row: NetworkActivity,
    ) -> Result<(), Self::Error> {
        self.ledger.network_activity.insert((hour, *network), row);
        Ok(())
    }

    fn set_day(&mut self, meter: Meter, day: Day, row: DayRow) -> Result<(), Self::Error> {
        self.days.insert((meter, day), row);
        Ok(())
    }

    fn set_latest(&mut self, now: Timestamp) -> Result<(), Self::Error> {
        self.latest = Some(now);
        Ok(())
    }

    fn set_level(&mut self, bucket: &Bucket, level: Timestamp) -> Result<(), Self::Error> {
        self.levels.insert(bucket.encode(), level);
        Ok(())
    }

    fn set_charged(&mut self, request: &ReplayKey, now: Timestamp) -> Result<(), Self::Error> {
        while let Some((then, key)) = self.order.front()
            && is_old(*then, now)
        {
            if self.charged.get(key) == Some(then) {
                self.charged.remove(key);
            }
            self.order.pop_front();
        }
        let key: Box<[u8]> = request.as_bytes().as_slice().into();
        self.order.push_back((now, key.clone()));
        self.charged.insert(key, now);
        Ok(())
    }

    fn set_evaluations(&mut self, epoch: Epoch, evaluations: u64) -> Result<(), Self::Error> {
        self.evaluations.insert(epoch.get(), evaluations);
        Ok(())
    }
}

fn is_old(then: Timestamp, now: Timestamp) -> bool {
    now.as_micros().saturating_sub(then.as_micros()) >= REPLAY_MEMORY
}
