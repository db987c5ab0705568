//! What is known of one identifier in one epoch, and when it could be found.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Audience, Consent, DECISION_RETENTION, EVIDENCE_RETENTION, MAX_INTERVALS, Region};
use crate::{label::Label, timestamp::Timestamp};

/// A period in which a member could be found, always by the same handle.
///
/// It ends when the member decides so. What was published before that is replaced at the next slot: who reads
/// intervals as evidence adds one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// When the member became findable.
    pub since: Timestamp,
    /// When that ended; `None` while it lasts.
    pub until: Option<Timestamp>,
    /// What the member agreed to; `None` where none was needed.
    pub consent: Option<Consent>,
    /// The handle that a match yielded. It stays here after the member is deleted, or somebody else has the identifier:
    /// nobody else could tell whom an incident concerned.
    pub label: Label,
}

/// A period to look into, with the time for which what was published outlasts a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When it begins.
    pub since: Timestamp,
    /// When it ends; the moment itself belongs to it.
    pub until: Timestamp,
    /// One slot of publishing.
    pub slot: Duration,
}

impl Window {
    /// Whether an interval, and a slot more, touches the window.
    #[must_use]
    pub fn touches(&self, interval: &Interval) -> bool {
        let outlasted = |until: Timestamp| until.saturating_add(self.slot);
        interval.since <= self.until
            && interval
                .until
                .is_none_or(|until| self.since <= outlasted(until))
    }
}

/// What the directory knows of one identifier in one epoch. The identifier's `N` is the key it is kept under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub(super) label: Option<Label>,
    pub(super) region: Option<Region>,
    pub(super) intervals: Vec<Interval>,
    pub(super) hidden_at: Option<Timestamp>,
}

impl Member {
    pub(super) const UNKNOWN: Self = Self {
        label: None,
        region: None,
        intervals: Vec::new(),
        hidden_at: None,
    };

    /// Puts a member together from what a store has kept; `None` if no change could have made it.
    #[must_use]
    pub fn from_parts(
        label: Option<Label>,
        region: Option<Region>,
        intervals: Vec<Interval>,
        hidden_at: Option<Timestamp>,
    ) -> Option<Self> {
        let closed = intervals.iter().rev().skip(1);
        let open = intervals.last().filter(|last| last.until.is_none());
        let valid = intervals.len() <= MAX_INTERVALS
            && closed.clone().all(|interval| interval.until.is_some())
            && open.is_none_or(|open| label.as_ref() == Some(&open.label));
        valid.then_some(Self {
            label,
            region,
            intervals,
            hidden_at,
        })
    }

    /// The handle; `None` once the member is deleted.
    #[must_use]
    pub fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// Where the member lives, if a registrar has said so.
    #[must_use]
    pub fn region(&self) -> Option<Region> {
        self.region
    }

    /// Who can find the member.
    #[must_use]
    pub fn audience(&self) -> Audience {
        match self.open() {
            Some(_) => Audience::Everyone,
            None => Audience::Nobody,
        }
    }

    /// The interval that lasts, if there is one.
    #[must_use]
    pub fn open(&self) -> Option<&Interval> {
        self.intervals.last().filter(|last| last.until.is_none())
    }

    /// What is published of the member, and since when that may be; `None` if nobody can find it.
    ///
    /// Another consent or handle is another interval and doesn't make anybody new.
    #[must_use]
    pub fn shown(&self) -> Option<(&Label, Timestamp)> {
        let open = self.open()?;
        let mut since = open.since;
        for before in self.intervals.iter().rev().skip(1) {
            if before.until != Some(since) {
                break;
            }
            since = before.since;
        }
        Some((&open.label, since))
    }

    /// Whether the same is published of both.
    #[must_use]
    pub fn shown_alike(before: Option<&Self>, after: Option<&Self>) -> bool {
        let label = |member: Option<&Self>| Some(member?.shown()?.0.clone());
        label(before) == label(after)
    }

    /// The handles under which the member could be found in a window, oldest first, each once.
    #[must_use]
    pub fn labels_within(&self, window: &Window) -> Vec<Label> {
        let mut labels: Vec<Label> = Vec::new();
        for interval in &self.intervals {
            if window.touches(interval) && !labels.contains(&interval.label) {
                labels.push(interval.label.clone());
            }
        }
        labels
    }

    /// When the member could be found, oldest first. Only the last one can be open.
    #[must_use]
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// When the member last decided not to be found.
    #[must_use]
    pub fn hidden_at(&self) -> Option<Timestamp> {
        self.hidden_at
    }

    /// When there will next be something to forget: see [`Self::forget`].
    #[must_use]
    pub fn forget_at(&self) -> Option<Timestamp> {
        let evidence = self
            .intervals
            .first()
            .and_then(|interval| interval.until)
            .map(|until| until.saturating_add(EVIDENCE_RETENTION));
        let decision = self
            .hidden_at
            .filter(|_| self.label.is_none())
            .map(|hidden| hidden.saturating_add(DECISION_RETENTION));
        evidence.or(decision)
    }

    /// Forgets what has been kept long enough; `None` if nothing is left.
    #[must_use]
    pub fn forget(mut self, at: Timestamp) -> Option<Self> {
        let kept = |until: Timestamp| at < until.saturating_add(EVIDENCE_RETENTION);
        self.intervals
            .retain(|interval| interval.until.is_none_or(kept));
        let decided = self
            .hidden_at
            .is_some_and(|hidden| at < hidden.saturating_add(DECISION_RETENTION));
        (self.label.is_some() || !self.intervals.is_empty() || decided).then_some(self)
    }

    /// Everything but when the last decision not to be found was made.
    pub(super) fn visible(member: Option<&Self>) -> (Option<&Label>, Option<Region>, &[Interval]) {
        member.map_or((None, None, &[]), |member| {
            (
                member.label.as_ref(),
                member.region,
                member.intervals.as_slice(),
            )
        })
    }

    /// Has the member found by its label from now on, or still, under this consent.
    pub(super) fn show(&mut self, consent: Option<Consent>, at: Timestamp) {
        let Some(label) = self.label.clone() else {
            return;
        };
        if let Some(last) = self.intervals.last_mut()
            && last.until.is_none()
        {
            if last.consent == consent && last.label == label {
                return;
            }
            last.until = Some(at.max(last.since));
        }
        let since = self.intervals.last().and_then(|last| last.until);
        self.intervals.push(Interval {
            since: since.map_or(at, |until| until.max(at)),
            until: None,
            consent,
            label,
        });
        if self.intervals.len() > MAX_INTERVALS {
            self.merge();
        }
    }

    /// Makes one interval of the oldest two that tell of the same handle; of the oldest two if no neighbours do.
    fn merge(&mut self) {
        let alike = |pair: &[Interval]| matches!(pair, [one, next] if one.label == next.label);
        let first = self.intervals.windows(2).position(alike).unwrap_or(0);
        let oldest = self.intervals.remove(first);
        if let Some(next) = self.intervals.get_mut(first) {
            next.since = oldest.since;
        }
    }

    /// Closes the open interval. The decision is never dated before the consent that it revokes.
    pub(super) fn hide(&mut self, at: Timestamp) {
        let mut decided = at.max(self.hidden_at.unwrap_or(at));
        if let Some(last) = self.intervals.last_mut()
            && last.until.is_none()
        {
            decided = decided.max(last.since);
            if let Some(consent) = &last.consent {
                decided = decided.max(consent.at());
            }
            last.until = Some(decided);
        }
        self.hidden_at = Some(decided);
    }
}
