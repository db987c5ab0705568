//! When something is published, and as what.

use core::{fmt, time::Duration};

use crate::timestamp::Timestamp;

/// Most dailies that a manifest has room for beside the base, a cumulative delta and the next daily.
const MOST_DAILIES: u32 = 61;
/// Most slots that joining may be put off for: a year of days.
const LONGEST_DELAY: u32 = 366;
/// Largest class that changes are filled up to.
const LARGEST_CLASS: u32 = 1_000_000;

/// When something is published, and as what.
///
/// A plain value: [`PublishPolicy::validate`] finds what contradicts itself. Printed with `{}` it says in plain words
/// what it means.
///
/// # Security
///
/// Who leaves is in no set that is published from the next slot on, whatever the reason. The tag is still among the
/// bytes of older files that are listed, because a delta deletes by rank and leaves the file that it changes as it
/// is: see [`Self::lasts`] for how long. Somebody who learns the number in that time can see that it was a
/// member's. With `base_every` and `dailies` at 1 no file that a manifest lists has the tag of anybody who isn't a
/// member, at the price of a new base in each slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishPolicy {
    /// How long a slot is: a day. There is one publication in it, so a delta doesn't tell the minute.
    pub slot: Duration,
    /// Publications after which there is a cumulative delta: 7.
    pub cumulative_every: u32,
    /// Publications after which there is a new base: 30.
    pub base_every: u32,
    /// Changes, in percent of the base, past which there is a new base: 15.
    pub base_percent: u32,
    /// Daily deltas that a manifest lists: 14. Who was away for longer reads the base.
    pub dailies: u32,
    /// Slots over which those who become findable are spread: 0, so all of them are in the next one.
    pub join_window: u32,
    /// The numbers of additions and deletions in every delta from one slot to the next are multiples of this, filled up
    /// with decoys: 0 for no decoys.
    pub decoy_class: u32,
}

/// A policy that contradicts itself, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishPolicyError {
    /// A value that must be at least 1.
    #[error("{0} is zero")]
    Zero(&'static str),
    /// A value beyond what makes sense.
    #[error("{0} is more than {1}")]
    TooMuch(&'static str, u32),
    /// Dailies would be dropped before anything else leads over them.
    #[error(
        "cumulative_every and base_every are both more than dailies: the way from the base to the newest set would have a gap"
    )]
    Gap,
    /// Manifests would expire before the next one is due.
    #[error("a manifest is valid for less than a slot: it would expire before the next one is due")]
    Expiry,
}

impl Default for PublishPolicy {
    fn default() -> Self {
        Self {
            slot: Duration::from_secs(86_400),
            cumulative_every: 7,
            base_every: 30,
            base_percent: 15,
            dailies: 14,
            join_window: 0,
            decoy_class: 0,
        }
    }
}

impl PublishPolicy {
    /// Checks that manifests that are valid for so long, and all else, can hold together.
    ///
    /// # Errors
    ///
    /// The first contradiction.
    pub fn validate(&self, valid_for: Duration) -> Result<(), PublishPolicyError> {
        for (name, value) in [
            ("the length of a slot", self.slot.as_micros() as u64),
            ("cumulative_every", self.cumulative_every.into()),
            ("base_every", self.base_every.into()),
            ("base_percent", self.base_percent.into()),
            ("dailies", self.dailies.into()),
        ] {
            if value == 0 {
                return Err(PublishPolicyError::Zero(name));
            }
        }
        for (name, value, most) in [
            ("base_percent", self.base_percent, 100),
            ("dailies", self.dailies, MOST_DAILIES),
            ("join_window", self.join_window, LONGEST_DELAY),
            ("decoy_class", self.decoy_class, LARGEST_CLASS),
        ] {
            if value > most {
                return Err(PublishPolicyError::TooMuch(name, most));
            }
        }
        if self.cumulative_every.min(self.base_every) > self.dailies {
            return Err(PublishPolicyError::Gap);
        }
        if valid_for < self.slot {
            return Err(PublishPolicyError::Expiry);
        }
        Ok(())
    }

    /// The slot that a time is in.
    #[must_use]
    pub fn slot_of(&self, at: Timestamp) -> u64 {
        at.as_micros() / self.slot_micros()
    }

    /// When a slot begins.
    #[must_use]
    pub fn begin_of(&self, slot: u64) -> Timestamp {
        Timestamp::from_micros(slot.saturating_mul(self.slot_micros()))
    }

    /// The most publications in whose files the tag of somebody who has left can still be.
    #[must_use]
    pub fn lasts(&self) -> u32 {
        self.base_every.max(self.dailies)
    }

    fn slot_micros(&self) -> u64 {
        u64::try_from(self.slot.as_micros()).map_or(u64::MAX, |micros| micros.max(1))
    }
}

impl fmt::Display for PublishPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "published once in {} hours; a cumulative delta after {} publications, a new base after {} or {} % of change",
            self.slot.as_secs_f64() / 3_600.0,
            self.cumulative_every,
            self.base_every,
            self.base_percent,
        )?;
        if self.join_window > 0 {
            writeln!(
                f,
                "who becomes findable is published within {} slots",
                self.join_window + 1
            )?;
        }
        if self.decoy_class > 0 {
            writeln!(
                f,
                "additions and deletions are filled up with decoys to multiples of {}",
                self.decoy_class
            )?;
        }
        write!(
            f,
            "who leaves is in no set from the next slot on, and in no listed file {} publications later",
            self.lasts(),
        )
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn contradictions_are_refused_with_the_reason() {
        let refused = |change: &dyn Fn(&mut PublishPolicy)| {
            let mut policy = PublishPolicy::default();
            change(&mut policy);
            policy.validate(3 * DAY).unwrap_err().to_string()
        };
        assert_eq!(PublishPolicy::default().validate(DAY), Ok(()));
        assert!(refused(&|policy| policy.slot = Duration::ZERO).contains("slot is zero"));
        assert!(refused(&|policy| policy.base_every = 0).contains("base_every is zero"));
        assert!(refused(&|policy| policy.dailies = 62).contains("dailies is more than 61"));
        assert!(refused(&|policy| policy.base_percent = 101).contains("more than 100"));
        assert!(refused(&|policy| policy.dailies = 6).contains("gap"));
        assert!(refused(&|policy| policy.slot = 4 * DAY).contains("expire"));
        // Without cumulative deltas: the next base comes before a daily goes.
        let bases = PublishPolicy {
            base_every: 1,
            dailies: 1,
            ..PublishPolicy::default()
        };
        assert_eq!(bases.validate(DAY), Ok(()));
        assert_eq!(bases.lasts(), 1);
    }

    #[test]
    fn slots_begin_where_the_last_one_ends() {
        let policy = PublishPolicy::default();
        let begin = policy.begin_of(20_000);
        assert_eq!(begin, Timestamp::from_secs(20_000 * 86_400));
        assert_eq!(policy.slot_of(begin), 20_000);
        assert_eq!(
            policy.slot_of(begin.saturating_sub(Duration::from_micros(1))),
            19_999
        );
        assert!(policy.to_string().contains("30 publications later"));
    }
}
