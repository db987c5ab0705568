//! Redaction and wiping of secrets, and where one stops being secret.
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

/// Marks the place from which on `value`, which was computed from secrets, is public by the protocol.
///
/// Does nothing, except where the constant-time check compiles this with `--cfg memcheck`: there branches
/// and indices that depend on secrets are reported, and those that depend on `value` aren't any more. Mutable, so
/// that the compiler reads it from memory again.
#[inline]
pub(crate) fn declassify<T: ?Sized>(value: &mut T) {
    #[cfg(memcheck)]
    #[allow(unsafe_code, reason = "the check provides the function")]
    {
        unsafe extern "C" {
            fn blindbook_declassify(address: *mut u8, length: usize);
        }
        let length = size_of_val(value);
        // SAFETY: tells the checker about memory that `value` borrows, and touches none of it.
        unsafe { blindbook_declassify(core::ptr::from_mut(value).cast(), length) };
    }
    #[cfg(not(memcheck))]
    let _ = value;
}
