//! Notices to the people who were exposed: one for each handle, with a name that stays the same.

use core::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use super::Incident;
use crate::label::Label;

const DOMAIN: &[u8] = b"blindbook-v1-notice";

/// The name of a notice: what whoever delivers it recognises a repetition by.
///
/// The first half of `SHA-256("blindbook-v1-notice" || salt[16] || handle)`. The salt is the incident's own and never leaves the
/// store, so that a name in a log or on a file tells nobody whose it is, also if handles can be guessed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeId([u8; 16]);

impl NoticeId {
    /// Takes the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A text that isn't the name of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a notice: 32 hexadecimal digits")]
pub struct BadNoticeId;

impl FromStr for NoticeId {
    type Err = BadNoticeId;

    fn from_str(text: &str) -> Result<Self, BadNoticeId> {
        let digit = |digit: u8| {
            let digit = char::from(digit).to_digit(16).ok_or(BadNoticeId)?;
            u8::try_from(digit).map_err(|_| BadNoticeId)
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut id = [0; 16];
        if pairs.len() != id.len() || !rest.is_empty() {
            return Err(BadNoticeId);
        }
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(id))
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoticeId({self})")
    }
}

/// A notice: who has to be told, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its name.
    pub id: NoticeId,
    /// The handle of the person.
    pub label: Label,
}

/// How far telling has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
pub struct Tally {
    /// Nobody has tried yet.
    pub waiting: u64,
    /// Handed over, and nobody knows whether it arrived: it is handed over again, under the same name.
    pub in_flight: u64,
    /// Told.
    pub told: u64,
}

impl Tally {
    /// Who isn't told yet.
    #[must_use]
    pub const fn untold(&self) -> u64 {
        self.waiting + self.in_flight
    }

    /// Who is on the list.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.untold() + self.told
    }
}

impl Incident {
    /// The notice for a handle: the same one whenever it is asked for, so that a person with several numbers has one.
    #[must_use]
    pub fn notice(&self, label: Label) -> Notice {
        let hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(self.salt)
            .chain_update(label.as_bytes())
            .finalize();
        let mut id = [0; 16];
        for (byte, hashed) in id.iter_mut().zip(hash) {
            *byte = hashed;
        }
        Notice {
            id: NoticeId(id),
            label,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_nothing_else_is() {
        let id = NoticeId([0x0f; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "0f",
            "+f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
            "äfäfäfäfäfäfäfäfäf",
        ] {
            assert_eq!(bad.parse::<NoticeId>(), Err(BadNoticeId), "{bad}");
        }
        assert_eq!((id.to_string() + "0").parse::<NoticeId>(), Err(BadNoticeId));
    }
}
