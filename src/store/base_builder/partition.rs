//! Members whose tags begin with the same bits: on disk in any order, then in memory in ascending order.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Write},
    path::PathBuf,
    vec::Vec,
};

use crate::oprf::Tag;

/// Bytes of memory that a member takes while it is sorted, besides its record.
const PER_MEMBER: u64 = 16;
const TAG: usize = 8;

/// Records of tag and sealed label, one after the other.
#[derive(Debug)]
pub(super) struct Partition {
    path: PathBuf,
    stride: usize,
    buffer: usize,
    count: u64,
    file: Option<BufWriter<File>>,
}

impl Partition {
    pub(super) const fn new(path: PathBuf, stride: usize, buffer: usize) -> Self {
        Self {
            path,
            stride,
            buffer,
            count: 0,
            file: None,
        }
    }

    pub(super) fn create(mut self) -> io::Result<Self> {
        let file = File::create(&self.path)?;
        self.file = Some(BufWriter::with_capacity(self.buffer, file));
        Ok(self)
    }

    /// Opens one that has at least so many members, and forgets those behind.
    pub(super) fn reopen(mut self, count: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(&self.path)?;
        let length = count * self.record() as u64;
        if file.metadata()?.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.set_len(length)?;
        self.file = Some(BufWriter::with_capacity(self.buffer, file));
        self.count = count;
        Ok(self)
    }

    pub(super) fn add(&mut self, tag: Tag, sealed_label: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        file.write_all(&tag.get().to_be_bytes())?;
        file.write_all(sealed_label)?;
        self.count += 1;
        Ok(())
    }

    pub(super) const fn len(&self) -> u64 {
        self.count
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        file.flush()?;
        file.get_ref().sync_data()
    }

    /// Ends the adding; durable it needn't be, since what is made of it is.
    pub(super) fn close(&mut self) -> io::Result<()> {
        match self.file.take() {
            Some(mut file) => file.flush(),
            None => Ok(()),
        }
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    const fn record(&self) -> usize {
        TAG + self.stride
    }

    fn memory(&self) -> u64 {
        self.count * (self.record() as u64 + PER_MEMBER)
    }

    fn sort(&self) -> io::Result<Sorted> {
        let mut records = Vec::new();
        File::open(&self.path)?.read_to_end(&mut records)?;
        Ok(Sorted::new(records, self.stride))
    }

    /// Spreads one that memory doesn't hold over 256, by the bits behind those that they have in common.
    fn split(&self, shift: u32) -> io::Result<Vec<Self>> {
        let mut parts = (0..256_u32)
            .map(|index| {
                let mut path = self.path.clone().into_os_string();
                path.push(std::format!("-{index:03}"));
                Self::new(path.into(), self.stride, 1 << 14).create()
            })
            .collect::<io::Result<Vec<_>>>()?;
        let mut records = io::BufReader::with_capacity(1 << 20, File::open(&self.path)?);
        let mut record = std::vec![0; self.record()];
        for _ in 0..self.count {
            records.read_exact(&mut record)?;
            let (tag, label) = record.split_at(TAG);
            let tag = tag_of(tag);
            let index = (tag.get() >> shift) as usize & 0xff;
            if let Some(part) = parts.get_mut(index) {
                part.add(tag, label)?;
            }
        }
        parts.iter_mut().try_for_each(Self::close)?;
        Ok(parts)
    }
}

/// Partitions that are sorted together, and fit into half of the memory.
#[derive(Debug)]
pub(super) struct Group(Vec<Work>);

#[derive(Debug)]
struct Work {
    partition: Partition,
    /// The bits that all of its tags begin with.
    shared: u32,
}

/// All of the partitions in ascending order, in groups.
pub(super) fn groups(
    partitions: &[Partition],
    memory: usize,
) -> impl Iterator<Item = io::Result<Group>> {
    // The next one last.
    let mut ahead: Vec<Work> = partitions
        .iter()
        .rev()
        .map(|partition| Work {
            partition: Partition {
                path: partition.path.clone(),
                file: None,
                ..*partition
            },
            shared: super::BITS,
        })
        .collect();
    // A quarter is for what is beside: the outline, the buffers of a split.
    let budget = (memory as u64 / 8 * 3).min(1 << 36);
    core::iter::from_fn(move || {
        let mut group = Vec::new();
        let mut taken = 0;
        while let Some(next) = ahead.pop() {
            if next.partition.memory() > budget && next.shared < u64::BITS {
                match next.split() {
                    Ok(parts) => ahead.extend(parts.into_iter().rev()),
                    Err(error) => return Some(Err(error)),
                }
                continue;
            }
            taken += next.partition.memory();
            if taken > budget && !group.is_empty() {
                ahead.push(next);
                break;
            }
            group.push(next);
        }
        (!group.is_empty()).then_some(Ok(Group(group)))
    })
}

impl Work {
    fn split(&self) -> io::Result<Vec<Self>> {
        let shared = self.shared + 8;
        let parts = self.partition.split(u64::BITS - shared)?;
        self.remove_part()?;
        let parts = parts.into_iter();
        Ok(parts.map(|partition| Self { partition, shared }).collect())
    }

    fn sort(&self) -> io::Result<Sorted> {
        let sorted = self.partition.sort()?;
        self.remove_part()?;
        Ok(sorted)
    }

    /// What came out of a split can be split again; the partitions themselves stay.
    fn remove_part(&self) -> io::Result<()> {
        if self.shared == super::BITS {
            return Ok(());
        }
        self.partition.remove()
    }
}

impl Group {
    pub(super) fn sort(self) -> io::Result<Vec<Sorted>> {
        #[cfg(feature = "parallel")]
        {
            use rayon::prelude::*;
            self.0.par_iter().map(Work::sort).collect()
        }
        #[cfg(not(feature = "parallel"))]
        self.0.iter().map(Work::sort).collect()
    }
}

/// The members of a partition in ascending order, of each tag the one with the least label.
#[derive(Debug)]
pub(super) struct Sorted {
    records: Vec<u8>,
    record: usize,
    /// Tags, and which record is theirs.
    order: Vec<(u64, u32)>,
    duplicates: u64,
}

impl Sorted {
    fn new(records: Vec<u8>, stride: usize) -> Self {
        let record = TAG + stride;
        let mut order: Vec<(u64, u32)> = records
            .chunks_exact(record)
            .zip(0..)
            .map(|(bytes, index)| (tag_of(bytes).get(), index))
            .collect();
        order.sort_unstable();
        let count = order.len();
        let label = |index: u32| label_of(&records, record, index);
        for same in order.chunk_by_mut(|a, b| a.0 == b.0) {
            if same.len() > 1 {
                same.sort_unstable_by(|a, b| label(a.1).cmp(label(b.1)));
            }
        }
        order.dedup_by_key(|(tag, _)| *tag);
        Self {
            record,
            duplicates: (count - order.len()) as u64,
            order,
            records,
        }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (Tag, &[u8])> {
        self.order.iter().map(|(tag, index)| {
            let label = label_of(&self.records, self.record, *index);
            (Tag::new(*tag), label)
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.order.len() as u64
    }

    pub(super) const fn duplicates(&self) -> u64 {
        self.duplicates
    }
}

fn tag_of(record: &[u8]) -> Tag {
    let bytes = record.first_chunk().copied().unwrap_or_default();
    Tag::new(u64::from_be_bytes(bytes))
}

fn label_of(records: &[u8], record: usize, index: u32) -> &[u8] {
    let start = index as usize * record;
    records.get(start + TAG..start + record).unwrap_or_default()
}
