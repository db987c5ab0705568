//! What the next publication writes, decided from the last manifest alone.

use alloc::vec::Vec;
use core::fmt;

use super::{PublishPolicy, SLOW_CLOCKS, Terms};
use crate::{
    snapshot::{Kind, Manifest, ManifestDraft, SegmentEntry, cheapest_path},
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
    /// A daily delta.
    Daily,
    /// A daily delta, and a cumulative one that leads from the base over it.
    Cumulative,
    /// A daily delta, and a base of the set that it leads to.
    Base,
    /// A base that is built from all members, and leads on from nothing.
    Build,
}

/// Why there is a new base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewBase {
    /// Nothing was published yet.
    First,
    /// The tags or the labels are made otherwise now.
    OtherTerms,
    /// A file that the last manifest names is missing or damaged.
    Missing,
    /// The last base has been changed by so much.
    Changes,
    /// The last base is so old.
    Age,
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
pub fn made_at(manifest: &Manifest) -> Timestamp {
    Timestamp::from_secs(manifest.claims().not_before).saturating_add(SLOW_CLOCKS)
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
        let base = last.segments.first();
        let (base_set, base_count) = base.map_or((0, 0), |base| (base.to, base.count));
        let much = |changes: u64| {
            let share = u128::from(base_count) * u128::from(policy.base_percent);
            u128::from(changes) * 100 > share
        };
        if much(changes) {
            return build(NewBase::Changes);
        }
        let sequence = last.sequence.saturating_add(1);
        let before = changed_since_base(last);
        let (step, why) = if changes > 0 && much(before.saturating_add(changes)) {
            (Step::Base, Some(NewBase::Changes))
        } else if sequence - base_set >= u64::from(policy.base_every)
            && (changes > 0 || last.newest() > base_set)
        {
            (Step::Base, Some(NewBase::Age))
        } else if sequence - covered(last) >= u64::from(policy.cumulative_every)
            && (changes > 0 || last.newest() > covered(last))
        {
            (Step::Cumulative, None)
        } else if changes > 0 {
            (Step::Daily, None)
        } else {
            (Step::Renew, None)
        };
        Self { slot, step, why }
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
                let taken = policy.slot_of(made_at(last));
                let next = policy.begin_of(taken.saturating_add(1));
                (self.slot > taken).then_some(()).ok_or(SlotTaken { next })
            }
            _ => Ok(()),
        }
    }
}

/// The segments that manifest `sequence` lists: of the last one's and of those that are new what still leads somewhere.
///
/// Dailies go by their age and not only by their number: in a quiet service, too, what they tell of those who have left
/// comes to an end. By then the policy has had a cumulative delta or a base made that covers them.
#[must_use]
pub fn listed(
    policy: &PublishPolicy,
    sequence: u64,
    last: &[SegmentEntry],
    written: &[SegmentEntry],
) -> Vec<SegmentEntry> {
    // Newest first.
    let all = || written.iter().rev().chain(last.iter().rev());
    let of = |kind| all().filter(move |entry| entry.kind == kind);
    let recent =
        |daily: &&SegmentEntry| sequence.saturating_sub(daily.to) < u64::from(policy.dailies);
    let mut dailies: Vec<_> = of(Kind::Daily).filter(recent).collect();
    // A gap can't be got over: a base that was built anew begins where nothing led.
    let newest = all().map(|entry| entry.to).max().unwrap_or(0);
    let mut reached = newest;
    dailies.retain(|daily| {
        let leads = daily.to == reached;
        if leads {
            reached = daily.from;
        }
        leads
    });
    dailies.reverse();
    let leads_on = |entry: &&SegmentEntry| entry.to >= reached;
    let mut listed: Vec<SegmentEntry> = of(Kind::Base).take(1).cloned().collect();
    listed.extend(of(Kind::Cumulative).take(1).filter(leads_on).cloned());
    listed.extend(dailies.into_iter().cloned());
    listed
}

/// The newest set that the base and a cumulative delta lead to.
fn covered(last: &ManifestDraft) -> u64 {
    let base = last.segments.first().map_or(0, |base| base.to);
    let cumulative = last
        .segments
        .iter()
        .filter(|entry| entry.kind == Kind::Cumulative && entry.from == base);
    cumulative.map(|entry| entry.to).max().unwrap_or(base)
}

/// Tags that are added and deleted on the way from the base to the newest set.
fn changed_since_base(last: &ManifestDraft) -> u64 {
    let path = cheapest_path(&last.segments, last.newest(), |entry| entry.size);
    let deltas = path.unwrap_or_default().into_iter().skip(1);
    deltas.fold(0, |sum: u64, delta| {
        sum.saturating_add(delta.count)
            .saturating_add(delta.deletes)
    })
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            Step::Renew => "nothing has changed: a manifest that is valid for longer",
            Step::Daily => "a daily delta",
            Step::Cumulative => "a daily delta and a cumulative one",
            Step::Base => "a daily delta and a new base",
            Step::Build => "a base of all members",
        })?;
        let why = match self.why {
            None => return Ok(()),
            Some(NewBase::First) => "nothing was published yet",
            Some(NewBase::OtherTerms) => "tags or labels are made otherwise now",
            Some(NewBase::Missing) => "a file that was published is missing or damaged",
            Some(NewBase::Changes) => "much of the last one has changed",
            Some(NewBase::Age) => "the last one is old",
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
        snapshot::{SignedManifest, SnapshotKey},
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
        id[0] = to as u8;
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

    /// Sixty days of some change: what is written and listed, and that every set within two weeks leads to the newest.
    #[test]
    fn two_months_go_by() {
        let policy = PublishPolicy::default();
        let mut last = manifest(1, 1, Vec::from([segment(Kind::Base, 0, 1, 10_000, 0)]));
        let mut steps = Vec::new();
        for day in 2..=62 {
            let plan = Plan::new(&policy, &terms(), Some(&last), 60, at(day));
            assert_eq!(plan.check_slot(&policy, Some(&last)), Ok(()));
            steps.push(plan.step);
            let base = last.base().to;
            let mut written = Vec::from([segment(Kind::Daily, day - 1, day, 30, 30)]);
            match plan.step {
                Step::Cumulative => written.push(segment(Kind::Cumulative, base, day, 200, 200)),
                Step::Base => written.push(segment(Kind::Base, 0, day, 10_000, 0)),
                _ => {}
            }
            let segments = listed(&policy, day, &last.claims().segments, &written);
            // Signing checks that the newest set is reached from the base.
            last = manifest(day, day, segments);
            let dailies = last
                .claims()
                .segments
                .iter()
                .filter(|entry| entry.kind == Kind::Daily);
            let sets: Vec<u64> = dailies.map(|daily| daily.from).collect();
            let oldest = day.saturating_sub(14).max(1);
            assert_eq!(sets, (oldest..day).collect::<Vec<_>>());
            assert!(last.claims().segments.len() <= 16);
        }
        let of = |step| {
            let days = (2..).zip(&steps).filter(move |(_, was)| **was == step);
            days.map(|(day, _): (u64, _)| day).collect::<Vec<_>>()
        };
        assert_eq!(of(Step::Base), [31, 61]);
        assert_eq!(of(Step::Cumulative), [8, 15, 22, 29, 38, 45, 52, 59]);
        assert!(of(Step::Build).is_empty());
    }

    #[test]
    fn what_is_written_follows_from_the_last_manifest() {
        let policy = PublishPolicy::default();
        let step = |last: Option<&Manifest>, changes| {
            let plan = Plan::new(&policy, &terms(), last, changes, at(9));
            (plan.step, plan.why)
        };
        assert_eq!(step(None, 0), (Step::Build, Some(NewBase::First)));
        let base = segment(Kind::Base, 0, 5, 1_000, 0);
        let last = manifest(8, 5, Vec::from([base.clone()]));
        assert_eq!(step(Some(&last), 0), (Step::Renew, None));
        assert_eq!(step(Some(&last), 150), (Step::Daily, None));
        // Reading all members is cheaper than a delta of most of them.
        assert_eq!(
            step(Some(&last), 151),
            (Step::Build, Some(NewBase::Changes))
        );
        // 120 changes since the base, and 40 more.
        let daily = segment(Kind::Daily, 5, 6, 70, 50);
        let last = manifest(8, 6, Vec::from([base.clone(), daily]));
        assert_eq!(step(Some(&last), 30), (Step::Daily, None));
        assert_eq!(step(Some(&last), 40), (Step::Base, Some(NewBase::Changes)));
        assert_eq!(step(Some(&last), 0), (Step::Renew, None));
        // Thirty publications after the base, though nothing is new today; but not if nothing ever was.
        let daily = segment(Kind::Daily, 5, 6, 7, 5);
        let last = manifest(8, 34, Vec::from([base.clone(), daily]));
        assert_eq!(step(Some(&last), 0), (Step::Base, Some(NewBase::Age)));
        let last = manifest(8, 99, Vec::from([base]));
        assert_eq!(step(Some(&last), 0), (Step::Renew, None));
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
        assert_eq!(made_at(&last), at(8));
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
    fn what_leads_nowhere_is_not_listed() {
        let policy = PublishPolicy::default();
        let last = Vec::from([
            segment(Kind::Base, 0, 1, 9, 0),
            segment(Kind::Cumulative, 1, 3, 1, 0),
            segment(Kind::Daily, 3, 4, 1, 0),
        ]);
        let built = segment(Kind::Base, 0, 5, 9, 0);
        let built = [built];
        assert_eq!(listed(&policy, 5, &last, &built), built);
        // A base of the set that the last daily leads to.
        let merged = segment(Kind::Base, 0, 4, 9, 0);
        let kept = [merged.clone(), last[1].clone(), last[2].clone()];
        assert_eq!(listed(&policy, 5, &last, &[merged]), kept);
        assert_eq!(listed(&policy, 5, &last, &[]), last);
        // Nothing has changed for two weeks, and the cumulative delta leads to where the old daily led.
        let quiet = [
            last[0].clone(),
            segment(Kind::Cumulative, 1, 4, 1, 0),
            last[2].clone(),
        ];
        assert_eq!(listed(&policy, 17, &quiet, &[]), quiet);
        assert_eq!(listed(&policy, 18, &quiet, &[]), quiet[..2]);
    }
}
