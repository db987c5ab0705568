//! The address book of the demo stays what it is meant to be: real in form, fictional in every number.

use std::collections::BTreeMap;

use blindbook::client::contacts::{ContactSet, PhoneError, RejectReason};
use blindbook::client::{IdentifierError, IdentifierKind};

use crate::{gb, inputs};

const SAMPLE: &[u8] = include_bytes!("../../examples/data/contacts.vcf");

/// Ranges that regulators keep free for fiction: their first digits, and how many digits follow.
///
/// Ofcom (numbers for drama use), ARCEP (numéros audiovisuels), ACMA, Bundesnetzagentur (Drama numbers), and
/// 555-0100 to 555-0199 of each North American area.
const RESERVED: &[(&str, usize)] = &[
    ("+447700900", 3),
    ("+441134960", 3),
    ("+441144960", 3),
    ("+441154960", 3),
    ("+441164960", 3),
    ("+441174960", 3),
    ("+441184960", 3),
    ("+441214960", 3),
    ("+441314960", 3),
    ("+441414960", 3),
    ("+441514960", 3),
    ("+441614960", 3),
    ("+442079460", 3),
    ("+441914980", 3),
    ("+442896496", 3),
    ("+442920180", 3),
    ("+441632960", 3),
    ("+3319900", 4),
    ("+3326191", 4),
    ("+3335301", 4),
    ("+3346571", 4),
    ("+3353649", 4),
    ("+3363998", 4),
    ("+61491570006", 0),
    ("+61491570110", 0),
    ("+61491570156", 0),
    ("+61491570157", 0),
    ("+61491570158", 0),
    ("+61491570159", 0),
    ("+493023125", 3),
    ("+496990009", 3),
    ("+494066969", 3),
    ("+492214710", 3),
    ("+498999998", 3),
    ("+4917139200", 2),
];

fn is_reserved(e164: &str) -> bool {
    let north_american = e164
        .strip_prefix("+1")
        .is_some_and(|number| number.len() == 10 && &number[3..8] == "55501");
    north_american
        || RESERVED.iter().any(|(start, free)| {
            e164.strip_prefix(start)
                .is_some_and(|rest| rest.len() == *free)
        })
}

#[test]
fn it_has_the_size_and_the_mixture_that_the_demo_tells_of() {
    let set = ContactSet::from_vcard(SAMPLE, gb()).unwrap();
    assert_eq!(set.contacts().len(), 264);
    assert_eq!(set.identifiers().len(), 292);
    assert_eq!(set.duplicates(), 10);
    let emails = set
        .identifiers()
        .iter()
        .filter(|identifier| identifier.kind() == IdentifierKind::Email);
    assert_eq!(emails.count(), 9);
    for (plan, count) in [
        ("tel:+447700", 184),
        ("tel:+44", 218),
        ("tel:+33", 37),
        ("tel:+1", 20),
        ("tel:+61", 4),
        ("tel:+49", 4),
    ] {
        let of_plan = inputs(&set)
            .iter()
            .filter(|input| input.starts_with(plan))
            .count();
        assert_eq!(of_plan, count, "{plan}");
    }
    let text = std::str::from_utf8(SAMPLE).unwrap();
    for version in ["2.1", "3.0", "4.0"] {
        assert!(text.matches(&format!("VERSION:{version}")).count() > 20);
    }
    assert!(text.contains("\r\n") && text.contains("END:VCARD\nBEGIN"));
}

#[test]
fn every_number_that_is_looked_up_is_fictional() {
    let set = ContactSet::from_vcard(SAMPLE, gb()).unwrap();
    for input in inputs(&set) {
        match input.strip_prefix("tel:") {
            Some(number) => assert!(is_reserved(number), "{number}"),
            None => assert!(
                ["@example.org", "@example.com", "@example.net"]
                    .iter()
                    .any(|domain| input.ends_with(domain)),
                "{input}"
            ),
        }
    }
}

#[test]
fn each_reason_to_reject_a_field_occurs() {
    let set = ContactSet::from_vcard(SAMPLE, gb()).unwrap();
    let mut reasons = BTreeMap::new();
    for rejected in set.rejected() {
        *reasons
            .entry(format!("{:?}", rejected.reason))
            .or_insert(0_u32) += 1;
        assert!(rejected.location.line.is_some());
    }
    let expected = [
        (RejectReason::Group, 2),
        (RejectReason::NoAddress, 3),
        (RejectReason::Email(IdentifierError::EmailAt), 1),
        (RejectReason::Email(IdentifierError::EmailDomain), 1),
        (RejectReason::Email(IdentifierError::EmailLocalPart), 1),
        (RejectReason::Phone(PhoneError::Empty), 3),
        (RejectReason::Phone(PhoneError::LocalOnly), 1),
        (RejectReason::Phone(PhoneError::NotANumber), 1),
        (RejectReason::Phone(PhoneError::ServiceCode), 3),
        (RejectReason::Phone(PhoneError::ServiceNumber), 3),
        (RejectReason::Phone(PhoneError::ShortCode), 4),
        (RejectReason::Phone(PhoneError::TooLong), 1),
        (RejectReason::Phone(PhoneError::TooShort), 2),
        (RejectReason::Phone(PhoneError::UnknownCountryCode), 1),
    ];
    let expected: BTreeMap<String, u32> = expected
        .into_iter()
        .map(|(reason, count)| (format!("{reason:?}"), count))
        .collect();
    assert_eq!(reasons, expected);
}

#[test]
fn names_of_all_scripts_arrive() {
    let set = ContactSet::from_vcard(SAMPLE, gb()).unwrap();
    let names: Vec<&str> = set
        .contacts()
        .iter()
        .map(|contact| contact.name())
        .collect();
    for name in [
        "Jean-Baptiste Nsengimana",
        "Þórunn Sigurðardóttir", // quoted-printable in Windows-1252
        "กนกวรรณ ศรีสุวรรณ",
        "Дмитрий Кузьмичёв",
        "Ελπίδα Μαυροειδή", // the first of two alternatives
        "秀英 欧阳",
        "فاطمة الزهراني",
        "सुनीता चतुर्वेदी",
        "さくら 小早川",
        "하늘 선우",
        "👩🏽‍⚕️ Dr Nadeem",
        "Poppy ❤️",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    // A number that two cards share belongs to both names.
    let shared = (0..set.identifiers().len()).filter(|&at| set.owners(at).len() > 1);
    assert_eq!(shared.count(), 8);
}
