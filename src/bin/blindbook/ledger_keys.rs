//! The keys of the ledger's months, in a folder of their own:
//!
//! ```text
//! 2026-11.key         the key of a month, sealed as the evaluation key is
//! 2026-11.destroyed   an empty file: there was one
//! ```
//!
//! Backed up with the store they outlive their destruction there: leave the folder out, or keep its backups for as long as you want
//! the names to be known.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use blindbook::{
    server::ledger::{LedgerKey, Month},
    store::LedgerKeys,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use crate::{
    seal::{self, Kind, Unlock},
    sealed_keys::{destroy, failed, sync_folder_of},
};

/// Keeps the keys of months in a folder, and those that were opened in memory.
pub(crate) struct LedgerKeyFolder {
    folder: PathBuf,
    unlock: Arc<Unlock>,
    opened: Mutex<BTreeMap<Month, Arc<LedgerKey>>>,
}

impl LedgerKeyFolder {
    pub(crate) fn new(folder: PathBuf, unlock: Arc<Unlock>) -> Self {
        Self {
            folder,
            unlock,
            opened: Mutex::default(),
        }
    }

    fn file(&self, month: Month) -> PathBuf {
        self.folder.join(format!("{month}.key"))
    }

    fn tombstone(&self, month: Month) -> PathBuf {
        self.folder.join(format!("{month}.destroyed"))
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, BTreeMap<Month, Arc<LedgerKey>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, month: Month) -> io::Result<Option<Arc<LedgerKey>>> {
        let path = self.file(month);
        if !path.try_exists()? || self.tombstone(month).try_exists()? {
            return Ok(None);
        }
        let opened = seal::open(&path, Kind::LedgerKey, &self.unlock);
        let (mut key, of) = opened.map_err(failed)?;
        if of != u64::from(month.get()) {
            return Err(io::Error::other("it is another month's"));
        }
        Ok(Some(Arc::new(LedgerKey::from_bytes(month, &mut key))))
    }

    fn make(&self, month: Month) -> io::Result<Arc<LedgerKey>> {
        let key = Arc::new(LedgerKey::random(month, &mut UnwrapErr(SysRng)));
        if self.tombstone(month).try_exists()? {
            return Ok(key);
        }
        fs::create_dir_all(&self.folder)?;
        let path = self.file(month);
        let number = u64::from(month.get());
        seal::seal(&path, Kind::LedgerKey, number, key.expose(), &self.unlock).map_err(failed)?;
        sync_folder_of(&path)?;
        Ok(key)
    }
}

impl LedgerKeys for LedgerKeyFolder {
    fn key(&self, month: Month) -> io::Result<Arc<LedgerKey>> {
        let mut opened = self.opened();
        if let Some(key) = opened.get(&month) {
            return Ok(Arc::clone(key));
        }
        let key = match self.open(month)? {
            Some(key) => key,
            None => self.make(month)?,
        };
        opened.insert(month, Arc::clone(&key));
        Ok(key)
    }

    fn kept(&self, month: Month) -> io::Result<Option<Arc<LedgerKey>>> {
        self.open(month)
    }

    fn months(&self) -> io::Result<Vec<Month>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut months = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let month = name.to_str().and_then(|name| name.strip_suffix(".key"));
            months.extend(month.and_then(|month| month.parse::<Month>().ok()));
        }
        months.sort_unstable();
        Ok(months)
    }

    fn destroy(&self, month: Month) -> io::Result<()> {
        let tombstone = self.tombstone(month);
        fs::create_dir_all(&self.folder)?;
        File::create(&tombstone)?.sync_all()?;
        sync_folder_of(&tombstone)?;
        self.opened().remove(&month);
        destroy(&self.file(month))
    }
}

impl fmt::Debug for LedgerKeyFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerKeyFolder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use blindbook::server::quota::AccountKey;
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn keys_are_kept_until_they_are_destroyed_and_never_made_twice() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let unlock = Arc::new(Unlock::KeyFile(Zeroizing::new([1; 32])));
            LedgerKeyFolder::new(folder.path().join("ledger"), unlock)
        };
        let (one, two) = ("2026-11".parse().unwrap(), "2026-12".parse().unwrap());
        let name = |key: &LedgerKey| key.account(&AccountKey::new([7; 32]));
        let keys = open();
        assert!(keys.kept(one).unwrap().is_none());
        assert!(keys.months().unwrap().is_empty());
        let first = name(&keys.key(one).unwrap());
        assert_ne!(first, name(&keys.key(two).unwrap()));
        let keys = open();
        assert_eq!(first, name(&keys.key(one).unwrap()));
        assert_eq!(keys.months().unwrap(), [one, two]);
        let sealed = fs::read(keys.file(one)).unwrap();
        for _ in 0..2 {
            keys.destroy(one).unwrap();
        }
        assert_eq!(keys.months().unwrap(), [two]);
        for keys in [keys, open()] {
            assert!(keys.kept(one).unwrap().is_none());
            // What comes late is sealed all the same, under a name that nobody knows.
            assert_ne!(first, name(&keys.key(one).unwrap()));
            assert_eq!(keys.months().unwrap(), [two]);
        }
        // A backup of the key's file alone doesn't bring it back.
        fs::write(open().file(one), sealed).unwrap();
        assert!(open().kept(one).unwrap().is_none());
    }
}
