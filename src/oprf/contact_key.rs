//! What follows from an unblinded element: the tag in the published set and the key of the label.

use alloc::{borrow::ToOwned, string::String};
use core::fmt;

use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use super::element::UnblindedElement;
use crate::secret::SecretBytes;

/// The name of a service, for example `chat.example`: 1 to 255 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceId(String);

/// A service's name that is empty, longer than 255 bytes, or has a control character in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a service id has 1 to 255 bytes and no control characters")]
pub struct ServiceIdError;

impl ServiceId {
    /// Longest name, in bytes.
    pub const MAX_LENGTH: usize = 255;

    /// Checks and takes a name.
    ///
    /// # Errors
    ///
    /// Empty, longer than 255 bytes, or with a control character.
    pub fn new(name: &str) -> Result<Self, ServiceIdError> {
        if name.is_empty() || name.len() > Self::MAX_LENGTH || name.chars().any(char::is_control) {
            return Err(ServiceIdError);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the name: `service_id_hash` in formats and derivations.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

/// The period of one evaluation key. Counted up by rotation, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(u64);

impl Epoch {
    /// Names an epoch by its number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch that a rotation leads to; `None` behind the last one.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

/// Where a member stands in the published set: 64 bits that look random without the member's identifier.
///
/// The tags of a published set are public. Which of them belongs to a contact isn't, so don't log one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u64);

impl Tag {
    /// Takes the number.
    #[must_use]
    pub const fn new(tag: u64) -> Self {
        Self(tag)
    }

    /// The number; on disk and in derivations its eight bytes are big-endian.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(<redacted>)")
    }
}

/// The key that seals one member's label in one epoch.
#[derive(Debug)]
pub struct LabelKey(SecretBytes<32>);

impl LabelKey {
    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// Tag and label key of one identifier at one service in one epoch.
///
/// `S = SHA-512("blindbook-v1-contact-key" || service_id_hash[32] || epoch_be[8] || N[32])`;
/// the tag is `S[0..8]` big-endian, the label key `S[32..64]` (DESIGN, section 4).
#[derive(Debug)]
pub struct ContactKey {
    tag: Tag,
    label_key: LabelKey,
}

impl ContactKey {
    /// Derives both from the unblinded element.
    #[must_use]
    pub fn derive(service_id_hash: &[u8; 32], epoch: Epoch, unblinded: &UnblindedElement) -> Self {
        let mut hash = Sha512::new_with_prefix(b"blindbook-v1-contact-key");
        hash.update(service_id_hash);
        hash.update(epoch.get().to_be_bytes());
        hash.update(unblinded.expose());
        let derived = Zeroizing::new(<[u8; 64]>::from(hash.finalize()));
        let (tag, rest) = derived
            .split_first_chunk::<8>()
            .unwrap_or_else(|| unreachable!());
        let mut label_key = [0; 32];
        label_key.copy_from_slice(rest.split_at(24).1);
        Self {
            tag: Tag::new(u64::from_be_bytes(*tag)),
            label_key: LabelKey(SecretBytes::new(&mut label_key)),
        }
    }

    /// Where to look in the published set.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// What opens the label found there.
    #[must_use]
    pub fn label_key(&self) -> &LabelKey {
        &self.label_key
    }
}
