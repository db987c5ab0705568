//! When a new member is published.

use sha2::{Digest, Sha512};

use super::PublishPolicy;
use crate::{
    oprf::{Epoch, UnblindedElement},
    secret::SecretBytes,
    timestamp::Timestamp,
};

/// Spreads those who become findable over the slots of [`PublishPolicy::join_window`].
///
/// The slot follows from a secret, the member and the time at which it became findable. So it's the same however often it is
/// asked for, and nobody else can foretell it.
#[derive(Debug)]
pub struct JoinDelay {
    secret: SecretBytes<32>,
    epoch: Epoch,
    policy: PublishPolicy,
}

impl JoinDelay {
    /// Spreads by this secret.
    #[must_use]
    pub fn new(secret: SecretBytes<32>, epoch: Epoch, policy: PublishPolicy) -> Self {
        Self {
            secret,
            epoch,
            policy,
        }
    }

    /// Whether a member who became findable at `since` may be published in `slot`.
    ///
    /// Without a window always; with one of `n` slots, from one of the `n + 1` slots on that follow the one of `since`.
    #[must_use]
    pub fn is_due(&self, unblinded: &UnblindedElement, since: Timestamp, slot: u64) -> bool {
        if self.policy.join_window == 0 {
            return true;
        }
        let mut hash = Sha512::new_with_prefix(b"blindbook-v1-join-delay");
        hash.update(self.secret.expose());
        hash.update(self.epoch.get().to_be_bytes());
        hash.update(since.as_micros().to_be_bytes());
        hash.update(unblinded.expose());
        let hash = <[u8; 64]>::from(hash.finalize());
        let (random, _) = hash
            .split_first_chunk::<8>()
            .unwrap_or_else(|| unreachable!());
        let slots = u64::from(self.policy.join_window) + 1;
        let delay = u64::from_be_bytes(*random) % slots;
        slot > self.policy.slot_of(since).saturating_add(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::EvaluationKey;

    #[test]
    fn members_are_spread_over_the_window_and_none_waits_longer() {
        let policy = PublishPolicy {
            join_window: 3,
            ..PublishPolicy::default()
        };
        let since = policy.begin_of(100).saturating_add(policy.slot / 2);
        let delay = JoinDelay::new(SecretBytes::new(&mut [1; 32]), Epoch::new(1), policy);
        let mut due = [0; 6];
        for number in 1..=200_u8 {
            let mut scalar = [0; 32];
            scalar[0] = number;
            let key = EvaluationKey::from_bytes(&mut scalar).unwrap();
            let who = UnblindedElement::decode(&key.public_key().encode()).unwrap();
            for (slot, count) in (100..).zip(&mut due) {
                *count += u32::from(delay.is_due(&who, since, slot));
            }
        }
        let [now, first, second, third, fourth, after] = due;
        assert_eq!((now, fourth, after), (0, 200, 200));
        assert!((30..70).contains(&first));
        assert!(first < second && second < third && third < fourth);
    }
}
