//! Where the bytes of a segment come from.

use alloc::borrow::Cow;
#[cfg(feature = "std")]
use alloc::vec::Vec;

use super::format::SegmentError;

/// The bytes of a segment: a slice or a memory map, a file, a download, ranges of a remote object.
///
/// Nothing that it returns is believed: every byte that is used is checked against what the publisher signed.
pub trait ReadAt {
    /// Why bytes can't be had, or what is wrong with them.
    type Error: From<SegmentError>;

    /// The `length` bytes from `offset` on.
    ///
    /// A segment is read from front to back, but for its tags and labels when it is read in whole: each of the
    /// two from front to back.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Length`] if there are fewer, before memory is taken for more than there are.
    fn read_at(&mut self, offset: u64, length: u64) -> Result<Cow<'_, [u8]>, Self::Error>;
}

impl<T: AsRef<[u8]> + ?Sized> ReadAt for &T {
    type Error = SegmentError;

    fn read_at(&mut self, offset: u64, length: u64) -> Result<Cow<'_, [u8]>, SegmentError> {
        let end = offset.checked_add(length).ok_or(SegmentError::Length)?;
        usize::try_from(offset)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(start, end)| (*self).as_ref().get(start..end))
            .map(Cow::Borrowed)
            .ok_or(SegmentError::Length)
    }
}

/// Bytes that can't be read, or aren't a segment's.
#[cfg(feature = "std")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file or the connection is to blame.
    #[error("the segment can't be read: {0}")]
    Io(#[from] std::io::Error),
    /// Who published or delivered it is to blame.
    #[error(transparent)]
    Segment(#[from] SegmentError),
}

/// A stream that is read from front to back and skips what isn't asked for, in constant memory.
///
/// Suits [`Segment::open`](super::Segment::open) and [`Search`](super::Search), not reading in whole.
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct Forward<R> {
    inner: R,
    position: u64,
}

#[cfg(feature = "std")]
impl<R: std::io::Read> Forward<R> {
    /// Takes a stream that stands at the first byte of a segment.
    pub const fn new(inner: R) -> Self {
        Self { inner, position: 0 }
    }
}

#[cfg(feature = "std")]
impl<R: std::io::Read> ReadAt for Forward<R> {
    type Error = ReadError;

    fn read_at(&mut self, offset: u64, length: u64) -> Result<Cow<'_, [u8]>, ReadError> {
        use std::io::{self, Read};

        let skipped = offset
            .checked_sub(self.position)
            .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        let skipped = io::copy(&mut self.inner.by_ref().take(skipped), &mut io::sink())?;
        self.position += skipped;
        let mut bytes = Vec::new();
        // Memory grows with what arrives and not with what is asked for.
        let read = self.inner.by_ref().take(length).read_to_end(&mut bytes)?;
        self.position += read as u64;
        if self.position != offset.saturating_add(length) {
            return Err(SegmentError::Length.into());
        }
        Ok(Cow::Owned(bytes))
    }
}

/// A file, read where it is asked for.
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct FileSource {
    file: std::fs::File,
    length: u64,
}

#[cfg(feature = "std")]
impl FileSource {
    /// Takes an open file.
    ///
    /// # Errors
    ///
    /// Its length can't be told.
    pub fn new(file: std::fs::File) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }
}

#[cfg(feature = "std")]
impl ReadAt for FileSource {
    type Error = ReadError;

    fn read_at(&mut self, offset: u64, length: u64) -> Result<Cow<'_, [u8]>, ReadError> {
        use std::io::{Read, Seek, SeekFrom};

        let there = offset
            .checked_add(length)
            .is_some_and(|end| end <= self.length);
        let length = usize::try_from(length).ok().filter(|_| there);
        let mut bytes = std::vec![0; length.ok_or(SegmentError::Length)?];
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(&mut bytes)?;
        Ok(Cow::Owned(bytes))
    }
}
