//! The file of a segment that is being written: the tags in their place, the labels beside it until all tags are known.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::BaseError;
use crate::snapshot::Sink;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;

#[derive(Debug)]
pub(in crate::store) struct Sections {
    path: PathBuf,
    segment: BufWriter<File>,
    labels_path: PathBuf,
    labels: BufWriter<File>,
}

impl Sections {
    pub(in crate::store) fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join("segment");
        let labels_path = folder.join("labels");
        let create = |path: &Path| {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)?;
            io::Result::Ok(BufWriter::with_capacity(BUFFER, file))
        };
        Ok(Self {
            segment: create(&path)?,
            path,
            labels: create(&labels_path)?,
            labels_path,
        })
    }

    /// Leaves room for what comes before the tags.
    pub(in crate::store) fn begin(&mut self, head_length: u64) -> io::Result<()> {
        self.segment.seek(SeekFrom::Start(head_length)).map(drop)
    }

    /// Puts all of it together; the file is durable when this returns.
    pub(in crate::store) fn finish(self, head: &[u8]) -> io::Result<PathBuf> {
        let mut labels = self.labels.into_inner()?;
        let mut segment = self.segment.into_inner()?;
        labels.rewind()?;
        io::copy(&mut labels, &mut segment)?;
        segment.rewind()?;
        segment.write_all(head)?;
        segment.sync_all()?;
        fs::remove_file(&self.labels_path)?;
        Ok(self.path)
    }
}

impl Sink for Sections {
    type Error = BaseError;

    fn tags(&mut self, bytes: &[u8]) -> Result<(), BaseError> {
        Ok(self.segment.write_all(bytes)?)
    }

    fn labels(&mut self, bytes: &[u8]) -> Result<(), BaseError> {
        Ok(self.labels.write_all(bytes)?)
    }
}
