//! What a segment says before its contents: header, directory and hashes. All else is checked against it.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::{
    format::{DirectoryEntry, HASH, HEADER, Header, Layout, SegmentError, Shape},
    merkle::{Tree, leaf_hash},
    rice::Ascending,
    source::ReadAt,
};

/// The outline of a segment, checked against its header: 80 bytes a shard.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    pub(super) header: Header,
    pub(super) layout: Layout,
    directory: Vec<u8>,
    tag_hashes: Vec<u8>,
    label_hashes: Vec<u8>,
}

/// Bytes of a segment that belong together, and the hash that they must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) length: u64,
    hash: [u8; 32],
}

/// Where the tags and the labels of a shard are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShardParts {
    pub(super) tags: Part,
    pub(super) labels: Part,
    /// How many tags of the segment are before it.
    pub(super) rank: u64,
    /// How many tags it has.
    pub(super) count: u64,
}

/// The header at the beginning of a segment, and the segment's id.
pub(super) fn read_header<R: ReadAt>(source: &mut R) -> Result<(Header, [u8; 32]), R::Error> {
    let bytes = source.read_at(0, HEADER as u64)?;
    Ok((Header::decode(&bytes)?, Sha256::digest(&bytes).into()))
}

impl Outline {
    /// Reads what follows the header.
    pub(super) fn read<R: ReadAt>(source: &mut R, header: Header) -> Result<Self, R::Error> {
        let layout = header.layout()?;
        let mut section = |from: u64, to: u64| -> Result<Vec<u8>, R::Error> {
            Ok(source.read_at(from, to - from)?.into_owned())
        };
        let outline = Self {
            directory: section(HEADER as u64, layout.tag_hashes)?,
            tag_hashes: section(layout.tag_hashes, layout.label_hashes)?,
            label_hashes: section(layout.label_hashes, layout.deletes)?,
            header,
            layout,
        };
        outline.check()?;
        Ok(outline)
    }

    fn check(&self) -> Result<(), SegmentError> {
        let roots = &self.header.roots;
        if Tree::root_of_blocks(&self.directory) != roots.directory
            || Tree::root_of_hashes(&self.tag_hashes) != roots.tags
            || Tree::root_of_hashes(&self.label_hashes) != roots.labels
        {
            return Err(SegmentError::OtherSegment);
        }
        let shape = self.shape();
        let (first, last) = (self.entry(0)?, self.entry(shape.shards())?);
        let whole = first == DirectoryEntry { offset: 0, rank: 0 }
            && last.offset == self.header.tags_length
            && last.rank == shape.count;
        whole.then_some(()).ok_or(SegmentError::NotCanonical)
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.header.shape
    }

    pub(super) fn shard(&self, index: u64) -> Result<ShardParts, SegmentError> {
        let (from, to) = (self.entry(index)?, self.entry(index + 1)?);
        let difference = |from: u64, to: u64, most: u64| {
            let difference = to.checked_sub(from).filter(|_| to <= most);
            difference.ok_or(SegmentError::NotCanonical)
        };
        let count = difference(from.rank, to.rank, self.shape().count)?;
        let stride = u64::from(self.shape().label_stride);
        Ok(ShardParts {
            tags: Part {
                offset: self.layout.tags + from.offset,
                length: difference(from.offset, to.offset, self.header.tags_length)?,
                hash: hash(&self.tag_hashes, index)?,
            },
            labels: Part {
                offset: self.layout.labels + from.rank * stride,
                length: count * stride,
                hash: hash(&self.label_hashes, index)?,
            },
            rank: from.rank,
            count,
        })
    }

    fn entry(&self, index: u64) -> Result<DirectoryEntry, SegmentError> {
        at(&self.directory, index)
            .map(DirectoryEntry::decode)
            .ok_or(SegmentError::NotCanonical)
    }
}

impl Part {
    /// Whether these are its bytes.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), SegmentError> {
        (leaf_hash(bytes) == self.hash)
            .then_some(())
            .ok_or(SegmentError::OtherSegment)
    }
}

/// The bits that the tags of a shard have behind its prefix.
pub(super) fn low_bits<'a>(shape: &Shape, bytes: &'a [u8], count: u64) -> Ascending<'a> {
    let greatest = shape.greatest_low_bits();
    Ascending::new(bytes, count, shape.rice_parameter(), greatest)
}

/// The ranks that a delta deletes.
pub(super) fn deleted_ranks<'a>(shape: &Shape, bytes: &'a [u8]) -> Ascending<'a> {
    let greatest = shape.changed.saturating_sub(1);
    Ascending::new(bytes, shape.deletes, shape.deletes_parameter(), greatest)
}

fn hash(hashes: &[u8], index: u64) -> Result<[u8; HASH as usize], SegmentError> {
    at(hashes, index).copied().ok_or(SegmentError::NotCanonical)
}

/// One of the records of `N` bytes that follow each other.
fn at<const N: usize>(records: &[u8], index: u64) -> Option<&[u8; N]> {
    records.as_chunks().0.get(usize::try_from(index).ok()?)
}
