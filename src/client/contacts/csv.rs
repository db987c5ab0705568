//! CSV address books, as Google Contacts, Outlook and spreadsheets export them.
//!
//! Layer 4. It finds the records of a file and what their columns mean; it must not know how phone
//! numbers and e-mail addresses are parsed. [`super::enrolment`] shares the splitting of records.

use csv::{ReaderBuilder, StringRecord};
use std::prelude::rust_2024::*;

use super::{
    ContactSet, FieldKind, ImportError, MAX_ENTRY_BYTES, Region, RejectReason, decode_text,
    open_text,
};

/// Google Contacts joins several values of one column with this.
const GOOGLE_SEPARATOR: &str = ":::";
/// A cell of a file without header is a phone number from this many digits on.
const MIN_DIGITS: usize = 3;

impl ContactSet {
    /// Imports a CSV address book; numbers without country code are of `region`.
    ///
    /// The columns are found by the header: those of Google Contacts and Outlook are known, and what has a word
    /// for phone or e-mail in one of a few languages; other columns are not looked at. Without header each
    /// cell is told by its content, so a list of bare numbers works. Fields are separated by comma, semicolon
    /// or tab, quoted as in RFC 4180; the text is UTF-8 or, record by record, ISO 8859-1.
    ///
    /// A record that can't be split is rejected by itself. A quotation mark that nothing closes within
    /// [`MAX_ENTRY_BYTES`] costs its line only.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the file as a whole can't be used.
    pub fn from_csv(bytes: &[u8], region: Option<Region>) -> Result<Self, ImportError> {
        let bytes = open_text(bytes)?;
        let delimiter = detect_delimiter(bytes);
        let mut set = Self::builder(region);
        let mut columns = None;
        for (line, record) in Records::new(bytes, delimiter) {
            let record = match record {
                Ok(record) => split(&decode_text(record), delimiter),
                Err(reason) => {
                    let location = set.next_entry(Some(line))?;
                    set.reject(location, None, None, reason);
                    continue;
                }
            };
            let columns = match &columns {
                Some(columns) => columns,
                None => {
                    let (found, is_header) = Columns::of_first(&record)?;
                    let found = columns.insert(found);
                    if is_header {
                        continue;
                    }
                    found
                }
            };
            let location = set.next_entry(Some(line))?;
            set.add_contact(location, &columns.name(&record), columns.fields(&record))?;
        }
        Ok(set.build())
    }
}

/// What a column holds, by its header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Field(FieldKind),
    FullName,
    /// Part of a name, in the order in which the parts are shown.
    NamePart(u8),
    Organisation,
    Other,
}

impl Column {
    pub(super) fn of_header(header: &str) -> Self {
        let header = header.trim().to_lowercase();
        match header.as_str() {
            "name" | "full name" | "display name" | "contact" | "fn" | "nom complet" => {
                return Self::FullName;
            }
            "first name" | "given name" | "vorname" | "prénom" | "prenom" | "nome" => {
                return Self::NamePart(0);
            }
            "middle name" | "additional name" => return Self::NamePart(1),
            "last name" | "family name" | "surname" | "nachname" | "nom" | "cognome" => {
                return Self::NamePart(2);
            }
            "company"
            | "organization"
            | "organisation"
            | "organization name"
            | "organization 1 - name"
            | "firma" => return Self::Organisation,
            "number" | "nummer" | "numéro" | "numero" | "identifier" => {
                return Self::Field(FieldKind::Phone);
            }
            _ => {}
        }
        let has = |words: &[&str]| {
            header
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| words.contains(&word))
        };
        if has(&["type", "label", "display", "ext", "extension"]) {
            Self::Other
        } else if has(&["email", "mail", "courriel"]) {
            Self::Field(FieldKind::Email)
        } else if has(&[
            "phone",
            "telephone",
            "mobile",
            "tel",
            "cell",
            "fax",
            "callback",
            "telefon",
            "handy",
            "natel",
            "téléphone",
            "portable",
            "mobil",
            "telefono",
            "cellulare",
            "msisdn",
        ]) {
            Self::Field(FieldKind::Phone)
        } else {
            Self::Other
        }
    }
}

/// Where in a record things are.
enum Columns {
    Header(Vec<Column>),
    /// No header: each cell is told by its content.
    ByContent,
}

impl Columns {
    /// Looks at the first record, and says whether it is a header.
    fn of_first(record: &StringRecord) -> Result<(Self, bool), ImportError> {
        let columns: Vec<Column> = record.iter().map(Column::of_header).collect();
        let known = columns.iter().any(|column| *column != Column::Other);
        if !known || record.iter().any(|cell| kind_of_cell(cell).is_some()) {
            return Ok((Self::ByContent, false));
        }
        if !columns
            .iter()
            .any(|column| matches!(column, Column::Field(_)))
        {
            return Err(ImportError::NoColumns);
        }
        Ok((Self::Header(columns), true))
    }

    fn name(&self, record: &StringRecord) -> String {
        let Self::Header(columns) = self else {
            let names: Vec<&str> = record
                .iter()
                .filter(|cell| kind_of_cell(cell).is_none())
                .collect();
            return names.join(" ");
        };
        let cell = |wanted: Column| {
            columns
                .iter()
                .zip(record)
                .filter(move |(column, _)| **column == wanted)
                .map(|(_, cell)| cell.trim())
                .find(|cell| !cell.is_empty())
        };
        let parts: Vec<&str> = (0..=2)
            .filter_map(|part| cell(Column::NamePart(part)))
            .collect();
        match (cell(Column::FullName), parts.is_empty()) {
            (Some(name), _) => name.to_owned(),
            (None, false) => parts.join(" "),
            (None, true) => cell(Column::Organisation).unwrap_or_default().to_owned(),
        }
    }

    fn fields<'r>(
        &'r self,
        record: &'r StringRecord,
    ) -> impl Iterator<Item = (FieldKind, &'r str)> {
        record
            .iter()
            .enumerate()
            .filter_map(|(at, cell)| {
                let kind = match self {
                    Self::ByContent => kind_of_cell(cell)?,
                    Self::Header(columns) => match *columns.get(at)? {
                        // A column of numbers may hold addresses too.
                        Column::Field(_) if cell.contains('@') => FieldKind::Email,
                        Column::Field(kind) => kind,
                        _ => return None,
                    },
                };
                Some((kind, cell))
            })
            .flat_map(|(kind, cell)| cell.split(GOOGLE_SEPARATOR).map(move |value| (kind, value)))
            .filter(|(_, value)| !value.trim().is_empty())
    }
}

/// What a cell without header is: an address has an `@`, a number has digits.
pub(super) fn kind_of_cell(cell: &str) -> Option<FieldKind> {
    let digits = cell.chars().filter(|c| c.is_numeric()).count();
    if cell.contains('@') || digits >= MIN_DIGITS {
        Some(FieldKind::of(cell))
    } else {
        None
    }
}

/// The separator that is most frequent in the first line that isn't empty.
fn detect_delimiter(bytes: &[u8]) -> u8 {
    let first = bytes
        .split(|&byte| byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty())
        .unwrap_or_default();
    let mut best = (0, b',');
    for candidate in [b',', b';', b'\t'] {
        let count = first.iter().filter(|&&byte| byte == candidate).count();
        if count > best.0 {
            best = (count, candidate);
        }
    }
    best.1
}

/// The records of a file with the number of their first line; blank lines are passed over.
struct Records<'a> {
    rest: &'a [u8],
    line: u64,
    delimiter: u8,
}

impl<'a> Records<'a> {
    fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        Self {
            rest: bytes,
            line: 1,
            delimiter,
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u64, Result<&'a [u8], RejectReason>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let line = self.line;
            let (end, outcome) = match record_end(self.rest, self.delimiter) {
                Ok(end) if end <= MAX_ENTRY_BYTES => (end, Ok(())),
                Ok(end) => (end, Err(RejectReason::TooLong)),
                Err(reason) => (first_line_end(self.rest), Err(reason)),
            };
            let (record, rest) = self.rest.split_at(end);
            self.line += record
                .iter()
                .map(|&byte| u64::from(byte == b'\n'))
                .sum::<u64>();
            self.rest = rest;
            let record = record.trim_ascii_end();
            if !record.is_empty() {
                return Some((line, outcome.map(|()| record)));
            }
        }
        None
    }
}

fn first_line_end(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(bytes.len(), |at| at + 1)
}

/// Where the record at the start of `bytes` ends, its line feed included.
///
/// Follows quoted fields over line feeds, as RFC 4180 has it, for at most [`MAX_ENTRY_BYTES`].
pub(super) fn record_end(bytes: &[u8], delimiter: u8) -> Result<usize, RejectReason> {
    enum At {
        FieldStart,
        Unquoted,
        Quoted,
        QuoteInQuoted,
    }
    let mut at = At::FieldStart;
    for (index, &byte) in bytes.iter().enumerate() {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::QuoteInQuoted,
            (At::Quoted, _) if index >= MAX_ENTRY_BYTES => {
                return Err(RejectReason::UnbalancedQuotes);
            }
            (At::Quoted, _) | (At::QuoteInQuoted | At::FieldStart, b'"') => At::Quoted,
            (_, b'\n') => return Ok(index + 1),
            (_, byte) if byte == delimiter => At::FieldStart,
            _ => At::Unquoted,
        };
    }
    match at {
        At::Quoted => Err(RejectReason::UnbalancedQuotes),
        _ => Ok(bytes.len()),
    }
}

/// Splits one record, as [`record_end`] delimits it, into its fields.
///
/// Most records have no quotation mark. To build the parser for one takes longer than a phone number takes to
/// normalise: it was an eighth of an import.
pub(super) fn split(record: &str, delimiter: u8) -> StringRecord {
    if record.is_empty() || record.contains(['"', '\r', '\n']) {
        return split_quoted(record, delimiter);
    }
    record.split(char::from(delimiter)).collect()
}

fn split_quoted(record: &str, delimiter: u8) -> StringRecord {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(record.len().max(1))
        .from_reader(record.as_bytes());
    let mut fields = StringRecord::new();
    match reader.read_record(&mut fields) {
        // Neither can it fail (the source is memory, the text UTF-8), nor be empty but for an empty record.
        Ok(_) => fields,
        Err(_) => StringRecord::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn the_short_way_splits_as_the_long_one() {
        for record in [
            "",
            "a",
            ",",
            "a,b",
            "a,,b,",
            " a ; b ",
            "é,美,🍕",
            "\ta\tb",
            "a\rb,c",
            "\"a,b\",c",
        ] {
            for delimiter in [b',', b';', b'\t'] {
                let long = split_quoted(record, delimiter);
                assert_eq!(split(record, delimiter), long, "{record:?}");
            }
        }
    }

    fn records(text: &str) -> Vec<(u64, Result<String, RejectReason>)> {
        Records::new(text.as_bytes(), b',')
            .map(|(line, record)| {
                (
                    line,
                    record.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()),
                )
            })
            .collect()
    }

    #[test]
    fn records_know_their_first_line() {
        assert_eq!(
            records("a,b\r\n\n\"c\nd\",e\nf"),
            [
                (1, Ok("a,b".to_owned())),
                (3, Ok("\"c\nd\",e".to_owned())),
                (5, Ok("f".to_owned())),
            ]
        );
        assert!(records("").is_empty());
        assert!(records("\n\r\n \n").is_empty());
    }

    #[test]
    fn an_open_quote_costs_its_line_only() {
        assert_eq!(
            records("a\n\"b,c\nd\n"),
            [
                (1, Ok("a".to_owned())),
                (2, Err(RejectReason::UnbalancedQuotes)),
                (3, Ok("d".to_owned())),
            ]
        );
    }

    #[test]
    fn a_quote_inside_a_bare_field_is_a_character() {
        assert_eq!(records("5\" pipe,1\nb").len(), 2);
        assert_eq!(&split("5\" pipe,1", b',')[0], "5\" pipe");
        assert_eq!(&split("\"a \"\"b\"\"\",c", b',')[0], "a \"b\"");
    }

    #[test]
    fn a_long_record_is_rejected_and_the_next_is_read() {
        let text = format!("{}\nb", "a".repeat(MAX_ENTRY_BYTES));
        assert_eq!(
            records(&text),
            [(1, Err(RejectReason::TooLong)), (2, Ok("b".to_owned()))]
        );
    }

    #[test]
    fn delimiter_is_the_most_frequent_of_the_first_line() {
        assert_eq!(detect_delimiter(b"\r\na;b;c,d\n,,,,,"), b';');
        assert_eq!(detect_delimiter(b"a\tb"), b'\t');
        assert_eq!(detect_delimiter(b"+447700900123"), b',');
    }
}
