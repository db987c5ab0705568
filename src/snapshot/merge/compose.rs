//! Deltas that lead from earlier sets to the last one, led on to the new one. The earlier sets aren't needed.
//!
//! ```text
//! set m ---- earlier delta ---> set n-1 ---- last delta ---> set n
//!      \-------------------- composed -------------------/
//! ```
//!
//! What survives from `m` is, in ascending order, set `n-1` without what the earlier delta adds. So a survivor's rank in
//! `m` follows from its rank in `n-1`: less the added tags before it, and then past the ranks that the earlier delta
//! deletes. Only what the last delta deletes has to be looked up in set `n-1`, once for all `m`.

use alloc::{vec, vec::Vec};

use super::{
    contradiction,
    layer::{self, Layer},
};
use crate::{
    oprf::Tag,
    snapshot::{
        builder::SegmentBuilder,
        format::{Kind, SegmentError, Shape},
        segment::Segment,
        source::ReadAt,
    },
};

/// Leads deltas of earlier sets on to a new one.
///
/// Holds what the last delta changes, and of one earlier delta at a time all of it.
#[derive(Debug)]
pub struct Composer {
    /// As many tags as the last set has.
    shape: Shape,
    /// The number of the last set.
    set: u64,
    /// Who is in the last set and not in the new one: rank in the last set, and tag. Ascending.
    gone: Vec<(u64, Tag)>,
    new: Added,
}

/// What a delta adds, ascending.
#[derive(Debug, Default)]
struct Added {
    tags: Vec<Tag>,
    /// Sealed labels in the order of the tags.
    labels: Vec<u8>,
}

impl Composer {
    /// Takes the last set as a base, and the delta from it to the new one.
    ///
    /// # Errors
    ///
    /// [`SegmentError::OtherSet`] if that isn't what they are; or bytes can't be had, aren't the ones that were signed, or
    /// contradict each other.
    pub fn new<R: ReadAt>(mut base: Segment<R>, last: Segment<R>) -> Result<Self, R::Error> {
        let shape = *base.outline().shape();
        let set = base.entry().to;
        let its = last.outline().shape();
        let follows = (base.entry().kind, last.entry().kind) == (Kind::Base, Kind::Delta)
            && (last.entry().from, its.terms()) == (set, shape.terms());
        if !follows {
            return Err(SegmentError::OtherSet.into());
        }
        if its.changed != shape.count {
            return Err(SegmentError::NotCanonical.into());
        }
        let (ranks, new) = read(last)?;
        let tags = base.tags_at(&ranks)?;
        Ok(Self {
            shape,
            set,
            gone: ranks.into_iter().zip(tags).collect(),
            new,
        })
    }

    /// The delta from an earlier set to the new one, composed from the one that leads to the last set.
    ///
    /// It adds nobody who isn't in the new set. It needn't be the [shortest](super::Merge::difference): who left and came
    /// back as before is deleted and added, since nothing that is listed tells of whom a deleted rank was.
    ///
    /// # Errors
    ///
    /// [`SegmentError::OtherSet`] for a delta that leads elsewhere; or bytes can't be had, aren't the ones that were
    /// signed, or contradict each other.
    pub fn compose<R: ReadAt>(&self, earlier: Segment<R>) -> Result<Vec<u8>, R::Error> {
        let its = *earlier.outline().shape();
        let entry = earlier.entry();
        let leads_here =
            (entry.kind, entry.to, its.terms()) == (Kind::Delta, self.set, self.shape.terms());
        if !leads_here {
            return Err(SegmentError::OtherSet.into());
        }
        if its.changed - its.deletes + its.count != self.shape.count {
            return Err(SegmentError::NotCanonical.into());
        }
        let (deletes, added) = read(earlier)?;
        Ok(self.lead_on(&its, &deletes, &added)?)
    }

    fn lead_on(
        &self,
        earlier: &Shape,
        deletes: &[u64],
        added: &Added,
    ) -> Result<Vec<u8>, SegmentError> {
        let mut delta = SegmentBuilder::empty(self.shape).changing(earlier.from, earlier.changed);
        let mut kept = vec![true; added.tags.len()];
        let mut adds_before = 0;
        let mut deletes_before = 0;
        for (rank, tag) in &self.gone {
            let rest = added.tags.get(adds_before..).unwrap_or_default();
            adds_before += rest.partition_point(|add| add < tag);
            if added.tags.get(adds_before) == Some(tag) {
                // Came after `m` and has left again. Counts as an add before those that follow.
                if let Some(kept) = kept.get_mut(adds_before) {
                    *kept = false;
                }
                continue;
            }
            let survivor = rank
                .checked_sub(adds_before as u64)
                .ok_or(SegmentError::NotCanonical)?;
            while deletes
                .get(deletes_before)
                .is_some_and(|deleted| *deleted <= survivor + deletes_before as u64)
            {
                deletes_before += 1;
            }
            delta
                .delete(survivor + deletes_before as u64)
                .map_err(contradiction)?;
        }
        for rank in deletes {
            delta.delete(*rank).map_err(contradiction)?;
        }
        let stride = usize::from(self.shape.label_stride);
        let kept = added.members(stride).zip(kept).filter(|(_, kept)| *kept);
        let kept = kept.map(|(member, _)| member);
        for (tag, label) in kept.chain(self.new.members(stride)) {
            delta.add(tag, label).map_err(contradiction)?;
        }
        delta.build().map_err(contradiction)
    }
}

impl<R: ReadAt> Segment<R> {
    /// Whether everybody whom this delta adds is in a base, with the same label: then nothing in its file is anybody else's.
    ///
    /// # Errors
    ///
    /// Bytes can't be had, or aren't the ones that were signed, or contradict each other.
    pub fn adds_only_members_of(self, base: &mut Self) -> Result<bool, R::Error> {
        let stride = usize::from(self.outline().shape().label_stride);
        let (_, added) = read(self)?;
        let found = base.find(&added.tags)?;
        let found = found.iter();
        let found = found.map(|found| (found.tag, found.sealed_label.as_slice()));
        Ok(found.eq(added.members(stride)))
    }
}

impl Added {
    fn members(&self, stride: usize) -> impl Iterator<Item = (Tag, &[u8])> {
        self.tags
            .iter()
            .copied()
            .zip(self.labels.chunks_exact(stride))
    }
}

/// All that a delta deletes and adds.
fn read<R: ReadAt>(delta: Segment<R>) -> Result<(Vec<u64>, Added), R::Error> {
    let mut layer = Layer::new(delta)?;
    let deletes = layer.deletes().collect();
    let mut added = Added::default();
    let mut label = Vec::new();
    while let Some(item) = layer::next(core::slice::from_mut(&mut layer))? {
        layer.label(item.rank, &mut label)?;
        added.tags.push(item.tag);
        added.labels.extend_from_slice(&label);
    }
    Ok((deletes, added))
}
