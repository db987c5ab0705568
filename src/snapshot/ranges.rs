//! Part of a segment: the runs of the tag space that are fetched, and the bytes of a segment that came.

use alloc::{borrow::Cow, collections::BTreeMap, vec::Vec};
use core::ops::Range;

use super::{
    format::{SegmentError, outline_length, shards},
    manifest::SegmentEntry,
    segment::Segment,
    source::ReadAt,
};
use crate::oprf::Tag;

/// Some of the 2^b equal runs of the tag space; a run is all tags with the same `b` highest bits.
///
/// A run of a segment is contiguous: it is a few whole shards, and a directory tells where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    bits: u8,
    /// Ascending, each once.
    indexes: Vec<u32>,
}

/// No runs, too many, or not in ascending order. The caller is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("runs are ascending, each once, and at most 2^30")]
pub struct RunsError;

impl Runs {
    /// Most bits that a run is told by: as many as shards are at most.
    pub const MAX_BITS: u8 = 30;

    /// Takes runs by the numbers that their bits make.
    ///
    /// # Errors
    ///
    /// Too many bits, no run at all, one that isn't there, or runs that aren't ascending.
    pub fn new(bits: u8, indexes: Vec<u32>) -> Result<Self, RunsError> {
        let ascending = indexes.is_sorted_by(|a, b| a < b);
        let last = indexes.last().copied().ok_or(RunsError)?;
        if bits > Self::MAX_BITS || !ascending || last >> bits != 0 {
            return Err(RunsError);
        }
        Ok(Self { bits, indexes })
    }

    /// How many runs the tag space is cut into, as a power of two.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Which of them these are, ascending.
    #[must_use]
    pub fn indexes(&self) -> &[u32] {
        &self.indexes
    }

    /// Whether these are all there are.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.indexes.len() as u64 == 1 << self.bits
    }

    /// The run that a tag falls in.
    #[must_use]
    pub fn index_of(bits: u8, tag: Tag) -> u32 {
        let run = tag.get().checked_shr(64 - u32::from(bits)).unwrap_or(0);
        run as u32
    }

    /// Whether a tag falls in one of them.
    #[must_use]
    pub fn covers(&self, tag: Tag) -> bool {
        let run = Self::index_of(self.bits, tag);
        self.indexes.binary_search(&run).is_ok()
    }

    /// The shards of a segment that hold them, ascending; neighbours are one range.
    fn shards(&self, shard_bits: u8) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for index in &self.indexes {
            let run = u64::from(*index);
            let (from, to) = match shard_bits.checked_sub(self.bits) {
                Some(more) => (run << more, (run + 1) << more),
                // A set that has shrunk: several runs in a shard.
                None => {
                    let shard = run >> (self.bits - shard_bits);
                    (shard, shard + 1)
                }
            };
            match ranges.last_mut().filter(|last| from <= last.end) {
                Some(last) => last.end = to,
                None => ranges.push(from..to),
            }
        }
        ranges
    }
}

impl SegmentEntry {
    /// How many shards it is cut into.
    #[must_use]
    pub fn shards(&self) -> u64 {
        shards(self.count)
    }

    /// How many of its first bytes tell where everything is.
    #[must_use]
    pub fn outline_length(&self) -> u64 {
        outline_length(self.count)
    }
}

/// The bytes of a segment that were fetched.
#[derive(Debug, Default)]
pub struct Ranges {
    /// By where they begin; no two of them overlap.
    held: BTreeMap<u64, Vec<u8>>,
}

/// Bytes that can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangesError {
    /// The caller is to blame: something is looked for in a part that wasn't fetched.
    #[error("this part of the segment wasn't fetched")]
    NotFetched,
    /// Who published or delivered it is to blame.
    #[error(transparent)]
    Segment(#[from] SegmentError),
}

impl Ranges {
    /// Begins with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes that were fetched from `offset` on.
    pub fn insert(&mut self, offset: u64, bytes: Vec<u8>) {
        self.held.insert(offset, bytes);
    }
}

impl ReadAt for Ranges {
    type Error = RangesError;

    fn read_at(&mut self, offset: u64, length: u64) -> Result<Cow<'_, [u8]>, RangesError> {
        if length == 0 {
            return Ok(Cow::Borrowed(&[]));
        }
        let before = self.held.range(..=offset).next_back();
        before
            .and_then(|(start, bytes)| {
                let start = usize::try_from(offset - start).ok()?;
                let end = start.checked_add(usize::try_from(length).ok()?)?;
                bytes.get(start..end)
            })
            .map(Cow::Borrowed)
            .ok_or(RangesError::NotFetched)
    }
}

impl Segment<Ranges> {
    /// Takes bytes that were fetched from `offset` on.
    pub fn insert(&mut self, offset: u64, bytes: Vec<u8>) {
        self.source_mut().insert(offset, bytes);
    }
}

impl<R: ReadAt> Segment<R> {
    /// The bytes to fetch for these runs, from front to back: their tags, then their labels.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NotCanonical`] if the directory contradicts itself.
    ///
    /// # Security
    ///
    /// Fetch all of them, in this order, whatever is found in the first ones: to fetch labels for a match alone, or
    /// to stop behind the last contact, tells which of the runs are decoys.
    pub fn ranges(&self, runs: &Runs) -> Result<Vec<Range<u64>>, SegmentError> {
        let outline = self.outline();
        let shards = runs.shards(outline.shape().shard_bits());
        let mut tags = Vec::with_capacity(2 * shards.len());
        let mut labels = Vec::with_capacity(shards.len());
        for shards in shards {
            let first = outline.shard(shards.start)?;
            let mut last = first;
            // One by one, which checks that each begins where the one before it ends.
            for index in shards {
                last = outline.shard(index)?;
            }
            let span = |first: u64, last: u64, length: u64| first..last + length;
            tags.push(span(first.tags.offset, last.tags.offset, last.tags.length));
            labels.push(span(
                first.labels.offset,
                last.labels.offset,
                last.labels.length,
            ));
        }
        tags.append(&mut labels);
        tags.retain(|range| !range.is_empty());
        Ok(tags)
    }

    /// Checks all that [`ranges`](Self::ranges) names, as [`verify`](Self::verify) checks a whole segment.
    ///
    /// # Errors
    ///
    /// What is wrong, or why it can't be read.
    ///
    /// # Security
    ///
    /// Belongs before looking anything up in bytes from somebody else. An error that came up only where a contact is
    /// would tell whoever damaged the bytes that there is one.
    pub fn verify_runs(&mut self, runs: &Runs) -> Result<(), R::Error> {
        let shards = runs.shards(self.outline().shape().shard_bits());
        self.verify_shards(&shards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_shards_whatever_their_number_has_become() {
        let runs = Runs::new(3, alloc::vec![0, 3, 4, 7]).unwrap();
        assert_eq!(runs.shards(3), [0..1, 3..5, 7..8]);
        assert_eq!(runs.shards(5), [0..4, 12..20, 28..32]);
        assert!(runs.shards(2).into_iter().eq(core::iter::once(0..4)));
        assert!(runs.shards(0).into_iter().eq(core::iter::once(0..1)));
        for (bits, indexes) in [
            (3, &[][..]),
            (3, &[1, 1]),
            (3, &[2, 1]),
            (3, &[8]),
            (31, &[0]),
        ] {
            assert_eq!(Runs::new(bits, indexes.to_vec()), Err(RunsError));
        }
        assert!(Runs::new(0, alloc::vec![0]).unwrap().is_everything());
    }

    #[test]
    fn a_run_is_told_by_the_highest_bits() {
        for (bits, tag, run) in [
            (0, u64::MAX, 0),
            (1, 1 << 63, 1),
            (30, u64::MAX, (1 << 30) - 1),
        ] {
            assert_eq!(Runs::index_of(bits, Tag::new(tag)), run);
        }
    }
}
