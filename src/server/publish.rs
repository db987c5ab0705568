//! From the members who can be found to the segment and the manifest that are published.
//!
//! Layer 4: stands on the snapshot formats and must not know where members, segments or manifests are kept.

mod changes;
mod decoys;
mod delay;
mod plan;
mod policy;

use alloc::vec::Vec;
use core::time::Duration;

pub use self::{
    changes::{ChangeSet, DailyDelta, Sealer, Wanted},
    decoys::Decoys,
    delay::JoinDelay,
    plan::{NewBase, Plan, SlotTaken, Step, listed, made_at, recent},
    policy::{PublishPolicy, PublishPolicyError},
};

use crate::{
    label::{Label, LabelError, LabelLength},
    oprf::{Epoch, PublicKey, ServiceId, Tag, UnblindedElement},
    snapshot::{BuildError, Manifest, ManifestDraft, SegmentBuilder, SegmentError, SegmentSummary},
    timestamp::Timestamp,
};

/// How far before its making a manifest is valid, for clients whose clocks are slow: an hour.
const SLOW_CLOCKS: Duration = Duration::from_secs(3_600);

/// What stays the same from one manifest to the next.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Whose members they are.
    pub service: ServiceId,
    /// By which rules registrars normalise identifiers: the id of a `NormalisationProfile`.
    pub normalisation: u16,
    /// How long every label is.
    pub label_length: LabelLength,
    /// The epoch of the key.
    pub epoch: Epoch,
    /// The key that clients verify evaluations against.
    pub public_key: PublicKey,
    /// How long a manifest is valid. Longer than a slot, or clients find nothing when one is missed.
    pub valid_for: Duration,
}

/// Terms under which the chain can't go on. The operator is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// The last manifest is for another service.
    #[error("the last manifest is for another service")]
    OtherService,
    /// The last manifest is of a later epoch.
    #[error("the last manifest is of a later epoch than the key")]
    EpochRollback,
    /// The last manifest has another public key for the same epoch: clients would refuse this one.
    #[error("the last manifest has another public key for this epoch; a new key needs a new epoch")]
    KeyChanged,
}

impl Terms {
    /// Checks that clients who followed `last` will follow what is published under these terms.
    ///
    /// # Errors
    ///
    /// See [`TermsError`].
    pub fn check_continues(&self, last: &Manifest) -> Result<(), TermsError> {
        let last = last.claims();
        if last.service != self.service {
            return Err(TermsError::OtherService);
        }
        if last.epoch > self.epoch {
            return Err(TermsError::EpochRollback);
        }
        if last.epoch == self.epoch && last.public_key != self.public_key {
            return Err(TermsError::KeyChanged);
        }
        Ok(())
    }

    /// The manifest that follows `last`, to be given its segments and signed.
    ///
    /// # Errors
    ///
    /// See [`Self::check_continues`].
    pub fn draft(
        &self,
        last: Option<&Manifest>,
        at: Timestamp,
    ) -> Result<ManifestDraft, TermsError> {
        if let Some(last) = last {
            self.check_continues(last)?;
        }
        let seconds = |at: Timestamp| at.as_micros() / 1_000_000;
        Ok(ManifestDraft {
            service: self.service.clone(),
            normalisation: self.normalisation,
            label_length: self.label_length,
            epoch: self.epoch,
            public_key: self.public_key.clone(),
            sequence: last.map_or(1, |last| last.claims().sequence + 1),
            previous: last.map_or([0; 32], |last| *last.hash()),
            not_before: seconds(at.saturating_sub(SLOW_CLOCKS)),
            not_after: seconds(at.saturating_add(self.valid_for)),
            segments: Vec::new(),
        })
    }
}

/// The set that is about to be published, in memory.
#[derive(Debug)]
pub struct FindableSet {
    sealer: Sealer,
    builder: SegmentBuilder,
}

/// A set ready for publishing.
#[derive(Debug)]
pub struct BuiltSet {
    /// The segment.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub summary: SegmentSummary,
    /// Members who can't be found because another one's tag is the same. With 100 million members there is one
    /// such pair in 3,700 epochs.
    pub collisions: u64,
}

impl FindableSet {
    /// An empty set.
    #[must_use]
    pub fn new(terms: &Terms) -> Self {
        let sealer = Sealer::new(terms);
        let builder = SegmentBuilder::new(sealer.service, sealer.epoch, sealer.label_length);
        Self { sealer, builder }
    }

    /// Adds a member who can be found.
    ///
    /// # Errors
    ///
    /// The label is longer than labels of this service are.
    pub fn add(&mut self, unblinded: &UnblindedElement, label: &Label) -> Result<(), LabelError> {
        let (tag, sealed) = self.sealer.seal(unblinded, label)?;
        self.builder
            .add(tag, &sealed)
            .map_err(|_| LabelError::TooLong)
    }

    /// Adds what was sealed before.
    ///
    /// # Errors
    ///
    /// [`BuildError::LabelLength`].
    pub fn add_sealed(&mut self, tag: Tag, sealed_label: &[u8]) -> Result<(), BuildError> {
        self.builder.add(tag, sealed_label)
    }

    /// Writes the segment and reads it back.
    ///
    /// # Errors
    ///
    /// More members than a segment can hold; or a defect of ours, found by reading back.
    pub fn build(mut self) -> Result<BuiltSet, SetError> {
        let collisions = self.builder.drop_duplicates() as u64;
        let bytes = self.builder.build()?;
        Ok(BuiltSet {
            summary: SegmentSummary::read(&bytes, bytes.len() as u64)?,
            bytes,
            collisions,
        })
    }
}

/// A set that can't be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// It isn't a set that a segment can hold.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// We are to blame: what was written can't be read.
    #[error("the segment that was built can't be read: {0}")]
    Defect(#[from] SegmentError),
}
