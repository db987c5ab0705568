//! Going on with a store that was restored from a backup.
//!
//! ```text
//! open      the file, which nobody else may have open, whatever its witness says
//! newest    the newest manifest that is known anywhere: clients refuse an older one, and another with its number
//! plan      who is in the set that it names; who isn't has opted out since, or joined in between
//! accept    one step: everything that can be drawn has been, the chain goes on, who isn't in the set can't be found
//! ```
//!
//! What was lost stays lost. What nobody else has a record of is taken to have happened if that is the safe side: charges, and
//! decisions not to be found that were published. Suspensions, deletions, and decisions behind the last publication have to be made
//! again by whoever knows of them.

use std::{fmt, sync::Arc, vec::Vec};

use redb::{Database, ReadableDatabase, StorageBackend};

use super::{
    file, guarded, open_database,
    options::CACHE,
    pending::Pending,
    random_name, store_error, tables,
    tables::{Acceptance, Remembered},
    witness::{Seen, Witness, verdict},
    writer::transact,
};
use crate::{
    oprf::{Encoding, Epoch},
    server::{
        policy::{Policy, Usual},
        publish::made_at,
    },
    snapshot::{Manifest, SignedManifest},
    store::{PublishError, Publisher, Restored, StillPublished, StoreError, StoredManifest},
    timestamp::Timestamp,
};

/// Members compared with the published set at once.
const PAGE: usize = 1 << 18;
/// Microseconds of a day.
const DAY: u64 = 86_400_000_000;

/// A store that nothing is charged to and nothing is published from, until somebody accepts that it was restored.
#[derive(Debug)]
pub struct RestoredStore {
    database: Arc<Database>,
    pending: Pending,
    witness: Witness,
    /// What the witness has seen; `None` if it can't say.
    seen: Option<Seen>,
    known: Option<Seen>,
    why: Option<Restored>,
    held: Remembered,
}

/// A restored store that isn't accepted. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The store can't answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is published can't be read, or can't be continued by this publisher.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Two manifests have the same number.
    #[error("there are two manifests {0}: clients who have seen one refuse what follows the other")]
    Forked(u64),
    /// Members of an epoch can't be found by what is published in another one.
    #[error(
        "the key was changed since the backup: its members are of epoch {}, and epoch {} is published",
        .members.get(),
        .published.get()
    )]
    OtherEpoch {
        /// The epoch of the members.
        members: Epoch,
        /// That of the newest manifest.
        published: Epoch,
    },
    /// Something is known that happened later than now.
    #[error("the clock is behind what is known to have happened")]
    ClockBehind {
        /// When that was.
        at: Timestamp,
    },
}

/// What accepting does.
#[derive(Clone)]
#[must_use]
pub struct RestorePlan {
    /// When the store that was restored last charged anybody; `None` if it never did.
    pub lost_since: Option<Timestamp>,
    /// The newest manifest of the store; 0 if it has none.
    pub stored: u64,
    /// The newest manifest, which the chain goes on from; 0 if there is none.
    pub newest: u64,
    /// When that was published.
    pub published_at: Option<Timestamp>,
    /// Members who can be found and stay so.
    pub kept: u64,
    /// Members who could be found, and can't without a new consent.
    pub hidden: u64,
    /// Members in the newest set whom the store doesn't know. They have to be enrolled again.
    pub vanished: u64,
    /// Elements that the key is taken to have evaluated since.
    pub evaluations: u64,
    at: Timestamp,
    epoch: Epoch,
    from: Option<Epoch>,
    manifest: Option<StoredManifest>,
    decoys: (u64, u64),
    hide: Vec<Encoding>,
}

/// The newest manifest that is known anywhere.
#[derive(Debug, Clone)]
pub struct NewestManifest {
    /// The manifest; `None` if nothing was ever published.
    pub manifest: Option<Manifest>,
    bytes: Vec<u8>,
    /// The number of the store's newest one; 0 if it has none.
    pub stored: u64,
}

/// Under which conditions a restored store is accepted.
#[derive(Debug, Clone, Copy)]
pub struct RestoreTerms<'a> {
    /// What may have been evaluated in the meantime.
    pub policy: &'a Policy,
    /// The epoch of the key in use by its keeper.
    pub sealed: Epoch,
    /// Whether those stay findable who are in the newest set; otherwise nobody does.
    pub keep_published: bool,
    /// Now.
    pub at: Timestamp,
}

impl RestoredStore {
    /// Opens the store in a file, or makes one, whatever its witness has seen.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`], [`StoreError::Damaged`], [`StoreError::Version`] or [`StoreError::Io`].
    pub fn open(path: &std::path::Path, witness: &std::path::Path) -> Result<Self, StoreError> {
        Self::open_on(file(path)?, Witness::at(witness))
    }

    pub(super) fn open_on(
        backend: impl StorageBackend,
        witness: Witness,
    ) -> Result<Self, StoreError> {
        guarded(|| {
            let database = Arc::new(open_database(backend, CACHE)?);
            let begin = || database.begin_read().map_err(store_error);
            let mut pending = tables::pending(&begin()?)?;
            let known = tables::seen(&begin()?)?;
            // Not counted: a store that isn't accepted in the end has to be told apart as before.
            transact(&database, &mut pending, |tables| {
                tables.fold_all()?;
                tables.check_version()
            })?;
            let held = tables::remembered(&begin()?)?;
            let (seen, why) = match witness.read() {
                Ok(seen) => (seen, verdict(known, seen)),
                Err(StoreError::Restored(why)) => (None, Some(why)),
                Err(error) => return Err(error),
            };
            Ok(Self {
                database,
                pending,
                witness,
                seen,
                known,
                why,
                held,
            })
        })
    }

    /// How it shows by the witness that the store was restored, if it does.
    #[must_use]
    pub fn why(&self) -> Option<Restored> {
        self.why
    }

    /// The newest of the manifests that the store has, that lie in the folder of segments, and that are given.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Forked`]; or one of them isn't a manifest of this service, signed by this key.
    pub fn newest(
        &self,
        publisher: &Publisher,
        given: Option<Vec<u8>>,
    ) -> Result<NewestManifest, RestoreError> {
        let read = self.database.begin_read().map_err(store_error)?;
        let stored = guarded(|| tables::latest_manifest(&read))?;
        let stored = stored.map(|manifest| manifest.bytes);
        let mut newest = NewestManifest {
            manifest: None,
            bytes: Vec::new(),
            stored: 0,
        };
        let is_stored = stored.is_some();
        let others = [publisher.in_folder(), given];
        for (place, bytes) in [stored].into_iter().chain(others).enumerate() {
            let Some(bytes) = bytes else { continue };
            let manifest = publisher.verified(bytes.clone())?.manifest;
            let sequence = manifest.claims().sequence;
            if is_stored && place == 0 {
                newest.stored = sequence;
            }
            if let Some(other) = &newest.manifest {
                if other.claims().sequence == sequence && other.hash() != manifest.hash() {
                    return Err(RestoreError::Forked(sequence));
                }
                if other.claims().sequence >= sequence {
                    continue;
                }
            }
            newest.manifest = Some(manifest);
            newest.bytes = bytes;
        }
        Ok(newest)
    }

    /// What accepting would do. `publisher` has the key of the epoch that is published.
    ///
    /// # Errors
    ///
    /// See [`RestoreError`]. [`PublishError::Published`] if the newest set isn't in the folder of segments.
    pub fn plan(
        &self,
        publisher: &Publisher,
        newest: &NewestManifest,
        terms: &RestoreTerms<'_>,
    ) -> Result<RestorePlan, RestoreError> {
        let epoch = publisher.terms().epoch;
        let claims = newest.manifest.as_ref().map(Manifest::claims);
        if let Some(manifest) = &newest.manifest {
            let continues = publisher.terms().check_continues(manifest);
            continues.map_err(PublishError::from)?;
        }
        self.check_epoch(epoch)?;
        let published_at = claims.map(made_at);
        // A little behind is as good as that moment, as for charges.
        let latest = self.held.latest.max(published_at);
        let at = match latest {
            Some(latest) if terms.at.saturating_add(terms.policy.clock.back()) < latest => {
                return Err(RestoreError::ClockBehind { at: latest });
            }
            Some(latest) => latest.max(terms.at),
            None => terms.at,
        };
        let sequence = claims.map_or(0, |claims| claims.sequence);
        let mut plan = RestorePlan {
            lost_since: self.held.latest,
            stored: newest.stored,
            newest: sequence,
            published_at,
            kept: 0,
            hidden: 0,
            vanished: 0,
            evaluations: self.evaluations(terms.policy, at),
            at,
            epoch,
            from: (terms.sealed < epoch).then_some(terms.sealed),
            manifest: (sequence > newest.stored).then(|| StoredManifest {
                sequence,
                bytes: newest.bytes.clone(),
            }),
            decoys: (0, 0),
            hide: Vec::new(),
        };
        let published = newest.manifest.as_ref().filter(|_| terms.keep_published);
        let settled = self.progress()?.settled.decoys;
        let published = StillPublished::new(publisher, published, settled)?;
        plan.decoys = published.decoys();
        let mut after = None;
        loop {
            let read = self.database.begin_read().map_err(store_error)?;
            let page = guarded(|| tables::findable(&read, epoch, after, PAGE))?;
            let still = published.compare(&page)?;
            for (one, still) in page.iter().zip(still) {
                if still {
                    plan.kept += 1;
                } else {
                    plan.hidden += 1;
                    plan.hide.push(*one.unblinded.expose());
                }
            }
            match page.last() {
                Some(one) if page.len() == PAGE => after = Some(*one.unblinded.expose()),
                _ => break,
            }
        }
        plan.vanished = published.members().saturating_sub(plan.kept);
        Ok(plan)
    }

    /// Members that can be found are of this epoch.
    fn check_epoch(&self, published: Epoch) -> Result<(), RestoreError> {
        let read = self.database.begin_read().map_err(store_error)?;
        let rotation = guarded(|| tables::rotation(&read))?;
        let switched = rotation.filter(|rotation| rotation.is_switched());
        let members = switched.map(|rotation| rotation.to).or(self.held.epoch);
        let members = match members {
            Some(members) => Some(members),
            // Never rotated: as the newest manifest of the store says, or nobody is in it.
            None => guarded(|| tables::latest_manifest(&read))?
                .and_then(|stored| SignedManifest::decode(&stored.bytes).ok())
                .map(|signed| signed.unverified_claims().epoch),
        };
        match members {
            Some(members) if members != published => {
                Err(RestoreError::OtherEpoch { members, published })
            }
            _ => Ok(()),
        }
    }

    /// The most that the key can have evaluated since the latest charge that is known.
    fn evaluations(&self, policy: &Policy, at: Timestamp) -> u64 {
        let Some(latest) = self.held.latest else {
            // Nobody knows: time to rotate.
            return policy.key.warn;
        };
        let lost = at.as_micros().saturating_sub(latest.as_micros());
        let days = u32::try_from(lost.div_ceil(DAY)).unwrap_or(u32::MAX);
        let usual = Usual {
            service_per_day: self.held.usual,
            ..Usual::default()
        };
        let apps = policy.most_elements_of_service(days.min(MANY_DAYS), &usual);
        let registrar = u64::from(policy.registrar.refill_per_day)
            .saturating_mul(u64::from(days))
            .saturating_add(u64::from(policy.registrar.capacity));
        // One more, who may have come since.
        let registrars = registrar.saturating_mul(self.held.registrars.saturating_add(1));
        apps.saturating_add(registrars)
    }

    fn progress(&self) -> Result<crate::store::Progress, StoreError> {
        let read = self.database.begin_read().map_err(store_error)?;
        guarded(|| tables::progress(&read))
    }

    /// Does what the plan says, in one step, and tells the witness. The store can be opened as any other then.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] and the like. Nothing was changed, or all of it was and only the witness doesn't know: then accepting
    /// again is right, too.
    pub fn accept(mut self, plan: RestorePlan) -> Result<(), StoreError> {
        // More than anybody has seen of any store that was here.
        let commits = |seen: Option<Seen>| seen.map_or(0, |seen| seen.commits);
        let seen = Seen {
            store: random_name()?,
            commits: commits(self.known)
                .max(commits(self.seen))
                .saturating_add(1),
        };
        let acceptance = Acceptance {
            seen,
            at: plan.at,
            epoch: plan.epoch,
            from: plan.from,
            evaluations: plan.evaluations,
            manifest: plan.manifest,
            decoys: plan.decoys,
            hide: plan.hide,
        };
        guarded(|| {
            transact(&self.database, &mut self.pending, |tables| {
                tables.accept(acceptance)
            })
        })?;
        self.witness.begin(seen)
    }
}

/// More days than that aren't added up one by one: ten years.
const MANY_DAYS: u32 = 3_653;

impl fmt::Debug for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestorePlan")
            .field("kept", &self.kept)
            .field("hidden", &self.hidden)
            .field("vanished", &self.vanished)
            .finish_non_exhaustive()
    }
}
