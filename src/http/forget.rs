//! Forgets, once an hour, what has been kept about members for long enough.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::Service;
use crate::store::Store;

const INTERVAL: Duration = Duration::from_secs(3_600);
/// Members in one step of the store: few enough that a charge behind it doesn't wait long.
const PAGE: usize = 256;

/// Begins at once and goes on until it is dropped, which it may be at any time.
pub(super) async fn forget<S: Store>(service: Arc<Service<S>>) -> Infallible {
    let mut hours = interval(INTERVAL);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        let at = (service.clock)();
        let mut members = 0;
        loop {
            match service.quota.store().forget(at, PAGE).await {
                Ok(seen) => {
                    members += seen;
                    if seen < PAGE {
                        break;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "what is due can't be forgotten");
                    break;
                }
            }
        }
        if members > 0 {
            tracing::info!(members, "forgot what was kept long enough");
        }
    }
}
