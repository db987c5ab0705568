//! CSV address books of Google Contacts, Outlook and spreadsheets.

use blindbook::client::contacts::{
    ContactSet, FieldKind, ImportError, MAX_ENTRY_BYTES, PhoneError, RejectReason,
};

use crate::{gb, inputs, reasons};

const NUMBER: &str = "tel:+447700900123";

fn import(file: impl AsRef<[u8]>) -> ContactSet {
    ContactSet::from_csv(file.as_ref(), gb()).unwrap()
}

fn names(set: &ContactSet) -> Vec<&str> {
    set.contacts()
        .iter()
        .map(|contact| contact.name())
        .collect()
}

/// The header of Google Contacts since 2024, shortened by columns of the same sort.
const GOOGLE: &str = "First Name,Middle Name,Last Name,Phonetic First Name,Name Prefix,Nickname,\
    Organization Name,Birthday,Notes,Photo,Labels,E-mail 1 - Label,E-mail 1 - Value,\
    Phone 1 - Label,Phone 1 - Value,Phone 2 - Label,Phone 2 - Value,Website 1 - Value";
/// The one before.
const GOOGLE_2023: &str = "Name,Given Name,Additional Name,Family Name,Yomi Name,Notes,Group Membership,\
    E-mail 1 - Type,E-mail 1 - Value,Phone 1 - Type,Phone 1 - Value,Organization 1 - Name";
/// Outlook's, shortened likewise.
const OUTLOOK: &str = "\"Title\",\"First Name\",\"Middle Name\",\"Last Name\",\"Suffix\",\"Company\",\
    \"Business Street\",\"Business Phone\",\"Business Phone 2\",\"Home Fax\",\"Home Phone\",\
    \"Mobile Phone\",\"TTY/TDD Phone\",\"E-mail Address\",\"E-mail Type\",\"E-mail Display Name\",\
    \"Birthday\",\"Notes\"";

#[test]
fn google_contacts_is_read() {
    let set = import(format!(
        "{GOOGLE}\r\n\
        Ada,King,Example,,,,,1815-12-10,\"Call 07700 900999, please\",,* myContacts,* Home,\
        Ada@Example.org,Mobile,07700 900123 ::: +44 7700 900124,Work,020 7946 0018,https://example.org\r\n\
        ,,,,,,Example Ltd,,,,,,,Work,0113 496 0000,,,\r\n"
    ));
    assert_eq!(names(&set), ["Ada King Example", "Example Ltd"]);
    let expected = [
        "mailto:ada@example.org",
        NUMBER,
        "tel:+447700900124",
        "tel:+442079460018",
        "tel:+441134960000",
    ];
    assert_eq!(inputs(&set), expected);
    assert!(set.rejected().is_empty());

    let set = import(format!(
        "{GOOGLE_2023}\nAda Example,Ada,,Example,,,,,,Mobile,07700 900123,Example Ltd\n"
    ));
    assert_eq!(names(&set), ["Ada Example"]);
    assert_eq!(inputs(&set), [NUMBER]);
}

#[test]
fn outlook_is_read() {
    let set = import(format!(
        "{OUTLOOK}\r\n\
        \"Dr\",\"Ada\",\"\",\"Example\",\"\",\"Example Ltd\",\"12 Example Row\r\nSuite 3\",\
        \"020 7946 0018\",\"\",\"0113 496 0000\",\"\",\"07700 900123\",\"\",\"ada@example.org\",\"SMTP\",\
        \"Ada Example (ada@example.org)\",\"0/0/00\",\"her \"\"other\"\" number is 07700 900999\"\r\n"
    ));
    assert_eq!(names(&set), ["Ada Example"]);
    let expected = [
        "tel:+442079460018",
        "tel:+441134960000",
        NUMBER,
        "mailto:ada@example.org",
    ];
    assert_eq!(inputs(&set), expected);
    assert!(set.rejected().is_empty());
}

#[test]
fn separators_and_languages_of_spreadsheets_are_known() {
    for file in [
        "Name,Phone\nAda,07700 900123\n",
        "Name;Phone\nAda;07700 900123\n",
        "Name\tPhone\nAda\t07700 900123\n",
        "Nachname;Vorname;Handy\n;Ada;07700 900123\n",
        "Nom;Prénom;Téléphone portable\n;Ada;07700 900123\n",
        "Nome;Cognome;Cellulare\nAda;;07700 900123\n",
        "\u{feff}Name;Mobile\r\nAda;07700 900123\r\n",
        " NAME , PHONE \nAda, 07700 900123 \n",
        "\"Name\";\"Phone\"\n\"Ada\";\"07700 900123\"\n",
        "\n\nName,Phone\n\nAda,07700 900123\n\n",
        "Phone,Name\n07700 900123,Ada",
    ] {
        let set = import(file);
        assert_eq!(inputs(&set), [NUMBER], "{file:?}");
        assert_eq!(names(&set), ["Ada"], "{file:?}");
        assert!(set.rejected().is_empty(), "{file:?}");
    }
}

#[test]
fn without_a_header_every_cell_tells_what_it_is() {
    let set = import("07700 900123\n+44 7700 900124\nada@example.org\n");
    assert_eq!(
        inputs(&set),
        [NUMBER, "tel:+447700900124", "mailto:ada@example.org"]
    );
    let set = import("Ada,Example,07700 900123,ada@example.org\n");
    assert_eq!(names(&set), ["Ada Example"]);
    assert_eq!(inputs(&set), [NUMBER, "mailto:ada@example.org"]);
    // A first record with an address is no header, even if it has a header's words in it.
    for first in [
        "mail@example.org",
        "Mobile,07700 900123",
        "tel,phone@example.org",
    ] {
        let set = import(format!("{first}\n"));
        assert_eq!(set.identifiers().len(), 1, "{first}");
    }
}

#[test]
fn a_number_that_is_none_is_rejected_with_its_line() {
    let set = import("Name,Phone\n\"Ada\nExample\",07700 900123\nBob,999\nCy,\nDi,*100#\n");
    assert_eq!(
        reasons(&set),
        [
            RejectReason::Phone(PhoneError::ShortCode),
            RejectReason::NoAddress,
            RejectReason::Phone(PhoneError::ServiceCode)
        ]
    );
    let lines: Vec<_> = set
        .rejected()
        .iter()
        .map(|rejected| rejected.location.line.unwrap())
        .collect();
    assert_eq!(lines, [4, 5, 6]);
    assert_eq!(names(&set)[0], "Ada Example");
    assert_eq!(set.rejected()[0].kind, Some(FieldKind::Phone));
}

#[test]
fn an_open_quotation_mark_costs_its_line_only() {
    let set = import("Name,Phone\n\"Ada,07700 900124\nBob,07700 900123\n");
    assert_eq!(reasons(&set), [RejectReason::UnbalancedQuotes]);
    assert_eq!(set.rejected()[0].location.line, Some(2));
    assert_eq!(inputs(&set), [NUMBER]);
    // In the header it costs the header: what is left is told by its content.
    let set = import("\"Name,Phone\nBob,07700 900123\n");
    assert_eq!(reasons(&set), [RejectReason::UnbalancedQuotes]);
    assert_eq!(inputs(&set), [NUMBER]);
    // A mark within a cell is a character.
    let set = import("Name,Phone\nthe 5\" pipe,07700 900123\n\"a \"\"b\"\"\",07700 900124\n");
    assert_eq!(names(&set), ["the 5\" pipe", "a \"b\""]);
    assert!(set.rejected().is_empty());
}

#[test]
fn a_thousand_open_quotation_marks_cost_a_thousand_lines() {
    let file = format!("Phone\n{}07700 900123\n", "\"x\n".repeat(1_001));
    let set = import(file);
    assert_eq!(inputs(&set), [NUMBER]);
}

#[test]
fn records_of_any_width_are_read() {
    let set = import("Name,Phone\nAda\nBob,07700 900123,more,and,more\n,,,,\n");
    assert_eq!(names(&set), ["Ada", "Bob", ""]);
    assert_eq!(inputs(&set), [NUMBER]);
    assert_eq!(reasons(&set), [RejectReason::NoAddress; 2]);
    let long = "x".repeat(MAX_ENTRY_BYTES);
    let set = import(format!(
        "Name,Phone\n{long},07700 900124\nBob,07700 900123\n"
    ));
    assert_eq!(reasons(&set), [RejectReason::TooLong]);
    assert_eq!(inputs(&set), [NUMBER]);
}

#[test]
fn old_charsets_are_read_record_by_record() {
    let mut file = b"Name;T\xe9l\xe9phone\nZo\xeb;07700 900123\n".to_vec();
    file.extend_from_slice("Zoë;07700 900124\n".as_bytes());
    let set = import(&file);
    assert_eq!(names(&set), ["Zoë", "Zoë"]);
    assert_eq!(set.identifiers().len(), 2);
}

#[test]
fn what_is_no_address_book_is_refused_as_a_whole() {
    let refused = |bytes: &[u8]| ContactSet::from_csv(bytes, gb()).unwrap_err();
    assert_eq!(
        refused(b"First Name,Last Name\nAda,Example\n"),
        ImportError::NoColumns
    );
    assert_eq!(refused(b"\xff\xfeN\0a\0m\0e\0"), ImportError::Encoding);
    assert_eq!(refused(b"PK\x03\x04\x14\0\x06\0"), ImportError::Encoding);
    assert!(import("").contacts().is_empty());
    assert!(import("\u{feff}").contacts().is_empty());
    assert!(import("\r\n\r\n").contacts().is_empty());
}
