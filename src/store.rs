//! Where charges, members and manifests are kept.
//!
//! Layer 5: stands on the server role's types and must not know HTTP. Each operation is one round trip and
//! one atomic step, durable when it is answered, so that a remote store fits behind the same traits.
//!
//! | | durable | for |
//! |---|---|---|
//! | [`MemoryStore`] | no | tests, examples |
//! | `RedbStore` (feature `store`) | yes | one machine |

mod base_builder;
mod canaries;
mod checkpoints;
mod epochs;
mod evidence;
mod findings;
mod incident;
mod keeper;
mod ledger;
mod ledger_keys;
mod memory;
mod publisher;
#[cfg(feature = "store")]
mod redb;
mod restored;
mod rotation;
mod rotator;
mod segments;
mod settings;
mod signals;

use std::{future::Future, string::String, vec::Vec};

pub use base_builder::{BaseBuilder, BaseError, BuiltBase, Duplicates, LEAST_MEMORY};
pub use canaries::{Canaries, CanaryStore};
pub use checkpoints::CheckpointFile;
pub use epochs::Epochs;
pub use evidence::{Affected, AffectedPage, EvidenceStore};
pub use findings::{FindingsError, enlist_exposed, evaluations, exposed_by_region};
pub use incident::IncidentStore;
pub use keeper::{KeyKeeper, NextKey, NoKeeper};
pub use ledger::LedgerStore;
pub use ledger_keys::{DerivedLedgerKeys, LedgerKeys};
pub use memory::MemoryStore;
#[cfg(feature = "store")]
use publisher::StillPublished;
pub use publisher::{Building, Pace, PreparedEpoch, Publication, PublishError, Publisher, Work};
#[cfg(feature = "store")]
pub use redb::{
    NewestManifest, RedbStore, RestoreError, RestorePlan, RestoreTerms, RestoredStore, StoreOptions,
};
pub use restored::Restored;
pub use rotation::{DroppedClaims, Rekeyed, RotationStore, RunEnd, Switched};
pub use rotator::{RotateError, Rotator};
pub use segments::SegmentFolder;
#[cfg(feature = "publish")]
pub(crate) use segments::hex;
pub use settings::{LabelledPage, SettingStore};
pub use signals::SignalStore;

use crate::{
    label::Label,
    oprf::{Encoding, Epoch, UnblindedElement},
    server::{
        directory::{BatchOutcome, MemberBatch},
        ledger::{Body, LedgerRows, Suspension, append},
        publish::made_at,
        quota::QuotaStore,
    },
    snapshot::SignedManifest,
    timestamp::Timestamp,
};

/// A step that a store didn't take, or can't say whether it took.
///
/// Whoever asked evaluates nothing and answers nothing but that it can't.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the store open.
    #[error("another process has the store open")]
    Locked,
    /// The file isn't a store, or not any more.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The file was written by another version.
    #[error("the store has format version {0}, which isn't known here")]
    Version(u64),
    /// The store is older than it was when it was last in use, or another one. It isn't opened.
    #[error("the store was restored from a backup: {0}")]
    Restored(#[from] Restored),
    /// The disk doesn't do what it is told.
    #[error("the store's disk failed: {0}")]
    Io(String),
    /// More is waiting than can be done soon. Nothing was begun.
    #[error("the store has too much to do")]
    Overloaded,
    /// The directory has switched to a later epoch than that of the members. Nothing was changed.
    #[error("the epoch of these members is over")]
    EpochOver,
    /// An earlier step broke off. The process has to be started anew.
    #[error("the store is closed after an earlier failure")]
    Closed,
}

/// A member who can be found, for publishing.
#[derive(Debug)]
pub struct Findable {
    /// Which identifier.
    pub unblinded: UnblindedElement,
    /// The handle that a match yields.
    pub label: Label,
}

/// A member of whom something else is to be published than was last time, or may be.
#[derive(Debug)]
pub struct Changed {
    /// Which identifier.
    pub unblinded: UnblindedElement,
    /// The number of the member's last change.
    pub number: u64,
    /// The handle, and since when the member can be found; `None` for one who can't.
    pub shown: Option<(Label, Timestamp)>,
}

/// How far publishing has come. Kept with the manifest that it led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Changes up to this number are published.
    pub changes: u64,
    /// The first decoy that is published, and the first that never was.
    pub decoys: (u64, u64),
}

/// What is published, and what there is to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The number of the last change.
    pub changes: u64,
    /// How far publishing has come.
    pub settled: Settled,
    /// Members who can be found, in all epochs.
    pub findable: u64,
}

/// The newest manifest of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// Its place in the chain.
    pub sequence: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl StoredManifest {
    /// When it was published, to the second; `None` if the bytes aren't a manifest.
    pub(crate) fn published_at(&self) -> Option<Timestamp> {
        let signed = SignedManifest::decode(&self.bytes).ok()?;
        Some(made_at(signed.unverified_claims()))
    }
}

/// A place among the rows of the quota, as a store orders them.
pub type SweepKey = Vec<u8>;

/// A page of rows of the quota, swept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The last row looked at; `None` if there are no more.
    pub last: Option<SweepKey>,
    /// How many were forgotten.
    pub forgotten: usize,
}

/// Everything that a service keeps.
///
/// Quota rows come with [`QuotaStore`], those of the ledger with [`LedgerStore`], what detection has found with
/// [`SignalStore`], who is a canary with [`CanaryStore`], what accounts choose with [`SettingStore`],
/// who could be found when with [`EvidenceStore`], incidents with [`IncidentStore`], and the change from one key to the next with
/// [`RotationStore`]. Time comes in; a store reads no clock.
pub trait Store:
    QuotaStore<Error = StoreError>
    + LedgerStore
    + SignalStore
    + CanaryStore
    + SettingStore
    + EvidenceStore
    + IncidentStore
    + RotationStore
    + Send
    + Sync
    + 'static
{
    /// Makes a batch of changes to the directory, by
    /// [`directory::change`](crate::server::directory::change()).
    ///
    /// # Errors
    ///
    /// See [`StoreError`]; [`StoreError::EpochOver`] once a rotation has switched to a later epoch.
    fn change_members(
        &self,
        batch: MemberBatch,
    ) -> impl Future<Output = Result<BatchOutcome, StoreError>> + Send;

    /// Up to `limit` members of an epoch who can be found, ascending by unblinded element, those after
    /// `after`. Fewer than `limit` means that there are no more.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn findable(
        &self,
        epoch: Epoch,
        after: Option<Encoding>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Findable>, StoreError>> + Send;

    /// How many changes there were to what is published of members, and how many of them are published.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn progress(&self) -> impl Future<Output = Result<Progress, StoreError>> + Send;

    /// Up to `limit` members of an epoch whose changes aren't [settled](Self::append_manifest), ascending by
    /// unblinded element, those after `after`. Fewer than `limit` means that there are no more.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn changed(
        &self,
        epoch: Epoch,
        after: Option<Encoding>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Changed>, StoreError>> + Send;

    /// Removes up to `limit` notes of changes that are settled; returns how many it removed.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn drop_settled(&self, limit: usize) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Forgets up to `limit` things about members that have been kept long enough; returns how many
    /// members were looked at. See [`Member::forget`](crate::server::directory::Member::forget).
    ///
    /// Nothing while an [incident](IncidentStore) isn't closed: it is evidence.
    ///
    /// A time later than the latest charge counts as that one: the quota doesn't believe a clock that jumps ahead,
    /// and what such a clock would make us forget can't be brought back.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn forget(
        &self,
        at: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Suspends somebody, or lets them go, and says so in the ledger.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn suspend(
        &self,
        suspension: Suspension,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Looks at up to `limit` rows of the quota, those behind `after`, and forgets the ones that mean the same as no row: buckets
    /// that are full, and requests that are charged again anyway. The first page also forgets days that no baseline needs any more and suspensions that are over.
    ///
    /// As with [`Self::forget`], a time later than the latest charge counts as that one.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn sweep(
        &self,
        at: Timestamp,
        after: Option<SweepKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Swept, StoreError>> + Send;

    /// Whether steps can be taken. Changes nothing.
    ///
    /// # Errors
    ///
    /// Why they can't; [`StoreError::Closed`] if the process has to be started anew.
    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// How many elements the key of an epoch has evaluated, by the debits that are durable.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn key_evaluations(&self, epoch: Epoch)
    -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The newest manifest.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn latest_manifest(
        &self,
    ) -> impl Future<Output = Result<Option<StoredManifest>, StoreError>> + Send;

    /// Appends a manifest to the chain and settles the changes that it publishes; `false`, and nothing is changed, if
    /// its sequence isn't the next one. A member who has changed again since stays changed.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn append_manifest(
        &self,
        manifest: StoredManifest,
        settled: Settled,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Says in the ledger that a manifest is published, in the step that keeps it.
fn append_published<R: LedgerRows>(
    rows: &mut R,
    manifest: &StoredManifest,
) -> Result<(), R::Error> {
    let signed = SignedManifest::decode(&manifest.bytes).ok();
    let made = signed
        .as_ref()
        .map(|signed| made_at(signed.unverified_claims()));
    let entry = Body::Published {
        sequence: manifest.sequence,
        hash: signed.map(|signed| signed.hash()).unwrap_or_default(),
    };
    append(rows, made.unwrap_or(Timestamp::from_micros(0)), &entry)
}

/// How long a charged request is remembered, in microseconds.
const REPLAY_MEMORY: u64 = 86_400_000_000;
