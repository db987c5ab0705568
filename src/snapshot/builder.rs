//! From tags and sealed labels, in any order, to the bytes of a segment.

use alloc::vec::Vec;

use super::{
    format::{Kind, Shape},
    rice,
    writer::{InMemory, SegmentWriter},
};
use crate::{
    label::LabelLength,
    oprf::{Epoch, Tag},
};

/// A set that isn't built. The caller is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A sealed label of another length than the service's.
    #[error("a sealed label has another length than the others")]
    LabelLength,
    /// The same tag twice, of which one couldn't be found; or, where order is asked for, a tag out of order.
    #[error("a tag is in the set twice, or out of order")]
    DuplicateTag,
    /// The same rank twice, or one that the set doesn't have.
    #[error("a rank is deleted twice, or isn't in the set")]
    Rank,
    /// Not as many members as were announced.
    #[error("not as many members as were announced")]
    Count,
    /// More than 2^40 tags.
    #[error("more tags than a segment can hold")]
    TooMany,
}

/// Collects a set, or what changes one, and writes it as a segment in memory.
///
/// The bytes depend on the set alone and not on the order in which it was collected. For sets that memory doesn't
/// hold there is [`SegmentWriter`].
#[derive(Debug)]
pub struct SegmentBuilder {
    /// Its counts are filled in when it is written.
    shape: Shape,
    deletes: Vec<u64>,
    /// Each tag and which label is its.
    tags: Vec<(Tag, usize)>,
    labels: Vec<u8>,
}

impl SegmentBuilder {
    /// Starts an empty set for a service ([`ServiceId::hash`](crate::oprf::ServiceId::hash)) and epoch.
    #[must_use]
    pub fn new(service: [u8; 32], epoch: Epoch, label_length: LabelLength) -> Self {
        Self::empty(Shape::base(service, epoch, label_length, 0))
    }

    pub(super) fn empty(shape: Shape) -> Self {
        Self {
            shape,
            deletes: Vec::new(),
            tags: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// Makes it a delta of the set with the number `from`, which has so many members. Sets are numbered from 1.
    #[must_use]
    pub fn changing(mut self, from: u64, members: u64) -> Self {
        self.shape.kind = Kind::Delta;
        self.shape.from = from;
        self.shape.changed = members;
        self
    }

    /// Adds a member who can be found.
    ///
    /// # Errors
    ///
    /// [`BuildError::LabelLength`], and the set is as before.
    pub fn add(&mut self, tag: Tag, sealed_label: &[u8]) -> Result<(), BuildError> {
        let stride = self.stride();
        if sealed_label.len() != stride {
            return Err(BuildError::LabelLength);
        }
        self.tags.push((tag, self.labels.len() / stride));
        self.labels.extend_from_slice(sealed_label);
        Ok(())
    }

    /// Deletes the tag before which there are `rank` others in the set that is changed. A member with another label is
    /// deleted and added.
    ///
    /// # Errors
    ///
    /// [`BuildError::Rank`] if there are fewer tags.
    pub fn delete(&mut self, rank: u64) -> Result<(), BuildError> {
        if rank >= self.shape.changed {
            return Err(BuildError::Rank);
        }
        self.deletes.push(rank);
        Ok(())
    }

    /// Keeps one member of each tag, the one with the least sealed label; returns how many were dropped.
    ///
    /// Two tags of 64 bits can be the same by chance: see [`BuildError::DuplicateTag`].
    pub fn drop_duplicates(&mut self) -> usize {
        let before = self.tags.len();
        let (labels, stride) = (&self.labels, self.stride());
        let label = |index: usize| labels.get(index * stride..(index + 1) * stride);
        self.tags
            .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| label(a.1).cmp(&label(b.1))));
        self.tags.dedup_by_key(|(tag, _)| *tag);
        before - self.tags.len()
    }

    /// How many tags were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether none were.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Writes the segment.
    ///
    /// # Errors
    ///
    /// [`BuildError::DuplicateTag`], [`BuildError::Rank`] or [`BuildError::TooMany`].
    pub fn build(mut self) -> Result<Vec<u8>, BuildError> {
        self.deletes.sort_unstable();
        if !self.deletes.is_sorted_by(|a, b| a < b) {
            return Err(BuildError::Rank);
        }
        self.tags.sort_unstable();
        self.shape.count = self.tags.len() as u64;
        self.shape.deletes = self.deletes.len() as u64;
        let mut deletes = rice::Writer::default();
        let parameter = self.shape.deletes_parameter();
        for rank in &self.deletes {
            deletes.ascend(*rank, parameter);
        }
        let mut writer = SegmentWriter::new(self.shape, deletes.finish())?;
        let mut sections = InMemory::default();
        for (tag, label) in &self.tags {
            let at = label * self.stride();
            let sealed = self.labels.get(at..at + self.stride());
            writer.push(*tag, sealed.unwrap_or_default(), &mut sections)?;
        }
        let head = writer.finish(&mut sections)?.head;
        Ok(sections.behind(head))
    }

    fn stride(&self) -> usize {
        usize::from(self.shape.label_stride)
    }
}
