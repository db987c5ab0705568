//! Redaction and wiping of secrets.
//!
//! Layer 0: stands on nothing of ours and must not know what it hides.

use core::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

/// `N` secret bytes: redacted, wiped on drop, never cloned.
///
/// Comparison is constant time and has to be asked for ([`ConstantTimeEq`]); there is no `PartialEq`.
#[must_use]
pub struct SecretBytes<const N: usize>(Zeroizing<[u8; N]>);

impl<const N: usize> SecretBytes<N> {
    /// Takes over `bytes`; the caller's copy is wiped.
    pub fn new(bytes: &mut [u8; N]) -> Self {
        let secret = Self(Zeroizing::new(*bytes));
        bytes.zeroize();
        secret
    }

    /// Shows the bytes.
    ///
    /// # Security
    ///
    /// What is copied out of the reference is the caller's to wipe.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> ConstantTimeEq for SecretBytes<N> {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.as_slice().ct_eq(other.0.as_slice())
    }
}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}
