//! Builds a base that memory doesn't hold, from members in any order.
//!
//! Layer 5: files. The sets of the memory's size are [`SegmentBuilder`](crate::snapshot::SegmentBuilder)'s.
//!
//! ```text
//! add ----> 256 partitions on disk, by the highest bits of the tag
//! finish -> partition by partition: sort, code, hash -> tags, labels -> the segment
//! ```
//!
//! The bytes depend on the set alone: not on the order of the members, the memory or the number of threads.

mod journal;
mod partition;
pub(super) mod sections;

use std::{
    fs, io,
    path::{Path, PathBuf},
    vec::Vec,
};

use self::{
    journal::Journal,
    partition::{Partition, Sorted},
    sections::Sections,
};
use crate::{
    label::LabelLength,
    oprf::{Epoch, Tag},
    snapshot::{BuildError, SegmentEntry, SegmentWriter, Written},
};

/// How many bits of the tag choose a partition.
const BITS: u32 = 8;

/// The least memory that is enough, in bytes: 32 MiB.
pub const LEAST_MEMORY: usize = 32 << 20;

/// A base that isn't built. Nothing was put into the folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// The disk doesn't do what it is told.
    #[error("the base can't be written: {0}")]
    Io(#[from] io::Error),
    /// The set isn't one that a segment holds.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// What becomes of members with the same tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// They are an error: [`BuildError::DuplicateTag`].
    Refuse,
    /// The one with the least sealed label stays, and the others are counted.
    Drop,
}

/// Collects members on disk and writes them as a base, in bounded memory.
///
/// Its files lie in a folder of their own. They hold what will be published and nothing else.
#[derive(Debug)]
pub struct BaseBuilder {
    terms: Terms,
    folder: PathBuf,
    memory: usize,
    partitions: Vec<Partition>,
}

/// What is the same for all members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Terms {
    service: [u8; 32],
    epoch: Epoch,
    label_length: LabelLength,
}

/// A base that was built and is durable.
#[derive(Debug)]
#[non_exhaustive]
pub struct BuiltBase {
    /// The file.
    pub path: PathBuf,
    /// Members left out because another one's tag is the same.
    pub collisions: u64,
    written: Written,
}

impl BaseBuilder {
    /// Starts an empty set in a folder of its own, from which whatever lies there is removed.
    ///
    /// `memory` is how much may be taken, in bytes, besides 80 bytes for each thousand members; less than
    /// [`LEAST_MEMORY`] counts as that.
    ///
    /// # Errors
    ///
    /// The folder can't be made or emptied.
    pub fn new(
        folder: &Path,
        service: [u8; 32],
        epoch: Epoch,
        label_length: LabelLength,
        memory: usize,
    ) -> io::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let terms = Terms {
            service,
            epoch,
            label_length,
        };
        Self::open(folder, terms, memory, |partition| partition.create())
    }

    /// Goes on where a [checkpoint](Self::checkpoint) in this folder was made, and says what the caller noted there.
    /// `None`, and the folder is as it was, if there is none under these terms.
    ///
    /// # Errors
    ///
    /// The files can't be read, or are shorter than at the checkpoint.
    pub fn resume(
        folder: &Path,
        service: [u8; 32],
        epoch: Epoch,
        label_length: LabelLength,
        memory: usize,
    ) -> io::Result<Option<(Self, Vec<u8>)>> {
        let terms = Terms {
            service,
            epoch,
            label_length,
        };
        let Some(journal) = Journal::read(folder, &terms)? else {
            return Ok(None);
        };
        let mut counts = journal.counts.into_iter();
        let builder = Self::open(folder, terms, memory, |partition| {
            partition.reopen(counts.next().unwrap_or(0))
        })?;
        Ok(Some((builder, journal.note)))
    }

    fn open(
        folder: &Path,
        terms: Terms,
        memory: usize,
        mut begin: impl FnMut(Partition) -> io::Result<Partition>,
    ) -> io::Result<Self> {
        let memory = memory.max(LEAST_MEMORY);
        // A quarter of the memory for all buffers.
        let buffer = ((memory / 4) >> BITS).min(1 << 18);
        let stride = terms.label_length.sealed();
        let partitions = (0..1_u32 << BITS)
            .map(|index| {
                let path = folder.join(std::format!("partition-{index:03}"));
                begin(Partition::new(path, stride, buffer))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            terms,
            folder: PathBuf::from(folder),
            memory,
            partitions,
        })
    }

    /// Adds a member who can be found.
    ///
    /// # Errors
    ///
    /// [`BuildError::LabelLength`], and the set is as before; or the disk doesn't take it.
    pub fn add(&mut self, tag: Tag, sealed_label: &[u8]) -> Result<(), BaseError> {
        if sealed_label.len() != self.terms.label_length.sealed() {
            return Err(BuildError::LabelLength.into());
        }
        let index = (tag.get() >> (64 - BITS)) as usize;
        let partition = self.partitions.get_mut(index).ok_or(BuildError::TooMany)?;
        Ok(partition.add(tag, sealed_label)?)
    }

    /// How many members were added.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.partitions.iter().map(Partition::len).sum()
    }

    /// Whether none were.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes what was added durable, with a note of the caller's: where to go on.
    ///
    /// # Security
    ///
    /// The note lies in the clear beside public bytes. It isn't the place for an unblinded element.
    ///
    /// # Errors
    ///
    /// The disk doesn't take it; the checkpoint before stays.
    pub fn checkpoint(&mut self, note: &[u8]) -> io::Result<()> {
        for partition in &mut self.partitions {
            partition.sync()?;
        }
        let journal = Journal {
            counts: self.partitions.iter().map(Partition::len).collect(),
            note: note.to_vec(),
        };
        journal.write(&self.folder, &self.terms)
    }

    /// Writes the base into the folder and removes everything else there. `progress` is told how many members were
    /// written, from time to time.
    ///
    /// # Errors
    ///
    /// [`BuildError::DuplicateTag`] if that is refused; or the disk fails.
    pub fn finish(
        mut self,
        duplicates: Duplicates,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<BuiltBase, BaseError> {
        for partition in &mut self.partitions {
            partition.close()?;
        }
        let all = self.len();
        // Coding needs to know how many there are. Duplicates, which chance makes once in thousands of sets, are only
        // known when all is sorted: then it is done again.
        let mut collisions = 0;
        let (sections, written) = loop {
            let count = all - collisions;
            let mut sections = Sections::create(&self.folder)?;
            let terms = &self.terms;
            let mut writer =
                SegmentWriter::base(terms.service, terms.epoch, terms.label_length, count)?;
            sections.begin(writer.head_length())?;
            collisions = self.write(duplicates, &mut progress, &mut writer, &mut sections)?;
            if collisions == all - count {
                let written = writer.finish(&mut sections)?;
                break (sections, written);
            }
        };
        let path = sections.finish(&written.head)?;
        for partition in &self.partitions {
            partition.remove()?;
        }
        Journal::remove(&self.folder)?;
        Ok(BuiltBase {
            path,
            collisions,
            written,
        })
    }

    /// Sorts the partitions, and meanwhile codes those that are sorted. Returns how many duplicates were left out.
    fn write(
        &self,
        duplicates: Duplicates,
        progress: &mut (impl FnMut(u64) + Send),
        writer: &mut SegmentWriter,
        sections: &mut Sections,
    ) -> Result<u64, BaseError> {
        let (mut done, mut collisions) = (0, 0);
        let mut put = |sorted: Vec<Sorted>| -> Result<(), BaseError> {
            for sorted in sorted {
                for (tag, label) in sorted.members() {
                    writer.push(tag, label, sections)?;
                }
                if sorted.duplicates() > 0 && duplicates == Duplicates::Refuse {
                    return Err(BuildError::DuplicateTag.into());
                }
                collisions += sorted.duplicates();
                done += sorted.len();
                progress(done);
            }
            Ok(())
        };
        let mut ready = Vec::new();
        for group in partition::groups(&self.partitions, self.memory) {
            let (sorted, result) = join(|| group?.sort(), || put(ready));
            result?;
            ready = sorted?;
        }
        put(ready)?;
        Ok(collisions)
    }
}

impl BuiltBase {
    /// What a manifest says of it, if it is the first to publish it.
    #[must_use]
    pub fn entry(&self, sequence: u64) -> SegmentEntry {
        self.written.entry(sequence)
    }
}

/// Does both, on two cores if there are.
fn join<A: Send, B: Send>(
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    #[cfg(feature = "parallel")]
    return rayon::join(first, second);
    #[cfg(not(feature = "parallel"))]
    (first(), second())
}
