//! From tags and sealed labels, in any order, to the bytes of a base segment.

use alloc::vec::Vec;

use super::{
    format::{self, DIRECTORY_LEAF, HEADER, Header, Kind, MAX_COUNT, SECTIONS, Section},
    merkle::Tree,
    rice,
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
    /// The same tag twice: one of the two couldn't be found.
    #[error("a tag is in the set twice")]
    DuplicateTag,
    /// More than 2^40 tags.
    #[error("more tags than a segment can hold")]
    TooMany,
}

/// Collects a set and writes it as a base segment.
///
/// The bytes depend on the set alone and not on the order in which it was collected.
#[derive(Debug)]
pub struct SegmentBuilder {
    service: [u8; 32],
    epoch: Epoch,
    stride: usize,
    /// Each tag and which label is its.
    tags: Vec<(Tag, usize)>,
    labels: Vec<u8>,
}

impl SegmentBuilder {
    /// Starts an empty set for a service ([`ServiceId::hash`](crate::oprf::ServiceId::hash)) and epoch.
    #[must_use]
    pub fn new(service: [u8; 32], epoch: Epoch, label_length: LabelLength) -> Self {
        Self {
            service,
            epoch,
            stride: label_length.sealed(),
            tags: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// Adds a member who can be found.
    ///
    /// # Errors
    ///
    /// [`BuildError::LabelLength`], and the set is as before.
    pub fn add(&mut self, tag: Tag, sealed_label: &[u8]) -> Result<(), BuildError> {
        if sealed_label.len() != self.stride {
            return Err(BuildError::LabelLength);
        }
        self.tags.push((tag, self.labels.len() / self.stride));
        self.labels.extend_from_slice(sealed_label);
        Ok(())
    }

    /// Keeps one member of each tag, the one with the least sealed label; returns how many were dropped.
    ///
    /// Two tags of 64 bits can be the same by chance: see [`BuildError::DuplicateTag`].
    pub fn drop_duplicates(&mut self) -> usize {
        let before = self.tags.len();
        let (labels, stride) = (&self.labels, self.stride);
        let label = |index: usize| labels.get(index * stride..(index + 1) * stride);
        self.tags
            .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| label(a.1).cmp(&label(b.1))));
        self.tags.dedup_by_key(|(tag, _)| *tag);
        before - self.tags.len()
    }

    /// How many tags there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Writes the segment.
    ///
    /// # Errors
    ///
    /// [`BuildError::DuplicateTag`] or [`BuildError::TooMany`].
    pub fn build(mut self) -> Result<Vec<u8>, BuildError> {
        self.tags.sort_unstable();
        if self.tags.is_sorted_by(|a, b| a.0 < b.0) {
            self.write()
        } else {
            Err(BuildError::DuplicateTag)
        }
    }

    fn write(self) -> Result<Vec<u8>, BuildError> {
        let header = Header {
            kind: Kind::Base,
            service: self.service,
            epoch: self.epoch,
            count: self.tags.len() as u64,
            label_stride: self.stride as u16,
            base_sequence: 0,
        };
        if header.count > MAX_COUNT {
            return Err(BuildError::TooMany);
        }
        let mut directory = Vec::new();
        let mut tags = Vec::new();
        let mut labels = Vec::with_capacity(self.labels.len());
        let (mut tags_tree, mut labels_tree) = (Tree::default(), Tree::default());
        let mut rest = self.tags.as_slice();
        for shard in 0..header.shards() {
            put_entry(tags.len(), self.tags.len() - rest.len(), &mut directory);
            let in_shard = rest.partition_point(|(tag, _)| header.shard_of(*tag) == shard);
            let (members, later) = rest.split_at(in_shard);
            rest = later;

            let (tags_start, labels_start) = (tags.len(), labels.len());
            let mut writer = rice::Writer::new(&mut tags);
            let mut least = 0;
            for (tag, label) in members {
                let low = header.low_bits(*tag);
                writer.gap(low - least, header.rice_parameter());
                least = low.wrapping_add(1);
                let at = label * self.stride;
                labels.extend_from_slice(self.labels.get(at..at + self.stride).unwrap_or_default());
            }
            writer.finish();
            tags_tree.push(tags.get(tags_start..).unwrap_or_default());
            labels_tree.push(labels.get(labels_start..).unwrap_or_default());
        }
        put_entry(tags.len(), self.tags.len(), &mut directory);

        let mut directory_tree = Tree::default();
        directory
            .chunks(DIRECTORY_LEAF)
            .for_each(|leaf| directory_tree.push(leaf));
        let contents = [&directory, &tags, &labels];
        let roots = [directory_tree, tags_tree, labels_tree].map(Tree::root);
        let mut sections = [Section::default(); SECTIONS];
        let mut offset = HEADER as u64;
        for ((section, content), root) in sections.iter_mut().zip(contents).zip(roots) {
            *section = Section {
                offset,
                length: content.len() as u64,
                root,
            };
            offset += section.length;
        }
        let mut out = Vec::with_capacity(usize::try_from(offset).map_err(|_| BuildError::TooMany)?);
        header.encode(&sections, &mut out);
        contents
            .into_iter()
            .for_each(|content| out.extend_from_slice(content));
        Ok(out)
    }
}

fn put_entry(offset: usize, rank: usize, directory: &mut Vec<u8>) {
    let entry = format::DirectoryEntry {
        offset: offset as u64,
        rank: rank as u64,
    };
    directory.extend_from_slice(&entry.encode());
}
