//! What detection reads and writes.

use super::{NetworkUsual, Signal, Watched};
use crate::server::quota::{AccountKey, ChargeRows, Day, NetworkKey};

/// The rows of detection, inside the step of a store that seals an hour.
///
/// A row that wasn't written for [`Self::KEPT_DAYS`] may be forgotten. So each call says what day it is.
pub trait DetectRows: ChargeRows {
    /// How long a row has to be kept.
    const KEPT_DAYS: u32 = 14;

    /// What is remembered of an account.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn watched(&mut self, account: &AccountKey, today: Day)
    -> Result<Option<Watched>, Self::Error>;

    /// What is usual in a network.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn network_usual(
        &mut self,
        network: &NetworkKey,
        today: Day,
    ) -> Result<Option<NetworkUsual>, Self::Error>;

    /// Replaces [`Self::watched`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_watched(
        &mut self,
        account: &AccountKey,
        today: Day,
        row: Watched,
    ) -> Result<(), Self::Error>;

    /// Replaces [`Self::network_usual`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_network_usual(
        &mut self,
        network: &NetworkKey,
        today: Day,
        row: NetworkUsual,
    ) -> Result<(), Self::Error>;
}

/// Where signals are kept, inside a step of a store.
pub trait SignalRows: ChargeRows {
    /// How many hours a signal is kept: 400 days.
    const KEPT_HOURS: u32 = 400 * 24;
    /// How many signals are kept.
    const KEPT: u64 = 100_000;

    /// Keeps a signal and returns its number: one more than that of the signal before, 1 for the first.
    ///
    /// Those that have been kept long enough may go, unless an incident is open: they are evidence.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn keep_signal(&mut self, signal: &Signal) -> Result<u64, Self::Error>;
}
