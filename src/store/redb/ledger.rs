//! The ledger, in the embedded store.

use std::vec::Vec;

use super::{RedbStore, tables};
use crate::{
    server::quota::{AccountKey, Activity, Hour, NetworkActivity, NetworkKey},
    store::{LedgerStore, StoreError},
};

impl LedgerStore for RedbStore {
    async fn oldest_open(&self) -> Result<Option<Hour>, StoreError> {
        self.read(tables::oldest_open)
    }

    async fn open_activity(
        &self,
        hour: Hour,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<Vec<(AccountKey, Activity)>, StoreError> {
        self.read(|read| tables::open_activity(read, hour, after, limit))
    }

    async fn open_network_activity(
        &self,
        hour: Hour,
        after: Option<NetworkKey>,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, StoreError> {
        self.read(|read| tables::open_network_activity(read, hour, after, limit))
    }
}
