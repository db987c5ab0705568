//! What an account has had evaluated, and so may carry over when the key is rotated.

use crate::oprf::Epoch;

/// What an account has had evaluated in the newest epoch that it asked in, and what it may still carry over to that.
///
/// Padding counts: the service can't tell it from contacts, here as little as in an evaluation. What is carried over is
/// evaluated, too: it can be carried over again by the next rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The newest epoch that the account asked in.
    pub epoch: Epoch,
    /// Elements evaluated in it, or carried over to it.
    pub evaluated: u32,
    /// Elements evaluated in the epoch before that haven't been carried over.
    pub carry: u32,
}

impl Claim {
    /// After `count` more elements were evaluated under the key of `epoch`.
    ///
    /// During a soft rotation the old key still evaluates for whoever hasn't heard of the new one: that adds to what can be
    /// carried over.
    #[must_use]
    pub(super) fn evaluated(before: Option<Self>, epoch: Epoch, count: u32) -> Self {
        let mut claim = Self::in_epoch(before, epoch);
        if claim.epoch == epoch {
            claim.evaluated = claim.evaluated.saturating_add(count);
        } else if epoch.next() == Some(claim.epoch) {
            claim.carry = claim.carry.saturating_add(count);
        }
        claim
    }

    /// After `count` elements were carried over to the epoch `to`; `None` if that is more than there are.
    #[must_use]
    pub(super) fn carried_over(before: Option<Self>, to: Epoch, count: u32) -> Option<Self> {
        let claim = Self::in_epoch(before, to);
        Some(Self {
            evaluated: claim.evaluated.saturating_add(count),
            carry: claim.carry.checked_sub(count)?,
            ..claim
        })
        .filter(|claim| claim.epoch == to)
    }

    /// How many elements can be carried over to the epoch `to`.
    #[must_use]
    pub(super) fn left(before: Option<Self>, to: Epoch) -> u32 {
        let claim = Self::in_epoch(before, to);
        if claim.epoch == to { claim.carry } else { 0 }
    }

    /// The same, told in the terms of a later epoch; as it is, if it isn't a later one.
    fn in_epoch(before: Option<Self>, epoch: Epoch) -> Self {
        match before {
            Some(claim) if claim.epoch >= epoch => claim,
            Some(claim) if claim.epoch.next() == Some(epoch) => Self {
                epoch,
                evaluated: 0,
                carry: claim.evaluated,
            },
            _ => Self {
                epoch,
                evaluated: 0,
                carry: 0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn claim(epoch: u64, evaluated: u32, carry: u32) -> Claim {
        Claim {
            epoch: Epoch::new(epoch),
            evaluated,
            carry,
        }
    }

    fn evaluated(before: Claim, epoch: u64, count: u32) -> Claim {
        Claim::evaluated(Some(before), Epoch::new(epoch), count)
    }

    fn carried(before: Claim, to: u64, count: u32) -> Option<Claim> {
        Claim::carried_over(Some(before), Epoch::new(to), count)
    }

    #[test]
    fn what_was_evaluated_can_be_carried_over_once_to_each_epoch() {
        let first = Claim::evaluated(None, Epoch::new(7), 80);
        assert_eq!(first, claim(7, 80, 0));
        assert_eq!(carried(first, 8, 81), None);
        let second = carried(first, 8, 64).unwrap();
        assert_eq!(second, claim(8, 64, 16));
        assert_eq!(carried(second, 8, 17), None);
        let third = carried(second, 8, 16).unwrap();
        assert_eq!(third, claim(8, 80, 0));
        assert_eq!(Claim::left(Some(third), Epoch::new(8)), 0);
        assert_eq!(Claim::left(Some(third), Epoch::new(9)), 80);
    }

    #[test]
    fn what_comes_late_under_the_old_key_can_be_carried_over() {
        let new = evaluated(claim(7, 80, 5), 8, 16);
        assert_eq!(new, claim(8, 16, 80));
        assert_eq!(evaluated(new, 7, 64), claim(8, 16, 144));
        assert_eq!(evaluated(new, 6, 64), new);
    }

    #[test]
    fn nothing_is_carried_over_two_rotations_or_back() {
        assert_eq!(carried(claim(7, 80, 9), 9, 1), None);
        assert_eq!(Claim::left(Some(claim(7, 80, 9)), Epoch::new(9)), 0);
        assert_eq!(carried(claim(9, 80, 9), 8, 1), None);
        assert_eq!(Claim::carried_over(None, Epoch::new(8), 1), None);
        assert_eq!(evaluated(claim(7, 80, 9), 9, 16), claim(9, 16, 0));
    }
}
