//! Address books: from phone numbers, vCard and CSV to the identifiers to discover.
//!
//! Layer 4, client role, feature `contacts`. It stands on [`Identifier`] and knows how people write
//! numbers and how devices export contacts; it must not know blinding, the network or the server role.
//!
//! ```text
//! vCard ─┐                    ┌─ contacts      names, and which identifiers each has
//! CSV   ─┼─> ContactSetBuilder┼─ identifiers   unique, in order of first appearance
//! app   ─┘                    └─ rejected      what can't be looked up: where and why
//! ```
//!
//! Nothing is dropped silently: each entry of a file ends up with an identifier, in
//! [`ContactSet::rejected`], or in both. No error or rejection repeats what it is about: it gives the
//! entry and the line, so that it may be logged.
//!
//! # Security
//!
//! Names and identifiers are wiped when the set is dropped. The bytes of the file and what the parsers
//! copy while they read it are not. Folding duplicates compares identifiers in variable time: it happens on
//! the device that owns the address book, before anything is sent.

mod csv;
mod enrolment;
mod phone;
mod set;
mod vcard;

use std::fmt;
use std::prelude::rust_2024::*;

use thiserror::Error;

use super::identifier::{Identifier, IdentifierError};

pub use self::{
    enrolment::{
        EnrolmentLine, EnrolmentReader, EnrolmentRecord, MAX_LINE_BYTES, Position, ResumeError,
    },
    phone::{PhoneError, Region, RegionError, parse_phone},
    set::{Contact, ContactSet, ContactSetBuilder},
};

/// The longest file that is imported, in bytes: 64 MiB. A phone's export with photographs of a thousand
/// contacts is about a tenth of it.
pub const MAX_IMPORT_BYTES: usize = 64 << 20;
/// The most entries of one import. Twenty times what an account's quota holds when it is full.
pub const MAX_ENTRIES: usize = 100_000;
/// The most phone numbers and e-mail addresses of one entry that are looked at.
pub const MAX_FIELDS_PER_ENTRY: usize = 256;
/// The most phone numbers and e-mail addresses of one import, usable or not.
pub const MAX_FIELDS: usize = 500_000;
/// The longest entry, in bytes: 256 KiB, without what isn't looked at (photographs, notes).
pub const MAX_ENTRY_BYTES: usize = 256 << 10;

/// What sort of field an address book holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FieldKind {
    /// A phone number as a person wrote it.
    Phone,
    /// An e-mail address as a person wrote it.
    Email,
}

impl FieldKind {
    /// Guesses from the text: only an e-mail address has an `@`.
    fn of(text: &str) -> Self {
        if text.contains('@') {
            Self::Email
        } else {
            Self::Phone
        }
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phone => "phone number",
            Self::Email => "e-mail address",
        })
    }
}

/// Where in an import something was. Not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The number of the entry (card, record, call of [`ContactSetBuilder::add`]), from one; zero is
    /// before the first.
    pub entry: usize,
    /// The number of the line on which the entry begins, from one, if there are lines.
    pub line: Option<u64>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}", self.entry)?;
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// A field or an entry that can't be looked up. Holds nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// Where it was.
    pub location: Location,
    /// Index in [`ContactSet::contacts`], if the entry became a contact: for its name.
    pub contact: Option<usize>,
    /// What it was; `None` stands for the entry as a whole.
    pub kind: Option<FieldKind>,
    /// Why it can't be used.
    pub reason: RejectReason,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.location)?;
        if let Some(kind) = self.kind {
            write!(f, "{kind}: ")?;
        }
        write!(f, "{}", self.reason)
    }
}

/// Why a field or an entry can't be used. The file is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// A phone number that isn't one, or not one of a person.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// An e-mail address that isn't one.
    #[error(transparent)]
    Email(#[from] IdentifierError),
    /// The entry holds neither a phone number nor an e-mail address.
    #[error("neither a phone number nor an e-mail address")]
    NoAddress,
    /// More than [`MAX_FIELDS_PER_ENTRY`]; those beyond weren't looked at.
    #[error("too many phone numbers and e-mail addresses in one entry")]
    TooManyFields,
    /// A distribution list and not a person.
    #[error("a group of contacts")]
    Group,
    /// A card without `END:VCARD`. None of it is used, since a number in it may be cut short.
    #[error("the card does not end")]
    UnterminatedCard,
    /// A card that the parser gives up on.
    #[error("the card is malformed")]
    MalformedCard,
    /// A phone or e-mail line that another property of the card has taken in as its continuation.
    #[error("a phone or e-mail line is swallowed by the property before it")]
    SwallowedField,
    /// Text that belongs to no card.
    #[error("text outside of a card")]
    StrayText,
    /// A quotation mark that nothing closes.
    #[error("a quotation mark is not closed")]
    UnbalancedQuotes,
    /// Longer than [`MAX_ENTRY_BYTES`], or than [`MAX_LINE_BYTES`] in an enrolment file.
    #[error("longer than an entry may be")]
    TooLong,
    /// Bytes that aren't UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// More columns than an enrolment line has.
    #[error("too many columns")]
    TooManyColumns,
}

/// Why a file as a whole can't be imported. Nothing of it has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Longer than [`MAX_IMPORT_BYTES`].
    #[error("the file is longer than 64 MiB")]
    TooLarge,
    /// More than [`MAX_ENTRIES`].
    #[error("more than 100000 entries")]
    TooManyEntries,
    /// More than [`MAX_FIELDS`].
    #[error("more than 500000 phone numbers and e-mail addresses")]
    TooManyFields,
    /// UTF-16, UTF-32 or no text at all: it holds null bytes.
    #[error("not text in UTF-8 or ISO 8859-1; save it as UTF-8")]
    Encoding,
    /// No card begins in it.
    #[error("no vCard in the file")]
    NotVcard,
    /// The header has no column with phone numbers or e-mail addresses.
    #[error("no column with phone numbers or e-mail addresses")]
    NoColumns,
}

/// Parses one field as a person wrote it.
fn parse_field(
    kind: FieldKind,
    text: &str,
    region: Option<Region>,
) -> Result<Identifier, RejectReason> {
    Ok(match kind {
        FieldKind::Phone => parse_phone(text, region)?,
        FieldKind::Email => parse_email(text)?,
    })
}

/// An e-mail address as address books hold it: also as `mailto:` URI, or after a name in angle brackets.
fn parse_email(text: &str) -> Result<Identifier, IdentifierError> {
    let text = text.trim();
    let address = match text
        .strip_suffix('>')
        .and_then(|text| text.rsplit_once('<'))
    {
        Some((_, address)) => address,
        None => text,
    };
    Identifier::email(strip_scheme(address, "mailto:"))
}

/// Drops a URI scheme, in whatever case it is written.
fn strip_scheme<'a>(text: &'a str, scheme: &str) -> &'a str {
    match text.split_at_checked(scheme.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(scheme) => rest,
        _ => text,
    }
}

/// Checks what can be said of a whole file before any of it is parsed, and drops a byte order mark.
fn open_text(bytes: &[u8]) -> Result<&[u8], ImportError> {
    if bytes.len() > MAX_IMPORT_BYTES {
        return Err(ImportError::TooLarge);
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.contains(&0) {
        return Err(ImportError::Encoding);
    }
    Ok(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// Reads UTF-8, or else ISO 8859-1: old exports are neither marked nor consistent.
fn decode_text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes
            .iter()
            .map(|&byte| char::from(byte))
            .collect::<String>()
            .into(),
    }
}
