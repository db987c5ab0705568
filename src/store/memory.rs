//! A store that forgets everything when the process ends: for tests and for trying things out.

use std::{
    boxed::Box,
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    oprf::Epoch,
    server::quota::{Bucket, ChargeOutcome, ChargeRows, Debit, QuotaStore, ReplayKey, charge},
    timestamp::Timestamp,
};

/// How long a charged request is remembered.
const REPLAY_MEMORY: Duration = Duration::from_secs(86_400);

/// Charges in memory. **Not durable**: a restart gives every account its quota back.
#[derive(Default)]
pub struct MemoryStore(Mutex<Rows>);

/// A charge panicked earlier, so the rows may be half written. Nothing is charged any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an earlier charge broke off half way")]
pub struct Poisoned;

#[derive(Default)]
struct Rows {
    latest: Option<Timestamp>,
    levels: HashMap<Box<[u8]>, Timestamp>,
    charged: HashMap<Box<[u8]>, Timestamp>,
    /// The keys of `charged`, oldest first.
    order: VecDeque<(Timestamp, Box<[u8]>)>,
    evaluations: HashMap<u64, u64>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl QuotaStore for MemoryStore {
    type Error = Poisoned;

    async fn charge(&self, debit: Debit) -> Result<ChargeOutcome, Poisoned> {
        let mut rows = self.0.lock().map_err(|_: PoisonError<_>| Poisoned)?;
        match charge(&mut *rows, &debit) {
            Ok(outcome) => Ok(outcome),
            Err(never) => match never {},
        }
    }
}

impl ChargeRows for Rows {
    type Error = core::convert::Infallible;

    fn latest(&mut self) -> Result<Option<Timestamp>, Self::Error> {
        Ok(self.latest)
    }

    fn level(&mut self, bucket: &Bucket) -> Result<Option<Timestamp>, Self::Error> {
        Ok(self.levels.get(bucket.encode().as_slice()).copied())
    }

    fn charged(
        &mut self,
        request: &ReplayKey,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Self::Error> {
        let then = self.charged.get(request.as_bytes().as_slice()).copied();
        Ok(then.filter(|then| now.saturating_since(*then) < REPLAY_MEMORY))
    }

    fn evaluations(&mut self, epoch: Epoch) -> Result<u64, Self::Error> {
        Ok(self.evaluations.get(&epoch.get()).copied().unwrap_or(0))
    }

    fn set_latest(&mut self, now: Timestamp) -> Result<(), Self::Error> {
        self.latest = Some(now);
        Ok(())
    }

    fn set_level(&mut self, bucket: &Bucket, level: Timestamp) -> Result<(), Self::Error> {
        self.levels.insert(bucket.encode().as_slice().into(), level);
        Ok(())
    }

    fn set_charged(&mut self, request: &ReplayKey, now: Timestamp) -> Result<(), Self::Error> {
        while let Some((then, key)) = self.order.front()
            && now.saturating_since(*then) >= REPLAY_MEMORY
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

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
