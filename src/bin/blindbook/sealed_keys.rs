//! The keys of a rotation, in files beside the evaluation key:
//!
//! ```text
//! evaluation.key          the key in use
//! evaluation.key.next     the key of the new epoch, until it takes the place of the one in use
//! evaluation.key.delta    what leads from one to the other
//! evaluation.key.old      the key that was in use, on its way to being destroyed
//! ```
//!
//! All are sealed in the same way. To destroy one it is overwritten and removed; what a disk or a backup keeps nevertheless is
//! sealed still.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use blindbook::{
    oprf::Epoch,
    server::{Delta, EvaluationKey},
    store::{KeyKeeper, NextKey},
};

use crate::{
    failure::Failure,
    files::with_suffix,
    seal::{self, Kind, Unlock},
};

/// Keeps the keys of a rotation beside the evaluation key, sealed as that is.
pub(crate) struct SealedKeys {
    evaluation: PathBuf,
    unlock: Arc<Unlock>,
}

impl SealedKeys {
    pub(crate) fn new(evaluation: PathBuf, unlock: Arc<Unlock>) -> Self {
        Self { evaluation, unlock }
    }

    fn file(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.evaluation, suffix)
    }

    fn next(&self) -> PathBuf {
        self.file(".next")
    }

    fn delta(&self) -> PathBuf {
        self.file(".delta")
    }

    fn old(&self) -> PathBuf {
        self.file(".old")
    }

    fn sync(&self) -> io::Result<()> {
        sync_folder_of(&self.evaluation)
    }

    fn epoch_in_use(&self) -> io::Result<u64> {
        seal::open(&self.evaluation, Kind::EvaluationKey, &self.unlock)
            .map(|(_, epoch)| epoch)
            .map_err(failed)
    }
}

impl KeyKeeper for SealedKeys {
    fn keep(&self, next: &NextKey) -> io::Result<()> {
        let delta = next.delta.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
        // Left by an attempt that ended before the key was there: it leads nowhere.
        if !self.next().try_exists()? {
            destroy(&self.delta())?;
        }
        let epoch = next.epoch.get();
        let seal = |path: &Path, kind, secret: &[u8; 32]| {
            seal::seal(path, kind, epoch, secret, &self.unlock).map_err(failed)
        };
        seal(&self.delta(), Kind::Delta, delta.expose().expose())?;
        seal(
            &self.next(),
            Kind::EvaluationKey,
            next.key.expose().expose(),
        )?;
        self.sync()
    }

    fn kept(&self) -> io::Result<Option<NextKey>> {
        if !self.next().try_exists()? {
            return Ok(None);
        }
        let open = |path: &Path, kind| seal::open(path, kind, &self.unlock).map_err(failed);
        let (mut key, epoch) = open(&self.next(), Kind::EvaluationKey)?;
        let delta = if is_there(&self.delta())? {
            let (mut delta, of) = open(&self.delta(), Kind::Delta)?;
            let delta = Delta::from_bytes(&mut delta).map_err(io::Error::other)?;
            (of == epoch).then_some(delta)
        } else {
            None
        };
        Ok(Some(NextKey {
            epoch: Epoch::new(epoch),
            key: EvaluationKey::from_bytes(&mut key).map_err(io::Error::other)?,
            delta,
        }))
    }

    fn destroy_delta(&self) -> io::Result<()> {
        destroy(&self.delta())
    }

    fn promote(&self, epoch: Epoch) -> io::Result<()> {
        if self.epoch_in_use()? != epoch.get() {
            let next = self.kept()?.filter(|next| next.epoch == epoch);
            next.ok_or(io::ErrorKind::NotFound)?;
            // A second name for the old key, so that there is something to overwrite when the first one is the new key's.
            match fs::hard_link(&self.evaluation, self.old()) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            fs::rename(self.next(), &self.evaluation)?;
            self.sync()?;
        }
        destroy(&self.old())
    }
}

impl fmt::Debug for SealedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedKeys").finish_non_exhaustive()
    }
}

/// Makes durable that there is a file of a name, or none any more.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Whether there is a file, and not one that was being [destroyed](destroy) when the process ended.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        sealed => Ok(sealed?.iter().any(|byte| *byte != 0)),
    }
}

/// Overwrites and removes a file, if it is there.
pub(crate) fn destroy(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    file.write_all(&vec![0; usize::try_from(length).unwrap_or(0)])?;
    file.sync_all()?;
    fs::remove_file(path)?;
    sync_folder_of(path)
}

pub(crate) fn failed(failure: Failure) -> io::Error {
    io::Error::other(failure.to_string())
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};
    use zeroize::Zeroizing;

    use super::*;

    fn keys(folder: &Path) -> SealedKeys {
        let unlock = Arc::new(Unlock::KeyFile(Zeroizing::new([1; 32])));
        SealedKeys::new(folder.join("evaluation.key"), unlock)
    }

    fn next(epoch: u64) -> NextKey {
        let mut rng = StdRng::from_seed([3; 32]);
        NextKey {
            epoch: Epoch::new(epoch),
            key: EvaluationKey::random(&mut rng),
            delta: Some(Delta::random(&mut rng)),
        }
    }

    fn begun(folder: &Path) -> SealedKeys {
        let keys = keys(folder);
        seal::seal(
            &keys.evaluation,
            Kind::EvaluationKey,
            7,
            &[9; 32],
            &keys.unlock,
        )
        .unwrap();
        keys
    }

    #[test]
    fn the_next_key_takes_the_place_of_the_old_one_wherever_it_was_interrupted() {
        let wanted = next(8);
        for interrupted in 0..4 {
            let folder = tempfile::tempdir().unwrap();
            let keys = begun(folder.path());
            // A delta without a key was left by an attempt before.
            seal::seal(&keys.delta(), Kind::Delta, 8, &[2; 32], &keys.unlock).unwrap();
            assert!(keys.kept().unwrap().is_none());
            keys.keep(&wanted).unwrap();
            assert!(keys.keep(&wanted).is_err());
            let kept = keys.kept().unwrap().unwrap();
            assert_eq!(kept.epoch, wanted.epoch);
            assert_eq!(kept.key.public_key(), wanted.key.public_key());
            let (kept, delta) = (kept.delta.unwrap(), wanted.delta.as_ref().unwrap());
            assert_eq!(kept.expose().expose(), delta.expose().expose());
            let old = fs::read(&keys.evaluation).unwrap();
            if interrupted > 0 {
                keys.destroy_delta().unwrap();
            }
            if interrupted > 1 {
                fs::hard_link(&keys.evaluation, keys.old()).unwrap();
            }
            if interrupted > 2 {
                fs::rename(keys.next(), &keys.evaluation).unwrap();
            }
            for _ in 0..2 {
                keys.destroy_delta().unwrap();
                keys.promote(Epoch::new(8)).unwrap();
            }
            assert_eq!(keys.epoch_in_use().unwrap(), 8);
            assert!(keys.kept().unwrap().is_none());
            let left = fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(left, 1, "{interrupted}");
            assert_ne!(fs::read(&keys.evaluation).unwrap(), old);
        }
    }

    /// A service that is killed between the two has to start again.
    #[test]
    fn a_delta_that_is_overwritten_and_not_yet_removed_is_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let keys = begun(folder.path());
        keys.keep(&next(8)).unwrap();
        let length = fs::read(keys.delta()).unwrap().len();
        fs::write(keys.delta(), vec![0; length]).unwrap();
        assert!(keys.kept().unwrap().unwrap().delta.is_none());
        keys.destroy_delta().unwrap();
        keys.promote(Epoch::new(8)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_takes_the_place_of_a_key_but_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let keys = begun(folder.path());
        assert!(keys.promote(Epoch::new(8)).is_err());
        keys.keep(&next(9)).unwrap();
        assert!(keys.promote(Epoch::new(8)).is_err());
        assert_eq!(keys.epoch_in_use().unwrap(), 7);
    }
}
