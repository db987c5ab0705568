//! The header of a segment and what follows from its count. Drawn in [`crate::snapshot`].

use alloc::vec::Vec;

use crate::{
    label::LabelLength,
    oprf::{Epoch, Tag},
};

pub(super) const MAGIC: [u8; 8] = *b"bbsegmnt";
pub(super) const VERSION: u8 = 1;
pub(super) const SECTIONS: usize = 3;
pub(super) const HEADER: usize = 72 + SECTIONS * SECTION_ENTRY;
const SECTION_ENTRY: usize = 56;
pub(super) const DIRECTORY_ENTRY: u64 = 16;
/// Bytes of the directory in a Merkle leaf.
pub(super) const DIRECTORY_LEAF: usize = 4_096;
/// Most tags in a segment: 2^40, ten thousand times the largest service.
pub(super) const MAX_COUNT: u64 = 1 << 40;

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// A whole set.
    Base = 1,
}

impl Kind {
    pub(super) fn decode(byte: u8) -> Option<Self> {
        (byte == Self::Base as u8).then_some(Self::Base)
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
    /// The bytes contradict each other, or aren't the one way to write this set.
    #[error("the segment isn't canonical")]
    NotCanonical,
}

/// The header without its section table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) service: [u8; 32],
    pub(super) epoch: Epoch,
    pub(super) count: u64,
    pub(super) label_stride: u16,
    pub(super) base_sequence: u64,
}

/// Where a section is, and its Merkle root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Section {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) root: [u8; 32],
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

fn rice_parameter(count: u64) -> u8 {
    // ln 2 in 32 bits behind the point.
    const LN_2: u128 = 2_977_044_472;
    if count == 0 {
        return 0;
    }
    let mean = (LN_2 << 32) / u128::from(count);
    mean.checked_ilog2().unwrap_or(0).min(63) as u8
}

impl Header {
    pub(super) fn shard_bits(&self) -> u8 {
        shard_bits(self.count)
    }

    pub(super) fn rice_parameter(&self) -> u8 {
        rice_parameter(self.count)
    }

    pub(super) fn shards(&self) -> u64 {
        1 << self.shard_bits()
    }

    /// Which shard a tag falls in: its highest bits.
    pub(super) fn shard_of(&self, tag: Tag) -> u64 {
        let bits = u32::from(self.shard_bits());
        tag.get().checked_shr(64 - bits).unwrap_or(0)
    }

    /// The bits of a tag that its shard doesn't tell.
    pub(super) fn low_bits(&self, tag: Tag) -> u64 {
        tag.get() & (u64::MAX >> self.shard_bits())
    }

    fn directory_length(&self) -> u64 {
        (self.shards() + 1) * DIRECTORY_ENTRY
    }

    pub(super) fn encode(&self, sections: &[Section; SECTIONS], out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[
            VERSION,
            self.kind as u8,
            self.shard_bits(),
            self.rice_parameter(),
        ]);
        out.extend_from_slice(&self.label_stride.to_be_bytes());
        out.extend_from_slice(&(SECTIONS as u16).to_be_bytes());
        out.extend_from_slice(&self.service);
        out.extend_from_slice(&self.epoch.get().to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&self.base_sequence.to_be_bytes());
        for (kind, section) in (1_u64..).zip(sections) {
            out.extend_from_slice(&kind.to_be_bytes());
            out.extend_from_slice(&section.offset.to_be_bytes());
            out.extend_from_slice(&section.length.to_be_bytes());
            out.extend_from_slice(&section.root);
        }
    }

    /// Decodes the header of a file of `length` bytes, of which `bytes` are the first.
    pub(super) fn decode(
        bytes: &[u8],
        length: u64,
    ) -> Result<(Self, [Section; SECTIONS]), SegmentError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(SegmentError::NotASegment);
        }
        let mut rest = bytes.get(MAGIC.len()..HEADER).ok_or(SegmentError::Length)?;
        let [version, kind, shard_bits, rice] = take(&mut rest)?;
        if version != VERSION {
            return Err(SegmentError::Unknown);
        }
        let kind = Kind::decode(kind).ok_or(SegmentError::Unknown)?;
        let label_stride = u16::from_be_bytes(take(&mut rest)?);
        if u16::from_be_bytes(take(&mut rest)?) != SECTIONS as u16 {
            return Err(SegmentError::Unknown);
        }
        let header = Self {
            kind,
            label_stride,
            service: take(&mut rest)?,
            epoch: Epoch::new(u64::from_be_bytes(take(&mut rest)?)),
            count: u64::from_be_bytes(take(&mut rest)?),
            base_sequence: u64::from_be_bytes(take(&mut rest)?),
        };
        let strides = LabelLength::new(0).map_or(0, LabelLength::sealed)
            ..=LabelLength::new(LabelLength::MAX).map_or(0, LabelLength::sealed);
        if header.count > MAX_COUNT
            || header.shard_bits() != shard_bits
            || header.rice_parameter() != rice
            || header.base_sequence != 0
            || !strides.contains(&usize::from(label_stride))
        {
            return Err(SegmentError::NotCanonical);
        }
        let mut sections = [Section::default(); SECTIONS];
        let mut end = HEADER as u64;
        for (kind, section) in (1_u64..).zip(&mut sections) {
            if u64::from_be_bytes(take(&mut rest)?) != kind {
                return Err(SegmentError::Unknown);
            }
            section.offset = u64::from_be_bytes(take(&mut rest)?);
            section.length = u64::from_be_bytes(take(&mut rest)?);
            section.root = take(&mut rest)?;
            if section.offset != end {
                return Err(SegmentError::NotCanonical);
            }
            end = end
                .checked_add(section.length)
                .ok_or(SegmentError::NotCanonical)?;
        }
        if end != length {
            return Err(SegmentError::Length);
        }
        let [directory, _, labels] = &sections;
        if directory.length != header.directory_length()
            || Some(labels.length) != header.count.checked_mul(u64::from(label_stride))
        {
            return Err(SegmentError::NotCanonical);
        }
        Ok((header, sections))
    }
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
                (shard_bits(count), rice_parameter(count)),
                (bits, rice),
                "{count}"
            );
        }
    }
}
