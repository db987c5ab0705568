//! When something is published, and as what.

use core::{fmt, time::Duration};

use crate::timestamp::Timestamp;

/// Most deltas that a manifest has room for beside the base and the next delta.
const MOST_DAILIES: u32 = 62;
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
/// Who leaves is in no set that is published from the next slot on, whatever the reason, and in no file that a manifest
/// lists: every manifest has the base of its own set, and deltas that lead to it and add nobody else. What was published
/// before can't be recalled from those who kept it.
///
/// A delta deletes by rank, and that says a little: between which two neighbours of the set a tag has gone. Somebody who
/// learns a number of a person who left within the last [`dailies`](Self::dailies) publications, and evaluates it, sees
/// that its tag lies in such a gap. For a number that never was a member's that happens with about twice the
/// probability that one of all members left in that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishPolicy {
    /// How long a slot is: a day. There is one publication in it, so a delta doesn't tell the minute.
    pub slot: Duration,
    /// Publications for which a manifest lists deltas from the earlier sets to its own: 14. Who was away for longer
    /// reads the base.
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
    /// Manifests would expire before the next one is due.
    #[error("a manifest is valid for less than a slot: it would expire before the next one is due")]
    Expiry,
}

impl Default for PublishPolicy {
    fn default() -> Self {
        Self {
            slot: Duration::from_secs(86_400),
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
            ("dailies", self.dailies.into()),
        ] {
            if value == 0 {
                return Err(PublishPolicyError::Zero(name));
            }
        }
        for (name, value, most) in [
            ("dailies", self.dailies, MOST_DAILIES),
            ("join_window", self.join_window, LONGEST_DELAY),
            ("decoy_class", self.decoy_class, LARGEST_CLASS),
        ] {
            if value > most {
                return Err(PublishPolicyError::TooMuch(name, most));
            }
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

    fn slot_micros(&self) -> u64 {
        u64::try_from(self.slot.as_micros()).map_or(u64::MAX, |micros| micros.max(1))
    }
}

impl fmt::Display for PublishPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "published once in {} hours; who was away for {} publications or fewer fetches one delta, others the base",
            self.slot.as_secs_f64() / 3_600.0,
            self.dailies,
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
        f.write_str("who leaves is in no set and in no listed file from the next publication on")
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
        assert!(refused(&|policy| policy.dailies = 0).contains("dailies is zero"));
        assert!(refused(&|policy| policy.dailies = 63).contains("dailies is more than 62"));
        assert!(refused(&|policy| policy.join_window = 367).contains("more than 366"));
        assert!(refused(&|policy| policy.slot = 4 * DAY).contains("expire"));
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
        assert!(policy.to_string().contains("away for 14 publications"));
    }
}
