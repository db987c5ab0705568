//! How a store is opened.

use std::path::{Path, PathBuf};

use super::{RedbStore, file, witness::Witness};
use crate::store::StoreError;

/// Memory for cached pages, unless it is said, in bytes.
pub(super) const CACHE: usize = 256 << 20;

/// How a [`RedbStore`] is opened.
///
/// # Examples
///
/// ```
/// # use blindbook::store::StoreOptions;
/// # let folder = tempfile::tempdir()?;
/// let store = StoreOptions::new()
///     .cache(64 << 20)
///     .witness(&folder.path().join("witness"))
///     .open(&folder.path().join("store"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    cache: usize,
    witness: Option<PathBuf>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl StoreOptions {
    /// What [`RedbStore::open`] does.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            cache: CACHE,
            witness: None,
        }
    }

    /// Most memory for cached pages, in bytes. Without it, 256 MiB.
    ///
    /// What charges changed and isn't folded yet comes in addition: about 80 MB under load, and up to four times as much after a
    /// restart.
    #[must_use]
    pub const fn cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }

    /// Another file, which sees how far the store is, so that one that was restored from a backup isn't taken for the one that was
    /// last in use. It belongs where backups of the store don't go. Without it, it lies beside the store.
    #[must_use]
    pub fn witness(mut self, path: &Path) -> Self {
        self.witness = Some(path.into());
        self
    }

    /// Opens the store in a file, or makes one that only its owner can read and write.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`], [`StoreError::Damaged`], [`StoreError::Version`], [`StoreError::Restored`] or
    /// [`StoreError::Io`].
    pub fn open(&self, path: &Path) -> Result<RedbStore, StoreError> {
        let beside = || Witness::beside(path);
        let witness = self.witness.clone().unwrap_or_else(beside);
        let backend = file(path)?;
        RedbStore::open_watched(backend, self.cache, Some(Witness::at(&witness)))
    }
}
