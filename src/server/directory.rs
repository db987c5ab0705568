//! Members: who can be found, since when, and with whose consent.
//!
//! Layer 4: stands on unblinded elements and labels and must not know where members are stored. Absence is the
//! setting: whether a member can be found is whether it has an open interval, and a store keeps those apart
//! from all others.
//!
//! A decision not to be found outranks every consent given before it. So a request that is repeated, delayed or
//! replayed from a file brings nobody back.

mod batch;

use alloc::vec::Vec;
use core::{fmt, time::Duration};

pub use batch::{BatchOutcome, MemberBatch, MemberRows, change};

pub use crate::wire::{Audience, ChangeError, Consent, ConsentError, Enrolment, Setting};
use crate::{label::Label, timestamp::Timestamp};

/// How long it is kept when a member could be found: two years (DESIGN, section 7).
pub const EVIDENCE_RETENTION: Duration = Duration::from_secs(2 * 366 * 86_400);

/// How long a decision not to be found is kept for somebody who is deleted and never could be found: 30 days.
pub const DECISION_RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// How far ahead of the service's clock a consent may be dated: 5 minutes.
pub const CONSENT_AHEAD: Duration = Duration::from_secs(300);

/// Most intervals kept for one member; the two oldest become one that covers both.
pub const MAX_INTERVALS: usize = 64;

/// A period in which a member could be found.
///
/// It ends when the member decides so. What was published before that is replaced at the next slot: who reads
/// intervals as evidence adds one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// When the member became findable.
    pub since: Timestamp,
    /// When that ended; `None` while it lasts.
    pub until: Option<Timestamp>,
    /// What the member agreed to.
    pub consent: Consent,
}

/// What the directory knows of one identifier in one epoch. The identifier's `N` is the key it is kept under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    label: Option<Label>,
    intervals: Vec<Interval>,
    hidden_at: Option<Timestamp>,
}

/// A change to one member.
#[derive(Debug)]
#[non_exhaustive]
pub enum Change {
    /// Enrols, changes the label or the setting.
    Enrol {
        /// The handle that a match yields.
        label: Label,
        /// Who shall find the member.
        setting: Setting,
    },
    /// Deletes the member.
    Remove,
}

impl Member {
    const UNKNOWN: Self = Self {
        label: None,
        intervals: Vec::new(),
        hidden_at: None,
    };

    /// Puts a member together from what a store has kept; `None` if no change could have made it.
    #[must_use]
    pub fn from_parts(
        label: Option<Label>,
        intervals: Vec<Interval>,
        hidden_at: Option<Timestamp>,
    ) -> Option<Self> {
        let closed = intervals.iter().rev().skip(1);
        let valid = intervals.len() <= MAX_INTERVALS
            && closed.clone().all(|interval| interval.until.is_some());
        let member = Self {
            label,
            intervals,
            hidden_at,
        };
        (valid && (member.label.is_some() || member.audience() == Audience::Nobody))
            .then_some(member)
    }

    /// The handle; `None` once the member is deleted.
    #[must_use]
    pub fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// Who can find the member.
    #[must_use]
    pub fn audience(&self) -> Audience {
        match self.intervals.last() {
            Some(Interval { until: None, .. }) => Audience::Everyone,
            _ => Audience::Nobody,
        }
    }

    /// What is published of the member, and since when that may be; `None` if nobody can find it.
    #[must_use]
    pub fn shown(&self) -> Option<(&Label, Timestamp)> {
        let last = self.intervals.last()?;
        let label = self.label.as_ref().filter(|_| last.until.is_none())?;
        Some((label, last.since))
    }

    /// Whether the same is published of both.
    #[must_use]
    pub fn shown_alike(before: Option<&Self>, after: Option<&Self>) -> bool {
        let label = |member: Option<&Self>| Some(member?.shown()?.0.clone());
        label(before) == label(after)
    }

    fn open_consent(&self) -> Option<&Consent> {
        let last = self.intervals.last()?;
        last.until.is_none().then_some(&last.consent)
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
    fn visible(member: Option<&Self>) -> (Option<&Label>, &[Interval]) {
        member.map_or((None, &[]), |member| {
            (member.label.as_ref(), member.intervals.as_slice())
        })
    }

    fn open(&mut self, consent: Consent, at: Timestamp) {
        if let Some(last) = self.intervals.last_mut()
            && last.until.is_none()
        {
            if last.consent == consent {
                return;
            }
            last.until = Some(at.max(last.since));
        }
        let since = self.intervals.last().and_then(|last| last.until);
        self.intervals.push(Interval {
            since: since.map_or(at, |until| until.max(at)),
            until: None,
            consent,
        });
        if self.intervals.len() > MAX_INTERVALS {
            let oldest = self.intervals.remove(0);
            if let Some(next) = self.intervals.first_mut() {
                next.since = oldest.since;
            }
        }
    }

    /// Closes the open interval. The decision is never dated before the consent that it revokes.
    fn hide(&mut self, at: Timestamp) {
        let mut decided = at.max(self.hidden_at.unwrap_or(at));
        if let Some(last) = self.intervals.last_mut()
            && last.until.is_none()
        {
            decided = decided.max(last.since).max(last.consent.at());
            last.until = Some(decided);
        }
        self.hidden_at = Some(decided);
    }
}

/// Makes a change to what is known of an identifier.
///
/// Making the same change again changes nothing, but that a decision not to be found is as late as it was last made.
/// Nor does a consent older than the one under which a member can be found.
///
/// # Errors
///
/// The consent is older than a decision not to be found, or dated in the future. The member is handed back as it
/// was.
pub fn apply(
    existing: Option<Member>,
    change: Change,
    at: Timestamp,
) -> Result<Member, (Option<Member>, ChangeError)> {
    match change {
        Change::Enrol { label, setting } => {
            if let Setting::Everyone(consent) = &setting {
                let hidden_at = existing.as_ref().and_then(Member::hidden_at);
                if hidden_at.is_some_and(|hidden| consent.at() <= hidden) {
                    return Err((existing, ChangeError::StaleConsent));
                }
                if consent.at() > at.saturating_add(CONSENT_AHEAD) {
                    return Err((existing, ChangeError::ConsentInFuture));
                }
            }
            let mut member = existing.unwrap_or(Member::UNKNOWN);
            if let Setting::Everyone(consent) = &setting
                && member
                    .open_consent()
                    .is_some_and(|open| consent.at() < open.at())
            {
                // Sent before what we have, and late: neither its consent nor its label is the last word.
                return Ok(member);
            }
            member.label = Some(label);
            match setting {
                Setting::Everyone(consent) => member.open(consent, at),
                Setting::Nobody => member.hide(at),
            }
            Ok(member)
        }
        // Also of somebody unknown, or deleted before: an enrolment that was sent earlier may be still on its way.
        Change::Remove => {
            let mut member = existing.unwrap_or(Member::UNKNOWN);
            member.label = None;
            member.hide(at);
            Ok(member)
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody",
            Self::Everyone => "everyone",
        })
    }
}
