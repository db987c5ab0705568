//! What a store finds entries by, without reading all of them.

use super::{Entry, Month};
use crate::server::quota::Hour;

/// What some entries are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Topic {
    /// What accounts did in an hour.
    Charges(Hour),
    /// The key of a month.
    Key(Month),
}

impl Topic {
    /// Length of the encoding in bytes.
    pub const ENCODED: usize = 5;

    /// `kind u8, number u32`: in the order of topics.
    #[must_use]
    pub fn encode(self) -> [u8; Self::ENCODED] {
        let (kind, number) = match self {
            Self::Charges(hour) => (1, hour.get()),
            Self::Key(month) => (9, month.get()),
        };
        let [a, b, c, d] = number.to_be_bytes();
        [kind, a, b, c, d]
    }
}

impl Entry {
    /// What the entry is found by; `None` for most kinds. The first number of such a body is that of the topic.
    #[must_use]
    pub fn topic(&self) -> Option<Topic> {
        let number = || self.body.first_chunk().copied().map(u32::from_be_bytes);
        match self.kind {
            1 => number().map(Hour::new).map(Topic::Charges),
            9 => number().map(Month::new).map(Topic::Key),
            _ => None,
        }
    }
}
