//! Publishing: from what has changed since the last publication to segments and the manifest that names them.
//!
//! ```text
//! plan ---> daily delta ---> base, and deltas of earlier sets ---> manifest in the store ---> manifest in the folder
//!      \--> base of all members -------------------------------/                        \---> old files go
//! ```
//!
//! Files are durable before the manifest that names them is. The manifest is in the folder once it is in the store, and
//! not before, so that a crash can't lead to two with the same number.

mod build;
mod change;
mod epoch;
#[cfg_attr(not(feature = "store"), allow(dead_code))]
mod restored;

use std::{fs::File, io, sync::Arc, time::Duration, vec::Vec};

pub use self::epoch::PreparedEpoch;
#[cfg(feature = "store")]
pub(in crate::store) use self::restored::StillPublished;

use super::{
    BaseError, SegmentFolder, Settled, Store, StoreError, StoredManifest,
    base_builder::LEAST_MEMORY,
};
use crate::{
    label::LabelError,
    server::{
        ledger::{Checkpoint, Head},
        publish::{
            Decoys, JoinDelay, Plan, PublishPolicy, Sealer, SetError, SlotTaken, Step, Terms,
            TermsError, listed, made_at,
        },
    },
    snapshot::{
        BuildError, FileSource, Manifest, ManifestDraft, ManifestError, ReadError, Segment,
        SegmentEntry, SegmentError, SignedManifest, SnapshotKey, cheapest_path,
    },
    timestamp::Timestamp,
};

/// How long a file is still there that only the manifest before the newest lists, for clients who are fetching it: an hour.
const LINGER: Duration = Duration::from_secs(3_600);
/// Notes of changes that are removed in one step of the store.
const DROPPED: usize = 8_192;

/// Publishes the set of a service.
#[derive(Debug)]
pub struct Publisher {
    terms: Terms,
    policy: PublishPolicy,
    building: Building,
    key: Arc<SnapshotKey>,
    folder: SegmentFolder,
}

/// How a base of all members is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Building {
    /// Bytes of memory that may be taken: 256 MiB.
    pub memory: usize,
    /// Members after which a checkpoint is made that an interrupted publication goes on at: two million.
    pub checkpoint: u64,
}

/// What is published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The manifest, as clients get it.
    pub bytes: Vec<u8>,
    /// What it says.
    pub manifest: Manifest,
    /// The segments that were written for it.
    pub written: Vec<SegmentEntry>,
    /// Members newly left out because another one's tag is the same.
    pub collisions: u64,
    /// The segments that only the manifest before it lists.
    former: Vec<[u8; 32]>,
    /// Why an old file couldn't be removed, or the folder's copy of the manifest not written, if that went wrong. The
    /// publication is good nevertheless.
    pub litter: Option<io::ErrorKind>,
}

/// Whether a slot that has had its publication gets another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One publication in a slot.
    OncePerSlot,
    /// At once. What changed since the last one is told to be so young.
    Now,
}

/// How far a publication is that takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Work {
    /// Members that were read from the store, of about so many.
    Read(u64, u64),
    /// Members that were written, of so many.
    Written(u64, u64),
}

/// A set that isn't published. What was published before stays so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The store can't answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The segment can't be written.
    #[error("the segment can't be written: {0}")]
    Folder(#[from] io::Error),
    /// The slot has had its publication.
    #[error(transparent)]
    Slot(#[from] SlotTaken),
    /// What was published can't be read.
    #[error("what was published can't be read: {0}")]
    Published(#[from] ReadError),
    /// The chain can't go on under these terms.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The chain was signed by another snapshot key, or is damaged.
    #[error("the last manifest in the store isn't signed by this snapshot key")]
    ForeignChain,
    /// Somebody else has published in the meantime.
    #[error("another publication came first")]
    Conflict,
    /// The set can't be built.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The base can't be built.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A label in the store is longer than the service's labels.
    #[error("a member's {0}")]
    Label(#[from] LabelError),
    /// The manifest can't be signed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl From<BuildError> for PublishError {
    fn from(error: BuildError) -> Self {
        Self::Set(error.into())
    }
}

impl Default for Building {
    fn default() -> Self {
        Self {
            memory: 8 * LEAST_MEMORY,
            checkpoint: 2_000_000,
        }
    }
}

/// What a step has written.
#[derive(Debug, Default)]
struct Wrote {
    segments: Vec<SegmentEntry>,
    collisions: u64,
    settled: Settled,
}

impl Publisher {
    /// Publishes under these terms and the default policy, signs with this key, and puts segments into this folder.
    #[must_use]
    pub fn new(terms: Terms, key: SnapshotKey, folder: SegmentFolder) -> Self {
        Self {
            terms,
            policy: PublishPolicy::default(),
            building: Building::default(),
            key: Arc::new(key),
            folder,
        }
    }

    /// Publishes by this policy, which has to be [valid](PublishPolicy::validate).
    #[must_use]
    pub fn with_policy(self, policy: PublishPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Builds bases of all members in this way.
    #[must_use]
    pub fn with_building(self, building: Building) -> Self {
        Self { building, ..self }
    }

    /// What stays the same from one manifest to the next.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// When something is published, and as what.
    #[must_use]
    pub fn policy(&self) -> &PublishPolicy {
        &self.policy
    }

    /// Where segments are.
    #[must_use]
    pub fn folder(&self) -> &SegmentFolder {
        &self.folder
    }

    /// What was published last, if anything was.
    ///
    /// # Errors
    ///
    /// The store can't answer; or what is in it can't be continued by this publisher. [`StoreError::Restored`] if the folder of
    /// segments has a manifest that isn't in the store.
    pub async fn last<S: Store>(&self, store: &S) -> Result<Option<Publication>, PublishError> {
        let stored = store.latest_manifest().await?;
        let publication = stored.map(|stored| self.verified(stored.bytes));
        let publication = publication.transpose()?;
        let last = publication.as_ref().map(|last| &last.manifest);
        self.check_known(last)?;
        if let Some(last) = last {
            self.terms.check_continues(last)?;
        }
        Ok(publication)
    }

    /// Signs where the chain of the ledger has come to; `None` while it has no entries.
    #[must_use]
    pub fn checkpoint(&self, head: &Head, at: Timestamp) -> Option<[u8; Checkpoint::LENGTH]> {
        let checkpoint = Checkpoint {
            service: self.terms.service.hash(),
            index: head.next().checked_sub(1)?,
            hash: *head.hash(),
            at,
        };
        Some(checkpoint.sign(&self.key))
    }

    /// Whether every file that a manifest names is there. Of their content only the length is looked at.
    #[must_use]
    pub fn is_whole(&self, manifest: &Manifest) -> bool {
        let segments = &manifest.claims().segments;
        segments.iter().all(|entry| self.folder.has(entry))
    }

    /// What a publication would write now.
    ///
    /// # Errors
    ///
    /// As [`Self::last`].
    pub async fn plan<S: Store>(&self, store: &S, at: Timestamp) -> Result<Plan, PublishError> {
        let last = self.last(store).await?;
        let last = last.as_ref().map(|last| &last.manifest);
        self.plan_after(store, last, at).await
    }

    async fn plan_after<S: Store>(
        &self,
        store: &S,
        last: Option<&Manifest>,
        at: Timestamp,
    ) -> Result<Plan, PublishError> {
        let progress = store.progress().await?;
        let changes = progress.changes.saturating_sub(progress.settled.changes);
        let plan = Plan::new(&self.policy, &self.terms, last, changes, at);
        let whole = plan.step == Step::Build || last.is_none_or(|last| self.is_whole(last));
        Ok(if whole { plan } else { plan.rebuild() })
    }

    /// Publishes what has changed.
    ///
    /// Reads the store and computes for seconds, or minutes if a base is built: give it a thread of its own. The
    /// segments of the new manifest stay, and those of the last one for [an hour](Self::tidy).
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish<S: Store>(
        &self,
        store: &S,
        at: Timestamp,
        pace: Pace,
        watch: &(dyn Fn(Work) + Sync),
    ) -> Result<Publication, PublishError> {
        let last = self.last(store).await?;
        if let Some(last) = &last {
            // A crash may have come before.
            self.mirror(last)?;
            // What can't be removed is told of when this is done.
            let _either = self.tidy(last, at);
        }
        let last = last.as_ref().map(|last| &last.manifest);
        let plan = self.plan_after(store, last, at).await?;
        if pace == Pace::OncePerSlot {
            plan.check_slot(&self.policy, last)?;
        }
        let draft = self.terms.draft(last, at)?;
        let wrote = match last.filter(|_| plan.step != Step::Build) {
            None => self.build(store, last, &plan, &draft, watch).await?,
            Some(last) => match self.change(store, last, &plan, &draft).await {
                Err(PublishError::Published(error)) if is_damage(&error) => {
                    self.build(store, Some(last), &plan, &draft, watch).await?
                }
                changed => changed?,
            },
        };
        self.append(store, last, draft, wrote).await
    }

    /// Removes the files that the newest publication doesn't list, if it has been there for an hour. Until then clients
    /// may be fetching what the one before it lists.
    ///
    /// # Errors
    ///
    /// The folder can't be read, or a file in it can't be removed.
    pub fn tidy(&self, newest: &Publication, at: Timestamp) -> io::Result<()> {
        if newest.lingers(at) {
            return Ok(());
        }
        let listed = ids(&newest.manifest.claims().segments);
        self.folder.retain_finished(&listed)
    }

    async fn append<S: Store>(
        &self,
        store: &S,
        last: Option<&Manifest>,
        draft: ManifestDraft,
        wrote: Wrote,
    ) -> Result<Publication, PublishError> {
        let (mut publication, manifest) = self.signed(last, draft, &wrote)?;
        if !store.append_manifest(manifest, wrote.settled).await? {
            return Err(PublishError::Conflict);
        }
        self.appended(store, &mut publication).await;
        Ok(publication)
    }

    /// Signs what follows `last`.
    fn signed(
        &self,
        last: Option<&Manifest>,
        draft: ManifestDraft,
        wrote: &Wrote,
    ) -> Result<(Publication, StoredManifest), PublishError> {
        let draft = self.listing(draft, last, &wrote.segments);
        let mut publication = self.verified(self.key.sign(&draft)?)?;
        publication.written = wrote.segments.clone();
        publication
            .written
            .retain(|entry| draft.segments.contains(entry));
        publication.collisions = wrote.collisions;
        let listed = ids(&draft.segments);
        publication.former = last.map_or_else(Vec::new, |last| ids(&last.claims().segments));
        publication.former.retain(|id| !listed.contains(id));
        let manifest = StoredManifest {
            sequence: draft.sequence,
            bytes: publication.bytes.clone(),
        };
        Ok((publication, manifest))
    }

    /// The chain has moved on: from here on nothing makes it fail any more.
    async fn appended<S: Store>(&self, store: &S, publication: &mut Publication) {
        let listed = ids(&publication.manifest.claims().segments);
        let kept = [listed, publication.former.clone()].concat();
        let tidied = self.mirror(publication);
        let tidied = tidied.and_then(|()| self.folder.retain(&kept));
        publication.litter = tidied.err().map(|error| error.kind());
        // What stays is dropped the next time.
        while let Ok(1..) = store.drop_settled(DROPPED).await {}
    }

    fn mirror(&self, publication: &Publication) -> io::Result<()> {
        let sequence = publication.manifest.claims().sequence;
        self.folder.put_manifest(sequence, &publication.bytes)
    }

    fn listing(
        &self,
        draft: ManifestDraft,
        last: Option<&Manifest>,
        written: &[SegmentEntry],
    ) -> ManifestDraft {
        let before = last.map_or(&[][..], |last| &last.claims().segments);
        ManifestDraft {
            segments: listed(&self.policy, draft.sequence, before, written),
            ..draft
        }
    }

    pub(in crate::store) fn verified(&self, bytes: Vec<u8>) -> Result<Publication, PublishError> {
        let manifest = SignedManifest::decode(&bytes)
            .ok()
            .and_then(|signed| signed.verify(&self.key.public_key()).ok())
            .ok_or(PublishError::ForeignChain)?;
        Ok(Publication {
            bytes,
            manifest,
            written: Vec::new(),
            collisions: 0,
            former: Vec::new(),
            litter: None,
        })
    }

    /// The segments that lead to the newest set of a manifest.
    fn path(&self, manifest: &Manifest) -> Result<Vec<Segment<FileSource>>, ReadError> {
        let claims = manifest.claims();
        let path = cheapest_path(&claims.segments, claims.newest(), |entry| entry.size);
        let path = path.ok_or(SegmentError::OtherSet)?;
        path.into_iter()
            .map(|entry| self.open(manifest, entry))
            .collect()
    }

    fn open(
        &self,
        manifest: &Manifest,
        entry: &SegmentEntry,
    ) -> Result<Segment<FileSource>, ReadError> {
        let file = File::open(self.folder.path(&entry.id))?;
        Segment::open(FileSource::new(file)?, manifest)
    }

    fn decoys(&self, sealer: &Sealer, settled: Settled) -> Decoys {
        let secret = self.key.derive(b"decoys");
        Decoys::new(secret, sealer.clone(), &self.policy, settled.decoys)
    }

    fn delay(&self) -> JoinDelay {
        let secret = self.key.derive(b"join delay");
        JoinDelay::new(secret, self.terms.epoch, self.policy.clone())
    }
}

impl Publication {
    /// Whether clients are to be given a segment: one that is listed, or until an hour later was.
    ///
    /// # Security
    ///
    /// The tags of those who have left since are among the bytes of the latter.
    #[must_use]
    pub fn serves(&self, id: &[u8; 32], at: Timestamp) -> bool {
        let segments = &self.manifest.claims().segments;
        segments.iter().any(|entry| entry.id == *id)
            || (self.lingers(at) && self.former.contains(id))
    }

    fn lingers(&self, at: Timestamp) -> bool {
        at < made_at(self.manifest.claims()).saturating_add(LINGER)
    }
}

fn ids(segments: &[SegmentEntry]) -> Vec<[u8; 32]> {
    segments.iter().map(|entry| entry.id).collect()
}

/// Whether a file is gone or isn't what was published, rather than that the disk doesn't answer.
fn is_damage(error: &ReadError) -> bool {
    match error {
        ReadError::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
        ),
        _ => true,
    }
}

/// Does the same with each, on all cores if there are several.
fn each<T: Sync, U: Send>(items: &[T], work: impl Fn(&T) -> U + Send + Sync) -> Vec<U> {
    #[cfg(feature = "parallel")]
    {
        use rayon::prelude::*;
        items.par_iter().map(work).collect()
    }
    #[cfg(not(feature = "parallel"))]
    items.iter().map(work).collect()
}
