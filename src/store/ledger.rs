//! What the ledger needs of a store.

use std::{future::Future, vec::Vec};

use super::StoreError;
use crate::server::quota::{AccountKey, Activity, Hour, NetworkActivity, NetworkKey};

/// The ledger of a service: hours that are still open.
pub trait LedgerStore: Send + Sync {
    /// The oldest hour that isn't sealed; `None` if nobody has asked for anything since the last one was.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn oldest_open(&self) -> impl Future<Output = Result<Option<Hour>, StoreError>> + Send;

    /// Up to `limit` rows of an open hour, ascending by account, those after `after`. Fewer than `limit` means that there
    /// are no more.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn open_activity(
        &self,
        hour: Hour,
        after: Option<AccountKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(AccountKey, Activity)>, StoreError>> + Send;

    /// Up to `limit` rows of an open hour, ascending by network, those after `after`. Fewer than `limit` means that there
    /// are no more.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn open_network_activity(
        &self,
        hour: Hour,
        after: Option<NetworkKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(NetworkKey, NetworkActivity)>, StoreError>> + Send;
}
