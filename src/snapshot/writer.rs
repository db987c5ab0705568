//! Writes a segment from tags in ascending order, holding one shard and the outline.

use alloc::vec::Vec;
use core::mem;

use sha2::{Digest, Sha256};

use super::{
    builder::BuildError,
    format::{DirectoryEntry, Header, Roots, Shape},
    manifest::SegmentEntry,
    merkle::{Tree, leaf_hash},
    rice,
};
use crate::{
    label::LabelLength,
    oprf::{Epoch, Tag},
};

/// Where the two long sections of a segment go, each from front to back.
pub trait Sink {
    /// Why it can't take them; or why the set can't be written.
    type Error: From<BuildError>;

    /// Takes the next bytes of the tags.
    ///
    /// # Errors
    ///
    /// They can't be taken.
    fn tags(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Takes the next bytes of the labels.
    ///
    /// # Errors
    ///
    /// They can't be taken.
    fn labels(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// Takes a set in ascending order.
///
/// Holds one shard, and 80 bytes for each shard before it.
#[derive(Debug)]
pub struct SegmentWriter {
    shape: Shape,
    /// Deleted ranks, coded.
    deletes: Vec<u8>,
    directory: Vec<u8>,
    tag_hashes: Vec<u8>,
    label_hashes: Vec<u8>,
    /// The shard that is being written.
    shard: u64,
    tags: rice::Writer,
    labels: Vec<u8>,
    /// Tags that were taken, and the last of them.
    taken: u64,
    last: Option<Tag>,
    /// Bytes of tags that were handed out.
    tags_length: u64,
}

/// The rest of a segment that was written.
#[derive(Debug)]
#[non_exhaustive]
pub struct Written {
    /// What comes before the tags.
    pub head: Vec<u8>,
    /// What a manifest says of it; which set it leads to is left open.
    entry: SegmentEntry,
}

impl SegmentWriter {
    /// Starts a base of `count` members for a service ([`ServiceId::hash`](crate::oprf::ServiceId::hash)) and epoch.
    ///
    /// # Errors
    ///
    /// [`BuildError::TooMany`].
    pub fn base(
        service: [u8; 32],
        epoch: Epoch,
        label_length: LabelLength,
        count: u64,
    ) -> Result<Self, BuildError> {
        let shape = Shape::base(service, epoch, label_length, count);
        Self::new(shape, Vec::new())
    }

    pub(super) fn new(shape: Shape, deletes: Vec<u8>) -> Result<Self, BuildError> {
        if !shape.is_canonical() {
            return Err(BuildError::TooMany);
        }
        Ok(Self {
            shape,
            deletes,
            directory: Vec::new(),
            tag_hashes: Vec::new(),
            label_hashes: Vec::new(),
            shard: 0,
            tags: rice::Writer::default(),
            labels: Vec::new(),
            taken: 0,
            last: None,
            tags_length: 0,
        })
    }

    /// How many bytes come before the tags.
    #[must_use]
    pub fn head_length(&self) -> u64 {
        self.shape.outline_length() + self.deletes.len() as u64
    }

    /// Takes the next member.
    ///
    /// # Errors
    ///
    /// [`BuildError::DuplicateTag`] for a tag that isn't greater than the last; [`BuildError::LabelLength`];
    /// or the sink fails.
    pub fn push<S: Sink>(
        &mut self,
        tag: Tag,
        sealed_label: &[u8],
        sink: &mut S,
    ) -> Result<(), S::Error> {
        if self.last.is_some_and(|last| last >= tag) {
            return Err(BuildError::DuplicateTag.into());
        }
        if sealed_label.len() != usize::from(self.shape.label_stride) {
            return Err(BuildError::LabelLength.into());
        }
        self.last = Some(tag);
        self.finish_shards(self.shape.shard_of(tag), sink)?;
        let low = tag.get() & self.shape.greatest_low_bits();
        self.tags.ascend(low, self.shape.rice_parameter());
        self.labels.extend_from_slice(sealed_label);
        self.taken += 1;
        Ok(())
    }

    /// Hands out the last shard, and what comes before all of them.
    ///
    /// # Errors
    ///
    /// [`BuildError::Count`] if not as many members were taken as were announced; or the sink fails.
    pub fn finish<S: Sink>(mut self, sink: &mut S) -> Result<Written, S::Error> {
        if self.taken != self.shape.count {
            return Err(BuildError::Count.into());
        }
        self.finish_shards(self.shape.shards(), sink)?;
        self.put_entry();
        let header = Header {
            shape: self.shape,
            deletes_length: self.deletes.len() as u64,
            tags_length: self.tags_length,
            roots: Roots {
                directory: Tree::root_of_blocks(&self.directory),
                deletes: Tree::root_of_blocks(&self.deletes),
                tags: Tree::root_of_hashes(&self.tag_hashes),
                labels: Tree::root_of_hashes(&self.label_hashes),
            },
        };
        let size = header.layout().map_err(|_| BuildError::TooMany)?.end;
        let header = header.encode();
        let head = [
            &header,
            self.directory.as_slice(),
            &self.tag_hashes,
            &self.label_hashes,
            &self.deletes,
        ];
        Ok(Written {
            head: head.concat(),
            entry: SegmentEntry {
                kind: self.shape.kind,
                id: Sha256::digest(header).into(),
                size,
                count: self.shape.count,
                deletes: self.shape.deletes,
                from: self.shape.from,
                to: 0,
            },
        })
    }

    /// Hands out the shards before this one.
    fn finish_shards<S: Sink>(&mut self, before: u64, sink: &mut S) -> Result<(), S::Error> {
        while self.shard < before {
            self.put_entry();
            let tags = mem::take(&mut self.tags).finish();
            self.tag_hashes.extend_from_slice(&leaf_hash(&tags));
            self.label_hashes
                .extend_from_slice(&leaf_hash(&self.labels));
            sink.tags(&tags)?;
            sink.labels(&self.labels)?;
            self.tags_length += tags.len() as u64;
            self.labels.clear();
            self.shard += 1;
        }
        Ok(())
    }

    /// Where the shard begins that is next to be handed out: its labels tell how many tags it holds.
    fn put_entry(&mut self) {
        let held = self.labels.len() / usize::from(self.shape.label_stride);
        let entry = DirectoryEntry {
            offset: self.tags_length,
            rank: self.taken - held as u64,
        };
        self.directory.extend_from_slice(&entry.encode());
    }
}

impl Written {
    /// What a manifest says of the segment, if it leads to the set with this number.
    #[must_use]
    pub fn entry(&self, to: u64) -> SegmentEntry {
        SegmentEntry {
            to,
            ..self.entry.clone()
        }
    }
}

/// Both sections in memory.
#[derive(Debug, Default)]
pub(super) struct InMemory {
    tags: Vec<u8>,
    labels: Vec<u8>,
}

impl InMemory {
    pub(super) fn behind(self, mut head: Vec<u8>) -> Vec<u8> {
        head.extend_from_slice(&self.tags);
        head.extend_from_slice(&self.labels);
        head
    }
}

impl Sink for InMemory {
    type Error = BuildError;

    fn tags(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        self.tags.extend_from_slice(bytes);
        Ok(())
    }

    fn labels(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        self.labels.extend_from_slice(bytes);
        Ok(())
    }
}
