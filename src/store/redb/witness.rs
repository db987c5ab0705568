//! What has seen how far a store was: one line in a small file beside it, or wherever the operator wants it.
//!
//! ```text
//! blindbook store 0123456789abcdef commits 00000000000000000042
//! ```
//!
//! Every group of steps that is durable in the store is counted in it, and then here, before anybody is answered. So a store
//! that counts less than its witness has seen was restored from a backup, or is a file system's snapshot. The file isn't synced
//! after each group: it is against backups and not against power cuts, after which it may be behind.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    string::{String, ToString},
};

use super::io_error;
use crate::store::{Restored, StoreError};

/// Which store, and how many groups of steps it has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Random, and another one each time a restored store is accepted. Not a secret.
    pub(super) store: u64,
    pub(super) commits: u64,
}

impl Seen {
    const LENGTH: usize = 62;

    fn encode(&self) -> String {
        let Self { store, commits } = self;
        std::format!("blindbook store {store:016x} commits {commits:020}\n")
    }

    fn decode(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("blindbook store ")?.strip_suffix('\n')?;
        let (store, commits) = rest.split_once(" commits ")?;
        let seen = Self {
            store: u64::from_str_radix(store, 16).ok()?,
            commits: commits.parse().ok()?,
        };
        (seen.encode() == line).then_some(seen)
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Witness {
    path: PathBuf,
    /// Once the store is open.
    file: Option<File>,
}

impl Witness {
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: PathBuf::from(path),
            file: None,
        }
    }

    /// Where the witness of a store is, unless somebody says otherwise.
    pub(super) fn beside(store: &Path) -> PathBuf {
        let mut name = OsString::from(store);
        name.push(".witness");
        PathBuf::from(name)
    }

    /// What it has seen; `None` if there is none.
    pub(super) fn read(&self) -> Result<Option<Seen>, StoreError> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| io_error(&error))?,
        };
        let mut line = std::vec::Vec::new();
        file.take(Seen::LENGTH as u64 + 1)
            .read_to_end(&mut line)
            .map_err(|error| io_error(&error))?;
        let seen = str::from_utf8(&line).ok().and_then(Seen::decode);
        seen.map(Some)
            .ok_or(StoreError::Restored(Restored::BadWitness))
    }

    /// Has it see this, durably, and makes it if it isn't there.
    pub(super) fn begin(&mut self, seen: Seen) -> Result<(), StoreError> {
        let begun = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            #[cfg(unix)]
            {
                use std::os::unix::fs::OpenOptionsExt;
                options.mode(0o600);
            }
            let mut file = options.open(&self.path)?;
            file.write_all(seen.encode().as_bytes())?;
            file.set_len(Seen::LENGTH as u64)?;
            file.sync_all()?;
            let folder = self.path.parent();
            let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(file)
        };
        let file = begun().map_err(|error: std::io::Error| {
            StoreError::Io(std::format!("its witness: {}", error.kind()))
        })?;
        self.file = Some(file);
        Ok(())
    }

    /// Has it see this.
    pub(super) fn see(&mut self, seen: Seen) -> Result<(), StoreError> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        // One write of one line: a process that is killed leaves the old one or the new one.
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(seen.encode().as_bytes()))
            .map_err(|error| StoreError::Io(error.kind().to_string()))
    }
}

/// Whether a store goes on from what was seen of it.
///
/// One that counts no commits is new, or of a version that had no witness.
pub(super) fn verdict(store: Option<Seen>, seen: Option<Seen>) -> Option<Restored> {
    match (store, seen) {
        (None, None | Some(Seen { commits: 0, .. })) => None,
        (None, Some(seen)) => Some(Restored::Older {
            commits: 0,
            seen: seen.commits,
        }),
        (Some(_), None) => Some(Restored::NoWitness),
        (Some(store), Some(seen)) if store.store != seen.store => Some(Restored::Other),
        (Some(store), Some(seen)) => (store.commits < seen.commits).then_some(Restored::Older {
            commits: store.commits,
            seen: seen.commits,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_nothing_else_is() {
        let seen = Seen {
            store: 0x00ab_0000_0000_0001,
            commits: u64::MAX,
        };
        let line = seen.encode();
        assert_eq!(line.len(), Seen::LENGTH);
        assert_eq!(Seen::decode(&line), Some(seen));
        for bad in [
            "",
            "\n",
            &line[1..],
            &line[..Seen::LENGTH - 1],
            &line.to_uppercase(),
            &line.replace("store 00", "store +0"),
        ] {
            assert_eq!(Seen::decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_a_store_that_has_seen_all_goes_on() {
        let seen = |store, commits| Some(Seen { store, commits });
        for (store, witness, expected) in [
            (None, None, None),
            (None, seen(1, 0), None),
            (seen(1, 5), seen(1, 5), None),
            (seen(1, 6), seen(1, 5), None),
            (
                seen(1, 4),
                seen(1, 5),
                Some(Restored::Older {
                    commits: 4,
                    seen: 5,
                }),
            ),
            (
                None,
                seen(1, 5),
                Some(Restored::Older {
                    commits: 0,
                    seen: 5,
                }),
            ),
            (seen(2, 9), seen(1, 5), Some(Restored::Other)),
            (seen(1, 5), None, Some(Restored::NoWitness)),
        ] {
            assert_eq!(verdict(store, witness), expected);
        }
    }
}
