//! The chain of entries, as a store makes it longer.

use core::fmt;

use super::{Body, Entry, entry::before_first};
use crate::server::Timestamp;

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    next: u64,
    hash: [u8; 32],
}

impl Head {
    /// Of a ledger without entries, of the service with this [`hash`](crate::oprf::ServiceId::hash).
    #[must_use]
    pub fn first(service: &[u8; 32]) -> Self {
        Self {
            next: 0,
            hash: before_first(service),
        }
    }

    /// Behind an entry.
    #[must_use]
    pub const fn behind(entry: &Entry) -> Self {
        Self {
            next: entry.index.saturating_add(1),
            hash: entry.hash,
        }
    }

    /// The index of the next entry, which is how many there are.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The hash of the newest entry; of what comes before the first if there is none.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The entry that says this, behind this head.
    #[must_use]
    pub fn entry(&self, at: Timestamp, body: &Body) -> Entry {
        let mut entry = Entry {
            index: self.next,
            at,
            kind: body.kind(),
            body: body.encode(),
            hash: [0; 32],
        };
        entry.hash = entry.hash_after(&self.hash);
        entry
    }
}

/// The newest entry: its index and its hash.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next.checked_sub(1) {
            None => return f.write_str("no entries"),
            Some(newest) => write!(f, "{newest}:")?,
        }
        self.hash
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The rows of the ledger, inside one atomic step of a store.
pub trait LedgerRows {
    /// Why a row can't be read or written.
    type Error;

    /// The end of the chain.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn head(&mut self) -> Result<Head, Self::Error>;

    /// Keeps the entry behind the head.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn put_entry(&mut self, entry: &Entry) -> Result<(), Self::Error>;
}

/// Appends an entry, in the step of a store that does what it says.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone: what isn't in the ledger isn't done.
pub fn append<R: LedgerRows + ?Sized>(
    rows: &mut R,
    at: Timestamp,
    body: &Body,
) -> Result<(), R::Error> {
    let entry = rows.head()?.entry(at, body);
    rows.put_entry(&entry)
}
