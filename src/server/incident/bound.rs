//! What an attacker has learned at most.
//!
//! ```text
//! Q   elements that the suspects had evaluated in the window
//! M   members who could be found
//! S   numbers that there are
//!
//! learned at most   min(Q, M)          whatever was tried
//! expected          Q * min(M, S) / S  if numbers were tried at random
//! ```
//!
//! Each element is one number at most, each number one member at most. Padding, repetitions and numbers that nobody has
//! only make the truth smaller.

/// The most that can have been learned, of members in one region or in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Q: elements evaluated.
    pub evaluated: u64,
    /// M: members who could be found.
    pub members: u64,
    /// S: numbers that there are, if that is known.
    pub numbers: Option<u64>,
}

impl Bound {
    /// Members of whom it can have been learned that they are members: at most.
    #[must_use]
    pub const fn at_most(&self) -> u64 {
        if self.evaluated < self.members {
            self.evaluated
        } else {
            self.members
        }
    }

    /// Members of whom it would have been learned if numbers had been tried at random, rounded up.
    ///
    /// Not a bound: whoever has a list of numbers that are in use learns more.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        let numbers = u128::from(self.numbers.filter(|numbers| *numbers > 0)?);
        let members = u128::from(self.members).min(numbers);
        let expected = (u128::from(self.evaluated) * members).div_ceil(numbers);
        // At most Q, so it fits; at most M, as nobody is learned of twice.
        Some(
            u64::try_from(expected)
                .unwrap_or(u64::MAX)
                .min(self.members),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(evaluated: u64, members: u64, numbers: Option<u64>) -> Bound {
        Bound {
            evaluated,
            members,
            numbers,
        }
    }

    /// The figures of 2019: two billion numbers in, 17 million accounts out.
    #[test]
    fn the_bound_is_the_smaller_of_what_was_asked_and_who_was_there() {
        assert_eq!(bound(2_000_000_000, 17_000_000, None).at_most(), 17_000_000);
        assert_eq!(bound(5_000, 17_000_000, None).at_most(), 5_000);
        assert_eq!(bound(0, 17_000_000, Some(1)).at_most(), 0);
    }

    #[test]
    fn what_is_expected_is_rounded_up_and_never_exceeds_the_bound() {
        assert_eq!(bound(1, 1, Some(1_000_000)).expected(), Some(1));
        assert_eq!(bound(1_000, 500, Some(1_000)).expected(), Some(500));
        assert_eq!(bound(10, 10, None).expected(), None);
        assert_eq!(bound(10, 10, Some(0)).expected(), None);
        // More members than numbers (two services' worth of them, or a wrong table) is no reason to overflow.
        for many in [0, 1, 7, u64::MAX] {
            for few in [0, 1, 3, u64::MAX] {
                for numbers in [1, 2, u64::MAX] {
                    let bound = bound(many, few, Some(numbers));
                    assert!(bound.expected().unwrap() <= bound.at_most(), "{bound:?}");
                }
            }
        }
    }
}
