//! Labels: the opaque handle that a match yields, sealed so that only who knows the identifier reads it.
//!
//! Layer 2: stands on [`crate::oprf`]'s contact keys and must not know where a sealed label is kept.
//!
//! AES-256-GCM-SIV (RFC 8452) under the label key of one identifier and epoch, with a zero nonce and the
//! epoch and tag as associated data.

use alloc::vec::Vec;
use core::fmt;

use aes_gcm_siv::{
    Aes256GcmSiv, Key, Nonce, Tag as AuthenticationTag,
    aead::{AeadInOut, KeyInit},
};
use zeroize::Zeroizing;

use crate::{
    oprf::{ContactKey, Epoch},
    secret::declassify,
};

/// Bytes that sealing adds.
pub const SEAL_OVERHEAD: usize = 16;

/// Longer than 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a label has at most {} bytes", LabelLength::MAX)]
pub struct LabelLengthError;

/// How long every label of a service is, in bytes: 0 to 64, by default 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelLength(u8);

impl LabelLength {
    /// The longest, in bytes.
    pub const MAX: u8 = 64;

    /// Checks and takes a length in bytes.
    ///
    /// # Errors
    ///
    /// More than 64.
    pub const fn new(bytes: u8) -> Result<Self, LabelLengthError> {
        if bytes > Self::MAX {
            return Err(LabelLengthError);
        }
        Ok(Self(bytes))
    }

    /// The length in bytes.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The length of a sealed label, in bytes.
    #[must_use]
    pub const fn sealed(self) -> usize {
        self.0 as usize + SEAL_OVERHEAD
    }
}

impl Default for LabelLength {
    fn default() -> Self {
        Self(16)
    }
}

/// An opaque handle of at most 64 bytes. Never a name: everyone who has the number will read it.
///
/// Shorter labels than the service's length are filled with zeros when they are sealed, and the zeros are
/// taken off when they are opened; so a label doesn't end in a zero byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Label(Zeroizing<Vec<u8>>);

/// A label that can't be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Longer than the service's labels, or than 64 bytes.
    #[error("the label is longer than labels of this service can be")]
    TooLong,
    /// Ends in a zero byte, which padding would swallow.
    #[error("the label ends in a zero byte")]
    TrailingZero,
    /// A sealed label that this contact key doesn't open.
    #[error("the sealed label doesn't open under this contact key")]
    Forged,
}

impl Label {
    /// Checks and takes a handle.
    ///
    /// # Errors
    ///
    /// Longer than 64 bytes, or ending in a zero byte.
    pub fn new(handle: &[u8]) -> Result<Self, LabelError> {
        if handle.len() > usize::from(LabelLength::MAX) {
            return Err(LabelError::TooLong);
        }
        if handle.last() == Some(&0) {
            return Err(LabelError::TrailingZero);
        }
        Ok(Self(Zeroizing::new(handle.to_vec())))
    }

    /// Takes the zeros off that filled the handle up to the service's length.
    ///
    /// # Errors
    ///
    /// Longer than 64 bytes with its zeros.
    pub fn from_padded(padded: &[u8]) -> Result<Self, LabelError> {
        if padded.len() > usize::from(LabelLength::MAX) {
            return Err(LabelError::TooLong);
        }
        let length = padded
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        let (handle, _) = padded.split_at(length);
        Ok(Self(Zeroizing::new(handle.to_vec())))
    }

    /// The handle.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Seals the label under a contact key of this epoch; appends [`LabelLength::sealed`] bytes to `out`.
    ///
    /// # Errors
    ///
    /// Longer than `length`; `out` is unchanged then.
    ///
    /// # Security
    ///
    /// One key seals one identifier's label in one epoch, so the nonce is zero. A label that changes
    /// within an epoch shows that it changed, and nothing more (RFC 8452, section 9).
    pub fn seal_into(
        &self,
        key: &ContactKey,
        epoch: Epoch,
        length: LabelLength,
        out: &mut Vec<u8>,
    ) -> Result<(), LabelError> {
        if self.0.len() > usize::from(length.get()) {
            return Err(LabelError::TooLong);
        }
        let start = out.len();
        out.extend_from_slice(&self.0);
        out.resize(start + usize::from(length.get()), 0);
        let sealed = out.get_mut(start..).unwrap_or_default();
        let tag = cipher(key)
            .encrypt_inout_detached(
                &Nonce::default(),
                &associated_data(key, epoch),
                sealed.into(),
            )
            .map_err(|_| LabelError::TooLong)?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens a sealed label.
    ///
    /// # Errors
    ///
    /// [`LabelError::Forged`] if it was sealed under another key, epoch or tag, or was altered.
    pub fn open(sealed: &[u8], key: &ContactKey, epoch: Epoch) -> Result<Self, LabelError> {
        let (padded, tag) = sealed
            .split_last_chunk::<SEAL_OVERHEAD>()
            .ok_or(LabelError::Forged)?;
        if padded.len() > usize::from(LabelLength::MAX) {
            return Err(LabelError::Forged);
        }
        let mut padded = Zeroizing::new(padded.to_vec());
        let mut genuine = cipher(key)
            .decrypt_inout_detached(
                &Nonce::default(),
                &associated_data(key, epoch),
                padded.as_mut_slice().into(),
                &AuthenticationTag::from(*tag),
            )
            .is_ok();
        // Whoever asked is told whether it opens, and gets the handle with its length.
        declassify(&mut genuine);
        if !genuine {
            return Err(LabelError::Forged);
        }
        declassify(padded.as_mut_slice());
        Self::from_padded(&padded)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Label(<redacted>)")
    }
}

fn cipher(key: &ContactKey) -> Aes256GcmSiv {
    let key: &Key<Aes256GcmSiv> = key.label_key().expose().into();
    Aes256GcmSiv::new(key)
}

/// `epoch_be[8] || tag_be[8]`.
fn associated_data(key: &ContactKey, epoch: Epoch) -> [u8; 16] {
    let mut data = [0; 16];
    let (first, second) = data.split_at_mut(8);
    first.copy_from_slice(&epoch.get().to_be_bytes());
    second.copy_from_slice(&key.tag().get().to_be_bytes());
    data
}
