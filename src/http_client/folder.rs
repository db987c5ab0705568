//! The published set in a folder: a base and what changes it, kept between two syncs.
//!
//! ```text
//! FOLDER/manifest            the signed manifest that names what is here
//! FOLDER/<id>                a segment, checked when it was complete
//! FOLDER/<id>.unfinished     a segment of which the first bytes are here
//! FOLDER/<id>.rebuilt        a base that is being made from others
//! FOLDER/lock                held by the process that uses the folder
//! ```
//!
//! Whatever is interrupted: a segment is there whole under its name or not at all, a manifest is written when its
//! segments are there, and what it doesn't name is removed after that.

mod rebuild;

use std::{
    borrow::ToOwned,
    format,
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
    string::String,
    vec::Vec,
};

use super::{Transport, TransportError, hex};
use crate::snapshot::{
    BuildError, FileSource, Manifest, ReadError, Segment, SegmentEntry, SegmentError,
    SignedManifest, SnapshotPublicKey, cheapest_path,
};

/// Longest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 64 * 1024;

/// A folder that keeps the published set. One process uses it at a time.
///
/// # Security
///
/// The set is public, but that it is here shows that somebody uses the service. What is fetched tells the service
/// when this device synced last.
#[derive(Debug)]
pub struct SetFolder {
    path: PathBuf,
    key: SnapshotPublicKey,
    _lock: File,
}

/// What it took to have the newest set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Fetched {
    /// Bytes that came.
    pub bytes: u64,
    /// Bases that were fetched.
    pub bases: usize,
    /// Deltas that were fetched.
    pub deltas: usize,
    /// Whether a new base was made from what was here, instead of fetching it.
    pub rebuilt: bool,
}

/// Why the newest set can't be had. What is in the folder stays as useful as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// This machine is to blame: a file can't be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// The caller is to blame: another process uses the folder.
    #[error("{0}: another process uses this folder")]
    Locked(PathBuf),
    /// The network or the service is to blame.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A segment's file can't be read, or who published or delivered it is to blame.
    #[error(transparent)]
    Segment(#[from] ReadError),
}

impl SetFolder {
    /// Takes a folder, and makes it if it isn't there. What it holds is believed as far as this key signed it.
    ///
    /// # Errors
    ///
    /// It can't be made or written to, or another process uses it.
    pub fn open(path: &Path, key: SnapshotPublicKey) -> Result<Self, FolderError> {
        fs::create_dir_all(path).map_err(at(path))?;
        let lock = path.join("lock");
        let file = File::create(&lock).map_err(at(&lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(FolderError::Io(lock, error)),
        }
        Ok(Self {
            path: path.to_owned(),
            key,
            _lock: file,
        })
    }

    /// Has the newest set that a manifest names, and lets `read` look at it: a base, then what changes it.
    ///
    /// Fetches what isn't there by the cheapest way. If a new base was published within the epoch, and what is
    /// there leads to it, it is made from that. Segments are checked when they arrive; should a file have
    /// changed since, it is removed and fetched anew, and `read` is called once more.
    ///
    /// # Errors
    ///
    /// See [`FolderError`].
    pub fn read<T>(
        &self,
        transport: &Transport,
        manifest: &Manifest,
        mut read: impl FnMut(&mut [Segment<FileSource>]) -> Result<T, ReadError>,
    ) -> Result<(T, Fetched), FolderError> {
        let mut fetched = Fetched::default();
        let mut path = self.catch_up(transport, manifest, &mut fetched)?;
        let error = match read(&mut path) {
            Ok(done) => return Ok((done, fetched)),
            Err(error) => error,
        };
        let mut removed = false;
        for mut segment in path {
            let id = segment.entry().id;
            if segment.verify().is_err() {
                self.remove(&hex(&id))?;
                removed = true;
            }
        }
        if !removed {
            return Err(error.into());
        }
        let mut path = self.catch_up(transport, manifest, &mut fetched)?;
        Ok((read(&mut path)?, fetched))
    }

    fn catch_up(
        &self,
        transport: &Transport,
        manifest: &Manifest,
        fetched: &mut Fetched,
    ) -> Result<Vec<Segment<FileSource>>, FolderError> {
        let entries = &manifest.claims().segments;
        let newest = manifest.claims().newest();
        let plan = || cheapest_path(entries, newest, |entry| self.cost(entry));
        let needs_base =
            plan().is_some_and(|path| path.first().is_some_and(|base| !self.has(base)));
        if needs_base {
            fetched.rebuilt |= self.rebuild(transport, manifest, fetched)?;
        }
        let path = plan().ok_or(ReadError::from(SegmentError::OtherSet))?;
        let mut opened = Vec::with_capacity(path.len());
        for entry in &path {
            opened.push(self.have(transport, entry, manifest, fetched)?);
        }
        self.vouch(manifest, &path)?;
        Ok(opened)
    }

    /// Opens a segment; fetches it if it isn't there, or what is there under its name isn't it.
    fn have(
        &self,
        transport: &Transport,
        entry: &SegmentEntry,
        manifest: &Manifest,
        fetched: &mut Fetched,
    ) -> Result<Segment<FileSource>, FolderError> {
        if self.has(entry) {
            match self.open_file(&hex(&entry.id), manifest) {
                Err(FolderError::Segment(ReadError::Segment(_))) => self.remove(&hex(&entry.id))?,
                opened => return opened,
            }
        }
        self.fetch(transport, entry, manifest, fetched)?;
        self.open_file(&hex(&entry.id), manifest)
    }

    /// Fetches a segment, from where an earlier try broke off. It is there if this returns.
    fn fetch(
        &self,
        transport: &Transport,
        entry: &SegmentEntry,
        manifest: &Manifest,
        fetched: &mut Fetched,
    ) -> Result<(), FolderError> {
        let name = unfinished(entry);
        let path = self.path.join(&name);
        loop {
            let resumed = self.length(&name).unwrap_or(0);
            if resumed > entry.size {
                self.remove(&name)?;
                continue;
            }
            let mut file = File::options()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(at(&path))?;
            let mut rest = transport.download(&entry.id, entry.size, resumed..entry.size);
            let copied = copy(&mut rest, &mut file);
            let came = self.length(&name).unwrap_or(resumed) - resumed;
            fetched.bytes += came;
            copied.map_err(|error| match error.downcast::<TransportError>() {
                Ok(error) => FolderError::Transport(error),
                Err(error) => FolderError::Io(path.clone(), error),
            })?;
            file.sync_all().map_err(at(&path))?;
            let checked = self
                .open_file(&name, manifest)
                .and_then(|mut segment| Ok(segment.verify()?));
            match checked {
                Ok(()) => break,
                Err(FolderError::Segment(error @ ReadError::Segment(_))) => {
                    self.remove(&name)?;
                    // The first part may be what a crash left; all of it is the service's.
                    if resumed == 0 {
                        return Err(error.into());
                    }
                }
                Err(other) => return Err(other),
            }
        }
        match entry.from {
            0 => fetched.bases += 1,
            _ => fetched.deltas += 1,
        }
        self.finish(&name, entry)
    }

    /// Gives a segment its name, durably.
    fn finish(&self, from: &str, entry: &SegmentEntry) -> Result<(), FolderError> {
        let path = self.path.join(hex(&entry.id));
        fs::rename(self.path.join(from), &path).map_err(at(&path))?;
        self.sync()
    }

    /// Writes the manifest, and removes what isn't on the path that it vouches for.
    fn vouch(&self, manifest: &Manifest, path: &[&SegmentEntry]) -> Result<(), FolderError> {
        let kept: Vec<String> = path.iter().map(|entry| hex(&entry.id)).collect();
        let known = self.manifest();
        if known.is_none_or(|known| known.signed() != manifest.signed()) {
            let (name, half) = (
                self.path.join("manifest"),
                self.path.join("manifest.unfinished"),
            );
            fs::write(&half, manifest.signed()).map_err(at(&half))?;
            let file = File::open(&half).and_then(|file| file.sync_all());
            file.map_err(at(&half))?;
            fs::rename(&half, &name).map_err(at(&name))?;
            self.sync()?;
        }
        for file in fs::read_dir(&self.path).map_err(at(&self.path))? {
            let name = file.map_err(at(&self.path))?.file_name();
            let Some(name) = name.to_str() else { continue };
            let id = name.split('.').next().unwrap_or(name);
            let ours = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if ours && !kept.iter().any(|kept| kept == name) {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    /// The manifest that vouches for what is here, if one does.
    fn manifest(&self) -> Option<Manifest> {
        let mut bytes = Vec::new();
        let file = File::open(self.path.join("manifest")).ok()?;
        file.take(MAX_MANIFEST).read_to_end(&mut bytes).ok()?;
        SignedManifest::decode(&bytes).ok()?.verify(&self.key).ok()
    }

    fn open_file(
        &self,
        name: &str,
        manifest: &Manifest,
    ) -> Result<Segment<FileSource>, FolderError> {
        let path = self.path.join(name);
        let source = File::open(&path)
            .and_then(FileSource::new)
            .map_err(at(&path))?;
        Ok(Segment::open(source, manifest)?)
    }

    fn has(&self, entry: &SegmentEntry) -> bool {
        self.length(&hex(&entry.id)) == Some(entry.size)
    }

    /// Bytes that are still to be fetched.
    fn cost(&self, entry: &SegmentEntry) -> u64 {
        if self.has(entry) {
            return 0;
        }
        let there = self.length(&unfinished(entry)).unwrap_or(0);
        // What is complete but wasn't checked costs something.
        entry.size.saturating_sub(there).max(1)
    }

    fn length(&self, name: &str) -> Option<u64> {
        Some(fs::metadata(self.path.join(name)).ok()?.len())
    }

    fn remove(&self, name: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FolderError::Io(path, error))
            }
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), FolderError> {
        let folder = File::open(&self.path).and_then(|folder| folder.sync_all());
        folder.map_err(at(&self.path))
    }
}

/// What only segments that contradict each other lead to.
impl From<BuildError> for FolderError {
    fn from(_: BuildError) -> Self {
        ReadError::from(SegmentError::NotCanonical).into()
    }
}

fn unfinished(entry: &SegmentEntry) -> String {
    format!("{}.unfinished", hex(&entry.id))
}

/// In pieces that a disk likes.
fn copy(from: &mut impl Read, to: &mut File) -> io::Result<()> {
    let mut to = io::BufWriter::with_capacity(1 << 16, to);
    let copied = io::copy(from, &mut to);
    // What came is kept, however it ended.
    to.into_inner().map_err(io::IntoInnerError::into_error)?;
    copied.map(|_| ())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |error| FolderError::Io(path, error)
}
