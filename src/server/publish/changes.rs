//! From members whose publication is out of date, and what is published, to the delta between the two.
//!
//! Why a member isn't to be found plays no part: who left, who opted out and who was deleted are the same here.

use alloc::vec::Vec;

use super::{Decoys, SetError, Terms};
use crate::{
    label::{Label, LabelError, LabelLength},
    oprf::{ContactKey, Epoch, Tag, UnblindedElement},
    snapshot::{Found, SegmentBuilder, SegmentSummary},
};

/// Derives and seals what is published of members.
#[derive(Debug, Clone)]
pub struct Sealer {
    pub(super) service: [u8; 32],
    pub(super) epoch: Epoch,
    pub(super) label_length: LabelLength,
}

/// What is to be published of a member.
#[derive(Debug)]
pub struct Wanted {
    key: ContactKey,
    /// The label; `None` for a member whom nobody finds.
    sealed: Option<Vec<u8>>,
    /// The number of the change that led to it.
    number: u64,
    /// Whether a member who is new may be published now.
    due: bool,
}

/// What is to be published of everybody whose publication is out of date.
#[derive(Debug)]
pub struct ChangeSet {
    sealer: Sealer,
    wanted: Vec<Wanted>,
}

/// A delta from what was published to what is to be.
#[derive(Debug)]
#[non_exhaustive]
pub struct DailyDelta {
    /// The segment and what is in it; `None` if nothing changes.
    pub segment: Option<(Vec<u8>, SegmentSummary)>,
    /// Members left out because another one's tag is the same.
    pub collisions: u64,
    /// The number of the first change that has to wait for a later publication.
    pub waiting: Option<u64>,
}

impl Sealer {
    /// Seals for these terms.
    #[must_use]
    pub fn new(terms: &Terms) -> Self {
        Self {
            service: terms.service.hash(),
            epoch: terms.epoch,
            label_length: terms.label_length,
        }
    }

    /// The tag of a member and its sealed label.
    ///
    /// # Errors
    ///
    /// The label is longer than labels of this service are.
    pub fn seal(
        &self,
        unblinded: &UnblindedElement,
        label: &Label,
    ) -> Result<(Tag, Vec<u8>), LabelError> {
        let key = ContactKey::derive(&self.service, self.epoch, unblinded);
        Ok((key.tag(), self.seal_under(&key, label)?))
    }

    /// What is to be published of a member by change `number`; if the member is new, only if it's `due`.
    ///
    /// # Errors
    ///
    /// The label is longer than labels of this service are.
    pub fn want(
        &self,
        unblinded: &UnblindedElement,
        label: Option<&Label>,
        number: u64,
        due: bool,
    ) -> Result<Wanted, LabelError> {
        let key = ContactKey::derive(&self.service, self.epoch, unblinded);
        let sealed = label.map(|label| self.seal_under(&key, label));
        Ok(Wanted {
            sealed: sealed.transpose()?,
            key,
            number,
            due,
        })
    }

    fn seal_under(&self, key: &ContactKey, label: &Label) -> Result<Vec<u8>, LabelError> {
        let mut sealed = Vec::with_capacity(self.label_length.sealed());
        label.seal_into(key, self.epoch, self.label_length, &mut sealed)?;
        Ok(sealed)
    }
}

impl ChangeSet {
    /// Nothing changes yet.
    #[must_use]
    pub const fn new(sealer: Sealer) -> Self {
        Self {
            sealer,
            wanted: Vec::new(),
        }
    }

    /// Adds members.
    pub fn extend(&mut self, wanted: impl IntoIterator<Item = Wanted>) {
        self.wanted.extend(wanted);
    }

    /// What has to be looked up in the published set.
    #[must_use]
    pub fn tags(&self, decoys: &Decoys) -> Vec<Tag> {
        let wanted = self.wanted.iter().map(|wanted| wanted.key.tag());
        let decoys = decoys.oldest().map(|number| decoys.make(number).0);
        wanted.chain(decoys).collect()
    }

    /// The delta of set `from` with so many `members`, in which `found` of [`Self::tags`] are.
    ///
    /// Of two members with the same tag the one who is published stays, and the other is counted and left out. A member
    /// is the one who is published if the label that is published opens under its key. One who was left out is looked
    /// at again when something changes about it, or when the base is built anew.
    ///
    /// # Errors
    ///
    /// More members than a segment can hold; or a defect of ours, found by reading back.
    pub fn delta(
        mut self,
        found: &[Found],
        from: u64,
        members: u64,
        decoys: &mut Decoys,
    ) -> Result<DailyDelta, SetError> {
        let Sealer {
            service,
            epoch,
            label_length,
        } = self.sealer;
        let mut delta = SegmentBuilder::new(service, epoch, label_length).changing(from, members);
        let (mut added, mut deleted, mut collisions, mut waiting) = (0, 0, 0, None::<u64>);
        // Two that are new with the same tag: as if all were built anew.
        self.wanted.sort_unstable_by(|a, b| {
            let order = |wanted: &Wanted| (wanted.key.tag(), wanted.sealed.is_none());
            order(a)
                .cmp(&order(b))
                .then_with(|| a.sealed.cmp(&b.sealed))
        });
        let published = |tag: Tag| {
            let at = found.binary_search_by_key(&tag, |found| found.tag).ok()?;
            found.get(at)
        };
        for group in self.wanted.chunk_by(|a, b| a.key.tag() == b.key.tag()) {
            let Some(tag) = group.first().map(|wanted| wanted.key.tag()) else {
                continue;
            };
            let there = published(tag);
            let owner = there.and_then(|there| {
                let opens =
                    |wanted: &&Wanted| Label::open(&there.sealed_label, &wanted.key, epoch).is_ok();
                group.iter().find(opens)
            });
            let mut free = there.is_none();
            if let (Some(there), Some(owner)) = (there, owner)
                && owner.sealed.as_ref() != Some(&there.sealed_label)
            {
                delta.delete(there.rank)?;
                deleted += 1;
                free = true;
            }
            let is_owner =
                |wanted: &Wanted| owner.is_some_and(|owner| core::ptr::eq(owner, wanted));
            // The owner keeps its place.
            let others = group.iter().filter(|wanted| !is_owner(wanted));
            for wanted in owner.into_iter().chain(others) {
                let Some(sealed) = &wanted.sealed else {
                    continue;
                };
                if !wanted.due && !is_owner(wanted) {
                    waiting = Some(waiting.map_or(wanted.number, |first| first.min(wanted.number)));
                } else if free {
                    delta.add(tag, sealed)?;
                    added += 1;
                    free = false;
                } else if !is_owner(wanted) {
                    collisions += 1;
                }
            }
        }
        if added + deleted > 0 || decoys.are_leftover() {
            let (fresh, gone) = decoys.fill(added, deleted);
            for number in gone {
                let (tag, sealed) = decoys.make(number);
                // It is, but for a set that somebody else has published.
                if let Some(there) = published(tag).filter(|there| there.sealed_label == sealed) {
                    delta.delete(there.rank)?;
                    deleted += 1;
                }
            }
            for number in fresh {
                let (tag, sealed) = decoys.make(number);
                delta.add(tag, &sealed)?;
                added += 1;
            }
        }
        let segment = if added + deleted > 0 {
            let bytes = delta.build()?;
            let summary = SegmentSummary::read(&bytes, bytes.len() as u64)?;
            Some((bytes, summary))
        } else {
            None
        };
        Ok(DailyDelta {
            segment,
            collisions,
            waiting,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{secret::SecretBytes, server::EvaluationKey, server::publish::PublishPolicy};

    fn who(number: u8) -> UnblindedElement {
        let mut scalar = [0; 32];
        scalar[0] = number;
        let key = EvaluationKey::from_bytes(&mut scalar).unwrap();
        UnblindedElement::decode(&key.public_key().encode()).unwrap()
    }

    fn sealer() -> Sealer {
        Sealer {
            service: [1; 32],
            epoch: Epoch::new(7),
            label_length: LabelLength::default(),
        }
    }

    fn label(text: &str) -> Label {
        Label::new(text.as_bytes()).unwrap()
    }

    fn found(number: u8, rank: u64, sealed_label: Vec<u8>) -> Found {
        let tag = ContactKey::derive(&[1; 32], Epoch::new(7), &who(number)).tag();
        Found {
            tag,
            rank,
            sealed_label,
        }
    }

    fn delta(wanted: impl IntoIterator<Item = Wanted>, published: &[Found]) -> DailyDelta {
        let policy = PublishPolicy::default();
        let mut decoys = Decoys::new(SecretBytes::new(&mut [2; 32]), sealer(), &policy, (0, 0));
        let mut set = ChangeSet::new(sealer());
        set.extend(wanted);
        set.delta(published, 3, 5, &mut decoys).unwrap()
    }

    fn size(delta: &DailyDelta) -> (u64, u64) {
        let segment = delta.segment.as_ref();
        segment.map_or((0, 0), |(_, summary)| (summary.count, summary.deletes))
    }

    #[test]
    fn what_is_published_already_is_no_change() {
        let sealed = |text| sealer().seal(&who(1), &label(text)).unwrap().1;
        let want = |label: Option<&Label>| sealer().want(&who(1), label, 1, true).unwrap();
        let there = [found(1, 3, sealed("handle"))];
        let (same, other) = (label("handle"), label("other"));
        assert_eq!(size(&delta([want(Some(&same))], &there)), (0, 0));
        assert_eq!(size(&delta([want(Some(&other))], &there)), (1, 1));
        assert_eq!(size(&delta([want(None)], &there)), (0, 1));
        assert_eq!(size(&delta([want(Some(&same))], &[])), (1, 0));
        assert_eq!(size(&delta([want(None)], &[])), (0, 0));
    }

    #[test]
    fn whose_tag_is_taken_is_left_out_and_takes_nobody_along_when_leaving() {
        let another = [found(1, 3, [9; 32].to_vec())];
        let handle = label("handle");
        let joins = sealer().want(&who(1), Some(&handle), 1, true).unwrap();
        let joined = delta([joins], &another);
        assert_eq!((size(&joined), joined.collisions), ((0, 0), 1));
        let leaves = sealer().want(&who(1), None, 2, true).unwrap();
        let left = delta([leaves], &another);
        assert_eq!((size(&left), left.collisions), ((0, 0), 0));
    }

    #[test]
    fn who_is_new_can_wait_and_nobody_else() {
        let handle = label("handle");
        let want = |number, shown, change| {
            let shown: Option<&Label> = shown;
            sealer().want(&who(number), shown, change, false).unwrap()
        };
        let sealed = sealer().seal(&who(2), &label("old")).unwrap().1;
        let there = [found(2, 0, sealed)];
        let changes = [
            want(1, Some(&handle), 9),
            want(2, Some(&handle), 4),
            want(3, Some(&handle), 7),
        ];
        let waits = delta(changes, &there);
        assert_eq!((size(&waits), waits.waiting), ((1, 1), Some(7)));
        assert_eq!(size(&delta([want(2, None, 1)], &there)), (0, 1));
    }
}
