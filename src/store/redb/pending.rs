//! Rows that are durable in the log, and wait to be folded into their tables.
//!
//! A charge changes a handful of rows, each somewhere else in tables of millions: written there at once, each would cost a page of its
//! own and the pages above it. So a transaction appends what it changes to the log, which is one place, and leaves the tables alone.
//! What is pending is folded in later, a run of neighbours at a time, which share their pages.
//!
//! ```text
//! set, remove --> rows in memory, in the order of their keys --> run after run --> tables
//!            \--> log, chunk after chunk ------------------------> dropped, once a round has folded all of it
//! ```
//!
//! A row is what is pending, or else what is in its table. The log is replayed when the store is opened. What was folded since it was
//! logged becomes pending again then, with the value that the table has, too.

#[cfg(test)]
mod tests;

use std::{cmp::Ordering, collections::BTreeMap, fmt, mem, ops::Bound, vec::Vec};

/// A chunk of the log is begun anew when it has so many bytes: with the largest row, it fits in four pages.
const CHUNK: usize = 15_872;
/// Rows that wait at least, so that a run is dense in its table. About 150 bytes of memory each. A test comes to it with a few.
const HELD: usize = if cfg!(test) { 8 } else { 1 << 19 };
const REMOVED: u8 = 0x80;

/// The tables whose rows wait, in the order in which they are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Quota = 0,
    Networks = 1,
    Activity = 2,
    NetworkActivity = 3,
}

impl Section {
    pub(super) fn of(number: u8) -> Option<Self> {
        const ALL: [Section; 4] = [
            Section::Quota,
            Section::Networks,
            Section::Activity,
            Section::NetworkActivity,
        ];
        ALL.into_iter().find(|section| *section as u8 == number)
    }
}

/// Up to `N` bytes in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short<const N: usize> {
    length: u8,
    bytes: [u8; N],
}

impl<const N: usize> Short<N> {
    /// `None` if there are too many.
    fn new(bytes: &[u8]) -> Option<Self> {
        let mut short = Self {
            length: u8::try_from(bytes.len()).ok()?,
            bytes: [0; N],
        };
        short.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(short)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }

    /// The first bytes as a number, and zeros where there are none.
    fn beginning(&self) -> u64 {
        let first = self.bytes.first_chunk();
        first.map_or(0, |first| u64::from_be_bytes(*first))
    }
}

impl<const N: usize> PartialEq for Short<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Short<N> {}

impl<const N: usize> PartialOrd for Short<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Short<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Most are told apart by their first bytes: a search among half a million compares twenty.
        let beginnings = self.beginning().cmp(&other.beginning());
        beginnings.then_with(|| self.as_bytes().cmp(other.as_bytes()))
    }
}

/// Where a row is: its table, and its key there of up to 56 bytes.
pub(super) type RowKey = (Section, Short<56>);
/// A row's value, of up to 32 bytes.
pub(super) type RowValue = Short<32>;
/// A range of rows.
pub(super) type RowRange = (Bound<RowKey>, Bound<RowKey>);

/// A row has a longer key or value than any has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

pub(super) fn row_key(section: Section, key: &[u8]) -> Result<RowKey, TooLong> {
    Ok((section, Short::new(key).ok_or(TooLong)?))
}

/// The rows that wait, and what the current transaction adds to the log.
pub(super) struct Pending {
    rows: BTreeMap<RowKey, RowValue>,
    chunks: Vec<Vec<u8>>,
    /// The number of the next chunk of the log.
    next: u64,
    /// The first chunk that counts.
    first: u64,
    /// The first chunk that is left.
    oldest: u64,
    /// Records that the current transaction adds.
    added: usize,
    /// The current round of folding.
    round: Round,
    /// Records in the log that count, of before the round.
    before: usize,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}

/// A round of folding goes from the first row to the last one. What was in the log before it isn't needed after it.
#[derive(Default)]
struct Round {
    /// The last row that was folded.
    after: Option<RowKey>,
    /// The first chunk that the next round has to fold.
    first: u64,
    /// Records logged since it began.
    records: usize,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            chunks: Vec::new(),
            next: 0,
            first: 0,
            oldest: 0,
            added: 0,
            round: Round::default(),
            before: 0,
        }
    }

    /// Whether nothing is left to be folded, nor to be dropped from the log.
    pub(super) fn is_settled(&self) -> bool {
        self.rows.is_empty() && self.oldest == self.next
    }

    /// Whether there is so much, when the store is opened, that no round has ended in a long time: the last lives were too short.
    pub(super) fn is_overgrown(&self) -> bool {
        self.before > 4 * HELD
    }

    /// Learns which is the oldest chunk that is left of the log.
    pub(super) fn dropped_before(&mut self, oldest: Option<u64>) {
        self.oldest = oldest.unwrap_or(self.next);
    }

    pub(super) fn get(&self, section: Section, key: &[u8]) -> Option<&[u8]> {
        let key = row_key(section, key).ok()?;
        self.rows.get(&key).map(Short::as_bytes)
    }

    /// The first key of a table that a row waits with.
    pub(super) fn first_key(&self, section: Section) -> Option<&[u8]> {
        let from = row_key(section, &[]).ok()?;
        let ((found, key), _) = self.rows.range(from..).next()?;
        (*found == section).then(|| key.as_bytes())
    }

    pub(super) fn set(
        &mut self,
        section: Section,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), TooLong> {
        let row = row_key(section, key)?;
        let value = Short::new(value).ok_or(TooLong)?;
        self.rows.insert(row, value);
        self.add(section as u8, key, value.as_bytes());
        Ok(())
    }

    /// Has no row wait from one key to another, both included. Those in the table are the caller's.
    pub(super) fn remove(
        &mut self,
        section: Section,
        first: &[u8],
        last: &[u8],
    ) -> Result<(), TooLong> {
        self.drop_rows(row_key(section, first)?, row_key(section, last)?);
        self.add(section as u8 | REMOVED, first, last);
        Ok(())
    }

    fn drop_rows(&mut self, first: RowKey, last: RowKey) {
        if first > last {
            return;
        }
        drop(self.take((Bound::Included(first), Bound::Included(last)), usize::MAX));
    }

    /// `kind u8 || length u8 || first || length u8 || second`
    fn add(&mut self, kind: u8, first: &[u8], second: &[u8]) {
        let full = self.chunks.last().is_none_or(|chunk| chunk.len() > CHUNK);
        if full {
            self.chunks.push(Vec::with_capacity(CHUNK + 128));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            // A row's key has at most 56 bytes.
            chunk.extend_from_slice(&[kind, first.len() as u8]);
            chunk.extend_from_slice(first);
            chunk.push(second.len() as u8);
            chunk.extend_from_slice(second);
        }
        self.added += 1;
    }

    /// Takes out the first `limit` rows of a range, to be folded. It must not end before it begins.
    pub(super) fn take(&mut self, range: RowRange, limit: usize) -> Vec<(RowKey, RowValue)> {
        let rows = self.rows.range(range).take(limit);
        let rows: Vec<_> = rows.map(|(key, value)| (*key, *value)).collect();
        for (key, _) in &rows {
            self.rows.remove(key);
        }
        rows
    }

    /// Takes out the rows that are to be folded with the current transaction: as many as come, and some more, once there are enough.
    pub(super) fn take_due(&mut self) -> Vec<(RowKey, RowValue)> {
        let logged = self.before + self.round.records;
        if self.rows.len() <= HELD && logged <= 2 * HELD {
            return Vec::new();
        }
        self.take_next(self.added + self.added / 4 + 1)
    }

    /// Takes out the next rows of the round, at least one, to be folded.
    pub(super) fn take_next(&mut self, limit: usize) -> Vec<(RowKey, RowValue)> {
        let limit = limit.max(1);
        let from = self.round.after.map_or(Bound::Unbounded, Bound::Excluded);
        let taken = self.take((from, Bound::Unbounded), limit);
        match taken.last() {
            Some((last, _)) if taken.len() == limit => self.round.after = Some(*last),
            _ => {
                self.first = self.round.first;
                self.before = self.round.records;
                self.round = Round {
                    after: None,
                    // What the current transaction adds isn't numbered yet.
                    first: self.next,
                    records: 0,
                };
            }
        }
        taken
    }

    /// Takes out all rows, to be folded.
    pub(super) fn take_all(&mut self) -> Vec<(RowKey, RowValue)> {
        mem::take(&mut self.rows).into_iter().collect()
    }

    /// Whether any row of a range waits. It must not end before it begins.
    pub(super) fn waits(&self, range: RowRange) -> bool {
        self.rows.range(range).next().is_some()
    }

    /// Adds nothing of what the current transaction has done so far: for who drops the log, once all rows are folded.
    pub(super) fn forget_added(&mut self) {
        self.chunks.clear();
        self.added = 0;
    }

    /// What the current transaction adds to the log, numbered; and the first chunk that still counts.
    ///
    /// Those before it may be dropped at any time, the oldest first: what is left says of each of its rows what became of it last.
    pub(super) fn log(&mut self) -> (Vec<(u64, Vec<u8>)>, u64) {
        let added: Vec<_> = (self.next..).zip(mem::take(&mut self.chunks)).collect();
        self.next += added.len() as u64;
        self.round.records += mem::take(&mut self.added);
        if self.rows.is_empty() {
            // All of it is in the tables.
            self.first = self.next;
            self.before = 0;
            self.round = Round {
                first: self.next,
                ..Round::default()
            };
        }
        (added, self.first)
    }

    /// Takes a chunk of the log, when the store is opened; `None` if it isn't one.
    pub(super) fn replay(&mut self, number: u64, chunk: &[u8]) -> Option<()> {
        if self.next == 0 {
            (self.first, self.oldest) = (number, number);
        }
        self.next = number.checked_add(1)?;
        self.round.first = self.next;
        let mut rest = chunk;
        while let Some((&kind, behind)) = rest.split_first() {
            let section = Section::of(kind & !REMOVED)?;
            let (first, behind) = split(behind)?;
            let (second, behind) = split(behind)?;
            rest = behind;
            self.before += 1;
            let key = row_key(section, first).ok()?;
            if kind & REMOVED == 0 {
                self.rows.insert(key, Short::new(second)?);
            } else {
                self.drop_rows(key, row_key(section, second).ok()?);
            }
        }
        Some(())
    }
}

/// A part that begins with its length.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(length.into())
}
