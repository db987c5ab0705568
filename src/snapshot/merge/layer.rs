//! One segment of a merged set, and how far it was read.

use alloc::vec::Vec;

use crate::{
    oprf::Tag,
    snapshot::{
        format::SegmentError,
        manifest::SegmentEntry,
        outline::{ShardParts, deleted_ranks, low_bits},
        segment::Segment,
        source::ReadAt,
    },
};

/// A member of the merged set, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) tag: Tag,
    pub(super) layer: usize,
    /// How many tags of that layer's segment are before it.
    pub(super) rank: u64,
}

#[derive(Debug)]
pub(super) struct Layer<R> {
    segment: Segment<R>,
    /// Ranks that are deleted, the next one last.
    deletes: Vec<u64>,
    /// What the layers below yield next, and how much they have yielded.
    below: Option<Item>,
    yielded: u64,
    tags: Tags,
    labels: Labels,
}

/// How far the tags were read.
#[derive(Debug, Default)]
struct Tags {
    next_shard: u64,
    /// The rest of the shard, the next one last.
    rest: Vec<Tag>,
    rank: u64,
}

/// The labels of a shard.
#[derive(Debug, Default)]
struct Labels {
    next_shard: u64,
    shard: Option<ShardParts>,
    bytes: Vec<u8>,
}

/// The next member of the set that the last layer leads to.
pub(super) fn next<R: ReadAt>(layers: &mut [Layer<R>]) -> Result<Option<Item>, R::Error> {
    let index = layers.len().saturating_sub(1);
    let Some((top, below)) = layers.split_last_mut() else {
        return Ok(None);
    };
    while top.below.is_none() {
        let Some(item) = next(below)? else { break };
        let deleted = top.deletes.pop_if(|rank| *rank == top.yielded).is_some();
        top.yielded += 1;
        top.below = (!deleted).then_some(item);
    }
    let own = top.peek()?;
    match (top.below, own) {
        (Some(below), Some(own)) if below.tag == own => Err(SegmentError::NotCanonical.into()),
        (Some(below), own) if own.is_none_or(|own| below.tag < own) => Ok(top.below.take()),
        (_, None) => Ok(None),
        (_, Some(tag)) => {
            let rank = top.tags.rank;
            top.tags.rank += 1;
            top.tags.rest.pop();
            Ok(Some(Item {
                tag,
                layer: index,
                rank,
            }))
        }
    }
}

impl<R: ReadAt> Layer<R> {
    pub(super) fn new(mut segment: Segment<R>) -> Result<Self, R::Error> {
        let shape = *segment.outline().shape();
        let mut deletes = Vec::new();
        {
            let bytes = segment.deletes()?;
            let mut ranks = deleted_ranks(&shape, &bytes);
            while let Some(rank) = ranks.next()? {
                deletes.push(rank);
            }
        }
        deletes.reverse();
        Ok(Self {
            segment,
            deletes,
            below: None,
            yielded: 0,
            tags: Tags::default(),
            labels: Labels::default(),
        })
    }

    pub(super) fn entry(&self) -> &SegmentEntry {
        self.segment.entry()
    }

    /// The ranks that it deletes and that weren't reached yet, ascending.
    pub(super) fn deletes(&self) -> impl Iterator<Item = u64> {
        self.deletes.iter().rev().copied()
    }

    /// The next tag of this segment itself.
    fn peek(&mut self) -> Result<Option<Tag>, R::Error> {
        let shape = *self.segment.outline().shape();
        while self.tags.rest.is_empty() && self.tags.next_shard < shape.shards() {
            let index = self.tags.next_shard;
            let shard = self.segment.outline().shard(index)?;
            let bytes = self.segment.tags(&shard)?;
            let mut numbers = low_bits(&shape, &bytes, shard.count);
            while let Some(low) = numbers.next()? {
                self.tags.rest.push(Tag::new(shape.prefix(index) | low));
            }
            self.tags.rest.reverse();
            self.tags.next_shard += 1;
        }
        Ok(self.tags.rest.last().copied())
    }

    /// The label at a rank; they are asked for in ascending order.
    pub(super) fn label(&mut self, rank: u64, label: &mut Vec<u8>) -> Result<(), R::Error> {
        let labels = &mut self.labels;
        let is_in = |shard: &ShardParts| rank < shard.rank + shard.count;
        while !labels.shard.as_ref().is_some_and(is_in) {
            let shard = self.segment.outline().shard(labels.next_shard)?;
            labels.next_shard += 1;
            labels.shard = Some(shard);
            if is_in(&shard) {
                let bytes = self.segment.labels(&shard)?;
                labels.bytes.clear();
                labels.bytes.extend_from_slice(&bytes);
            }
        }
        let stride = usize::from(self.segment.outline().shape().label_stride);
        let sealed = labels
            .shard
            .and_then(|shard| usize::try_from(rank.checked_sub(shard.rank)?).ok())
            .and_then(|rank| labels.bytes.get(rank.checked_mul(stride)?..)?.get(..stride))
            .ok_or(SegmentError::NotCanonical)?;
        label.clear();
        label.extend_from_slice(sealed);
        Ok(())
    }
}
