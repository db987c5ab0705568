//! The header of a segment and what follows from its count. Drawn in [`crate::snapshot`].

use crate::{
    label::LabelLength,
    oprf::{Epoch, Tag},
};

pub(super) const MAGIC: [u8; 8] = *b"bbsegmnt";
pub(super) const VERSION: u8 = 1;
/// Bytes of the header.
pub(super) const HEADER: usize = 232;
const DIRECTORY_ENTRY: u64 = 16;
/// Bytes of a SHA-256.
pub(super) const HASH: u64 = 32;
/// Bytes of the directory, or of the deleted ranks, in a Merkle leaf.
pub(super) const BLOCK: usize = 4_096;
/// Most tags in a set: 2^40, ten thousand times the largest service.
pub(super) const MAX_COUNT: u64 = 1 << 40;

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// A whole set.
    Base = 1,
    /// What changes an earlier set.
    Delta = 2,
}

impl Kind {
    pub(super) fn decode(byte: u8) -> Option<Self> {
        [Self::Base, Self::Delta]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Bytes that aren't the segment they are said to be. Who sent them is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// Doesn't begin like a segment.
    #[error("not a segment")]
    NotASegment,
    /// A version or kind from the future.
    #[error("a segment of a version or kind that isn't known here")]
    Unknown,
    /// Shorter or longer than its header says.
    #[error("the segment is truncated or has bytes behind it")]
    Length,
    /// Another file than the manifest names.
    #[error("the segment isn't the one that the manifest names")]
    OtherSegment,
    /// A delta that changes another set than the one that was reached.
    #[error("the delta changes another set")]
    OtherSet,
    /// The bytes contradict each other, or aren't the one way to write this set.
    #[error("the segment isn't canonical")]
    NotCanonical,
}

/// The header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) shape: Shape,
    /// Bytes of the deleted ranks.
    pub(super) deletes_length: u64,
    /// Bytes of the tags.
    pub(super) tags_length: u64,
    pub(super) roots: Roots,
}

/// What a segment is for and how much is in it: all that is known before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) service: [u8; 32],
    pub(super) epoch: Epoch,
    pub(super) label_stride: u16,
    /// Tags in it.
    pub(super) count: u64,
    /// Ranks that a delta deletes.
    pub(super) deletes: u64,
    /// Tags in the set that a delta changes.
    pub(super) changed: u64,
    /// Which set that is, by its number; 0 for a base.
    pub(super) from: u64,
}

/// The Merkle roots that a header commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Roots {
    pub(super) directory: [u8; 32],
    pub(super) deletes: [u8; 32],
    pub(super) tags: [u8; 32],
    pub(super) labels: [u8; 32],
}

/// Where the sections of a segment begin, and where the last one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) tag_hashes: u64,
    pub(super) label_hashes: u64,
    pub(super) deletes: u64,
    pub(super) tags: u64,
    pub(super) labels: u64,
    pub(super) end: u64,
}

/// Where a shard begins, and how many tags are before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DirectoryEntry {
    pub(super) offset: u64,
    pub(super) rank: u64,
}

impl DirectoryEntry {
    pub(super) fn encode(&self) -> [u8; 16] {
        ((u128::from(self.offset) << 64) | u128::from(self.rank)).to_be_bytes()
    }

    pub(super) fn decode(bytes: &[u8; 16]) -> Self {
        let both = u128::from_be_bytes(*bytes);
        Self {
            offset: (both >> 64) as u64,
            rank: both as u64,
        }
    }
}

fn shard_bits(count: u64) -> u8 {
    (count / 1_024).checked_ilog2().unwrap_or(0) as u8
}

/// How many shards a segment of `count` tags is cut into.
pub(super) fn shards(count: u64) -> u64 {
    1 << shard_bits(count)
}

/// The length of everything before the deleted ranks, in a segment of `count` tags.
pub(super) fn outline_length(count: u64) -> u64 {
    HEADER as u64 + (shards(count) + 1) * DIRECTORY_ENTRY + 2 * shards(count) * HASH
}

/// For `count` of `space` numbers.
fn rice_parameter(space: u128, count: u64) -> u8 {
    // ln 2 in 32 bits behind the point.
    const LN_2: u128 = 2_977_044_472;
    if count == 0 {
        return 0;
    }
    let mean = LN_2 * (space >> 32) / u128::from(count);
    let fraction = (LN_2 * (space & u128::from(u32::MAX)) / u128::from(count)) >> 32;
    (mean + fraction).checked_ilog2().unwrap_or(0).min(63) as u8
}

impl Shape {
    pub(super) fn base(
        service: [u8; 32],
        epoch: Epoch,
        label_length: LabelLength,
        count: u64,
    ) -> Self {
        Self {
            kind: Kind::Base,
            service,
            epoch,
            label_stride: label_length.sealed() as u16,
            count,
            deletes: 0,
            changed: 0,
            from: 0,
        }
    }

    /// What is the same in all segments that can follow each other.
    pub(super) fn terms(&self) -> ([u8; 32], Epoch, u16) {
        (self.service, self.epoch, self.label_stride)
    }

    pub(super) fn shard_bits(&self) -> u8 {
        shard_bits(self.count)
    }

    pub(super) fn rice_parameter(&self) -> u8 {
        rice_parameter(1 << 64, self.count)
    }

    pub(super) fn deletes_parameter(&self) -> u8 {
        rice_parameter(u128::from(self.changed), self.deletes)
    }

    pub(super) fn shards(&self) -> u64 {
        shards(self.count)
    }

    /// Which shard a tag falls in: its highest bits.
    pub(super) fn shard_of(&self, tag: Tag) -> u64 {
        let bits = u32::from(self.shard_bits());
        tag.get().checked_shr(64 - bits).unwrap_or(0)
    }

    /// The bits that all tags of a shard begin with.
    pub(super) fn prefix(&self, shard: u64) -> u64 {
        let bits = u32::from(self.shard_bits());
        shard.checked_shl(64 - bits).unwrap_or(0)
    }

    /// The greatest number that the bits behind the prefix can make.
    pub(super) fn greatest_low_bits(&self) -> u64 {
        u64::MAX >> self.shard_bits()
    }

    fn directory_length(&self) -> u64 {
        (self.shards() + 1) * DIRECTORY_ENTRY
    }

    /// The length of everything before the deleted ranks.
    pub(super) fn outline_length(&self) -> u64 {
        outline_length(self.count)
    }

    /// The lengths of an honest segment are far from overflow; `None` for one that lies.
    fn layout(&self, deletes_length: u64, tags_length: u64) -> Option<Layout> {
        let tag_hashes = HEADER as u64 + self.directory_length();
        let label_hashes = tag_hashes + self.shards() * HASH;
        let deletes = self.outline_length();
        let tags = deletes.checked_add(deletes_length)?;
        let labels = tags.checked_add(tags_length)?;
        let end = labels.checked_add(self.count.checked_mul(u64::from(self.label_stride))?)?;
        Some(Layout {
            tag_hashes,
            label_hashes,
            deletes,
            tags,
            labels,
            end,
        })
    }

    pub(super) fn is_canonical(&self) -> bool {
        let strides = LabelLength::new(0).map_or(0, LabelLength::sealed)
            ..=LabelLength::new(LabelLength::MAX).map_or(0, LabelLength::sealed);
        let changes = match self.kind {
            Kind::Base => self.deletes == 0 && self.changed == 0 && self.from == 0,
            Kind::Delta => self.deletes <= self.changed && self.from > 0,
        };
        changes
            && self.count <= MAX_COUNT
            && self.changed <= MAX_COUNT
            && strides.contains(&usize::from(self.label_stride))
    }
}

impl Header {
    pub(super) fn layout(&self) -> Result<Layout, SegmentError> {
        self.shape
            .layout(self.deletes_length, self.tags_length)
            .ok_or(SegmentError::NotCanonical)
    }

    pub(super) fn encode(&self) -> [u8; HEADER] {
        let shape = &self.shape;
        let fields: [&[u8]; 16] = [
            &MAGIC,
            &[VERSION, shape.kind as u8],
            &[shape.shard_bits(), shape.rice_parameter()],
            &[shape.deletes_parameter(), 0],
            &shape.label_stride.to_be_bytes(),
            &shape.service,
            &shape.epoch.get().to_be_bytes(),
            &shape.count.to_be_bytes(),
            &shape.deletes.to_be_bytes(),
            &shape.changed.to_be_bytes(),
            &shape.from.to_be_bytes(),
            &[self.deletes_length, self.tags_length]
                .map(u64::to_be_bytes)
                .concat(),
            &self.roots.directory,
            &self.roots.deletes,
            &self.roots.tags,
            &self.roots.labels,
        ];
        let mut out = [0; HEADER];
        for (byte, field) in out.iter_mut().zip(fields.into_iter().flatten()) {
            *byte = *field;
        }
        out
    }

    /// Decodes the first bytes of a segment.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, SegmentError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(SegmentError::NotASegment);
        }
        let mut rest = bytes.get(MAGIC.len()..HEADER).ok_or(SegmentError::Length)?;
        let [version, kind] = take(&mut rest)?;
        if version != VERSION {
            return Err(SegmentError::Unknown);
        }
        let kind = Kind::decode(kind).ok_or(SegmentError::Unknown)?;
        let [shard_bits, parameter, deletes_parameter, zero] = take(&mut rest)?;
        let shape = Shape {
            kind,
            label_stride: u16::from_be_bytes(take(&mut rest)?),
            service: take(&mut rest)?,
            epoch: Epoch::new(number(&mut rest)?),
            count: number(&mut rest)?,
            deletes: number(&mut rest)?,
            changed: number(&mut rest)?,
            from: number(&mut rest)?,
        };
        let header = Self {
            shape,
            deletes_length: number(&mut rest)?,
            tags_length: number(&mut rest)?,
            roots: Roots {
                directory: take(&mut rest)?,
                deletes: take(&mut rest)?,
                tags: take(&mut rest)?,
                labels: take(&mut rest)?,
            },
        };
        let parameters = [
            shape.shard_bits(),
            shape.rice_parameter(),
            shape.deletes_parameter(),
            0,
        ];
        if !shape.is_canonical() || parameters != [shard_bits, parameter, deletes_parameter, zero] {
            return Err(SegmentError::NotCanonical);
        }
        header.layout()?;
        Ok(header)
    }
}

fn number(rest: &mut &[u8]) -> Result<u64, SegmentError> {
    take(rest).map(u64::from_be_bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], SegmentError> {
    let (taken, left) = rest.split_first_chunk().ok_or(SegmentError::Length)?;
    *rest = left;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_follow_from_the_count() {
        for (count, bits, rice) in [
            (0, 0, 0),
            (1, 0, 63),
            (2, 0, 62),
            (1_023, 0, 53),
            (2_047, 0, 52),
            (2_048, 1, 52),
            (100_000, 6, 46),
            (100_000_000, 16, 36),
            (MAX_COUNT, 30, 23),
        ] {
            assert_eq!(
                (shard_bits(count), rice_parameter(1 << 64, count)),
                (bits, rice),
                "{count}"
            );
        }
    }

    #[test]
    fn ranks_have_a_parameter_of_their_own() {
        for (space, count, rice) in [
            (0, 0, 0),
            (1, 1, 0),
            (10_000_000, 30_000, 7),
            (1 << 40, 1, 39),
        ] {
            assert_eq!(rice_parameter(space, count), rice, "{count} of {space}");
        }
    }
}
