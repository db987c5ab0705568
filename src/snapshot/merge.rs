//! A base and what changes it, read as one set in ascending order.

mod compose;
mod layer;

use alloc::vec::Vec;

pub use self::compose::Composer;
use self::layer::{Item, Layer};
use super::{
    builder::{BuildError, SegmentBuilder},
    format::{SegmentError, Shape},
    segment::Segment,
    source::ReadAt,
    writer::{SegmentWriter, Sink, Written},
};
use crate::oprf::Tag;

/// The set that a path of segments leads to, in ascending order.
///
/// Holds a shard and the outline of each segment, and the deleted ranks of the deltas.
#[derive(Debug)]
pub struct Merge<R> {
    /// The base, then the deltas.
    layers: Vec<Layer<R>>,
    shape: Shape,
    /// The number of the set.
    state: u64,
}

impl<R: ReadAt> Merge<R> {
    /// Takes a base, then deltas, each changing the set that the one before it leads to.
    ///
    /// # Errors
    ///
    /// [`SegmentError::OtherSet`] if they don't follow each other so; or the deleted ranks can't be read.
    pub fn new(path: Vec<Segment<R>>) -> Result<Self, R::Error> {
        let base = path.first().ok_or(SegmentError::OtherSet)?;
        let mut shape = Shape {
            count: 0,
            ..*base.outline().shape()
        };
        let mut state = 0;
        let mut layers = Vec::with_capacity(path.len());
        for segment in path {
            let its = *segment.outline().shape();
            let entry = segment.entry();
            if its.terms() != shape.terms() || entry.from != state {
                return Err(SegmentError::OtherSet.into());
            }
            if its.changed != shape.count {
                return Err(SegmentError::NotCanonical.into());
            }
            state = entry.to;
            shape.count = shape.count - its.deletes + its.count;
            layers.push(Layer::new(segment)?);
        }
        Ok(Self {
            layers,
            shape,
            state,
        })
    }

    /// How many members the set has.
    #[must_use]
    pub fn members(&self) -> u64 {
        self.shape.count
    }

    /// Bytes of each sealed label.
    #[must_use]
    pub fn sealed_label(&self) -> u16 {
        self.shape.label_stride
    }

    /// The next member; its sealed label replaces what is in `label`.
    ///
    /// # Errors
    ///
    /// Bytes can't be had, or aren't the ones that were signed, or contradict each other.
    pub fn next(&mut self, label: &mut Vec<u8>) -> Result<Option<Tag>, R::Error> {
        let Some(item) = layer::next(&mut self.layers)? else {
            return Ok(None);
        };
        self.label(&item, label)?;
        Ok(Some(item.tag))
    }

    /// Writes the set as a base, bit for bit the one that is built from its members.
    ///
    /// # Errors
    ///
    /// As [`Self::next`], or the sink fails.
    pub fn write_base<S: Sink<Error: From<R::Error>>>(
        mut self,
        sink: &mut S,
    ) -> Result<Written, S::Error> {
        let mut writer = SegmentWriter::new(self.shape, Vec::new())?;
        let mut label = Vec::new();
        while let Some(tag) = self.next(&mut label)? {
            writer.push(tag, &label, sink)?;
        }
        writer.finish(sink)
    }

    /// What changes this set into another one: the shortest delta.
    ///
    /// Labels are compared only where they can differ: not if the same segment has them.
    ///
    /// # Errors
    ///
    /// As [`Self::next`].
    pub fn difference(mut self, mut other: Self) -> Result<Vec<u8>, R::Error> {
        let mut delta = SegmentBuilder::empty(self.shape).changing(self.state, self.shape.count);
        let (mut old_label, mut new_label) = (Vec::new(), Vec::new());
        let mut old = layer::next(&mut self.layers)?;
        let mut new = layer::next(&mut other.layers)?;
        let mut rank = 0;
        loop {
            let order = match (&old, &new) {
                (None, None) => break,
                (Some(_), None) => core::cmp::Ordering::Less,
                (None, Some(_)) => core::cmp::Ordering::Greater,
                (Some(old), Some(new)) => old.tag.cmp(&new.tag),
            };
            let same = match (&old, &new) {
                (Some(old), Some(new)) if order.is_eq() => {
                    self.is_same_place(old, &other, new) || {
                        self.label(old, &mut old_label)?;
                        other.label(new, &mut new_label)?;
                        old_label == new_label
                    }
                }
                _ => false,
            };
            if order.is_le() {
                if !same {
                    delta.delete(rank).map_err(contradiction)?;
                }
                rank += 1;
                old = layer::next(&mut self.layers)?;
            }
            if let Some(item) = new.as_ref().filter(|_| order.is_ge()) {
                if !same {
                    other.label(item, &mut new_label)?;
                    delta.add(item.tag, &new_label).map_err(contradiction)?;
                }
                new = layer::next(&mut other.layers)?;
            }
        }
        Ok(delta.build().map_err(contradiction)?)
    }

    fn label(&mut self, item: &Item, label: &mut Vec<u8>) -> Result<(), R::Error> {
        let layer = self.layers.get_mut(item.layer);
        layer
            .ok_or(SegmentError::NotCanonical)?
            .label(item.rank, label)
    }

    fn is_same_place(&self, item: &Item, other: &Self, its: &Item) -> bool {
        let id = |merge: &Self, item: &Item| {
            let layer = merge.layers.get(item.layer);
            layer.map(|layer| layer.entry().id)
        };
        item.rank == its.rank && id(self, item) == id(other, its)
    }
}

/// What only contradictory segments lead to.
fn contradiction(_: BuildError) -> SegmentError {
    SegmentError::NotCanonical
}
