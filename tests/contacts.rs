//! Address books as phones and computers export them. Numbers are from ranges reserved for fiction
//! (Ofcom's for drama use, 07700 900000 to 900999).

#[path = "contacts/csv.rs"]
mod csv;
#[path = "contacts/email.rs"]
mod email;
#[path = "contacts/enrolment.rs"]
mod enrolment;
#[path = "contacts/phone.rs"]
mod phone;
#[path = "contacts/sample.rs"]
mod sample;
#[path = "contacts/vcard.rs"]
mod vcard;

use blindbook::client::contacts::{ContactSet, Region, RejectReason, parse_phone};

fn region(code: &str) -> Option<Region> {
    Some(code.parse().unwrap())
}

fn gb() -> Option<Region> {
    region("GB")
}

fn inputs(set: &ContactSet) -> Vec<String> {
    set.identifiers()
        .iter()
        .map(|identifier| String::from_utf8(identifier.as_input().to_vec()).unwrap())
        .collect()
}

fn reasons(set: &ContactSet) -> Vec<RejectReason> {
    set.rejected()
        .iter()
        .map(|rejected| rejected.reason)
        .collect()
}

#[test]
fn spellings_of_one_number_are_one_identifier() {
    for spelling in [
        "07700900123",
        "07700 900123",
        "(07700) 900-123",
        "+44 7700 900123",
        "+44 (0)7700 900123",
        "00447700900123",
        "0044 7700 900 123",
        "tel:+447700900123",
    ] {
        let identifier = parse_phone(spelling, gb()).unwrap();
        assert_eq!(identifier.as_input(), b"tel:+447700900123", "{spelling}");
    }
}

#[test]
fn what_is_no_subscribers_number_is_refused() {
    for text in ["", "999", "12", "hello", "+", "+44", "0770090012345678901"] {
        assert!(parse_phone(text, gb()).is_err(), "{text}");
    }
    assert!(parse_phone("07700 900123", None).is_err());
    assert!(parse_phone("+44 7700 900123", None).is_ok());
}

#[test]
fn vcards_of_all_three_versions_are_read_and_folded() {
    let file = "BEGIN:VCARD\r\nVERSION:2.1\r\nN:Lovelace;Ada\r\nTEL;CELL:07700 900123\r\nEND:VCARD\r\n\
        BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada\r\nitem1.TEL;type=pref:+44 7700 900123\r\n\
        EMAIL;TYPE=INTERNET:Ada@Example.org\r\nEND:VCARD\r\n\
        BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Юлия\r\nTEL;VALUE=uri:tel:+44-7700-900456\r\nTEL:999\r\n\
        END:VCARD\r\n";
    let set = ContactSet::from_vcard(file.as_bytes(), gb()).unwrap();
    assert_eq!(
        inputs(&set),
        [
            "tel:+447700900123",
            "mailto:ada@example.org",
            "tel:+447700900456"
        ]
    );
    assert_eq!(set.contacts().len(), 3);
    assert_eq!(set.owners(0), [0, 1]);
    assert_eq!(set.duplicates(), 1);
    assert_eq!(set.rejected().len(), 1);
}

#[test]
fn csv_is_read_with_and_without_header() {
    let with = "Name,Phone 1 - Value,E-mail 1 - Value\nAda,07700 900123,ada@example.org\n";
    let set = ContactSet::from_csv(with.as_bytes(), gb()).unwrap();
    assert_eq!(
        inputs(&set),
        ["tel:+447700900123", "mailto:ada@example.org"]
    );
    let without = "07700 900123\n+44 7700 900456\n";
    let set = ContactSet::from_csv(without.as_bytes(), gb()).unwrap();
    assert_eq!(inputs(&set), ["tel:+447700900123", "tel:+447700900456"]);
}
