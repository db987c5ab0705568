//! What the ledger needs of a store.

use std::{future::Future, vec::Vec};

use super::StoreError;
use crate::{
    server::{
        ledger::{Entry, Head, Month, Sealed, Sealing, Topic},
        quota::{AccountKey, Activity, Hour, NetworkActivity, NetworkKey},
    },
    timestamp::Timestamp,
};

/// The ledger of a service: hours that are still open, and the chain of entries.
///
/// Entries are never changed and never removed. What the other operations of a store do that belongs into the ledger is appended in
/// the same step.
pub trait LedgerStore: Send + Sync {
    /// Says whose ledger it is, by the [hash](crate::oprf::ServiceId::hash) of the service's name. Does nothing once there is an
    /// entry.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn begin_ledger(
        &self,
        service: [u8; 32],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The end of the chain.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn ledger_head(&self) -> impl Future<Output = Result<Head, StoreError>> + Send;

    /// The hour from which on everything that accounts did is kept, open or sealed. Earlier than anything, unless the store was made
    /// by a version that forgot.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn kept_since(&self) -> impl Future<Output = Result<Hour, StoreError>> + Send;

    /// Up to `limit` entries from an index on. Fewer than `limit` means that there are no more.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn ledger(
        &self,
        from: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// Up to `limit` entries about topics up to `last`, ascending by topic and index, from a topic and an index on. Fewer than
    /// `limit` means that there are no more.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn ledger_about(
        &self,
        from: (Topic, u64),
        last: Topic,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// Seals a page of the oldest hour that is over, by [`ledger::seal`](crate::server::ledger::seal()).
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn seal(
        &self,
        sealing: Sealing,
        at: Timestamp,
    ) -> impl Future<Output = Result<Sealed, StoreError>> + Send;

    /// Appends that the key of a month is destroyed, unless an entry says so already; whether it did.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn note_destroyed(
        &self,
        month: Month,
        at: Timestamp,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The time of the latest charge: a clock that is ahead of it isn't believed where something would be destroyed.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn latest_charge(&self) -> impl Future<Output = Result<Option<Timestamp>, StoreError>> + Send;

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
