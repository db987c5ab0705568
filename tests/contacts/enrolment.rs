//! The file of a registrar: every line stands for itself, and reading goes on where it stopped.

use std::io::{self, BufReader, Cursor, Read};

use blindbook::client::IdentifierError;
use blindbook::client::contacts::{
    EnrolmentLine, EnrolmentReader, MAX_LINE_BYTES, PhoneError, Position, RejectReason, ResumeError,
};

use crate::gb;

/// What a line says: input, handle, audience and consent.
type Said = (String, String, Option<String>, Option<String>);
type Line = (u64, Result<Said, RejectReason>);

fn plain(line: EnrolmentLine) -> Line {
    let outcome = line.outcome.map(|record| {
        let input = std::str::from_utf8(record.identifier.as_input()).unwrap();
        (
            input.to_owned(),
            record.handle,
            record.audience,
            record.consented_at,
        )
    });
    (line.line, outcome)
}

fn read(file: impl AsRef<[u8]>) -> Vec<Line> {
    EnrolmentReader::new(file.as_ref(), gb())
        .map(|line| plain(line.unwrap()))
        .collect()
}

fn record(line: u64, number: &str, handle: &str, audience: Option<&str>) -> Line {
    let input = if number.contains('@') {
        format!("mailto:{number}")
    } else {
        format!("tel:{number}")
    };
    (
        line,
        Ok((input, handle.to_owned(), audience.map(str::to_owned), None)),
    )
}

/// One line and what it says.
fn only(line: &str) -> Result<Said, RejectReason> {
    // Behind another, so that it can't be a header.
    let mut lines = read(format!("+447700900000\n{line}\n"));
    assert_eq!(lines.len(), 2, "{line:?}");
    let (number, outcome) = lines.remove(1);
    assert_eq!(number, 2);
    outcome
}

#[test]
fn a_file_with_everything_is_read() {
    let file = "identifier,handle,audience\n\
        +447700900123,a1b2c3,everyone\n\
        Ada@Example.org,d4e5f6\n\
        \n\
        07700 900124;x;nobody\n\
        \"+44 7700 900125\",\"a,b\",\"\"\n\
        tel:+447700900126";
    let expected = [
        record(2, "+447700900123", "a1b2c3", Some("everyone")),
        record(3, "ada@example.org", "d4e5f6", None),
        record(5, "+447700900124", "x", Some("nobody")),
        record(6, "+447700900125", "a,b", None),
        record(7, "+447700900126", "", None),
    ];
    assert_eq!(read(file), expected);
    assert_eq!(read(file.replace('\n', "\r\n")), expected);
    assert_eq!(read(format!("\u{feff}{file}\n")), expected);
}

#[test]
fn the_time_of_a_consent_is_handed_on_as_it_is() {
    let said = |line: &str| only(line).unwrap().3;
    let time = "2026-11-01T12:00:00Z";
    let line = format!("+447700900123,a,everyone,{time}");
    assert_eq!(said(&line).as_deref(), Some(time));
    let line = format!("\"+447700900123\";\"a\";;\" {time} \"");
    assert_eq!(said(&line).as_deref(), Some(time));
    for none in ["", ",", ", "] {
        assert_eq!(said(&format!("+447700900123,a,everyone{none}")), None);
    }
    // What a time is, the server role decides.
    let line = "+447700900123,a,everyone,yesterday";
    assert_eq!(said(line).as_deref(), Some("yesterday"));
}

#[test]
fn every_unusable_line_is_told_with_its_number_and_reason() {
    let long = format!("+447700900123,{}", "a".repeat(MAX_LINE_BYTES));
    for (line, reason) in [
        ("999,a", RejectReason::Phone(PhoneError::ShortCode)),
        (",a,everyone", RejectReason::Phone(PhoneError::Empty)),
        (
            "\t+447700900123\teveryone",
            RejectReason::Phone(PhoneError::Empty),
        ),
        (" ,a", RejectReason::Phone(PhoneError::Empty)),
        ("\"\",a", RejectReason::Phone(PhoneError::Empty)),
        ("Ada Example,a", RejectReason::Phone(PhoneError::NotANumber)),
        (
            "identifier,handle,audience",
            RejectReason::Phone(PhoneError::NotANumber),
        ),
        (
            "08081 570123,a",
            RejectReason::Phone(PhoneError::ServiceNumber),
        ),
        (
            "ada@localhost,a",
            RejectReason::Email(IdentifierError::EmailDomain),
        ),
        (
            "a@b@example.org,a",
            RejectReason::Email(IdentifierError::EmailAt),
        ),
        (
            "+447700900123,a,everyone,2026-11-01T12:00:00Z,GB,x",
            RejectReason::TooManyColumns,
        ),
        ("+447700900123,a,everyone,,,", RejectReason::TooManyColumns),
        ("\"+447700900123,a,everyone", RejectReason::UnbalancedQuotes),
        ("+447700900123,\"a", RejectReason::UnbalancedQuotes),
        (&long, RejectReason::TooLong),
    ] {
        assert_eq!(only(line).unwrap_err(), reason, "{line:?}");
    }
}

/// A word for "phone" or "mail" in an address made the first line a header, which is passed over: the person
/// was never enrolled, and nothing said so.
#[test]
fn the_first_person_is_never_taken_for_a_header() {
    for first in [
        "mail@example.org,a",
        "mobile@example.org",
        "ada@phone.example.org,a,everyone",
        "tel:+447700900123,a",
        "Tel +447700900123,a",
        "mobile 07700 900123;a",
    ] {
        assert_eq!(read(first).len(), 1, "{first}");
    }
    for header in [
        "identifier",
        "phone;handle",
        "MSISDN\thandle",
        "\"E-mail\",\"handle\"",
        "Mobile 1,x",
    ] {
        assert_eq!(
            read(format!("{header}\n+447700900123,a\n")).len(),
            1,
            "{header}"
        );
    }
}

#[test]
fn bytes_that_are_no_text_cost_their_line_only() {
    let mut file = b"+447700900123,a\n+447700900124,\xff\n\xc3\n".to_vec();
    file.extend_from_slice("+447700900125,é\n".as_bytes());
    assert_eq!(
        read(file),
        [
            record(1, "+447700900123", "a", None),
            (2, Err(RejectReason::NotUtf8)),
            (3, Err(RejectReason::NotUtf8)),
            record(4, "+447700900125", "é", None),
        ]
    );
}

#[test]
fn the_longest_line_fits_and_the_next_byte_does_not() {
    let start = "+447700900123,";
    for end in ["\n", "\r\n", ""] {
        let fits = format!(
            "{start}{}",
            "a".repeat(MAX_LINE_BYTES - start.len() - end.len().saturating_sub(1))
        );
        assert!(read(format!("{fits}{end}"))[0].1.is_ok(), "{end:?}");
        let lines = read(format!("{fits}a{end}"));
        assert_eq!(lines, [(1, Err(RejectReason::TooLong))], "{end:?}");
    }
    // However long it is, it is one line, and the next one is read.
    let file = format!("{}\n+447700900123,a\n", "7".repeat(10 << 20));
    assert_eq!(
        read(file),
        [
            (1, Err(RejectReason::TooLong)),
            record(2, "+447700900123", "a", None)
        ]
    );
    // What doesn't fit may be cut in a character; that isn't the reason.
    let file = format!("{start}{}", "é".repeat(MAX_LINE_BYTES));
    assert_eq!(read(file), [(1, Err(RejectReason::TooLong))]);
}

/// A file with every sort of line, usable and not.
fn mixed(end: &str, last_end: &str) -> String {
    let lines = [
        "identifier,handle,audience",
        "+447700900123,a1,everyone",
        "",
        "07700 900124;a2",
        "999,a3",
        "\"open,a4",
        "ada@example.org,a5,nobody",
        "  ",
        "+447700900125\ta6\teveryone",
    ];
    lines.join(end) + last_end
}

#[test]
fn reading_goes_on_at_any_line() {
    for (end, last_end) in [("\n", "\n"), ("\r\n", "\r\n"), ("\n", ""), ("\r\n", "")] {
        let file = mixed(end, last_end);
        for small in [1, 3, 8_192] {
            let whole: Vec<EnrolmentLine> =
                EnrolmentReader::new(BufReader::with_capacity(small, file.as_bytes()), gb())
                    .collect::<io::Result<_>>()
                    .unwrap();
            assert_eq!(whole.len(), 6);
            let positions: Vec<Position> = whole.iter().map(|line| line.next).collect();
            let plain_whole: Vec<Line> = whole.into_iter().map(plain).collect();
            for (at, position) in positions.into_iter().enumerate() {
                let source = BufReader::with_capacity(small, Cursor::new(file.as_bytes()));
                let rest = EnrolmentReader::resume(source, gb(), position).unwrap();
                let rest: Vec<Line> = rest.map(|line| plain(line.unwrap())).collect();
                assert_eq!(rest, plain_whole[at + 1..], "{position:?}");
            }
        }
    }
}

#[test]
fn the_position_behind_blank_lines_and_the_header_is_one_too() {
    let file = mixed("\n", "\n");
    let mut reader = EnrolmentReader::new(file.as_bytes(), gb());
    assert_eq!(reader.position(), Position::START);
    let whole: Vec<Line> = read(&file);
    let first = plain(reader.next().unwrap().unwrap());
    let position = reader.position();
    let resumed = EnrolmentReader::resume(Cursor::new(file.as_bytes()), gb(), position).unwrap();
    let mut lines = vec![first];
    lines.extend(resumed.map(|line| plain(line.unwrap())));
    assert_eq!(lines, whole);
    let start =
        EnrolmentReader::resume(Cursor::new(file.as_bytes()), gb(), Position::START).unwrap();
    assert_eq!(
        start.map(|line| plain(line.unwrap())).collect::<Vec<_>>(),
        whole
    );
}

#[test]
fn a_position_of_another_file_is_refused() {
    let file = mixed("\n", "\n");
    let starts: Vec<u64> = std::iter::once(0)
        .chain(file.match_indices('\n').map(|(at, _)| at as u64 + 1))
        .collect();
    for offset in 0..file.len() as u64 + 5 {
        let line = 1 + starts.iter().take_while(|&&start| start < offset).count() as u64;
        let position = Position { offset, line };
        let resumed = EnrolmentReader::resume(Cursor::new(file.as_bytes()), gb(), position);
        match resumed {
            Ok(_) => assert!(starts.contains(&offset), "{offset}"),
            Err(ResumeError::Position) => assert!(!starts.contains(&offset), "{offset}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    for (offset, line) in [(0, 0), (0, 2), (27, 0), (27, 1), (u64::MAX, 2)] {
        let position = Position { offset, line };
        let resumed = EnrolmentReader::resume(Cursor::new(file.as_bytes()), gb(), position);
        assert!(
            matches!(resumed, Err(ResumeError::Position)),
            "{position:?}"
        );
    }
}

#[test]
fn a_source_that_fails_ends_the_reading() {
    struct Breaks(usize);
    impl Read for Breaks {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(io::ErrorKind::Interrupted.into()),
                2 => {
                    into[..16].copy_from_slice(b"+447700900123,a\n");
                    Ok(16)
                }
                3 => {
                    into[..3].copy_from_slice(b"+44");
                    Ok(3)
                }
                4 => Err(io::Error::other("a disk")),
                _ => panic!("it was asked again"),
            }
        }
    }
    let mut reader = EnrolmentReader::new(BufReader::new(Breaks(0)), gb());
    assert!(reader.next().unwrap().unwrap().outcome.is_ok());
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none());
    assert!(reader.next().is_none());
}

#[test]
fn nothing_that_is_logged_names_anybody() {
    for line in EnrolmentReader::new("+447700900123,secret\n12345,secret\n".as_bytes(), gb()) {
        let told = format!("{line:?}");
        assert!(!told.contains("900123") && !told.contains("secret") && !told.contains("12345"));
    }
}
