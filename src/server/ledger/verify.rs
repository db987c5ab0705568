//! Reading a chain and finding what was done to it.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{Checkpoint, Entry, Head};

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Entries from here on, up to before another one, aren't there.
    #[error("missing, and so is everything up to entry {next}")]
    Missing {
        /// The entry that comes instead.
        next: u64,
    },
    /// It comes behind entries that it belongs before: it was moved or repeated.
    #[error("out of order: it comes before entry {before}")]
    OutOfOrder {
        /// The entry that should have come.
        before: u64,
    },
    /// Its hash isn't that of what it says behind the entry before it.
    #[error("edited: its hash isn't that of its content behind the entry before it")]
    Edited,
    /// A checkpoint was signed when this entry had another hash.
    #[error("replaced: a checkpoint was signed for another entry in its place")]
    Replaced,
    /// A checkpoint was signed for an entry that isn't there.
    #[error("missing at the end: a checkpoint was signed for it")]
    Truncated,
    /// Two checkpoints with different hashes were signed for it.
    #[error("forked: two checkpoints were signed for different entries in its place")]
    Forked,
    /// A checkpoint is that of another service.
    #[error("a checkpoint of another service")]
    OtherService,
}

/// What was found at an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {index}: {fault}")]
pub struct Finding {
    /// The entry's index.
    pub index: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Takes the entries of a ledger in their order and finds every one that was edited, dropped, repeated or moved, in memory that
/// grows with the checkpoints alone.
///
/// It goes on behind what it has found: the entries behind one that was edited are checked for themselves. Only of the first
/// one behind a gap nothing can be said but what a checkpoint says.
#[derive(Debug)]
pub struct Verifier {
    head: Head,
    /// Whether the hash of the entry before the next one is known.
    linked: bool,
    /// What was signed, by index; what the entries have agreed with is gone.
    signed: BTreeMap<u64, [u8; 32]>,
    findings: Vec<Finding>,
    entries: u64,
    checked: u64,
    faults: u64,
}

impl Verifier {
    /// Most findings that are kept; more are counted.
    pub const MOST_FINDINGS: usize = 100;

    /// Begins with the ledger of a service, whose [`hash`](crate::oprf::ServiceId::hash) this is, and checkpoints whose
    /// signatures were good.
    #[must_use]
    pub fn new(service: &[u8; 32], checkpoints: &[Checkpoint]) -> Self {
        let mut verifier = Self {
            head: Head::first(service),
            linked: true,
            signed: BTreeMap::new(),
            findings: Vec::new(),
            entries: 0,
            checked: 0,
            faults: 0,
        };
        for checkpoint in checkpoints {
            let index = checkpoint.index;
            if checkpoint.service != *service {
                verifier.found(index, Fault::OtherService);
            } else if let Some(other) = verifier.signed.insert(index, checkpoint.hash)
                && other != checkpoint.hash
            {
                verifier.found(index, Fault::Forked);
            }
        }
        verifier
    }

    /// Takes the next entry.
    pub fn take(&mut self, entry: &Entry) {
        let expected = self.head.next();
        self.entries += 1;
        if entry.index < expected {
            return self.found(entry.index, Fault::OutOfOrder { before: expected });
        }
        if entry.index > expected {
            self.found(expected, Fault::Missing { next: entry.index });
            self.linked = false;
        }
        if self.linked && entry.hash_after(self.head.hash()) != entry.hash {
            self.found(entry.index, Fault::Edited);
        }
        if let Some(signed) = self.signed.remove(&entry.index) {
            if signed == entry.hash {
                self.checked += 1;
            } else {
                self.found(entry.index, Fault::Replaced);
            }
        }
        self.linked = true;
        self.head = Head::behind(entry);
    }

    /// Says that there are no more entries. Those that a checkpoint was signed for and that weren't there are faults.
    pub fn end(&mut self) {
        let next = self.head.next();
        // Those before were dropped, and found so.
        for index in self.signed.split_off(&next).into_keys() {
            self.found(index, Fault::Truncated);
        }
    }

    /// What was found so far, the first hundred.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many things were found.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.faults
    }

    /// How many entries were taken.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// How many checkpoints the entries agree with.
    #[must_use]
    pub const fn checkpoints(&self) -> u64 {
        self.checked
    }

    /// The end of what was taken.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    fn found(&mut self, index: u64, fault: Fault) {
        self.faults += 1;
        if self.findings.len() < Self::MOST_FINDINGS {
            self.findings.push(Finding { index, fault });
        }
    }
}
