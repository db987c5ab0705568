//! Looking tags up in a segment without decoding the whole of it.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::{
    format::{
        DIRECTORY_ENTRY, DIRECTORY_LEAF, DirectoryEntry, HEADER, Header, Kind, SECTIONS, Section,
        SegmentError,
    },
    manifest::Manifest,
    merkle::Tree,
    rice,
};
use crate::oprf::{Epoch, Tag};

/// A segment that the manifest names: its bytes are what was published.
///
/// Holds nothing but the borrowed bytes: a download, or a memory map.
#[derive(Debug, Clone)]
pub struct Segment<'a> {
    header: Header,
    directory: &'a [u8],
    tags: &'a [u8],
    labels: &'a [u8],
}

/// A tag that is in the set, and what lies beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found<'a> {
    /// The tag.
    pub tag: Tag,
    /// The label of its member, sealed.
    pub sealed_label: &'a [u8],
}

/// What is in a segment, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSummary {
    /// SHA-256 of the file.
    pub id: [u8; 32],
    /// What it holds.
    pub kind: Kind,
    /// For whom: the hash of the service's name.
    pub service: [u8; 32],
    /// Under which key.
    pub epoch: Epoch,
    /// How many members can be found.
    pub count: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Shards that it is cut into.
    pub shards: u64,
    /// Bytes of a sealed label.
    pub sealed_label: u16,
    /// Bytes of the directory, the tags and the labels.
    pub section_lengths: [u64; SECTIONS],
    /// Merkle roots of the directory, the tags and the labels.
    pub roots: [[u8; 32]; SECTIONS],
}

impl<'a> Segment<'a> {
    /// Takes bytes that a verified manifest names by their SHA-256, which is computed over all of them.
    ///
    /// # Errors
    ///
    /// [`SegmentError::OtherSegment`] if the manifest doesn't name these bytes or says something else about
    /// them; otherwise what is wrong with the bytes themselves.
    pub fn open(bytes: &'a [u8], manifest: &Manifest) -> Result<Self, SegmentError> {
        let id: [u8; 32] = Sha256::digest(bytes).into();
        let claims = manifest.claims();
        let entry = claims
            .segments
            .iter()
            .find(|entry| entry.id == id)
            .ok_or(SegmentError::OtherSegment)?;
        let (segment, sections) = Self::split(bytes)?;
        let header = &segment.header;
        let as_signed = header.kind == entry.kind
            && header.count == entry.count
            && header.base_sequence == entry.base_sequence
            && header.service == claims.service.hash()
            && header.epoch == claims.epoch
            && usize::from(header.label_stride) == claims.label_length.sealed()
            && sections.map(|section| section.root) == entry.roots;
        as_signed
            .then_some(segment)
            .ok_or(SegmentError::OtherSegment)
    }

    /// The epoch under whose key the tags were made.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.header.epoch
    }

    /// The hash of the service's name.
    #[must_use]
    pub fn service(&self) -> &[u8; 32] {
        &self.header.service
    }

    /// How many members can be found.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.header.count
    }

    /// Which of `tags` are in the set, ascending and each once.
    ///
    /// Decodes the shards that a tag falls in, up to the last tag that is asked for, and nothing else.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NotCanonical`] if a shard that is needed can't be decoded.
    pub fn find(&self, tags: &[Tag]) -> Result<Vec<Found<'a>>, SegmentError> {
        let mut wanted = tags.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = Vec::new();
        for in_shard in wanted.chunk_by(|a, b| self.header.shard_of(*a) == self.header.shard_of(*b))
        {
            if let Some(first) = in_shard.first() {
                self.find_in_shard(self.header.shard_of(*first), in_shard, &mut found)?;
            }
        }
        Ok(found)
    }

    fn find_in_shard(
        &self,
        shard: u64,
        wanted: &[Tag],
        found: &mut Vec<Found<'a>>,
    ) -> Result<(), SegmentError> {
        let mut wanted = wanted.iter().copied().peekable();
        let mut shard = self.shard(shard)?;
        while wanted.peek().is_some() {
            let rank = shard.rank;
            let Some(tag) = shard.next()? else { break };
            while wanted.next_if(|sought| *sought < tag).is_some() {}
            if wanted.next_if_eq(&tag).is_none() {
                continue;
            }
            let sealed_label = self.label(rank).ok_or(SegmentError::NotCanonical)?;
            found.push(Found { tag, sealed_label });
        }
        Ok(())
    }

    /// Cuts the sections out of a file and checks the ends of its directory.
    fn split(bytes: &'a [u8]) -> Result<(Self, [Section; SECTIONS]), SegmentError> {
        let (header, sections) = Header::decode(bytes, bytes.len() as u64)?;
        let mut rest = bytes.get(HEADER..).ok_or(SegmentError::Length)?;
        let [directory, tags, labels] = sections.map(|section| {
            let length = usize::try_from(section.length).ok()?;
            let (content, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(content)
        });
        let (Some(directory), Some(tags), Some(labels)) = (directory, tags, labels) else {
            return Err(SegmentError::Length);
        };
        let segment = Self {
            header,
            directory,
            tags,
            labels,
        };
        let first = segment.entry(0)?;
        let last = segment.entry(segment.header.shards())?;
        let whole = first.offset == 0
            && first.rank == 0
            && last.offset == tags.len() as u64
            && last.rank == segment.header.count;
        whole
            .then_some((segment, sections))
            .ok_or(SegmentError::NotCanonical)
    }

    fn entry(&self, index: u64) -> Result<DirectoryEntry, SegmentError> {
        usize::try_from(index * DIRECTORY_ENTRY)
            .ok()
            .and_then(|at| self.directory.get(at..))
            .and_then(|rest| rest.first_chunk())
            .map(DirectoryEntry::decode)
            .ok_or(SegmentError::NotCanonical)
    }

    fn shard(&self, index: u64) -> Result<Shard<'a>, SegmentError> {
        let (from, to) = (self.entry(index)?, self.entry(index + 1)?);
        let start = usize::try_from(from.offset).ok();
        let end = usize::try_from(to.offset).ok();
        let bytes = start
            .zip(end)
            .and_then(|(start, end)| self.tags.get(start..end))
            .ok_or(SegmentError::NotCanonical)?;
        let left = to
            .rank
            .checked_sub(from.rank)
            .ok_or(SegmentError::NotCanonical)?;
        let bits = u32::from(self.header.shard_bits());
        Ok(Shard {
            bytes,
            reader: rice::Reader::new(bytes),
            parameter: self.header.rice_parameter(),
            prefix: index.checked_shl(64 - bits).unwrap_or(0),
            greatest: u64::MAX >> bits,
            least: Some(0),
            rank: from.rank,
            left,
        })
    }

    fn label(&self, rank: u64) -> Option<&'a [u8]> {
        let stride = usize::from(self.header.label_stride);
        let at = usize::try_from(rank).ok()?.checked_mul(stride)?;
        self.labels.get(at..at.checked_add(stride)?)
    }

    /// Decodes everything: that this is the one way to write the set, with the roots that it states.
    fn check(&self, sections: &[Section; SECTIONS]) -> Result<(), SegmentError> {
        let mut directory_tree = Tree::default();
        self.directory
            .chunks(DIRECTORY_LEAF)
            .for_each(|leaf| directory_tree.push(leaf));
        let (mut tags_tree, mut labels_tree) = (Tree::default(), Tree::default());
        let mut labels = self.labels;
        for index in 0..self.header.shards() {
            let mut shard = self.shard(index)?;
            let in_shard = usize::try_from(shard.left)
                .ok()
                .and_then(|count| count.checked_mul(usize::from(self.header.label_stride)))
                .and_then(|length| labels.split_at_checked(length));
            let (its_labels, later) = in_shard.ok_or(SegmentError::NotCanonical)?;
            labels = later;
            while shard.next()?.is_some() {}
            tags_tree.push(shard.bytes);
            labels_tree.push(its_labels);
            if !shard.reader.at_end() {
                return Err(SegmentError::NotCanonical);
            }
        }
        let roots = [directory_tree, tags_tree, labels_tree].map(Tree::root);
        (roots == sections.map(|section| section.root))
            .then_some(())
            .ok_or(SegmentError::NotCanonical)
    }
}

impl SegmentSummary {
    /// Checks all of a segment's bytes and says what is in it. Who published it isn't checked: see
    /// [`Segment::open`].
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, SegmentError> {
        let (segment, sections) = Segment::split(bytes)?;
        segment.check(&sections)?;
        let header = segment.header;
        Ok(Self {
            id: Sha256::digest(bytes).into(),
            kind: header.kind,
            service: header.service,
            epoch: header.epoch,
            count: header.count,
            size: bytes.len() as u64,
            shards: header.shards(),
            sealed_label: header.label_stride,
            section_lengths: sections.map(|section| section.length),
            roots: sections.map(|section| section.root),
        })
    }
}

/// What is left of a shard.
struct Shard<'a> {
    bytes: &'a [u8],
    reader: rice::Reader<'a>,
    parameter: u8,
    /// The bits that all tags of the shard begin with.
    prefix: u64,
    /// The greatest low bits that a tag can have.
    greatest: u64,
    /// The least low bits that the next tag can have; `None` behind the greatest.
    least: Option<u64>,
    /// How many tags of the whole set are before the next one.
    rank: u64,
    left: u64,
}

impl Shard<'_> {
    fn next(&mut self) -> Result<Option<Tag>, SegmentError> {
        if self.left == 0 {
            return Ok(None);
        }
        let low = self
            .reader
            .gap(self.parameter)
            .zip(self.least)
            .and_then(|(gap, least)| gap.checked_add(least))
            .filter(|low| *low <= self.greatest)
            .ok_or(SegmentError::NotCanonical)?;
        self.least = low.checked_add(1);
        self.left -= 1;
        self.rank += 1;
        Ok(Some(Tag::new(self.prefix | low)))
    }
}
