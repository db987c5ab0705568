//! Looking tags up in a base and in what changes it, without holding either.

use alloc::vec::Vec;

use super::{
    format::{Kind, SegmentError},
    outline::{deleted_ranks, low_bits},
    rice::Ascending,
    segment::Segment,
    source::ReadAt,
};
use crate::oprf::Tag;

/// What became of some tags along a path of segments: a base, then deltas.
///
/// Holds a few words and a sealed label for each tag, however large the set is. Of a base it reads the shards that a
/// tag falls in, of a delta the same and the deleted ranks.
#[derive(Debug)]
pub struct Search {
    /// Ascending, each once.
    wanted: Vec<Wanted>,
    /// Which published set was reached; 0 before the base.
    state: u64,
    /// Tags in that set.
    members: u64,
}

#[derive(Debug)]
struct Wanted {
    tag: Tag,
    /// How many tags of the set are less.
    rank: u64,
    /// The sealed label, if the tag is in the set.
    label: Option<Vec<u8>>,
}

/// A tag that is in the set, and what lies beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The tag.
    pub tag: Tag,
    /// The label of its member, sealed.
    pub sealed_label: Vec<u8>,
}

impl Search {
    /// Begins with nothing.
    #[must_use]
    pub fn new(tags: &[Tag]) -> Self {
        let mut tags = tags.to_vec();
        tags.sort_unstable();
        tags.dedup();
        Self {
            wanted: tags.into_iter().map(Wanted::absent).collect(),
            state: 0,
            members: 0,
        }
    }

    /// Goes on to the set that a segment leads to: a base from anywhere, a delta from the set that it changes.
    ///
    /// # Errors
    ///
    /// [`SegmentError::OtherSet`] for a delta that changes another set; otherwise what is wrong with its bytes, or
    /// why they can't be had. The search stays where it was.
    pub fn read<R: ReadAt>(&mut self, segment: &mut Segment<R>) -> Result<(), R::Error> {
        let entry = segment.entry().clone();
        if entry.kind == Kind::Base {
            let mut found = Self::new(&self.tags());
            found.read_tags_of(segment)?;
            found.state = entry.to;
            *self = found;
            return Ok(());
        }
        if entry.from != self.state {
            return Err(SegmentError::OtherSet.into());
        }
        let shape = *segment.outline().shape();
        if shape.changed != self.members {
            return Err(SegmentError::NotCanonical.into());
        }
        let bytes = segment.deletes()?;
        let deleted = self.deleted(deleted_ranks(&shape, &bytes))?;
        let mut added = Self::new(&self.tags());
        added.read_tags_of(segment)?;

        let merged = self.wanted.iter().zip(&mut added.wanted).zip(deleted);
        let merged = merged.map(|((old, new), (before, gone))| {
            let kept = old.label.as_ref().filter(|_| !gone);
            if kept.is_some() && new.label.is_some() {
                return Err(SegmentError::NotCanonical);
            }
            Ok(Wanted {
                tag: old.tag,
                rank: old.rank - before + new.rank,
                label: new.label.take().or_else(|| kept.cloned()),
            })
        });
        self.wanted = merged.collect::<Result<_, _>>()?;
        self.members = self.members - shape.deletes + shape.count;
        self.state = entry.to;
        Ok(())
    }

    /// Which published set was reached: [`SegmentEntry::to`](super::SegmentEntry::to) of the last segment.
    #[must_use]
    pub fn state(&self) -> u64 {
        self.state
    }

    /// How many tags are in that set.
    #[must_use]
    pub fn members(&self) -> u64 {
        self.members
    }

    /// The tags that are in that set, ascending and each once.
    #[must_use]
    pub fn found(self) -> Vec<Found> {
        let found = self.wanted.into_iter().filter_map(|wanted| {
            Some(Found {
                tag: wanted.tag,
                sealed_label: wanted.label?,
            })
        });
        found.collect()
    }

    fn tags(&self) -> Vec<Tag> {
        self.wanted.iter().map(|wanted| wanted.tag).collect()
    }

    /// Ranks and labels in the tags of one segment, whatever it changes.
    pub(super) fn read_tags_of<R: ReadAt>(
        &mut self,
        segment: &mut Segment<R>,
    ) -> Result<(), R::Error> {
        let shape = *segment.outline().shape();
        self.members = shape.count;
        let mut hits = Vec::new();
        let shard_of = |wanted: &Wanted| shape.shard_of(wanted.tag);
        for in_shard in self.wanted.chunk_by_mut(|a, b| shard_of(a) == shard_of(b)) {
            let Some(index) = in_shard.first().map(shard_of) else {
                continue;
            };
            let shard = segment.outline().shard(index)?;
            let bytes = segment.tags(&shard)?;
            let mut numbers = low_bits(&shape, &bytes, shard.count);
            let mut rank = shard.rank;
            let mut number = numbers.next()?;
            let mut any = false;
            for wanted in &mut *in_shard {
                let low = wanted.tag.get() & shape.greatest_low_bits();
                while number.is_some_and(|number| number < low) {
                    number = numbers.next()?;
                    rank += 1;
                }
                wanted.rank = rank;
                wanted.label = (number == Some(low)).then(Vec::new);
                any |= wanted.label.is_some();
            }
            if any {
                hits.push((shard, in_shard));
            }
        }
        // Behind all tags, so that a stream is read from front to back.
        let stride = usize::from(shape.label_stride);
        for (shard, in_shard) in hits {
            let labels = segment.labels(&shard)?;
            for wanted in in_shard {
                let Some(label) = &mut wanted.label else {
                    continue;
                };
                let sealed = usize::try_from(wanted.rank - shard.rank)
                    .ok()
                    .and_then(|rank| labels.get(rank.checked_mul(stride)?..)?.get(..stride));
                label.extend_from_slice(sealed.ok_or(SegmentError::NotCanonical)?);
            }
        }
        Ok(())
    }

    /// For each tag how many deleted ranks are before it, and whether its own is among them.
    fn deleted(&self, mut ranks: Ascending<'_>) -> Result<Vec<(u64, bool)>, SegmentError> {
        let mut next = ranks.next()?;
        let mut before = 0;
        let deleted = self.wanted.iter().map(|wanted| {
            while next.is_some_and(|rank| rank < wanted.rank) {
                next = ranks.next()?;
                before += 1;
            }
            Ok((before, next == Some(wanted.rank)))
        });
        deleted.collect()
    }
}

impl Wanted {
    fn absent(tag: Tag) -> Self {
        Self {
            tag,
            rank: 0,
            label: None,
        }
    }
}
