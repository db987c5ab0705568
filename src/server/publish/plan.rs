//! What the next publication writes, decided from the last manifest alone.

use alloc::vec::Vec;
use core::fmt;

use super::{PublishPolicy, SLOW_CLOCKS, Terms};
use crate::{
    snapshot::{Kind, Manifest, ManifestDraft, SegmentEntry},
    timestamp::Timestamp,
};

/// What the next publication writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The slot that it belongs to.
    pub slot: u64,
    /// What is written.
    pub step: Step,
    /// Why there is a new base, if there is one.
    pub why: Option<NewBase>,
}

/// What is written, from the least to the most work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Step {
    /// A manifest that is valid for longer: there is nothing new.
    Renew,
    /// A base that is merged from the last one and what has changed, and a delta from each earlier set to it.
    Merge,
    /// A base that is built from all members, and leads on from nothing.
    Build,
}

/// Why a base is built from all members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewBase {
    /// Nothing was published yet.
    First,
    /// The tags or the labels are made otherwise now.
    OtherTerms,
    /// A file that the last manifest names is missing or damaged.
    Missing,
    /// So much has changed that a delta would be about as large as a base.
    Changes,
}

/// A publication that has to wait: the slot has had its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this slot has had its publication")]
pub struct SlotTaken {
    /// When the next slot begins.
    pub next: Timestamp,
}

/// When a manifest was made, by what [`Terms::draft`] wrote into it.
#[must_use]
pub fn made_at(claims: &ManifestDraft) -> Timestamp {
    Timestamp::from_secs(claims.not_before).saturating_add(SLOW_CLOCKS)
}

impl Plan {
    /// Decides what comes after `last`, of which all files are there, when at most so many `changes` are to be published.
    #[must_use]
    pub fn new(
        policy: &PublishPolicy,
        terms: &Terms,
        last: Option<&Manifest>,
        changes: u64,
        at: Timestamp,
    ) -> Self {
        let slot = policy.slot_of(at);
        let build = |why| Self {
            slot,
            step: Step::Build,
            why: Some(why),
        };
        let Some(last) = last.map(Manifest::claims) else {
            return build(NewBase::First);
        };
        if (last.epoch, last.label_length) != (terms.epoch, terms.label_length) {
            return build(NewBase::OtherTerms);
        }
        if changes.saturating_mul(2) > last.members() {
            return build(NewBase::Changes);
        }
        let step = match changes {
            0 => Step::Renew,
            _ => Step::Merge,
        };
        Self {
            slot,
            step,
            why: None,
        }
    }

    /// The plan for when files of the last manifest are missing.
    #[must_use]
    pub const fn rebuild(self) -> Self {
        Self {
            step: Step::Build,
            why: Some(NewBase::Missing),
            ..self
        }
    }

    /// Checks that the slot is free. An empty set takes none: the first members of a service needn't wait. Nor does what
    /// would otherwise stand still: a new epoch, or files that are missing.
    ///
    /// # Errors
    ///
    /// When to come back.
    pub fn check_slot(
        &self,
        policy: &PublishPolicy,
        last: Option<&Manifest>,
    ) -> Result<(), SlotTaken> {
        let urgent = matches!(self.why, Some(NewBase::OtherTerms | NewBase::Missing));
        match last {
            Some(last) if last.claims().members() > 0 && !urgent => {
                let taken = policy.slot_of(made_at(last.claims()));
                let next = policy.begin_of(taken.saturating_add(1));
                (self.slot > taken).then_some(()).ok_or(SlotTaken { next })
            }
            _ => Ok(()),
        }
    }
}

/// The deltas that manifest `sequence`, whose set is `newest`, still lists or leads on: those of clients who weren't away
/// for longer than the policy says.
///
/// They go by their age and not only by their number: in a quiet service, too, what a delta tells of those who have left
/// comes to an end.
pub fn recent<'a>(
    policy: &PublishPolicy,
    sequence: u64,
    newest: u64,
    segments: impl IntoIterator<Item = &'a SegmentEntry>,
) -> Vec<&'a SegmentEntry> {
    let deltas = segments.into_iter();
    let mut deltas: Vec<_> = deltas.filter(|entry| entry.kind == Kind::Delta).collect();
    deltas.sort_unstable_by_key(|delta| delta.from);
    // The set of each was the newest one until the next was published.
    let until = deltas.iter().skip(1).map(|delta| delta.from);
    let until: Vec<u64> = until.chain([newest]).collect();
    let with_until = deltas.into_iter().zip(until);
    let recent =
        with_until.filter(|(_, until)| sequence.saturating_sub(*until) < u64::from(policy.dailies));
    recent.map(|(delta, _)| delta).collect()
}

/// The segments that manifest `sequence` lists: those that are new, or else the last one's.
///
/// All of them lead to one set: nothing that is listed has the tag of anybody who isn't in it. A delta that isn't smaller than the
/// base isn't listed.
#[must_use]
pub fn listed(
    policy: &PublishPolicy,
    sequence: u64,
    last: &[SegmentEntry],
    written: &[SegmentEntry],
) -> Vec<SegmentEntry> {
    let all = match written {
        [] => last,
        written => written,
    };
    let Some(base) = all.iter().find(|entry| entry.kind == Kind::Base) else {
        return Vec::new();
    };
    let smaller = |entry: &&&SegmentEntry| entry.to == base.to && entry.size < base.size;
    let deltas = recent(policy, sequence, base.to, all);
    let deltas = deltas.iter().filter(smaller).copied();
    [base].into_iter().chain(deltas).cloned().collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            Step::Renew => "nothing has changed: a manifest that is valid for longer",
            Step::Merge => "a base with what has changed, and a delta from each earlier set",
            Step::Build => "a base of all members",
        })?;
        let why = match self.why {
            None => return Ok(()),
            Some(NewBase::First) => "nothing was published yet",
            Some(NewBase::OtherTerms) => "tags or labels are made otherwise now",
            Some(NewBase::Missing) => "a file that was published is missing or damaged",
            Some(NewBase::Changes) => "much of the last one has changed",
        };
        write!(f, ": {why}")
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::{
        label::LabelLength,
        oprf::{Epoch, ServiceId},
        server::{EvaluationKey, Evaluator},
        snapshot::{ManifestDraft, SignedManifest, SnapshotKey},
    };

    const DAY: u64 = 86_400;

    fn terms() -> Terms {
        let key = EvaluationKey::from_bytes(&mut {
            let mut one = [0; 32];
            one[0] = 1;
            one
        });
        let evaluator = Evaluator::new(Epoch::new(3), key.unwrap());
        Terms {
            service: ServiceId::new("chat.example").unwrap(),
            normalisation: 1,
            label_length: LabelLength::default(),
            epoch: Epoch::new(3),
            public_key: evaluator.public_key().clone(),
            valid_for: Duration::from_secs(3 * DAY),
        }
    }

    fn segment(kind: Kind, from: u64, to: u64, count: u64, deletes: u64) -> SegmentEntry {
        let mut id = [kind as u8; 32];
        (id[0], id[1]) = (to as u8, from as u8);
        SegmentEntry {
            kind,
            id,
            size: count * 32 + 300,
            count,
            deletes,
            from,
            to,
        }
    }

    fn signed(mut draft: ManifestDraft, sequence: u64, segments: Vec<SegmentEntry>) -> Manifest {
        let key = SnapshotKey::from_seed(&mut [7; 32]);
        draft.sequence = sequence;
        draft.previous = [u8::from(sequence > 1); 32];
        draft.segments = segments;
        let signed = SignedManifest::decode(&key.sign(&draft).unwrap()).unwrap();
        signed.verify(&key.public_key()).unwrap()
    }

    fn at(day: u64) -> Timestamp {
        Timestamp::from_secs((20_000 + day) * DAY + 7_000)
    }

    fn manifest(day: u64, sequence: u64, segments: Vec<SegmentEntry>) -> Manifest {
        signed(terms().draft(None, at(day)).unwrap(), sequence, segments)
    }

    /// Two months of some change: every set of two weeks leads straight to the newest, and nothing else is listed.
    #[test]
    fn two_months_go_by() {
        let policy = PublishPolicy::default();
        let mut last = manifest(1, 1, Vec::from([segment(Kind::Base, 0, 1, 10_000, 0)]));
        for day in 2..=62 {
            let plan = Plan::new(&policy, &terms(), Some(&last), 60, at(day));
            assert_eq!(plan.check_slot(&policy, Some(&last)), Ok(()));
            assert_eq!((plan.step, plan.why), (Step::Merge, None));
            let daily = segment(Kind::Delta, day - 1, day, 30, 30);
            let before = last.claims().segments.iter().chain([&daily]);
            let composed = recent(&policy, day, day, before);
            let mut written = Vec::from([segment(Kind::Base, 0, day, 10_000, 0)]);
            written.extend(
                composed
                    .iter()
                    .map(|earlier| segment(Kind::Delta, earlier.from, day, 200, 200)),
            );
            let segments = listed(&policy, day, &last.claims().segments, &written);
            // Signing checks that the newest set is reached from the base.
            last = manifest(day, day, segments);
            let claims = last.claims();
            assert!(claims.segments.iter().all(|entry| entry.to == day));
            let sets = claims.segments.iter().skip(1).map(|delta| delta.from);
            let oldest = day.saturating_sub(14).max(1);
            assert!(sets.eq(oldest..day));
        }
    }

    #[test]
    fn what_is_written_follows_from_the_last_manifest() {
        let policy = PublishPolicy::default();
        let step = |last: Option<&Manifest>, changes| {
            let plan = Plan::new(&policy, &terms(), last, changes, at(9));
            (plan.step, plan.why)
        };
        assert_eq!(step(None, 0), (Step::Build, Some(NewBase::First)));
        let last = manifest(8, 5, Vec::from([segment(Kind::Base, 0, 5, 1_000, 0)]));
        assert_eq!(step(Some(&last), 0), (Step::Renew, None));
        assert_eq!(step(Some(&last), 500), (Step::Merge, None));
        // Reading all members is cheaper than a delta of most of them.
        let much = (Step::Build, Some(NewBase::Changes));
        assert_eq!(step(Some(&last), 501), much);
        let empty = manifest(8, 5, Vec::from([segment(Kind::Base, 0, 5, 0, 0)]));
        assert_eq!(step(Some(&empty), 0), (Step::Renew, None));
        assert_eq!(step(Some(&empty), 1), much);
        // Everything is new in a new epoch.
        let draft = terms().draft(None, at(8)).unwrap();
        let earlier = ManifestDraft {
            epoch: Epoch::new(2),
            ..draft
        };
        let last = signed(earlier, 5, last.claims().segments.clone());
        assert_eq!(
            step(Some(&last), 0),
            (Step::Build, Some(NewBase::OtherTerms))
        );
    }

    #[test]
    fn a_slot_has_one_publication_but_an_empty_set_takes_none() {
        let policy = PublishPolicy::default();
        let check = |last: &Manifest, at| {
            Plan::new(&policy, &terms(), Some(last), 1, at).check_slot(&policy, Some(last))
        };
        let last = manifest(8, 5, Vec::from([segment(Kind::Base, 0, 5, 1, 0)]));
        assert_eq!(made_at(last.claims()), at(8));
        let next = Timestamp::from_secs(20_009 * DAY);
        let taken = Err(SlotTaken { next });
        let before = next.saturating_sub(Duration::from_micros(1));
        assert_eq!(check(&last, at(8)), taken);
        assert_eq!(check(&last, before), taken);
        assert_eq!(check(&last, next), Ok(()));
        // A clock that goes back frees nothing.
        assert_eq!(check(&last, at(2)), taken);
        let empty = manifest(8, 5, Vec::from([segment(Kind::Base, 0, 5, 0, 0)]));
        assert_eq!(check(&empty, at(8)), Ok(()));
        // What can't wait doesn't.
        let repair = Plan::new(&policy, &terms(), Some(&last), 0, at(8)).rebuild();
        assert_eq!(repair.check_slot(&policy, Some(&last)), Ok(()));
    }

    #[test]
    fn what_leads_elsewhere_or_is_larger_than_the_base_is_not_listed() {
        let policy = PublishPolicy::default();
        let last = Vec::from([
            segment(Kind::Base, 0, 4, 9, 0),
            segment(Kind::Delta, 1, 4, 2, 0),
            segment(Kind::Delta, 3, 4, 1, 0),
        ]);
        let built = [segment(Kind::Base, 0, 5, 9, 0)];
        assert_eq!(listed(&policy, 5, &last, &built), built);
        let merged = [
            segment(Kind::Base, 0, 5, 9, 0),
            segment(Kind::Delta, 3, 5, 9, 0),
            segment(Kind::Delta, 4, 5, 8, 0),
        ];
        let kept = [merged[0].clone(), merged[2].clone()];
        assert_eq!(listed(&policy, 5, &last, &merged), kept);
        // Nothing changes for two weeks: what the oldest delta tells comes to an end.
        assert_eq!(listed(&policy, 16, &last, &[]), last);
        let rest = [last[0].clone(), last[2].clone()];
        assert_eq!(listed(&policy, 17, &last, &[]), rest);
        assert_eq!(listed(&policy, 18, &last, &[]), rest[..1]);
        assert_eq!(listed(&policy, 99, &last, &[]), rest[..1]);
    }
}
