//! What the charging function reads and writes.

use super::{
    AccountKey, Activity, Bucket, Claim, Day, DayRow, Hour, Meter, NetworkActivity, NetworkKey,
    ReplayKey, Suspect,
};
use crate::{oprf::Epoch, server::Timestamp};

/// The rows that [`charge()`](super::charge()) reads and writes, inside one atomic step of a store.
pub trait ChargeRows {
    /// Why a row can't be read or written.
    type Error;

    /// The latest time at which anything was charged.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn latest(&mut self) -> Result<Option<Timestamp>, Self::Error>;

    /// Until when it isn't known what was drawn, as the rows were restored from a backup; `None` if that never happened.
    ///
    /// Everything that could be drawn until then is taken to have been.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn lost_until(&mut self) -> Result<Option<Timestamp>, Self::Error>;

    /// The level of a bucket; `None` if it was never drawn from.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn level(&mut self, bucket: &Bucket) -> Result<Option<Timestamp>, Self::Error>;

    /// The oldest hour of which something isn't sealed into the [ledger](crate::server::ledger) yet.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn oldest_open(&mut self) -> Result<Option<Hour>, Self::Error>;

    /// When a request was charged, if that was within 24 hours before `now`.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn charged(
        &mut self,
        request: &ReplayKey,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Self::Error>;

    /// How many elements the key of an epoch has evaluated.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn evaluations(&mut self, epoch: Epoch) -> Result<u64, Self::Error>;

    /// Until when somebody is suspended, if at all. [`Timestamp::MAX`] means until it is lifted.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn suspended(&mut self, suspect: &Suspect) -> Result<Option<Timestamp>, Self::Error>;

    /// What a meter has measured on a day; `None` if nothing was charged.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn day(&mut self, meter: Meter, day: Day) -> Result<Option<DayRow>, Self::Error>;

    /// What an account has had evaluated and may carry over; `None` if that is nothing.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn claim(&mut self, account: &AccountKey) -> Result<Option<Claim>, Self::Error>;

    /// What an account has done in an hour; `None` if it hasn't asked.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn activity(
        &mut self,
        hour: Hour,
        account: &AccountKey,
    ) -> Result<Option<Activity>, Self::Error>;

    /// What the young accounts of a network have done in an hour; `None` if nobody has asked.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn network_activity(
        &mut self,
        hour: Hour,
        network: &NetworkKey,
    ) -> Result<Option<NetworkActivity>, Self::Error>;

    /// Replaces [`Self::latest`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_latest(&mut self, now: Timestamp) -> Result<(), Self::Error>;

    /// Replaces [`Self::level`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_level(&mut self, bucket: &Bucket, level: Timestamp) -> Result<(), Self::Error>;

    /// Remembers for 24 hours that a request was charged.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_charged(&mut self, request: &ReplayKey, now: Timestamp) -> Result<(), Self::Error>;

    /// Replaces [`Self::evaluations`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_evaluations(&mut self, epoch: Epoch, evaluations: u64) -> Result<(), Self::Error>;

    /// Replaces [`Self::day`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_day(&mut self, meter: Meter, day: Day, row: DayRow) -> Result<(), Self::Error>;

    /// Replaces [`Self::claim`]. It isn't swept while anything can be carried over.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_claim(&mut self, account: &AccountKey, claim: Claim) -> Result<(), Self::Error>;

    /// Replaces [`Self::activity`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_activity(
        &mut self,
        hour: Hour,
        account: &AccountKey,
        row: Activity,
    ) -> Result<(), Self::Error>;

    /// Replaces [`Self::network_activity`].
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_network_activity(
        &mut self,
        hour: Hour,
        network: &NetworkKey,
        row: NetworkActivity,
    ) -> Result<(), Self::Error>;
}
