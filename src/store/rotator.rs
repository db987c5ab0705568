//! Rotating the key of a service, step by step.
//!
//! ```text
//! begin      the next key and delta are kept, then the store notes the rotation
//! rekey      everybody gets a row in the new epoch
//! switch     the base of the new epoch is built; its manifest and the phase are one step
//! finish     delta and the old key are destroyed, old rows are dropped
//! ```
//!
//! Each step can be interrupted and called again, by whoever holds the keeper and the store: what was done isn't done twice.

use std::{io, time::Duration, vec::Vec};

use super::{
    KeyKeeper, NextKey, PreparedEpoch, Publication, PublishError, Publisher, Rekeyed, RunEnd,
    Store, StoreError, Work,
};
use crate::{
    oprf::{BadElement, Encoding, UnblindedElement},
    server::{
        Delta, Evaluator,
        rotation::{Phase, Rotation, RotationKind, Window},
    },
    timestamp::Timestamp,
};

/// Members whose new rows are sorted before they are written: 64 MiB. Rows in the order of their keys are several times
/// faster for a store.
const RUN: usize = 1 << 20;
/// Members in one step of the store: few enough that a charge behind it doesn't wait long.
const PAGE: usize = 1_024;

/// A rotation that isn't begun, or doesn't go on. What was done is done; calling again goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The store can't answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new epoch can't be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The keys can't be kept or read.
    #[error("the keys of the rotation can't be kept or read: {0}")]
    Keys(#[from] io::Error),
    /// The key that members were moved to isn't there.
    #[error("the key of the new epoch isn't there: has its file been removed?")]
    KeyLost,
    /// The key isn't of an epoch that the rotation in the store is about.
    #[error("the evaluation key is of another epoch than the rotation that isn't finished")]
    OtherKey,
    /// The last soft rotation isn't finished.
    #[error("results of the epoch before are still carried over; a hard rotation doesn't wait")]
    Busy {
        /// When it will be.
        until: Timestamp,
    },
    /// Nothing comes after the last epoch, or somebody else rotates.
    #[error("another rotation came first")]
    Conflict,
    /// The store has an element that isn't one.
    #[error("the store is damaged: {0}")]
    Element(#[from] BadElement),
}

/// Rotates the key of a store's members.
#[derive(Debug)]
pub struct Rotator<'a, S> {
    store: &'a S,
    keeper: &'a dyn KeyKeeper,
}

impl<'a, S: Store> Rotator<'a, S> {
    /// For members in this store, under keys that are kept there.
    #[must_use]
    pub fn new(store: &'a S, keeper: &'a dyn KeyKeeper) -> Self {
        Self { store, keeper }
    }

    /// Begins to rotate from the key in use, or goes on with the rotation that has been begun; returns the next key.
    ///
    /// One that hasn't switched yet becomes hard if that is asked for, and stays so.
    ///
    /// # Errors
    ///
    /// See [`RotateError`]; [`RotateError::Busy`] while the window of the last one is open.
    pub async fn begin(
        &self,
        current: &Evaluator,
        kind: RotationKind,
        rng: &mut (dyn rand_core::CryptoRng + Send),
    ) -> Result<(Rotation, NextKey), RotateError> {
        match self.store.rotation().await? {
            Some(rotation) => match &rotation.phase {
                Phase::Rekeying { .. } if rotation.from == current.epoch() => {
                    if kind == RotationKind::Hard {
                        self.store.harden_rotation().await?;
                    }
                }
                Phase::Window(window) => {
                    let until = window.carry_until;
                    return Err(RotateError::Busy { until });
                }
                _ => return Err(RotateError::OtherKey),
            },
            None => {
                self.keep(current, rng)?;
                if !self.store.begin_rotation(current.epoch(), kind).await? {
                    return Err(RotateError::Conflict);
                }
            }
        }
        let rotation = self.store.rotation().await?.ok_or(RotateError::Conflict)?;
        let next = self.keeper.kept()?.filter(|next| next.epoch == rotation.to);
        Ok((rotation, next.ok_or(RotateError::KeyLost)?))
    }

    /// Keeps a new key, unless one was kept by an attempt that ended before the store knew of it.
    fn keep(
        &self,
        current: &Evaluator,
        rng: &mut (dyn rand_core::CryptoRng + Send),
    ) -> Result<(), RotateError> {
        let epoch = current.epoch().next().ok_or(RotateError::Conflict)?;
        if self
            .keeper
            .kept()?
            .is_some_and(|next| next.epoch == epoch && next.delta.is_some())
        {
            return Ok(());
        }
        let delta = Delta::random(rng);
        self.keeper.keep(&NextKey {
            epoch,
            key: current.rotate(&delta),
            delta: Some(delta),
        })?;
        Ok(())
    }

    /// Gives everybody a row in the new epoch. `watch` is told how many have theirs.
    ///
    /// # Errors
    ///
    /// See [`RotateError`].
    pub async fn rekey(
        &self,
        delta: &Delta,
        watch: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RotateError> {
        loop {
            let rotation = self.store.rotation().await?.ok_or(RotateError::Conflict)?;
            let Phase::Rekeying {
                after,
                done,
                complete,
            } = rotation.phase
            else {
                return Ok(());
            };
            if complete {
                break;
            }
            watch(done);
            let run = self.store.to_rekey(after, RUN).await?;
            let end = RunEnd {
                after: run.last().map(|last| *last.expose()).or(after),
                members: run.len() as u64,
                complete: run.len() < RUN,
            };
            let mut members = multiplied(delta, run)?;
            members.sort_unstable_by(|(_, a), (_, b)| a.expose().cmp(b.expose()));
            self.store
                .rekey(Rekeyed {
                    members,
                    again: false,
                    end: Some(end),
                })
                .await?;
            watch(done + end.members);
        }
        self.rekey_again(delta).await
    }

    /// Gives those their rows anew who have changed since.
    ///
    /// # Errors
    ///
    /// See [`RotateError`].
    pub async fn rekey_again(&self, delta: &Delta) -> Result<(), RotateError> {
        loop {
            let changed = self.store.to_rekey_again(PAGE).await?;
            if changed.is_empty() {
                return Ok(());
            }
            self.store
                .rekey(Rekeyed {
                    members: multiplied(delta, changed)?,
                    again: true,
                    end: None,
                })
                .await?;
        }
    }

    /// Builds the first base of the new epoch. Call [`switch`](Self::switch) then.
    ///
    /// # Errors
    ///
    /// See [`RotateError`].
    pub async fn prepare(
        &self,
        publisher: &Publisher,
        next: &NextKey,
        at: Timestamp,
        watch: &(dyn Fn(Work) + Sync),
    ) -> Result<PreparedEpoch, RotateError> {
        let delta = next.delta.as_ref().ok_or(RotateError::KeyLost)?;
        let public_key = next.key.public_key().clone();
        let preparing =
            publisher.prepare_epoch(self.store, next.epoch, public_key, delta, at, watch);
        Ok(preparing.await?)
    }

    /// Makes the new epoch the one that is published. `false`, and nothing is changed, if somebody has changed since who has
    /// to be [rekeyed again](Self::rekey_again) before.
    ///
    /// # Errors
    ///
    /// See [`RotateError`].
    pub async fn switch(
        &self,
        prepared: &mut PreparedEpoch,
        carry_for: Duration,
    ) -> Result<Option<Option<Window>>, RotateError> {
        let rotation = self.store.rotation().await?.ok_or(RotateError::Conflict)?;
        let window = match rotation.kind {
            RotationKind::Hard => None,
            RotationKind::Soft => Some(prepared.window(carry_for)),
        };
        let switched = prepared.switch(self.store, window).await?;
        Ok(switched.then_some(window))
    }

    /// Drops what is left of the old epoch in the store.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub async fn drop_old(&self) -> Result<(), StoreError> {
        while self.store.drop_old(PAGE).await? > 0 {}
        let mut after = None;
        loop {
            after = self.store.drop_claims(after, PAGE).await?.last;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Destroys delta and the old key, and forgets a rotation that is ending; `false` if there is none.
    ///
    /// # Errors
    ///
    /// See [`RotateError`].
    pub async fn finish(&self) -> Result<bool, RotateError> {
        let rotation = self.store.rotation().await?;
        let rotation = rotation.filter(|rotation| rotation.phase == Phase::Ending);
        let Some(rotation) = rotation else {
            return Ok(false);
        };
        // What whoever reads the disk later must not find goes first.
        self.keeper.destroy_delta()?;
        self.keeper.promote(rotation.to)?;
        self.drop_old().await?;
        self.store.finish_rotation().await?;
        Ok(true)
    }
}

impl PreparedEpoch {
    /// What was published by [`Rotator::switch`].
    #[must_use]
    pub fn into_publication(self) -> (Publisher, Publication) {
        (self.publisher, self.publication)
    }
}

fn multiplied(
    delta: &Delta,
    members: Vec<UnblindedElement>,
) -> Result<Vec<(UnblindedElement, UnblindedElement)>, BadElement> {
    let mut old: Vec<Encoding> = members.iter().map(|member| *member.expose()).collect();
    let new = delta.multiply(&old);
    zeroize::Zeroize::zeroize(&mut old);
    let new = new?.into_iter().map(UnblindedElement::from_trusted);
    Ok(members.into_iter().zip(new).collect())
}
