//! Forgets, once an hour, what has been kept about members for long enough, buckets that are full again, and files that
//! the newest manifest doesn't list.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::Service;
use crate::{
    store::{Store, StoreError},
    timestamp::Timestamp,
};

const INTERVAL: Duration = Duration::from_secs(3_600);
/// Members in one step of the store: few enough that a charge behind it doesn't wait long.
const PAGE: usize = 256;
/// Buckets in one step: most of a page is only looked at.
const BUCKETS: usize = 1_024;

/// Begins at once and goes on until it is dropped, which it may be at any time.
pub(super) async fn forget<S: Store>(service: Arc<Service<S>>) -> Infallible {
    let mut hours = interval(INTERVAL);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        let at = (service.clock)();
        if let Err(error) = service.tend().await {
            tracing::error!(%error, "what is left of a rotation can't be removed yet");
        }
        let store = service.quota.store();
        match forget_members(store, at).await {
            Ok(0) => {}
            Ok(members) => tracing::info!(members, "forgot what was kept long enough"),
            Err(error) => tracing::error!(%error, "what is due can't be forgotten"),
        }
        match sweep(store, at).await {
            Ok(0) => {}
            Ok(buckets) => tracing::info!(buckets, "forgot buckets that are full again"),
            Err(error) => tracing::error!(%error, "full buckets can't be forgotten"),
        }
        if let Err(error) = service.tidy().await {
            tracing::warn!(%error, "the folder of segments can't be tidied up");
        }
    }
}

async fn forget_members(store: &impl Store, at: Timestamp) -> Result<usize, StoreError> {
    let mut members = 0;
    loop {
        let seen = store.forget(at, PAGE).await?;
        members += seen;
        if seen < PAGE {
            return Ok(members);
        }
    }
}

async fn sweep(store: &impl Store, at: Timestamp) -> Result<usize, StoreError> {
    let mut forgotten = 0;
    let mut after = None;
    loop {
        let page = store.sweep(at, after, BUCKETS).await?;
        forgotten += page.forgotten;
        after = page.last;
        if after.is_none() {
            return Ok(forgotten);
        }
        // Pages without a full bucket need no step of the store: others come first all the same.
        tokio::task::yield_now().await;
    }
}
