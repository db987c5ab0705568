//! Looking tags up in a base and in what changes it, without holding either.

use alloc::vec::Vec;
use core::{mem, ops::Range};

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

/// How much of a segment is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The shards that a wanted tag falls in.
    Wanted,
    /// Everything.
    All,
}

/// A tag that is in the set, and what lies beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The tag.
    pub tag: Tag,
    /// How many tags of the set are less.
    pub rank: u64,
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
        self.go_on(segment, Reading::Wanted)
    }

    /// Goes on as [`read`](Self::read) does, and reads and checks all of the segment, from front to back.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Security
    ///
    /// For bytes that come from somebody else and weren't checked before. Whoever damages one shard and sees that the
    /// client gives up learns nothing: it would give up wherever its contacts are. (The publisher alone could sign
    /// segments that contradict each other for one tag. Everybody can prove that with the signed bytes, and
    /// [`Merge`](super::Merge) finds it.)
    pub fn read_all<R: ReadAt>(&mut self, segment: &mut Segment<R>) -> Result<(), R::Error> {
        self.go_on(segment, Reading::All)
    }

    fn go_on<R: ReadAt>(
        &mut self,
        segment: &mut Segment<R>,
        reading: Reading,
    ) -> Result<(), R::Error> {
        let entry = segment.entry().clone();
        if entry.kind == Kind::Base {
            let mut found = Self::new(&self.tags());
            found.read_tags_of(segment, reading)?;
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
        added.read_tags_of(segment, reading)?;

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

    /// What lies beside a tag in that set; `None` if the tag isn't one that is looked for.
    #[must_use]
    pub fn sealed_label(&self, tag: Tag) -> Option<Option<&[u8]>> {
        let at = self.wanted.binary_search_by_key(&tag, |wanted| wanted.tag);
        let wanted = self.wanted.get(at.ok()?)?;
        Some(wanted.label.as_deref())
    }

    /// The tags that are in that set, ascending and each once.
    #[must_use]
    pub fn found(self) -> Vec<Found> {
        let found = self.wanted.into_iter().filter_map(|wanted| {
            Some(Found {
                tag: wanted.tag,
                rank: wanted.rank,
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
        reading: Reading,
    ) -> Result<(), R::Error> {
        let shape = *segment.outline().shape();
        self.members = shape.count;
        let mut hits = Vec::new();
        let mut others = Others {
            reading,
            next: 0,
            shards: shape.shards(),
        };
        let shard_of = |wanted: &Wanted| shape.shard_of(wanted.tag);
        for in_shard in self.wanted.chunk_by_mut(|a, b| shard_of(a) == shard_of(b)) {
            let Some(index) = in_shard.first().map(shard_of) else {
                continue;
            };
            for other in others.before(index) {
                segment.verify_tags(other)?;
            }
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
            if reading == Reading::All {
                numbers.finish()?;
            }
            if any {
                hits.push((index, shard, in_shard));
            }
        }
        for other in others.behind() {
            segment.verify_tags(other)?;
        }
        // Behind all tags, so that a stream is read from front to back.
        let stride = usize::from(shape.label_stride);
        for (index, shard, in_shard) in hits {
            for other in others.before(index) {
                segment.verify_labels(other)?;
            }
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
        for other in others.behind() {
            segment.verify_labels(other)?;
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
        let deleted = deleted.collect::<Result<_, SegmentError>>()?;
        // All of them were read anyway, and are few.
        ranks.finish()?;
        Ok(deleted)
    }
}

/// The shards that no wanted tag falls in, if everything is read.
struct Others {
    reading: Reading,
    next: u64,
    shards: u64,
}

impl Others {
    /// Those before the shard `index`, and not before the one that was asked for last.
    fn before(&mut self, index: u64) -> Range<u64> {
        let from = mem::replace(&mut self.next, index + 1);
        match self.reading {
            Reading::Wanted => 0..0,
            Reading::All => from..index,
        }
    }

    /// Those behind the last one that was asked for. Begins again.
    fn behind(&mut self) -> Range<u64> {
        let rest = self.before(self.shards);
        self.next = 0;
        rest
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
