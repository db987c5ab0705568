//! Headers, integers and limits: what all messages have in common.

use alloc::vec::Vec;

use crate::oprf::{BadElement, BadProof, BatchSizeError, Encoding};

/// The version of all messages here.
pub const VERSION: u8 = 1;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// Blinded elements.
    EvaluateRequest = 1,
    /// Evaluated elements and their proof.
    EvaluateResponse = 2,
    /// Members to put into the directory.
    EnrolRequest = 3,
    /// Members to take out of it.
    RemoveRequest = 4,
    /// What became of either.
    MembersResponse = 5,
    /// Blinded results of the epoch before.
    CarryOverRequest = 6,
    /// What they are in this epoch, and the proof.
    CarryOverResponse = 7,
}

/// Bytes that aren't the message that was expected. The sender is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Shorter than its header or its count says.
    #[error("the message is shorter than it says")]
    Truncated,
    /// Longer than its count says.
    #[error("the message is longer than it says")]
    TrailingBytes,
    /// Another version than [`VERSION`].
    #[error("version {0} of the messages isn't known here")]
    UnknownVersion(u8),
    /// Another kind of message than was expected.
    #[error("another kind of message was expected, not {0}")]
    UnexpectedKind(u8),
    /// A count out of its range.
    #[error(transparent)]
    BatchSize(#[from] BatchSizeError),
    /// A field with a value that has no meaning.
    #[error("the field {0} has a value without meaning")]
    BadField(&'static str),
    /// An element that is not canonical, or the identity.
    #[error(transparent)]
    BadElement(#[from] BadElement),
    /// A proof that isn't two reduced scalars.
    #[error(transparent)]
    BadProof(#[from] BadProof),
}

/// A message: a header, then a body.
pub trait Message: Sized {
    /// Its kind.
    const KIND: Kind;

    /// Appends everything that follows the header.
    fn encode_body(&self, out: &mut Vec<u8>);

    /// Reads everything that follows the header.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The bytes of the message.
    #[must_use]
    fn encode(&self) -> Vec<u8> {
        let mut out = alloc::vec![VERSION, Self::KIND as u8];
        self.encode_body(&mut out);
        out
    }

    /// Reads one message that fills `bytes`.
    ///
    /// # Errors
    ///
    /// Anything but exactly one message of this kind; see [`DecodeError`].
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(bytes);
        let [version] = reader.array()?;
        if version != VERSION {
            return Err(DecodeError::UnknownVersion(version));
        }
        let [kind] = reader.array()?;
        if kind != Self::KIND as u8 {
            return Err(DecodeError::UnexpectedKind(kind));
        }
        let message = Self::decode_body(&mut reader)?;
        if !reader.0.is_empty() {
            return Err(DecodeError::TrailingBytes);
        }
        Ok(message)
    }
}

/// What is left of a message.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A string of at most `longest` bytes behind its length.
    pub(super) fn text(
        &mut self,
        field: &'static str,
        longest: usize,
    ) -> Result<&'a str, DecodeError> {
        let length = usize::from(self.u8()?);
        if length > longest {
            return Err(DecodeError::BadField(field));
        }
        core::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::BadField(field))
    }

    /// Refuses a count whose items of `stride` bytes, and `after` bytes behind them, aren't all there is.
    pub(super) fn check_count(
        &self,
        count: usize,
        stride: usize,
        after: usize,
    ) -> Result<(), DecodeError> {
        let expected = count
            .checked_mul(stride)
            .and_then(|items| items.checked_add(after))
            .ok_or(DecodeError::Truncated)?;
        match self.0.len() {
            there if there < expected => Err(DecodeError::Truncated),
            there if there > expected => Err(DecodeError::TrailingBytes),
            _ => Ok(()),
        }
    }

    /// `count` encodings; call [`check_count`](Self::check_count) first.
    pub(super) fn encodings(&mut self, count: usize) -> Result<Vec<Encoding>, DecodeError> {
        let (encodings, _) = self.take(count * size_of::<Encoding>())?.as_chunks();
        Ok(encodings.to_vec())
    }
}

/// A count that has been checked to be at most 65,535.
pub(super) fn put_count(count: usize, out: &mut Vec<u8>) {
    debug_assert!(count <= usize::from(u16::MAX));
    out.extend_from_slice(&(count as u16).to_be_bytes());
}
