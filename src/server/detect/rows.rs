//! What detection reads and writes.

use super::{NetworkUsual, Watched};
use crate::server::quota::{AccountKey, ChargeRows, NetworkKey};

/// The rows of detection, inside the step of a store that seals an hour.
///
/// A row that wasn't written for [`Self::KEPT_DAYS`] may be forgotten.
pub trait DetectRows: ChargeRows {
    /// How long a row has to be kept.
    const KEPT_DAYS: u32 = 14;

    /// What is remembered of an account.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn watched(&mut self, account: &AccountKey) -> Result<Option<Watched>, Self::Error>;

    /// What is usual in a network.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn network_usual(&mut self, network: &NetworkKey) -> Result<Option<NetworkUsual>, Self::Error>;

    /// Replaces [`Self::watched`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_watched(&mut self, account: &AccountKey, row: Watched) -> Result<(), Self::Error>;

    /// Replaces [`Self::network_usual`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_network_usual(
        &mut self,
        network: &NetworkKey,
        row: NetworkUsual,
    ) -> Result<(), Self::Error>;
}
