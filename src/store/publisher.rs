//! Publishing: reads who can be found, writes a segment, appends a manifest to the chain.

use std::{io, vec::Vec};

use super::{SegmentFolder, Store, StoreError, StoredManifest};
use crate::{
    label::LabelError,
    server::publish::{FindableSet, SetError, Terms, TermsError},
    snapshot::{Manifest, ManifestError, SignedManifest, SnapshotKey},
    timestamp::Timestamp,
};

/// Members read from the store at once.
const PAGE: usize = 4_096;

/// Publishes the set of a service.
#[derive(Debug)]
pub struct Publisher {
    terms: Terms,
    key: SnapshotKey,
    folder: SegmentFolder,
}

/// What is published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The manifest, as clients get it.
    pub bytes: Vec<u8>,
    /// What it says.
    pub manifest: Manifest,
    /// Members left out because another one's tag is the same.
    pub collisions: usize,
    /// Why an old segment couldn't be removed, if that went wrong. The publication is good nevertheless.
    pub litter: Option<io::ErrorKind>,
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
    /// A label in the store is longer than the service's labels.
    #[error("a member's {0}")]
    Label(#[from] LabelError),
    /// The manifest can't be signed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl Publisher {
    /// Publishes under these terms, signs with this key, and puts segments into this folder.
    #[must_use]
    pub fn new(terms: Terms, key: SnapshotKey, folder: SegmentFolder) -> Self {
        Self { terms, key, folder }
    }

    /// What stays the same from one manifest to the next.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
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
    /// The store can't answer; or what is in it can't be continued by this publisher.
    pub async fn last<S: Store>(&self, store: &S) -> Result<Option<Publication>, PublishError> {
        let Some(stored) = store.latest_manifest().await? else {
            return Ok(None);
        };
        let publication = self.verified(stored.bytes, 0)?;
        self.terms.check_continues(&publication.manifest)?;
        Ok(Some(publication))
    }

    /// Publishes everybody who can be found at the moment.
    ///
    /// Reads the store and computes for seconds: give it a thread of its own. The segment is durable before the
    /// manifest that names it is; the segments of the new and the last manifest stay, older ones are removed.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish<S: Store>(
        &self,
        store: &S,
        at: Timestamp,
    ) -> Result<Publication, PublishError> {
        let last = self.last(store).await?;
        let mut set = FindableSet::new(&self.terms);
        let mut after = None;
        loop {
            let page = store.findable(self.terms.epoch, after, PAGE).await?;
            for member in &page {
                set.add(&member.unblinded, &member.label)?;
            }
            match page.last() {
                Some(member) if page.len() == PAGE => after = Some(*member.unblinded.expose()),
                _ => break,
            }
        }
        let built = set.build()?;
        let id = built.summary.id;
        self.folder.put(&id, &built.bytes)?;

        let last = last.as_ref().map(|last| &last.manifest);
        let mut draft = self.terms.draft(last, at)?;
        let sequence = draft.sequence;
        draft.segments = Vec::from([built.summary.entry(0, sequence)]);
        let mut publication = self.verified(self.key.sign(&draft)?, built.collisions)?;
        let manifest = StoredManifest {
            sequence,
            bytes: publication.bytes.clone(),
        };
        if !store.append_manifest(manifest).await? {
            return Err(PublishError::Conflict);
        }
        let mut kept = Vec::from([id]);
        kept.extend(last.iter().map(|last| last.base().id));
        // The chain has moved on: from here on nothing makes it fail any more.
        publication.litter = self.folder.retain(&kept).err().map(|error| error.kind());
        Ok(publication)
    }

    fn verified(&self, bytes: Vec<u8>, collisions: usize) -> Result<Publication, PublishError> {
        let manifest = SignedManifest::decode(&bytes)
            .ok()
            .and_then(|signed| signed.verify(&self.key.public_key()).ok())
            .ok_or(PublishError::ForeignChain)?;
        Ok(Publication {
            bytes,
            manifest,
            collisions,
            litter: None,
        })
    }
}
