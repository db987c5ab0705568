//! A segment that the manifest names, read where it is asked for.

use alloc::{borrow::Cow, vec::Vec};
use core::ops::Range;

use super::{
    format::{HEADER, Kind, SegmentError},
    manifest::{Manifest, SegmentEntry},
    merkle::Tree,
    outline::{Outline, Part, ShardParts, deleted_ranks, low_bits, read_header},
    search::{Found, Reading, Search},
    source::ReadAt,
};
use crate::oprf::{Epoch, Tag};

/// A segment that the manifest names.
///
/// Holds its outline, 80 bytes for each shard of a thousand tags. All other bytes are read when they are needed, and
/// checked against the outline before they are used: a memory map, a file, a download and a hostile mirror are
/// equally good sources.
#[derive(Debug)]
pub struct Segment<R> {
    source: R,
    outline: Outline,
    entry: SegmentEntry,
    /// All of it was checked.
    verified: bool,
}

/// What is in a segment, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSummary {
    /// SHA-256 of the header, which commits to everything else.
    pub id: [u8; 32],
    /// What it holds.
    pub kind: Kind,
    /// For whom: the hash of the service's name.
    pub service: [u8; 32],
    /// Under which key.
    pub epoch: Epoch,
    /// How many tags it has.
    pub count: u64,
    /// How many ranks it deletes.
    pub deletes: u64,
    /// How many tags are in the set that it changes.
    pub changed: u64,
    /// Which set that is, by the number of the first manifest that published it; 0 for a base.
    pub from: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Shards that it is cut into.
    pub shards: u64,
    /// Bytes of a sealed label.
    pub sealed_label: u16,
    /// Bytes of the directory with its hashes.
    pub directory_length: u64,
    /// Bytes of the deleted ranks.
    pub deletes_length: u64,
    /// Bytes of the tags.
    pub tags_length: u64,
    /// Bytes of the labels.
    pub labels_length: u64,
}

impl<R: ReadAt> Segment<R> {
    /// Reads the outline of a segment that a verified manifest names.
    ///
    /// # Errors
    ///
    /// [`SegmentError::OtherSegment`] if the manifest doesn't name it or says something else about it;
    /// otherwise what is wrong with its bytes, or why they can't be had.
    pub fn open(mut source: R, manifest: &Manifest) -> Result<Self, R::Error> {
        let (header, id) = read_header(&mut source)?;
        let claims = manifest.claims();
        let entry = claims
            .segments
            .iter()
            .find(|entry| entry.id == id)
            .ok_or(SegmentError::OtherSegment)?
            .clone();
        let shape = &header.shape;
        let as_signed = shape.kind == entry.kind
            && shape.count == entry.count
            && shape.deletes == entry.deletes
            && shape.from == entry.from
            && shape.service == claims.service.hash()
            && shape.epoch == claims.epoch
            && usize::from(shape.label_stride) == claims.label_length.sealed()
            && header.layout()?.end == entry.size;
        if !as_signed {
            return Err(SegmentError::OtherSegment.into());
        }
        let outline = Outline::read(&mut source, header)?;
        Ok(Self {
            source,
            outline,
            entry,
            verified: false,
        })
    }

    /// What the manifest says of it.
    #[must_use]
    pub fn entry(&self) -> &SegmentEntry {
        &self.entry
    }

    /// The epoch under whose key the tags were made.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.outline.shape().epoch
    }

    /// The hash of the service's name.
    #[must_use]
    pub fn service(&self) -> &[u8; 32] {
        &self.outline.shape().service
    }

    /// How many tags it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.entry.count
    }

    /// Which of `tags` are in it, ascending and each once. See [`Search`] for a base and what changes it.
    ///
    /// # Errors
    ///
    /// Bytes that are needed can't be had, or aren't the ones that were signed, or were signed but are
    /// [not canonical](SegmentError::NotCanonical).
    pub fn find(&mut self, tags: &[Tag]) -> Result<Vec<Found>, R::Error> {
        let mut search = Search::new(tags);
        search.read_tags_of(self, Reading::Wanted)?;
        Ok(search.found())
    }

    /// The tags at these ranks, which are ascending. Reads the shards that they fall in.
    pub(super) fn tags_at(&mut self, ranks: &[u64]) -> Result<Vec<Tag>, R::Error> {
        let shape = *self.outline.shape();
        let mut tags = Vec::with_capacity(ranks.len());
        let mut rest = ranks;
        for index in 0..shape.shards() {
            let shard = self.outline.shard(index)?;
            let here = rest.partition_point(|rank| *rank < shard.rank + shard.count);
            let (in_shard, behind) = rest.split_at(here);
            rest = behind;
            if in_shard.is_empty() {
                continue;
            }
            let bytes = self.tags(&shard)?;
            let mut numbers = low_bits(&shape, &bytes, shard.count);
            let mut next = shard.rank;
            for rank in in_shard {
                let mut low = None;
                while next <= *rank {
                    low = numbers.next()?;
                    next += 1;
                }
                let low = low.ok_or(SegmentError::NotCanonical)?;
                tags.push(Tag::new(shape.prefix(index) | low));
            }
        }
        match rest {
            [] => Ok(tags),
            _ => Err(SegmentError::NotCanonical.into()),
        }
    }

    /// Checks all of it: that its bytes are the ones that were signed, and the one way to write what is in it.
    ///
    /// From then on they are taken not to change, and aren't checked again where they are used: that halves the time
    /// of a look-up.
    ///
    /// # Errors
    ///
    /// What is wrong, or why it can't be read.
    pub fn verify(&mut self) -> Result<(), R::Error> {
        verify(&mut self.source, &self.outline)?;
        self.verified = true;
        Ok(())
    }

    /// Checks some of its shards.
    pub(super) fn verify_shards(&mut self, shards: &[Range<u64>]) -> Result<(), R::Error> {
        verify_shards(&mut self.source, &self.outline, shards)
    }

    pub(super) fn source_mut(&mut self) -> &mut R {
        self.verified = false;
        &mut self.source
    }

    pub(super) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// The checked tags of a shard, coded.
    pub(super) fn tags(&mut self, shard: &ShardParts) -> Result<Cow<'_, [u8]>, R::Error> {
        self.part(&shard.tags)
    }

    /// The checked labels of a shard.
    pub(super) fn labels(&mut self, shard: &ShardParts) -> Result<Cow<'_, [u8]>, R::Error> {
        self.part(&shard.labels)
    }

    fn part(&mut self, part: &Part) -> Result<Cow<'_, [u8]>, R::Error> {
        let bytes = self.source.read_at(part.offset, part.length)?;
        if !self.verified {
            part.check(&bytes)?;
        }
        Ok(bytes)
    }

    /// Checks the tags of a shard.
    pub(super) fn verify_tags(&mut self, index: u64) -> Result<(), R::Error> {
        verify_tags(&mut self.source, &self.outline, index)
    }

    /// Checks the labels of a shard.
    pub(super) fn verify_labels(&mut self, index: u64) -> Result<(), R::Error> {
        verify_labels(&mut self.source, &self.outline, index)
    }

    /// The checked ranks that a delta deletes, coded.
    pub(super) fn deletes(&mut self) -> Result<Cow<'_, [u8]>, R::Error> {
        deletes(&mut self.source, &self.outline)
    }
}

impl SegmentSummary {
    /// Checks all of a segment's bytes, of which there are `size`, and says what is in it. Who published it
    /// isn't checked: see [`Segment::open`].
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes, or why they can't be had.
    pub fn read<R: ReadAt>(mut source: R, size: u64) -> Result<Self, R::Error> {
        let (header, id) = read_header(&mut source)?;
        let layout = header.layout()?;
        if layout.end != size {
            return Err(SegmentError::Length.into());
        }
        let outline = Outline::read(&mut source, header)?;
        verify(&mut source, &outline)?;
        let shape = outline.shape();
        Ok(Self {
            id,
            kind: shape.kind,
            service: shape.service,
            epoch: shape.epoch,
            count: shape.count,
            deletes: shape.deletes,
            changed: shape.changed,
            from: shape.from,
            size,
            shards: shape.shards(),
            sealed_label: shape.label_stride,
            directory_length: layout.deletes - HEADER as u64,
            deletes_length: layout.tags - layout.deletes,
            tags_length: layout.labels - layout.tags,
            labels_length: layout.end - layout.labels,
        })
    }

    /// What a manifest says of it, if it leads to the set with this number.
    #[must_use]
    pub fn entry(&self, to: u64) -> SegmentEntry {
        SegmentEntry {
            kind: self.kind,
            id: self.id,
            size: self.size,
            count: self.count,
            deletes: self.deletes,
            from: self.from,
            to,
        }
    }
}

fn deletes<'s, R: ReadAt>(source: &'s mut R, outline: &Outline) -> Result<Cow<'s, [u8]>, R::Error> {
    let bytes = source.read_at(outline.layout.deletes, outline.header.deletes_length)?;
    if Tree::root_of_blocks(&bytes) != outline.header.roots.deletes {
        return Err(SegmentError::OtherSegment.into());
    }
    Ok(bytes)
}

fn verify<R: ReadAt>(source: &mut R, outline: &Outline) -> Result<(), R::Error> {
    let shape = outline.shape();
    let bytes = deletes(source, outline)?;
    deleted_ranks(shape, &bytes).finish()?;
    let all = 0..shape.shards();
    verify_shards(source, outline, core::slice::from_ref(&all))
}

/// From front to back: the tags of all, then the labels.
fn verify_shards<R: ReadAt>(
    source: &mut R,
    outline: &Outline,
    shards: &[Range<u64>],
) -> Result<(), R::Error> {
    for index in shards.iter().cloned().flatten() {
        verify_tags(source, outline, index)?;
    }
    for index in shards.iter().cloned().flatten() {
        verify_labels(source, outline, index)?;
    }
    Ok(())
}

fn verify_tags<R: ReadAt>(source: &mut R, outline: &Outline, index: u64) -> Result<(), R::Error> {
    let shard = outline.shard(index)?;
    let bytes = source.read_at(shard.tags.offset, shard.tags.length)?;
    shard.tags.check(&bytes)?;
    Ok(low_bits(outline.shape(), &bytes, shard.count).finish()?)
}

fn verify_labels<R: ReadAt>(source: &mut R, outline: &Outline, index: u64) -> Result<(), R::Error> {
    let part = outline.shard(index)?.labels;
    Ok(part.check(&source.read_at(part.offset, part.length)?)?)
}
