//! Enrolment files: what a registrar imports, of any size.
//!
//! Layer 4. It reads `identifier, handle, audience, consented at, region` line by line in constant memory; it must
//! not know what a handle, an audience, a consent or a region means, which is the server role's.
//!
//! ```text
//! identifier,handle,audience,consented_at,region       optional header, recognised on the first line
//! +447700900123,a1b2c3,everyone,2026-11-01T12:00:00Z,GB
//! ada@example.org,d4e5f6
//! ```
//!
//! A record is one line: quoted fields can't hold line feeds. So every line stands for itself, whatever is
//! wrong with the one before, and reading can go on at the start of any line.

use std::prelude::rust_2024::*;
use std::{
    fmt,
    io::{self, BufRead, ErrorKind, Seek, SeekFrom},
};

use thiserror::Error;

use super::{
    FieldKind, Region, RejectReason,
    csv::{Column, kind_of_cell, record_end, split},
    parse_field,
};
use crate::client::identifier::Identifier;

/// The longest line of an enrolment file, in bytes, without its line feed.
pub const MAX_LINE_BYTES: usize = 4096;
const MAX_COLUMNS: usize = 5;

/// One person to enrol.
pub struct EnrolmentRecord {
    /// What the person is found by.
    pub identifier: Identifier,
    /// The handle that the label will hold; empty if the line has none.
    pub handle: String,
    /// The audience, as the file has it; `None` if the line has none.
    pub audience: Option<String>,
    /// When that was consented to, as the file has it; `None` if the line doesn't say.
    pub consented_at: Option<String>,
    /// Where the person lives, as the file has it; `None` if the line doesn't say.
    pub region: Option<String>,
}

impl fmt::Debug for EnrolmentRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentRecord(<redacted>)")
    }
}

/// A place between two lines. Store it after a batch is durable, and resume there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub offset: u64,
    /// The number of the line that begins here, from one.
    pub line: u64,
}

impl Position {
    /// The start of the file.
    pub const START: Self = Self { offset: 0, line: 1 };
}

/// What one line turned out to be.
#[derive(Debug)]
pub struct EnrolmentLine {
    /// The number of the line, from one.
    pub line: u64,
    /// The record, or why the line can't be used.
    pub outcome: Result<EnrolmentRecord, RejectReason>,
    /// Where the next line begins.
    pub next: Position,
}

/// Reads an enrolment file, line by line.
///
/// Fields are separated by what comes first in the line: comma, semicolon or tab. The identifier is
/// an e-mail address if it has an `@` and else a phone number, of the default region if it has no country
/// code. Blank lines are passed over. Every other line but a header comes out, usable or not; lines after an
/// unusable one aren't affected. After a failure of the source the iterator ends.
#[must_use]
pub struct EnrolmentReader<R> {
    source: R,
    region: Option<Region>,
    position: Position,
    line: Vec<u8>,
    failed: bool,
}

impl<R: BufRead> EnrolmentReader<R> {
    /// Starts at the beginning of a file, of which nothing is read yet.
    pub fn new(source: R, region: Option<Region>) -> Self {
        Self {
            source,
            region,
            position: Position::START,
            line: Vec::new(),
            failed: false,
        }
    }

    /// Where the next line begins.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Reads a line into `self.line`, of which at most one byte more than allowed is kept. `false` at the end.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let start = self.position.offset;
        loop {
            let available = match self.source.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = available.iter().position(|&byte| byte == b'\n');
            let content = available
                .get(..end.unwrap_or(available.len()))
                .unwrap_or_default();
            let room = (MAX_LINE_BYTES + 1).saturating_sub(self.line.len());
            self.line.extend(content.iter().take(room));
            let used = content.len() + usize::from(end.is_some());
            self.source.consume(used);
            self.position.offset += used as u64;
            if end.is_some() {
                break;
            }
            if used == 0 {
                if self.position.offset == start {
                    return Ok(false);
                }
                break;
            }
        }
        self.position.line += 1;
        Ok(true)
    }

    fn parse(&self, line: &[u8]) -> Result<EnrolmentRecord, RejectReason> {
        if self.line.len() > MAX_LINE_BYTES {
            return Err(RejectReason::TooLong);
        }
        let text = std::str::from_utf8(line).map_err(|_| RejectReason::NotUtf8)?;
        let delimiter = delimiter(line);
        record_end(line, delimiter)?;
        let fields = split(text, delimiter);
        if fields.len() > MAX_COLUMNS {
            return Err(RejectReason::TooManyColumns);
        }
        let field = |at| fields.get(at).map_or("", str::trim);
        Ok(EnrolmentRecord {
            identifier: parse_field(FieldKind::of(field(0)), field(0), self.region)?,
            handle: field(1).to_owned(),
            audience: optional(field(2)),
            consented_at: optional(field(3)),
            region: optional(field(4)),
        })
    }
}

impl<R: BufRead + Seek> EnrolmentReader<R> {
    /// Goes on where another reader of the same file was.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Position`] if no line begins there; [`ResumeError::Source`] if the file can't be read.
    pub fn resume(
        mut source: R,
        region: Option<Region>,
        position: Position,
    ) -> Result<Self, ResumeError> {
        if (position.line == 1) != (position.offset == 0) || position.line == 0 {
            return Err(ResumeError::Position);
        }
        if let Some(before) = position.offset.checked_sub(1) {
            let size = source.seek(SeekFrom::End(0))?;
            source.seek(SeekFrom::Start(before))?;
            let byte = source.fill_buf()?.first().copied();
            source.consume(usize::from(byte.is_some()));
            // A last line without line feed ends at the end of the file.
            if byte != Some(b'\n') && position.offset != size {
                return Err(ResumeError::Position);
            }
        }
        Ok(Self {
            position,
            ..Self::new(source, region)
        })
    }
}

impl<R: BufRead> Iterator for EnrolmentReader<R> {
    type Item = io::Result<EnrolmentLine>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let Position { offset, line } = self.position;
            match self.read_line() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
            let mut content = self.line.as_slice();
            if offset == 0 {
                content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
            }
            let content = trim(content);
            if content.trim_ascii().is_empty() || (offset == 0 && is_header(content)) {
                continue;
            }
            return Some(Ok(EnrolmentLine {
                line,
                outcome: self.parse(content),
                next: self.position,
            }));
        }
        None
    }
}

impl<R> fmt::Debug for EnrolmentReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentReader")
            .field("region", &self.region)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Why reading can't go on at a [`Position`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The file has changed, or the position is of another one.
    #[error("no line of the file begins at the stored position")]
    Position,
    /// The file can't be read.
    #[error("the file can't be read")]
    Source(#[from] io::Error),
}

fn optional(field: &str) -> Option<String> {
    Some(field)
        .filter(|field| !field.is_empty())
        .map(str::to_owned)
}

/// Drops the white space around a line, but for tabs: they separate fields, and the first may be empty.
fn trim(line: &[u8]) -> &[u8] {
    let is_content = |byte: &u8| !matches!(byte, b' ' | b'\r');
    let start = line.iter().position(is_content).unwrap_or(line.len());
    let end = line.iter().rposition(is_content).map_or(start, |at| at + 1);
    line.get(start..end).unwrap_or_default()
}

/// What separates the fields of a line: the first separator in it, since no identifier holds any.
fn delimiter(line: &[u8]) -> u8 {
    line.iter()
        .copied()
        .find(|byte| b",;\t".contains(byte))
        .unwrap_or(b',')
}

fn is_header(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|text| {
        split(text, delimiter(line)).get(0).is_some_and(|first| {
            // `mobile@example.org` has a header's word in it, and is somebody.
            matches!(Column::of_header(first), Column::Field(_)) && kind_of_cell(first).is_none()
        })
    })
}
