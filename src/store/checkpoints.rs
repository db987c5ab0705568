//! The file that checkpoints of the ledger are appended to, outside the store.
//!
//! Layer 5: knows their length, and neither who signs them nor what they say.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    vec::Vec,
};

use crate::server::ledger::Checkpoint;

/// A file of signed checkpoints, one behind the other: the newest is the last.
#[derive(Debug)]
pub struct CheckpointFile(PathBuf);

impl CheckpointFile {
    /// The longest file that is read: 256 MiB, one checkpoint a minute for three years.
    pub const LONGEST: u64 = 256 << 20;

    /// A file that is there, or will be.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Appends a checkpoint, durably. What an interruption has left of one is overwritten.
    ///
    /// # Errors
    ///
    /// The disk doesn't take it.
    pub fn append(&self, checkpoint: &[u8; Checkpoint::LENGTH]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.0)?;
        let length = Checkpoint::LENGTH as u64;
        let whole = file.metadata()?.len() / length * length;
        io::Seek::seek(&mut file, io::SeekFrom::Start(whole))?;
        file.write_all(checkpoint)?;
        file.sync_all()
    }

    /// All checkpoints of a file, whoever signed them, in their order. What is left of an interrupted one at the end isn't one.
    ///
    /// # Errors
    ///
    /// The file can't be read, or is longer than [`Self::LONGEST`].
    pub fn read(path: &Path) -> io::Result<Vec<[u8; Checkpoint::LENGTH]>> {
        let file = File::open(path)?;
        if file.metadata()?.len() > Self::LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Vec::new();
        file.take(Self::LONGEST).read_to_end(&mut bytes)?;
        let (checkpoints, _) = bytes.as_chunks();
        Ok(checkpoints.to_vec())
    }
}
