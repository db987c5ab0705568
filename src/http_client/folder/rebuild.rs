//! A new base, made from the old one and what changes it.

use std::{
    format,
    fs::File,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::Path,
    vec::Vec,
};

use super::{Fetched, FolderError, SetFolder, Transport, at, hex};
use crate::snapshot::{
    FileSource, Manifest, Merge, ReadError, Segment, SegmentEntry, Sink, cheapest_path,
};

impl SetFolder {
    /// Makes the base that a manifest names, if that takes less than to fetch it; whether it is there now.
    pub(super) fn rebuild(
        &self,
        transport: &Transport,
        manifest: &Manifest,
        fetched: &mut Fetched,
    ) -> Result<bool, FolderError> {
        let base = manifest.base();
        let (new, old) = (manifest.claims(), self.manifest());
        let old = old.filter(|old| {
            let old = old.claims();
            (&old.service, old.epoch, old.label_length)
                == (&new.service, new.epoch, new.label_length)
        });
        let Some(old) = old else { return Ok(false) };
        let held = old.claims().segments.iter().filter(|old| self.has(old));
        let deltas = new.segments.iter().filter(|delta| delta.from != 0);
        let Some(way) = cheapest_path(held.chain(deltas), base.to, |entry| self.cost(entry)) else {
            return Ok(false);
        };
        let cost = way.iter().map(|entry| self.cost(entry));
        if cost.fold(0, u64::saturating_add) >= self.cost(base) {
            return Ok(false);
        }
        let vouched = |entry: &SegmentEntry| match new.segments.contains(entry) {
            true => manifest,
            false => &old,
        };
        let mut path = Vec::with_capacity(way.len());
        for entry in way {
            if !self.has(entry) {
                self.fetch(transport, entry, manifest, fetched)?;
            }
            match self.open_file(&hex(&entry.id), vouched(entry)) {
                Ok(segment) => path.push(segment),
                Err(FolderError::Segment(ReadError::Segment(_))) => return Ok(false),
                Err(other) => return Err(other),
            }
        }
        let name = format!("{}.rebuilt", hex(&base.id));
        // Of an earlier try.
        self.remove(&name)?;
        match self.merge(path, base, &self.path.join(&name)) {
            Ok(true) => self.finish(&name, base).map(|()| true),
            // What doesn't lead there is of no use: the base is fetched.
            Ok(false) | Err(FolderError::Segment(ReadError::Segment(_))) => {
                self.remove(&name).map(|()| false)
            }
            Err(other) => Err(other),
        }
    }

    /// Writes what a path leads to; whether it is that base.
    fn merge(
        &self,
        path: Vec<Segment<FileSource>>,
        base: &SegmentEntry,
        name: &Path,
    ) -> Result<bool, FolderError> {
        let merge = Merge::new(path)?;
        if merge.members() != base.count {
            return Ok(false);
        }
        let labels = base.count * u64::from(merge.sealed_label());
        let Some(labels) = base.size.checked_sub(labels) else {
            return Ok(false);
        };
        let mut sink = Rebuilt {
            folder: self,
            tags: section(name, base.outline_length()).map_err(at(name))?,
            labels: section(name, labels).map_err(at(name))?,
        };
        let written = merge.write_base(&mut sink)?;
        if written.entry(base.to) != *base {
            return Ok(false);
        }
        let finish = || {
            sink.labels.flush()?;
            let mut file = sink
                .tags
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&written.head)?;
            file.sync_all()
        };
        finish().map_err(at(name)).map(|()| true)
    }
}

/// Writes to a file from `offset` on.
fn section(path: &Path, offset: u64) -> io::Result<BufWriter<File>> {
    let options = File::options();
    let mut file = options
        .clone()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(BufWriter::with_capacity(1 << 16, file))
}

/// A base of which the lengths of all sections are known.
struct Rebuilt<'a> {
    folder: &'a SetFolder,
    tags: BufWriter<File>,
    labels: BufWriter<File>,
}

impl Sink for Rebuilt<'_> {
    type Error = FolderError;

    fn tags(&mut self, bytes: &[u8]) -> Result<(), FolderError> {
        self.tags.write_all(bytes).map_err(at(&self.folder.path))
    }

    fn labels(&mut self, bytes: &[u8]) -> Result<(), FolderError> {
        self.labels.write_all(bytes).map_err(at(&self.folder.path))
    }
}
