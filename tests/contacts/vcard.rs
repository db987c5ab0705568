//! vCard as devices write it, and as nobody should.

use blindbook::client::contacts::{
    ContactSet, FieldKind, ImportError, MAX_ENTRIES, MAX_ENTRY_BYTES, MAX_FIELDS_PER_ENTRY,
    MAX_IMPORT_BYTES, PhoneError, RejectReason,
};

use crate::{gb, inputs, reasons};

const NUMBER: &str = "tel:+447700900123";

fn import(file: impl AsRef<[u8]>) -> ContactSet {
    ContactSet::from_vcard(file.as_ref(), gb()).unwrap()
}

/// One card around some lines.
fn card(lines: &str) -> ContactSet {
    import(format!("BEGIN:VCARD\r\n{lines}\r\nEND:VCARD\r\n"))
}

fn only_name(set: &ContactSet) -> &str {
    assert_eq!(set.contacts().len(), 1);
    set.contacts()[0].name()
}

#[test]
fn numbers_are_found_however_the_property_is_written() {
    for line in [
        "TEL:07700900123",
        "tel:07700900123",
        "TEL;CELL:07700900123",
        "TEL;CELL;PREF:07700 900123",
        "TEL;TYPE=CELL:07700900123",
        "TEL;TYPE=CELL,PREF:07700900123",
        "TEL;TYPE=\"cell,voice\":07700900123",
        "TEL;TYPE=CELL;TYPE=PREF:07700900123",
        "TEL;type=CELL;type=VOICE;type=pref:07700900123",
        "item1.TEL;type=pref:07700900123",
        "ITEM12.tel:07700900123",
        "TEL;VALUE=uri:tel:+44-7700-900123",
        "TEL;VALUE=uri;PREF=1;TYPE=\"voice,cell\":tel:+447700900123",
        "TEL;VALUE=URI:TEL:+447700900123",
        "TEL;VALUE=text:07700900123",
        "TEL;PID=1.1,2.1;ALTID=1:07700900123",
        "TEL;X-LABEL=\"colon: here\":07700900123",
        "TEL;CELL;ENCODING=QUOTED-PRINTABLE:07700=20900123",
        "TEL;CELL;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=2B44=207700=20900123",
        "TEL;CELL;QUOTED-PRINTABLE:=2B447700900123",
        "TEL;TYPE=CELL:07700\r\n 900123",
        "TEL;TYPE=CE\r\n LL:07700900123",
        "TEL\r\n ;TYPE=CELL:07700900123",
        "TEL:077\r\n\t00900\r\n 123",
        "TEL;ENCODING=QUOTED-PRINTABLE:=2B44=\r\n7700900123",
    ] {
        let set = card(&format!("VERSION:3.0\r\nFN:Ada\r\n{line}"));
        assert_eq!(inputs(&set), [NUMBER], "{line:?}");
        assert!(set.rejected().is_empty(), "{line:?}");
    }
}

#[test]
fn line_ends_of_every_system_are_line_ends() {
    let lines = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        "FN:Ada",
        "TEL:07700 900123",
        "END:VCARD",
        "",
    ];
    for end in ["\r\n", "\n", "\r"] {
        let set = import(lines.join(end));
        assert_eq!(inputs(&set), [NUMBER], "{end:?}");
        assert_eq!(only_name(&set), "Ada");
    }
    // Without an end of the last line, behind a byte order mark, and with lines between cards.
    let text = format!("\u{feff}{}", lines.join("\r\n").trim_end());
    let set = import(format!(
        "{text}\n\n\r\n  \n{}",
        text.trim_start_matches('\u{feff}')
    ));
    assert_eq!(set.contacts().len(), 2);
    assert!(set.rejected().is_empty());
}

#[test]
fn the_name_is_what_is_shown() {
    for (lines, name) in [
        ("FN:Ada Example\r\nN:Example;Ada;;;", "Ada Example"),
        ("N:Example;Ada;Byron;Dr;Jr", "Dr Ada Byron Example Jr"),
        ("N:Example;Ada", "Ada Example"),
        ("N:Example", "Example"),
        ("FN:\r\nN:Example;Ada;;;", "Ada Example"),
        ("NICKNAME:Addie", "Addie"),
        ("ORG:Example Ltd;Sales", "Example Ltd Sales"),
        (
            "FN:Ada\\, Countess\\; of\\n Example",
            "Ada, Countess; of Example",
        ),
        (
            "FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=D0=90=D0=BD=D0=BD=D0=B0",
            "Анна",
        ),
        (
            "FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=D0=90=D0=BD=\r\n=D0=BD=D0=B0",
            "Анна",
        ),
        // A soft break that cuts a character in two.
        (
            "FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=D0=90=D0=BD=D0=\r\n=BD=D0=B0",
            "Анна",
        ),
        (
            "FN;ENCODING=QUOTED-PRINTABLE;CHARSET=ISO-8859-1:Zo=EB",
            "Zoë",
        ),
        (
            "FN;ENCODING=QUOTED-PRINTABLE;CHARSET=Windows-1252:Zo=EB =80",
            "Zoë €",
        ),
        ("FN:Юлия\r\n  Белозёрова", "Юлия Белозёрова"),
        // What would turn around the text that is printed behind the name.
        (
            "FN:\u{202e}Ada\u{202c} \u{2066}\u{2069} Example",
            "Ada Example",
        ),
        ("FN:رضایی\u{200c}فر", "رضایی\u{200c}فر"),
        ("FN:A\u{1b}[31mda\u{7}", "A [31mda"),
        ("", ""),
    ] {
        let set = card(&format!("VERSION:3.0\r\n{lines}\r\nTEL:07700900123"));
        assert_eq!(only_name(&set), name, "{lines:?}");
        assert_eq!(inputs(&set), [NUMBER], "{lines:?}");
    }
}

/// Early exporters cut lines after 75 bytes, whatever is there (RFC 5545, section 3.1 says to expect it). A
/// character that lies on both sides of the cut made the whole card be taken for ISO 8859-1: names became
/// gibberish, and numbers in other digits were lost.
#[test]
fn a_fold_inside_of_a_character_is_undone() {
    let text = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Анна\r\nTEL:٠٧٧٠٠ ٩٠٠١٢٣\r\nEND:VCARD\r\n";
    for property in ["FN:", "TEL:"] {
        let start = text.find(property).unwrap() + property.len();
        for at in start + 1..start + 8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes.splice(at..at, *b"\r\n ");
            let set = import(&bytes);
            assert_eq!(inputs(&set), [NUMBER], "{at}");
            assert_eq!(only_name(&set), "Анна", "{at}");
        }
    }
}

#[test]
fn old_charsets_are_read_card_by_card() {
    let mut file = b"BEGIN:VCARD\nFN:Zo\xeb\nTEL:07700 900123\nEND:VCARD\n".to_vec();
    file.extend_from_slice("BEGIN:VCARD\nFN:Zoë\nTEL:07700 900124\nEND:VCARD\n".as_bytes());
    let set = import(&file);
    assert_eq!(set.contacts()[0].name(), "Zoë");
    assert_eq!(set.contacts()[1].name(), "Zoë");
    assert_eq!(inputs(&set).len(), 2);
}

#[test]
fn a_card_that_does_not_end_costs_itself_only() {
    let good = "BEGIN:VCARD\nFN:B\nTEL:07700900123\nEND:VCARD\n";
    let set = import(format!("BEGIN:VCARD\nFN:A\nTEL:07700 90012\n{good}"));
    assert_eq!(reasons(&set), [RejectReason::UnterminatedCard]);
    assert_eq!(inputs(&set), [NUMBER]);
    assert_eq!(only_name(&set), "B");
    // Cut off at each byte, the last number is never a shorter one.
    for end in 0..good.len() - "END:VCARD\n".len() {
        if let Ok(set) = ContactSet::from_vcard(&good.as_bytes()[..end], gb()) {
            assert!(set.identifiers().is_empty(), "{end}");
            assert_eq!(reasons(&set), [RejectReason::UnterminatedCard]);
        }
    }
}

#[test]
fn a_card_within_a_card_hides_nothing() {
    // AGENT of vCard 2.1.
    let set = import(
        "BEGIN:VCARD\nVERSION:2.1\nFN:Boss\nTEL:07700900123\nAGENT:\nBEGIN:VCARD\nFN:Agent\n\
        TEL:07700900124\nEND:VCARD\nTEL:07700900125\nEND:VCARD\n",
    );
    assert_eq!(inputs(&set), ["tel:+447700900124"]);
    assert_eq!(only_name(&set), "Agent");
    assert_eq!(
        reasons(&set),
        [RejectReason::UnterminatedCard, RejectReason::StrayText]
    );
    // An AGENT of vCard 3.0 is escaped text and not looked at.
    let set = card("FN:Boss\nAGENT:BEGIN:VCARD\\nTEL:07700900124\\nEND:VCARD\nTEL:07700900123");
    assert_eq!(inputs(&set), [NUMBER]);
}

#[test]
fn garbage_between_cards_is_told_once() {
    let good = "BEGIN:VCARD\nTEL:07700900123\nEND:VCARD\n";
    let set = import(format!(
        "\nhello\nTEL:07700900124\n\n{good}TEL:07700900125\nEND:VCARD\n{good}"
    ));
    assert_eq!(inputs(&set), [NUMBER]);
    assert_eq!(reasons(&set), [RejectReason::StrayText; 2]);
    assert_eq!(set.rejected()[0].location.line, Some(2));
    assert_eq!(set.duplicates(), 1);
    let lines: Vec<_> = set
        .contacts()
        .iter()
        .map(|one| one.location().line)
        .collect();
    assert_eq!(lines, [Some(5), Some(10)]);
}

#[test]
fn garbage_inside_of_a_card_does_not_hide_its_number() {
    for garbage in [
        ":",
        ";",
        ";;;:::",
        "no property",
        "=",
        "\"",
        "X-A;B=\"open:1",
        "X-A;B=\\:1",
        "BEGIN:VCALENDAR",
        "END:VCALENDAR",
        " stray continuation",
        "\u{0}".trim_matches('\0'),
        "PHOTO;ENCODING=b:////",
        "KEY:data:application/pgp-keys;base64,////",
        "😀:😀",
        "VERSION:9.9",
        "KIND:robot",
        "FN;CHARSET=KLINGON;ENCODING=QUOTED-PRINTABLE:=FF=FE",
    ] {
        let set = card(&format!("FN:Ada\r\n{garbage}\r\nTEL:07700900123"));
        assert_eq!(inputs(&set), [NUMBER], "{garbage:?}");
    }
}

/// What a number in a note means is anyone's guess, and a soft line break can put any text at the start of
/// a line.
#[test]
fn a_note_is_not_looked_at_even_where_it_looks_like_a_number() {
    for note in [
        "NOTE:TEL:07700900124",
        "NOTE:see\r\n TEL:07700900124",
        "NOTE:see\\nTEL:07700900124",
        "NOTE;ENCODING=QUOTED-PRINTABLE:see=0D=0A=\r\nTEL:07700900124",
        "X-NOTE;ENCODING=QUOTED-PRINTABLE:see=\r\n=0D=0A=\r\nEMAIL:ada@example.org=\r\nTEL:1",
    ] {
        let set = card(&format!("FN:Ada\r\n{note}\r\nTEL:07700900123"));
        assert_eq!(inputs(&set), [NUMBER], "{note:?}");
    }
}

/// A soft line break takes in the line behind it, whatever it is. If that looks like a number it may have
/// been one: whoever reads the report is told that something is missing.
#[test]
fn a_swallowed_number_is_told() {
    for open in [
        "FN;ENCODING=QUOTED-PRINTABLE:Ada=",
        "NOTE;ENCODING=QUOTED-PRINTABLE:Ada=",
        "EMAIL;ENCODING=QUOTED-PRINTABLE:ada@example.org=",
    ] {
        let set = card(&format!("{open}\r\nTEL:07700900124\r\nTEL:07700900123"));
        assert!(inputs(&set).contains(&NUMBER.to_owned()), "{open}");
        assert!(!inputs(&set).contains(&"tel:+447700900124".to_owned()));
        assert!(
            reasons(&set).contains(&RejectReason::SwallowedField),
            "{open}"
        );
    }
    let open = "TEL;ENCODING=QUOTED-PRINTABLE:07700900125=";
    let set = card(&format!("{open}\r\nTEL:07700900124\r\nTEL:07700900123"));
    assert_eq!(inputs(&set), [NUMBER]);
    assert!(reasons(&set).contains(&RejectReason::SwallowedField));
}

#[test]
fn groups_are_no_people() {
    for kind in [
        "KIND:group",
        "KIND:GROUP",
        "KIND;X-A=1:Group",
        "X-ADDRESSBOOKSERVER-KIND:group",
        "x-addressbookserver-kind:Group",
    ] {
        let set = card(&format!(
            "VERSION:4.0\r\n{kind}\r\nFN:Club\r\nTEL:07700900123"
        ));
        assert_eq!(reasons(&set), [RejectReason::Group], "{kind}");
        assert!(set.contacts().is_empty() && set.identifiers().is_empty());
    }
    for kind in [
        "KIND:individual",
        "KIND:org",
        "KIND:x-group",
        "KIND:",
        "X-KIND:group",
    ] {
        let set = card(&format!(
            "VERSION:4.0\r\n{kind}\r\nFN:Ada\r\nTEL:07700900123"
        ));
        assert_eq!(inputs(&set), [NUMBER], "{kind}");
    }
}

#[test]
fn a_field_that_holds_no_text_is_told() {
    for (line, reason) in [
        ("TEL:", PhoneError::Empty),
        ("TEL;TYPE=CELL:  ", PhoneError::Empty),
        ("TEL;VALUE=uri:", PhoneError::Empty),
        (
            "TEL;VALUE=uri:data:text/plain;base64,MDc3MDA5MDAxMjM=",
            PhoneError::Empty,
        ),
    ] {
        let set = card(line);
        assert_eq!(reasons(&set), [RejectReason::Phone(reason)], "{line}");
        assert_eq!(set.rejected()[0].kind, Some(FieldKind::Phone));
        assert_eq!(set.rejected()[0].contact, Some(0));
    }
    assert_eq!(reasons(&card("FN:Ada")), [RejectReason::NoAddress]);
    assert_eq!(reasons(&card("")), [RejectReason::NoAddress]);
}

#[test]
fn photographs_cost_nothing_and_long_names_cost_their_card() {
    let photo = "PHOTO;ENCODING=b:".to_owned() + &"/9j/4AAQ\r\n ".repeat(MAX_ENTRY_BYTES / 4);
    let set = card(&format!("FN:Ada\r\n{photo}\r\nTEL:07700900123"));
    assert_eq!(inputs(&set), [NUMBER]);
    assert!(set.rejected().is_empty());
    let name = "x".repeat(MAX_ENTRY_BYTES);
    let set = import(format!(
        "BEGIN:VCARD\nFN:{name}\nEND:VCARD\nBEGIN:VCARD\nTEL:07700900123\nEND:VCARD\n"
    ));
    assert_eq!(reasons(&set), [RejectReason::TooLong]);
    assert_eq!(inputs(&set), [NUMBER]);
}

#[test]
fn a_card_with_a_thousand_numbers_is_one_contact() {
    let lines: Vec<String> = (0..1_000)
        .map(|at| format!("TEL:07700 900{at:03}"))
        .collect();
    let set = card(&lines.join("\r\n"));
    assert_eq!(set.identifiers().len(), MAX_FIELDS_PER_ENTRY);
    assert_eq!(reasons(&set), [RejectReason::TooManyFields]);
}

#[test]
fn what_is_no_vcard_is_refused_as_a_whole() {
    let refused = |bytes: &[u8]| ContactSet::from_vcard(bytes, gb()).unwrap_err();
    assert_eq!(refused(b""), ImportError::NotVcard);
    assert_eq!(refused(b"hello\n"), ImportError::NotVcard);
    assert_eq!(
        refused(b"BEGIN:VCALENDAR\nEND:VCALENDAR\n"),
        ImportError::NotVcard
    );
    assert_eq!(refused(b"\xff\xfeB\0E\0G\0I\0N\0"), ImportError::Encoding);
    assert_eq!(refused(b"\xfe\xff\0B\0E\0G\0I\0N"), ImportError::Encoding);
    assert_eq!(
        refused(b"BEGIN:VCARD\nTEL:\0\nEND:VCARD"),
        ImportError::Encoding
    );
    let cards = "BEGIN:VCARD\nEND:VCARD\n".repeat(MAX_ENTRIES + 1);
    assert_eq!(refused(cards.as_bytes()), ImportError::TooManyEntries);
}

/// The memory of a zeroed vector isn't touched, so the test costs address space only; that nothing is read
/// shows in the error, which is about the length and not about the zeros.
#[test]
fn a_file_that_is_too_long_is_not_even_read() {
    let file = vec![0; MAX_IMPORT_BYTES + 1];
    assert_eq!(
        ContactSet::from_vcard(&file, gb()).unwrap_err(),
        ImportError::TooLarge
    );
    assert_eq!(
        ContactSet::from_csv(&file, gb()).unwrap_err(),
        ImportError::TooLarge
    );
    let largest = &file[..MAX_IMPORT_BYTES];
    assert_eq!(
        ContactSet::from_vcard(largest, gb()).unwrap_err(),
        ImportError::Encoding
    );
}

#[test]
fn nothing_that_is_logged_names_anybody() {
    let set = card("FN:Secretname\r\nTEL:07700900123\r\nTEL:987\r\nEMAIL:secret@name@example.org");
    let mut told = format!("{set:?} {:?}", set.contacts());
    for rejected in set.rejected() {
        told.push_str(&format!("{rejected} {rejected:?}"));
    }
    for secret in ["Secretname", "900123", "987", "secret@"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}
