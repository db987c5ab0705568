//! The first publication of a new epoch, after a rotation.
//!
//! It waits for no slot: everything that is published changes, and who came or went since the last slot can't be told from it
//! by tags. Who waits to be published goes on waiting.

use std::{string::ToString, time::Duration, vec::Vec};

use super::{Publication, PublishError, Publisher, Work};
use crate::{
    oprf::{BadElement, Encoding, Epoch, PublicKey},
    server::{
        Delta,
        publish::{NewBase, Plan, Step, Terms},
        rotation::Window,
    },
    store::{Settled, Store, StoreError, StoredManifest, Switched},
    timestamp::Timestamp,
};

/// The base of a new epoch, with its manifest that isn't appended yet.
#[derive(Debug)]
pub struct PreparedEpoch {
    pub(in crate::store) publisher: Publisher,
    pub(in crate::store) publication: Publication,
    manifest: StoredManifest,
    settled: Settled,
    at: Timestamp,
    /// When the last manifest of the old epoch expires.
    expires: Timestamp,
}

impl Publisher {
    /// Publishes in another epoch, and everything else as this one does.
    #[must_use]
    pub fn in_epoch(&self, epoch: Epoch, public_key: PublicKey) -> Self {
        Self {
            terms: Terms {
                epoch,
                public_key,
                ..self.terms.clone()
            },
            policy: self.policy.clone(),
            building: self.building,
            key: self.key.clone(),
            folder: self.folder.clone(),
        }
    }

    /// Builds the base of the next epoch, in which everybody has a row.
    ///
    /// # Errors
    ///
    /// See [`PublishError`]; what is published stays so.
    pub async fn prepare_epoch<S: Store>(
        &self,
        store: &S,
        epoch: Epoch,
        public_key: PublicKey,
        delta: &Delta,
        at: Timestamp,
        watch: &(dyn Fn(Work) + Sync),
    ) -> Result<PreparedEpoch, PublishError> {
        let publisher = self.in_epoch(epoch, public_key);
        let last = self.last(store).await?;
        let last = last.as_ref().map(|last| &last.manifest);
        let plan = Plan {
            slot: self.policy.slot_of(at),
            step: Step::Build,
            why: Some(NewBase::OtherTerms),
        };
        let (old, first) = self.waiting(store, last, &plan).await?;
        let old: Vec<Encoding> = old.into_iter().collect();
        let waiting = delta.multiply(&old);
        let damaged = |error: BadElement| StoreError::Damaged(error.to_string());
        let waiting = waiting.map_err(damaged)?;
        let draft = publisher.terms.draft(last, at)?;
        let waiting = (waiting.into_iter().collect(), first);
        let wrote = publisher
            .build_without(store, waiting, &plan, &draft, watch)
            .await?;
        let (publication, manifest) = publisher.signed(last, draft, &wrote)?;
        let not_after = last.map_or(0, |last| last.claims().not_after);
        Ok(PreparedEpoch {
            publisher,
            publication,
            manifest,
            settled: wrote.settled,
            at,
            expires: Timestamp::from_secs(not_after).saturating_add(Duration::from_secs(1)),
        })
    }
}

impl PreparedEpoch {
    /// How long the old epoch is still served after a soft switch.
    #[must_use]
    pub fn window(&self, carry_for: Duration) -> Window {
        Window {
            evaluate_until: self.expires,
            carry_until: self.at.saturating_add(carry_for).max(self.expires),
        }
    }

    /// Appends the manifest and switches; `false`, and nothing is changed, if somebody has changed since who isn't in a row
    /// of the new epoch yet.
    ///
    /// # Errors
    ///
    /// [`PublishError::Conflict`] if somebody else has published since; or the store can't answer.
    pub async fn switch<S: Store>(
        &mut self,
        store: &S,
        window: Option<Window>,
    ) -> Result<bool, PublishError> {
        let manifest = self.manifest.clone();
        match store.switch_epoch(manifest, self.settled, window).await? {
            Switched::Done => {}
            Switched::MembersChanged => return Ok(false),
            Switched::Conflict => return Err(PublishError::Conflict),
        }
        self.publisher.appended(store, &mut self.publication).await;
        Ok(true)
    }
}
