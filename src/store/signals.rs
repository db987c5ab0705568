//! What detection needs of a store.

#[cfg(test)]
pub(super) mod tests;

use std::{future::Future, sync::Arc, vec::Vec};

use super::StoreError;
use crate::{
    server::{
        detect::{DetectRows, Signal},
        ledger::LedgerKey,
        quota::Day,
    },
    timestamp::Timestamp,
};

/// What detection has found, newest first, each with its number.
pub trait SignalStore: Send + Sync {
    /// Up to `limit` signals, descending by number, those before `before`. Fewer than `limit` means that there are no more.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn signals(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Signal)>, StoreError>> + Send;

    /// Keeps a signal that doesn't come from an hour's requests, and says so in the ledger under the key of the month of `at`, by
    /// [`ledger::note_signal`](crate::server::ledger::note_signal()).
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn note_signal(
        &self,
        signal: Signal,
        key: Arc<LedgerKey>,
        at: Timestamp,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// In which stretch of days a row of detection is kept: it is looked for in the one of today and the one before, and what
/// lies before those is forgotten, however many rows that is, without looking for them.
pub(super) fn stretch<R: DetectRows>(today: Day) -> u32 {
    today.get() / R::KEPT_DAYS
}

/// Old rows of detection that a new one sweeps away.
pub(super) const SWEPT_ROWS: usize = 4;
/// Old rows of detection that a sweep takes away at once.
pub(super) const SWEEP: usize = 1_024;
/// Old signals that a new one sweeps away.
pub(super) const SWEPT_SIGNALS: usize = 4;
