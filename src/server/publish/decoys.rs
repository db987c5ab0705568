//! Members who don't exist, so that the size of a delta tells less.

use alloc::vec::Vec;
use core::ops::Range;

use sha2::{Digest, Sha512};

use super::{PublishPolicy, Sealer};
use crate::{oprf::Tag, secret::SecretBytes};

/// Members who don't exist: a tag and a sealed label each, which nobody's number leads to.
///
/// Each is derived from a secret and its number. They are published in the order of their numbers and deleted in the same
/// order, to fill up the additions and the deletions of each delta.
///
/// # Security
///
/// To whoever doesn't have the secret a decoy is as random as a member's tag and sealed label are to whoever doesn't have
/// the member's number: that assumes that SHA-512 with a secret prefix of 32 bytes and a fixed length is a pseudo-random
/// function. Whoever keeps all deltas sees how long each tag stays. Decoys stay for two to three classes' worth of
/// changes, members as long as they like; so over months the numbers of changes can be estimated better than a class
/// allows, but no single tag that has gone is told to be a decoy's.
#[derive(Debug)]
pub struct Decoys {
    secret: SecretBytes<32>,
    sealer: Sealer,
    class: u64,
    /// The numbers of those who are published.
    live: Range<u64>,
}

impl Decoys {
    /// The decoys of which those with the numbers `live` are published.
    #[must_use]
    pub fn new(
        secret: SecretBytes<32>,
        sealer: Sealer,
        policy: &PublishPolicy,
        live: (u64, u64),
    ) -> Self {
        Self {
            secret,
            sealer,
            class: u64::from(policy.decoy_class),
            live: live.0..live.1,
        }
    }

    /// The numbers of those who are published: the first, and the one behind the last.
    #[must_use]
    pub fn live(&self) -> (u64, u64) {
        (self.live.start, self.live.end)
    }

    /// Makes as many live as a base that is built anew needs, and says which.
    pub fn stock(&mut self) -> Range<u64> {
        if self.class == 0 {
            self.live.start = self.live.end;
        }
        self.live.end = self.live.end.max(self.live.start + self.class);
        self.live.clone()
    }

    /// The tag and sealed label of one.
    #[must_use]
    pub fn make(&self, number: u64) -> (Tag, Vec<u8>) {
        let Sealer {
            service,
            epoch,
            label_length,
        } = &self.sealer;
        let block = |index: u8| {
            let mut hash = Sha512::new_with_prefix(b"blindbook-v1-decoy");
            hash.update(self.secret.expose());
            hash.update(service);
            hash.update(epoch.get().to_be_bytes());
            hash.update(number.to_be_bytes());
            hash.update([index]);
            <[u8; 64]>::from(hash.finalize())
        };
        let blocks = [block(0), block(1)];
        let (tag, rest) = blocks
            .as_flattened()
            .split_first_chunk::<8>()
            .unwrap_or_else(|| unreachable!());
        let sealed = rest.iter().take(label_length.sealed()).copied();
        (Tag::new(u64::from_be_bytes(*tag)), sealed.collect())
    }

    /// Those who may be deleted next.
    pub(super) fn oldest(&self) -> Range<u64> {
        let most = match self.class {
            0 => u64::MAX,
            class => 2 * class,
        };
        let end = self.live.start.saturating_add(most);
        self.live.start..self.live.end.min(end)
    }

    /// Whether there are some whom no policy wants any more.
    pub(super) fn are_leftover(&self) -> bool {
        self.class == 0 && !self.live.is_empty()
    }

    /// Who is added and who is deleted beside so many members.
    ///
    /// Afterwards there are enough to fill up the next deletions, and not many more. Only the first delta after decoys
    /// were switched on may have no decoy to delete.
    pub(super) fn fill(&mut self, added: u64, deleted: u64) -> (Range<u64>, Range<u64>) {
        let class = self.class;
        let live = self.live.end - self.live.start;
        if class == 0 {
            let gone = self.live.clone();
            self.live.start = self.live.end;
            return (self.live.clone(), gone);
        }
        let missing = |count: u64| (class - count % class) % class;
        let mut gone = missing(deleted);
        if gone > live {
            gone = 0;
        }
        let mut fresh = missing(added);
        if live - gone + fresh < class {
            fresh += class;
        }
        if live - gone + fresh >= 3 * class && live >= gone + class {
            gone += class;
        }
        let (start, end) = (self.live.start, self.live.end);
        self.live = start + gone..end + fresh;
        (end..end + fresh, start..start + gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{label::LabelLength, oprf::Epoch};

    fn decoys(class: u32, live: (u64, u64)) -> Decoys {
        let sealer = Sealer {
            service: [1; 32],
            epoch: Epoch::new(7),
            label_length: LabelLength::default(),
        };
        let policy = PublishPolicy {
            decoy_class: class,
            ..PublishPolicy::default()
        };
        Decoys::new(SecretBytes::new(&mut [9; 32]), sealer, &policy, live)
    }

    #[test]
    fn every_number_of_changes_is_filled_up_and_the_stock_stays_small() {
        let mut decoys = decoys(10, (0, 0));
        assert_eq!(decoys.stock(), 0..10);
        for (added, deleted) in (0..23).flat_map(|added| (0..17).map(move |d| (added, d))) {
            let before = decoys.live();
            let (fresh, gone) = decoys.fill(added, deleted);
            assert_eq!((added + fresh.end - fresh.start) % 10, 0);
            assert_eq!((deleted + gone.end - gone.start) % 10, 0);
            // Nobody is deleted who wasn't there, and nobody comes back.
            assert_eq!((gone.start, fresh.start), before);
            assert!(gone.end <= before.1);
            let stock = decoys.live.end - decoys.live.start;
            assert!((10..=40).contains(&stock), "{stock}");
        }
    }

    #[test]
    fn switched_on_and_off_they_come_and_go() {
        let mut on = decoys(10, (5, 5));
        assert_eq!(on.fill(3, 2), (5..22, 5..5));
        let mut off = decoys(0, (5, 22));
        assert!(off.are_leftover());
        assert_eq!(off.oldest(), 5..22);
        assert_eq!(off.fill(1, 0), (22..22, 5..22));
        assert!(!off.are_leftover());
        let (tag, sealed) = on.make(5);
        assert_eq!(sealed.len(), 32);
        assert_ne!(tag, on.make(6).0);
        assert_eq!(on.make(5), off.make(5));
    }
}
