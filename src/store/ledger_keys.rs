//! Where the keys of the ledger's months are kept.
//!
//! Layer 5. Whoever runs the service implements it, as only they know how keys are sealed.

use std::{
    collections::BTreeSet,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    vec::Vec,
};

use sha2::{Digest, Sha256};

use crate::{
    secret::SecretBytes,
    server::ledger::{LedgerKey, Month},
};

/// Keeps the keys of months, sealed. Each operation is durable when it returns, and does nothing if it was done before.
pub trait LedgerKeys: fmt::Debug + Send + Sync {
    /// The key to seal a month under, which is made if there never was one. For a month whose key is destroyed it is one that isn't
    /// kept: what comes late is sealed under pseudonyms that nobody can ever resolve.
    ///
    /// # Errors
    ///
    /// It can't be read, or not be kept.
    fn key(&self, month: Month) -> io::Result<Arc<LedgerKey>>;

    /// The key of a month, if it is kept.
    ///
    /// # Errors
    ///
    /// It can't be read or opened.
    fn kept(&self, month: Month) -> io::Result<Option<Arc<LedgerKey>>>;

    /// The months whose keys are kept, ascending.
    ///
    /// # Errors
    ///
    /// They can't be listed.
    fn months(&self) -> io::Result<Vec<Month>>;

    /// Destroys the key of a month, and remembers that.
    ///
    /// # Errors
    ///
    /// The disk doesn't do what it is told.
    fn destroy(&self, month: Month) -> io::Result<()>;
}

/// Makes the keys of months from one secret and keeps nothing: for tests and for trying things out.
///
/// # Security
///
/// Destroying a key lasts as long as the process, and whoever has the secret has every key.
pub struct DerivedLedgerKeys {
    secret: SecretBytes<32>,
    used: Mutex<BTreeSet<Month>>,
    destroyed: Mutex<BTreeSet<Month>>,
}

impl DerivedLedgerKeys {
    /// Takes the secret; the caller's copy is wiped.
    pub fn new(secret: &mut [u8; 32]) -> Self {
        Self {
            secret: SecretBytes::new(secret),
            used: Mutex::default(),
            destroyed: Mutex::default(),
        }
    }

    fn derive(&self, month: Month) -> Arc<LedgerKey> {
        let mut key: [u8; 32] = Sha256::new_with_prefix(b"blindbook-v1-ledger-key")
            .chain_update(self.secret.expose())
            .chain_update(month.get().to_be_bytes())
            .finalize()
            .into();
        Arc::new(LedgerKey::from_bytes(month, &mut key))
    }
}

fn locked(months: &Mutex<BTreeSet<Month>>) -> std::sync::MutexGuard<'_, BTreeSet<Month>> {
    months.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LedgerKeys for DerivedLedgerKeys {
    fn key(&self, month: Month) -> io::Result<Arc<LedgerKey>> {
        locked(&self.used).insert(month);
        Ok(self.derive(month))
    }

    fn kept(&self, month: Month) -> io::Result<Option<Arc<LedgerKey>>> {
        let destroyed = locked(&self.destroyed).contains(&month);
        Ok((!destroyed).then(|| self.derive(month)))
    }

    fn months(&self) -> io::Result<Vec<Month>> {
        let destroyed = locked(&self.destroyed);
        let used = locked(&self.used);
        Ok(used.difference(&destroyed).copied().collect())
    }

    fn destroy(&self, month: Month) -> io::Result<()> {
        locked(&self.destroyed).insert(month);
        Ok(())
    }
}

impl fmt::Debug for DerivedLedgerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DerivedLedgerKeys").finish_non_exhaustive()
    }
}
