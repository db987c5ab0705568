//! The keys of the ledger's months, as the service uses and destroys them.

use std::sync::Arc;

use super::{Service, seal::SealError};
use crate::{
    server::{
        ledger::{LedgerKey, Month, Topic},
        quota::Hour,
    },
    store::{Store, StoreError},
    timestamp::Timestamp,
};

impl<S: Store> Service<S> {
    /// The key that what happens in a month is written down under.
    ///
    /// If there was one and it is lost, it counts as destroyed: under a new one the same account would have another name, and who
    /// adds up would miss what it did before.
    ///
    /// # Errors
    ///
    /// See [`SealError`].
    pub(super) async fn ledger_key(
        &self,
        month: Month,
        at: Timestamp,
    ) -> Result<Arc<LedgerKey>, SealError> {
        if self
            .ledger_keys
            .kept(month)
            .map_err(SealError::Key)?
            .is_none()
        {
            let [first, next] = [month, month.next()].map(|month| Hour::of(month.begin()));
            let last = Topic::Charges(Hour::new(next.get().saturating_sub(1)));
            let store = self.quota.store();
            let used = store.ledger_about((Topic::Charges(first), 0), last, 1);
            if !used.await?.is_empty() {
                self.destroy_key(month, at).await?;
            }
        }
        self.ledger_keys.key(month).map_err(SealError::Key)
    }

    /// Destroys the key of a month, and says so first: what is said and isn't done yet is done the next time.
    ///
    /// # Errors
    ///
    /// See [`SealError`].
    pub(super) async fn destroy_key(&self, month: Month, at: Timestamp) -> Result<(), SealError> {
        self.quota.store().note_destroyed(month, at).await?;
        self.ledger_keys.destroy(month).map_err(SealError::Key)
    }

    /// Destroys keys that were kept long enough, but for those that an incident needs. A clock that has jumped ahead destroys
    /// nothing: the latest charge counts.
    ///
    /// # Errors
    ///
    /// See [`SealError`].
    pub(super) async fn destroy_due(&self, at: Timestamp) -> Result<(), SealError> {
        let Some(latest) = self.quota.store().latest_charge().await? else {
            return Ok(());
        };
        let present = Month::of(at.min(latest));
        for month in self.ledger_keys.months().map_err(SealError::Key)? {
            if month.is_due_in(present) && !self.is_evidence(month, at).await? {
                self.destroy_key(month, at).await?;
                tracing::info!(%month, "destroyed the ledger's key of a month");
            }
        }
        Ok(())
    }

    /// Whether an incident that isn't closed is about something in a month: who did it is still to be said.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub(super) async fn is_evidence(
        &self,
        month: Month,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let incidents = self.quota.store().incidents().await?;
        let mut open = incidents.iter().filter(|one| one.closing().is_none());
        Ok(open.any(|incident| {
            let harvest = incident.harvest(at);
            (Month::of(harvest.since)..=Month::of(harvest.until)).contains(&month)
        }))
    }
}
