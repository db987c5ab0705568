//! The embedded durable store: one file, one process.
//!
//! One thread writes. It takes what is waiting, up to [`GROUP`], makes all of it one transaction with two
//! phases and quick repair, and answers when that is on the disk. So a thousand requests share a few
//! `fsync`s a second, and no answer leaves before its debit is durable. What charges change is written to a log in the same
//! file, and [later](pending) to where it belongs. If a transaction fails, everybody in it
//! is told, and the store stays closed: redb takes nothing more after an I/O error.
//!
//! ```text
//! submit --> bounded queue --> writer thread: begin, run each, commit --> replies
//!                 full: Overloaded
//! ```
//!
//! The tables are drawn in [`tables`].

mod canaries;
mod evidence;
mod incident;
mod ledger;
mod member;
mod options;
mod pending;
mod restored;
mod rotation;
mod settings;
mod signals;
mod tables;
#[cfg(test)]
mod tests;
mod witness;
mod writer;

use std::{
    format,
    fs::OpenOptions,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use rand::{TryRng, rngs::SysRng};
use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageBackend,
    StorageError, backends::FileBackend,
};

pub use self::options::StoreOptions;
pub use self::restored::{NewestManifest, RestoreError, RestorePlan, RestoreTerms, RestoredStore};

use self::{
    pending::Pending,
    tables::Tables,
    witness::{Seen, Witness, verdict},
    writer::{Writer, transact},
};
use super::{
    Changed, Findable, Progress, Settled, Store, StoreError, StoredManifest, SweepKey, Swept,
};
use crate::{
    oprf::{Encoding, Epoch},
    server::{
        directory::{BatchOutcome, MemberBatch, MemberRows, change},
        ledger::Suspension,
        quota::{ChargeOutcome, ChargeRows, Debit, QuotaStore, charge},
    },
    timestamp::Timestamp,
};

/// A store in one file, open in this process alone.
///
/// Reads block the calling thread for as long as the disk takes; writes wait for the writer thread.
#[derive(Debug)]
pub struct RedbStore {
    database: Arc<Database>,
    writer: Writer,
}

impl RedbStore {
    /// Opens the store in a file, or makes one that only its owner can read and write, with no [options](StoreOptions).
    ///
    /// # Errors
    ///
    /// As [`StoreOptions::open`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        StoreOptions::new().open(path)
    }

    fn open_watched(
        backend: impl StorageBackend,
        cache: usize,
        witness: Option<Witness>,
    ) -> Result<Self, StoreError> {
        let open = || {
            let database = open_database(backend, cache)?;
            let mut pending = tables::pending(&database.begin_read().map_err(store_error)?)?;
            let witness = goes_on(&database, &mut pending, witness)?;
            Ok((Arc::new(database), pending, witness))
        };
        let (database, pending, witness) = guarded(open)?;
        Ok(Self {
            writer: Writer::start(Arc::clone(&database), pending, witness)?,
            database,
        })
    }
}

/// Opens a file, or makes one.
fn file(path: &Path) -> Result<FileBackend, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let file = options.open(path).map_err(|error| io_error(&error))?;
    // The file's name has to survive as well as its content.
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        && let Ok(folder) = std::fs::File::open(folder)
    {
        folder.sync_all().map_err(|error| io_error(&error))?;
    }
    FileBackend::new(file).map_err(open_error)
}

fn open_database(backend: impl StorageBackend, cache: usize) -> Result<Database, StoreError> {
    Builder::new()
        .set_cache_size(cache)
        .create_with_backend(backend)
        .map_err(open_error)
}

/// What a store is told apart by.
fn random_name() -> Result<u64, StoreError> {
    SysRng
        .try_next_u64()
        .map_err(|_| StoreError::Io(String::from("no random source")))
}

/// Checks that the store goes on from what its witness has seen, and has it go on.
fn goes_on(
    database: &Database,
    pending: &mut Pending,
    witness: Option<Witness>,
) -> Result<Option<Witness>, StoreError> {
    let Some(mut witness) = witness else {
        transact(database, pending, |tables| {
            tables.check_version()?;
            tables.trim_log()
        })?;
        return Ok(None);
    };
    let known = tables::seen(&database.begin_read().map_err(store_error)?)?;
    let seen = witness.read()?;
    if let Some(restored) = verdict(known, seen) {
        return Err(restored.into());
    }
    let begins = match known.or(seen) {
        Some(begins) => begins,
        None => Seen {
            store: random_name()?,
            commits: 0,
        },
    };
    if known.is_none() {
        // First, so that a store that counts has a witness, whenever the process ends.
        witness.begin(begins)?;
    }
    let seen = transact(database, pending, |tables| {
        tables.check_version()?;
        tables.trim_log()?;
        tables.name(begins.store)?;
        tables.count()
    })?;
    witness.begin(seen)?;
    Ok(Some(witness))
}

impl RedbStore {
    pub(in crate::store::redb) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        guarded(|| work(&self.database.begin_read().map_err(store_error)?))
    }
}

/// redb panics at some of what a damaged file can say.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::Damaged(String::from("it contradicts itself"))))
}

impl QuotaStore for RedbStore {
    type Error = StoreError;

    async fn charge(&self, debit: Debit) -> Result<ChargeOutcome, StoreError> {
        self.writer
            .submit(1, move |tables| charge(tables, &debit))
            .await
    }
}

impl Store for RedbStore {
    async fn change_members(&self, batch: MemberBatch) -> Result<BatchOutcome, StoreError> {
        self.writer
            .submit(batch.changes.len(), |tables| {
                if tables.is_over(batch.epoch)? {
                    return Ok(None);
                }
                change(tables, batch).map(Some)
            })
            .await?
            .ok_or(StoreError::EpochOver)
    }

    async fn findable(
        &self,
        epoch: Epoch,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<Vec<Findable>, StoreError> {
        self.read(|read| tables::findable(read, epoch, after, limit))
    }

    async fn progress(&self) -> Result<Progress, StoreError> {
        self.read(tables::progress)
    }

    async fn changed(
        &self,
        epoch: Epoch,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<Vec<Changed>, StoreError> {
        self.read(|read| tables::changed(read, epoch, after, limit))
    }

    async fn drop_settled(&self, limit: usize) -> Result<usize, StoreError> {
        self.writer
            .submit(limit, move |tables| tables.drop_settled(limit))
            .await
    }

    async fn forget(&self, at: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.writer
            .submit(limit, move |tables| {
                let at = tables.latest()?.map_or(at, |latest| latest.min(at));
                if tables.is_frozen()? {
                    return Ok(0);
                }
                let due = tables.due(at, limit)?;
                for (epoch, unblinded) in &due {
                    let before = tables.member(*epoch, unblinded)?;
                    let after = before.clone().and_then(|member| member.forget(at));
                    tables.set_member(*epoch, unblinded, before.as_ref(), after.as_ref())?;
                }
                Ok(due.len())
            })
            .await
    }

    async fn suspend(&self, suspension: Suspension) -> Result<(), StoreError> {
        self.writer
            .submit(1, move |tables| tables.suspend(&suspension))
            .await
    }

    async fn sweep(
        &self,
        at: Timestamp,
        after: Option<SweepKey>,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        // Looking is most of the work and doesn't keep charges waiting; what is found is looked at again.
        let first = after.is_none();
        let from = after.clone();
        let waits = move |tables: &mut Tables<'_>| tables.waits_to_be_swept(from.as_ref());
        if self.writer.look(waits).await? {
            let from = after.clone();
            self.writer
                .submit(limit, move |tables| tables.fold_swept(from.as_ref(), limit))
                .await?;
        }
        let (at, spent, last) = self.read(|read| {
            let at = tables::latest(read)?.map_or(at, |latest| latest.min(at));
            let (spent, last) = tables::spent_rows(read, at, after, limit)?;
            Ok((at, spent, last))
        })?;
        if spent.is_empty() && !first {
            return Ok(Swept { last, forgotten: 0 });
        }
        let forgotten = self
            .writer
            .submit(spent.len().max(1), move |tables| {
                if first {
                    tables.forget_past(at)?;
                }
                tables.forget_spent(at, &spent)
            })
            .await?;
        Ok(Swept { last, forgotten })
    }

    async fn check(&self) -> Result<(), StoreError> {
        if !self.writer.is_open() {
            return Err(StoreError::Closed);
        }
        self.latest_manifest().await.map(drop)
    }

    async fn key_evaluations(&self, epoch: Epoch) -> Result<u64, StoreError> {
        self.read(|read| tables::evaluations(read, epoch))
    }

    async fn latest_manifest(&self) -> Result<Option<StoredManifest>, StoreError> {
        self.read(tables::latest_manifest)
    }

    async fn append_manifest(
        &self,
        manifest: StoredManifest,
        settled: Settled,
    ) -> Result<bool, StoreError> {
        self.writer
            .submit(1, move |tables| tables.append_manifest(&manifest, settled))
            .await
    }
}

fn open_error(error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::Locked
        }
        DatabaseError::Storage(error) => store_error(error),
        DatabaseError::UpgradeRequired(version) => StoreError::Version(u64::from(version)),
        other => StoreError::Damaged(other.to_string()),
    }
}

fn store_error(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(what) => StoreError::Damaged(what),
        redb::Error::Io(error) => io_error(&error),
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => StoreError::Closed,
        other => StoreError::Damaged(other.to_string()),
    }
}

fn io_error(error: &std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
            StoreError::Damaged(String::from("not a store, or truncated"))
        }
        kind => StoreError::Io(format!("{kind}")),
    }
}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        store_error(error)
    }
}
