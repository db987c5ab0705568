//! Seals hours that are over into the ledger, signs where the chain has come to, and has keys of months long ago destroyed.
//!
//! Every minute, so that a clock that was set doesn't stop the service for long: nothing is evaluated while anything of more than
//! a day ago isn't sealed.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::Service;
use crate::{
    server::{
        ledger::{Month, Sealed, Sealing},
        quota::Hour,
    },
    store::{Store, StoreError},
    timestamp::Timestamp,
};

const INTERVAL: Duration = Duration::from_secs(60);

/// What couldn't be written into the ledger, or beside it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The store can't answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key of a month can't be read, made or destroyed.
    #[error("a key of the ledger: {0}")]
    Key(#[source] io::Error),
    /// The checkpoint can't be kept. The hours are sealed.
    #[error("the ledger's checkpoints: {0}")]
    Checkpoint(#[source] io::Error),
}

/// Begins at once and goes on until it is dropped, which it may be at any time.
pub(super) async fn seal_hours<S: Store>(service: Arc<Service<S>>) -> Infallible {
    let mut minutes = interval(INTERVAL);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minutes.tick().await;
        let sealed = service.seal_hours().await;
        if let Ok(behind) = service.ledger_behind().await {
            service.observer.sealed(behind);
        }
        match sealed {
            Ok(0) => {}
            Ok(pages) => tracing::info!(pages, "sealed hours into the ledger"),
            Err(error) => {
                tracing::error!(%error, "the ledger can't be written; after a day nothing is evaluated")
            }
        }
    }
}

impl<S: Store> Service<S> {
    /// Seals all hours that are over, by the service's clock, and returns how many pages of them there were. What
    /// detection had to say is counted.
    ///
    /// [`serve`](super::serve) does it by itself.
    ///
    /// # Errors
    ///
    /// See [`SealError`]. It can be done again, and goes on where it was.
    pub async fn seal_hours(self: &Arc<Self>) -> Result<usize, SealError> {
        self.seal_begun
            .store(Hour::of((self.clock)()).get(), Ordering::Relaxed);
        let service = Arc::clone(self);
        let runtime = tokio::runtime::Handle::current();
        // Keys are read from files, and opening one may take a passphrase's time.
        let sealing = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                let at = (service.clock)();
                let pages = service.seal_until(at).await?;
                service.destroy_due(at).await?;
                service.checkpoint(at).await?;
                Ok(pages)
            })
        });
        sealing
            .await
            .unwrap_or(Err(SealError::Store(StoreError::Closed)))
    }

    /// Seals before a request is charged if half a day went by, as far as the clock knows, since it was tried last: the machine has
    /// slept, or its clock was set. Otherwise nobody would be answered until the next minute.
    pub(super) async fn catch_up(self: &Arc<Self>, at: Timestamp) {
        let begun = self.seal_begun.load(Ordering::Relaxed);
        if Hour::of(at).get().abs_diff(begun) >= Hour::LATEST_SEALED / 2
            && let Err(error) = self.seal_hours().await
        {
            tracing::error!(%error, "the ledger can't be written");
        }
    }

    async fn seal_until(&self, at: Timestamp) -> Result<usize, SealError> {
        let store = self.quota.store();
        let mut pages = 0;
        let mut month = store
            .oldest_open()
            .await?
            .map(|oldest| Month::of(oldest.begin()));
        while let Some(of) = month {
            let policy = self.quota.policy();
            let sealing = Sealing {
                rules: policy.detect.clone(),
                refill_per_day: policy.account.refill_per_day,
                key: self.ledger_key(of, at).await?,
            };
            month = loop {
                match store.seal(sealing.clone(), at).await? {
                    Sealed::Page { signals, .. } => {
                        pages += 1;
                        self.signalled(&signals);
                    }
                    Sealed::OtherMonth(other) => break Some(other),
                    Sealed::Nothing => break None,
                }
            };
        }
        Ok(pages)
    }

    /// How many hours lie between now and the oldest one that isn't sealed.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub(super) async fn ledger_behind(&self) -> Result<u32, StoreError> {
        let open = self.quota.store().oldest_open().await?;
        Ok(open.map_or(0, |open| Hour::of((self.clock)()).since(open)))
    }

    /// Signs where the chain has come to, if that is further than the last time.
    async fn checkpoint(&self, at: Timestamp) -> Result<(), SealError> {
        let Some(file) = &self.checkpoints else {
            return Ok(());
        };
        let head = self.quota.store().ledger_head().await?;
        if let Some(checkpoint) = self.live().publisher.checkpoint(&head, at)
            && self.checkpointed.load(Ordering::Relaxed) != head.next()
        {
            file.append(&checkpoint).map_err(SealError::Checkpoint)?;
            self.checkpointed.store(head.next(), Ordering::Relaxed);
        }
        Ok(())
    }
}
