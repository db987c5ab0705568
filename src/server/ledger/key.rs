//! The key of a month, and the pseudonyms under it.

use core::fmt;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Month, Who};
use crate::{
    secret::SecretBytes,
    server::quota::{AccountKey, NetworkKey, Suspect},
};

/// What an account or a network is called in the ledger, in one month.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym([u8; Pseudonym::LENGTH]);

impl Pseudonym {
    /// Length in bytes.
    pub const LENGTH: usize = 16;

    /// Takes the bytes of an entry.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes, for an entry.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonym(<redacted>)")
    }
}

/// What the pseudonyms of a month are keyed with.
///
/// # Security
///
/// Whoever has it and the pepper can tell which account an entry of that month is about. Wiped on drop, redacted, never cloned;
/// destroyed after two years, or earlier if the operator says so.
#[derive(Debug)]
pub struct LedgerKey {
    month: Month,
    secret: SecretBytes<32>,
}

impl LedgerKey {
    /// Draws the key of a month.
    pub fn random<R: CryptoRng + ?Sized>(month: Month, rng: &mut R) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self::from_bytes(month, &mut bytes)
    }

    /// Takes a key that [`expose`](Self::expose) showed; the caller's copy is wiped.
    pub fn from_bytes(month: Month, bytes: &mut [u8; 32]) -> Self {
        Self {
            month,
            secret: SecretBytes::new(bytes),
        }
    }

    /// Shows the key, for sealing it.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.secret.expose()
    }

    /// The month whose key it is.
    #[must_use]
    pub const fn month(&self) -> Month {
        self.month
    }

    /// What an account is called in this month: `HMAC-SHA-256(key, 1 || account)`, the first half.
    #[must_use]
    pub fn account(&self, account: &AccountKey) -> Pseudonym {
        self.pseudonym(1, account.as_bytes())
    }

    /// What a network is called in this month: `HMAC-SHA-256(key, 2 || network)`, the first half.
    #[must_use]
    pub fn network(&self, network: &NetworkKey) -> Pseudonym {
        self.pseudonym(2, network.as_bytes())
    }

    /// Somebody who is suspended, as an entry says it.
    #[must_use]
    pub fn who(&self, suspect: &Suspect) -> Who {
        match suspect {
            Suspect::Account(account) => Who::Account(self.account(account)),
            Suspect::Network(network) => Who::Network(self.network(network)),
            Suspect::YoungAccounts => Who::YoungAccounts,
        }
    }

    fn pseudonym(&self, kind: u8, key: &[u8; 32]) -> Pseudonym {
        let mut message = [kind; 33];
        let (_, rest) = message.split_at_mut(1);
        rest.copy_from_slice(key);
        let hash = hmac(self.secret.expose(), &message);
        Pseudonym(hash.first_chunk().copied().unwrap_or_default())
    }
}

/// HMAC-SHA-256 (RFC 2104) under a key of 32 bytes.
fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = Zeroizing::new([pad; 64]);
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        Sha256::new_with_prefix(block.as_slice())
    };
    let inner = padded(0x36).chain_update(message).finalize();
    padded(0x5c).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 1: its key of 20 bytes is one of 32 that ends with zeros.
    #[test]
    fn the_hash_is_that_of_the_rfc() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let hash = hmac(&key, b"Hi There");
        assert_eq!(hash[..4], [0xb0, 0x34, 0x4c, 0x61]);
        assert_eq!(hash[28..], [0x2e, 0x32, 0xcf, 0xf7]);
    }

    #[test]
    fn pseudonyms_differ_by_month_and_by_kind() {
        let month = Month::new(24_322);
        let key = |byte| LedgerKey::from_bytes(month, &mut [byte; 32]);
        let (account, network) = (AccountKey::new([7; 32]), NetworkKey::new([7; 32]));
        let one = key(1).account(&account);
        assert_eq!(one, key(1).account(&account));
        assert_ne!(one, key(2).account(&account));
        assert_ne!(one, key(1).network(&network));
        assert_ne!(one, key(1).account(&AccountKey::new([8; 32])));
        let shown = alloc::format!("{:?} {:?}", key(1), one);
        assert!(!shown.contains("[1, 1"), "{shown}");
        assert!(shown.contains("<redacted>"));
    }
}
