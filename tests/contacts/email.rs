//! E-mail addresses as address books hold them, through the whole import.

use blindbook::client::{
    IdentifierError::{self, EmailAt, EmailDomain, EmailLocalPart, TooLong},
    contacts::{ContactSet, FieldKind, RejectReason},
};

use crate::inputs;

fn import(address: &str) -> Result<String, IdentifierError> {
    let mut builder = ContactSet::builder(None);
    builder.add("Ada", [(FieldKind::Email, address)]).unwrap();
    let set = builder.build();
    match (inputs(&set).as_slice(), set.rejected()) {
        ([input], []) => Ok(input.strip_prefix("mailto:").unwrap().to_owned()),
        ([], [rejected]) => match rejected.reason {
            RejectReason::Email(error) => Err(error),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn addresses_are_taken_in_one_spelling() {
    for (spelling, expected) in [
        ("ada@example.org", "ada@example.org"),
        ("ADA@EXAMPLE.ORG", "ada@example.org"),
        (" ada@example.org\t", "ada@example.org"),
        ("\u{3000}ada@example.org\u{a0}", "ada@example.org"),
        ("mailto:ada@example.org", "ada@example.org"),
        ("MAILTO:Ada@example.org", "ada@example.org"),
        ("Ada Example <ada@example.org>", "ada@example.org"),
        ("<ada@example.org>", "ada@example.org"),
        ("\"Example, Ada\" <Ada@Example.org>", "ada@example.org"),
        ("Ada <mailto:ada@example.org>", "ada@example.org"),
        ("a@example.org", "a@example.org"),
        ("a.d.a@example.org", "a.d.a@example.org"),
        ("ada+club@example.org", "ada+club@example.org"),
        ("o'neil@example.org", "o'neil@example.org"),
        (
            "!#$%&'*+-/=?^_`{|}~@example.org",
            "!#$%&'*+-/=?^_`{|}~@example.org",
        ),
        ("1@example.org", "1@example.org"),
        ("ada@sub.sub.example.org", "ada@sub.sub.example.org"),
        ("ada@ex-am--ple.org", "ada@ex-am--ple.org"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@1.2.3.example", "ada@1.2.3.example"),
        ("ada@example.x1", "ada@example.x1"),
    ] {
        assert_eq!(import(spelling).as_deref(), Ok(expected), "{spelling:?}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let long_local = format!("{}@example.org", "a".repeat(65));
    let long_label = format!("a@{}.example", "b".repeat(64));
    let too_long = format!("{}@{}.example", "a".repeat(64), "b.".repeat(100));
    for (spelling, expected) in [
        ("", EmailAt),
        ("ada", EmailAt),
        ("ada.example.org", EmailAt),
        ("ada@@example.org", EmailAt),
        ("ada@work@example.org", EmailAt),
        ("ada@example.org, bob@example.org", EmailAt),
        ("ada@example.org;bob@example.org", EmailAt),
        ("@example.org", EmailLocalPart),
        (".ada@example.org", EmailLocalPart),
        ("ada.@example.org", EmailLocalPart),
        ("a..da@example.org", EmailLocalPart),
        ("ada example@example.org", EmailLocalPart),
        ("\"ada\"@example.org", EmailLocalPart),
        ("ada(work)@example.org", EmailLocalPart),
        ("zoë@example.org", EmailLocalPart),
        ("аda@example.org", EmailLocalPart), // Cyrillic а
        ("a\u{200b}da@example.org", EmailLocalPart),
        ("ada\n@example.org", EmailLocalPart),
        ("ada\\@example.org", EmailLocalPart),
        (&long_local, EmailLocalPart),
        ("ada@", EmailDomain),
        ("ada@example", EmailDomain),
        ("ada@localhost", EmailDomain),
        ("ada@.example.org", EmailDomain),
        ("ada@example.org.", EmailDomain),
        ("ada@example..org", EmailDomain),
        ("ada@-example.org", EmailDomain),
        ("ada@example-.org", EmailDomain),
        ("ada@exa mple.org", EmailDomain),
        ("ada@exa_mple.org", EmailDomain),
        ("ada@bücher.example", EmailDomain),
        ("ada@example。org", EmailDomain), // the ideographic full stop
        ("ada@192.0.2.1", EmailDomain),
        ("ada@[192.0.2.1]", EmailDomain),
        ("ada@example.org:25", EmailDomain),
        ("ada@example.org?subject=hello", EmailDomain),
        ("mailto:ada@example.org>", EmailDomain),
        (&long_label, EmailDomain),
        (&too_long, TooLong),
    ] {
        assert_eq!(import(spelling), Err(expected), "{spelling:?}");
    }
}

#[test]
fn a_megabyte_of_address_is_refused_by_its_length() {
    assert_eq!(import(&"a@".repeat(1 << 19)), Err(TooLong));
    assert_eq!(
        import(&format!("ada@example.org{}", " ".repeat(1 << 20))).as_deref(),
        Ok("ada@example.org")
    );
}

#[test]
fn accounts_that_providers_fold_stay_apart() {
    let mut builder = ContactSet::builder(None);
    for address in [
        "a.da@example.org",
        "ada@example.org",
        "ada+x@example.org",
        "ada@example.com",
    ] {
        builder.add("", [(FieldKind::Email, address)]).unwrap();
    }
    let set = builder.build();
    assert_eq!(set.identifiers().len(), 4);
    assert_eq!(set.duplicates(), 0);
}
