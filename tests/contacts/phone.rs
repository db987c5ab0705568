//! Phone numbers as people of many countries write them.
//!
//! Expectations come from the number plans and from what the documentation of `parse_phone` promises. Numbers
//! are from ranges reserved for fiction; where a country has none, the number is too short or too long to be one,
//! or a service number.

use blindbook::client::contacts::{PhoneError, Region, RegionError, parse_phone};

use crate::region;

fn e164(spelling: &str, of: &str) -> Result<String, PhoneError> {
    let region = if of.is_empty() { None } else { region(of) };
    parse_phone(spelling, region).map(|identifier| {
        let input = std::str::from_utf8(identifier.as_input()).unwrap();
        input.strip_prefix("tel:").unwrap().to_owned()
    })
}

/// Spelling, default region (none if empty), and what it means.
const SPELLINGS: &[(&str, &str, &str)] = &[
    // United Kingdom: national.
    ("07700900123", "GB", "+447700900123"),
    ("07700 900 123", "GB", "+447700900123"),
    ("07700-900-123", "GB", "+447700900123"),
    ("07700.900.123", "GB", "+447700900123"),
    ("07700/900123", "GB", "+447700900123"),
    ("(07700) 900123", "GB", "+447700900123"),
    ("[07700] 900123", "GB", "+447700900123"),
    ("0 7 7 0 0 9 0 0 1 2 3", "GB", "+447700900123"),
    ("  07700 900123  ", "GB", "+447700900123"),
    ("\t07700 900123\r\n", "GB", "+447700900123"),
    ("7700 900123", "GB", "+447700900123"),
    ("(020) 7946 0018", "GB", "+442079460018"),
    ("020 79460018", "GB", "+442079460018"),
    ("0113 496 0999", "GB", "+441134960999"),
    ("0191 498 0000", "GB", "+441914980000"),
    ("028 9649 6000", "GB", "+442896496000"),
    ("01632 960000", "GB", "+441632960000"),
    // United Kingdom: international.
    ("+447700900123", "GB", "+447700900123"),
    ("+44 7700 900123", "", "+447700900123"),
    ("+44 (0) 7700 900123", "GB", "+447700900123"),
    ("+44(0)7700900123", "", "+447700900123"),
    ("+44 07700 900123", "", "+447700900123"),
    ("0044 7700 900123", "GB", "+447700900123"),
    ("00 44 (0)7700 900123", "GB", "+447700900123"),
    ("+ 44 7700 900123", "GB", "+447700900123"),
    ("+44-7700-900123", "US", "+447700900123"),
    ("44 7700 900123", "GB", "+447700900123"),
    ("(+44) 7700 900123", "FR", "+447700900123"),
    ("++44 7700 900123", "", "+447700900123"),
    // URIs, as vCard 4.0 and web pages have them (RFC 3966).
    ("tel:+447700900123", "", "+447700900123"),
    ("TEL:+44-7700-900123", "", "+447700900123"),
    ("Tel:07700900123", "GB", "+447700900123"),
    ("tel:7700-900123;phone-context=+44", "", "+447700900123"),
    ("tel:+44-20-7946-0018;ext=5", "", "+442079460018"),
    // What is dialled once the line is up isn't part of it.
    ("020 7946 0018 ext. 5", "GB", "+442079460018"),
    ("020 7946 0018 x5", "GB", "+442079460018"),
    ("020 7946 0018 #5", "GB", "+442079460018"),
    ("020 7946 0018,,5", "GB", "+442079460018"),
    ("02079460018p5", "GB", "+442079460018"),
    ("02079460018w5#", "GB", "+442079460018"),
    ("02079460018#", "GB", "+442079460018"),
    // Digits and punctuation of other scripts.
    ("٠٧٧٠٠ ٩٠٠١٢٣", "GB", "+447700900123"),
    ("۰۷۷۰۰ ۹۰۰۱۲۳", "GB", "+447700900123"),
    ("०७७०० ९००१२३", "GB", "+447700900123"),
    ("０７７００　９００１２３", "GB", "+447700900123"),
    ("＋４４　７７００　９００１２３", "", "+447700900123"),
    ("０７７００－９００－１２３", "GB", "+447700900123"),
    ("（０７７００）９００１２３", "GB", "+447700900123"),
    // What phones and web pages put into copied numbers.
    ("\u{202a}+44 7700 900123\u{202c}", "", "+447700900123"),
    ("\u{2066}07700 900123\u{2069}", "GB", "+447700900123"),
    ("\u{feff}07700\u{200b}900\u{200d}123", "GB", "+447700900123"),
    ("\u{200e}+447700900123\u{200f}", "", "+447700900123"),
    ("+44\u{a0}7700\u{a0}900123", "", "+447700900123"),
    // The narrow spaces of French typography, and a tab from a spreadsheet.
    (
        "+33\u{202f}6\u{202f}39\u{202f}98\u{202f}12\u{202f}34",
        "",
        "+33639981234",
    ),
    ("+44\u{2009}7700\u{2009}900123", "", "+447700900123"),
    ("07700\t900123", "GB", "+447700900123"),
    ("07700\u{2011}900\u{2011}123", "GB", "+447700900123"),
    ("07700\u{2013}900123", "GB", "+447700900123"),
    ("07700\u{2212}900123", "GB", "+447700900123"),
    ("07700\u{ad}900123", "GB", "+447700900123"),
    // Letters for digits.
    ("0161 496 0CAB", "GB", "+441614960222"),
    ("+44 7700 900CAT", "", "+447700900228"),
    // France.
    ("06 39 98 12 34", "FR", "+33639981234"),
    ("06.39.98.12.34", "FR", "+33639981234"),
    ("+33 (0)6 39 98 12 34", "GB", "+33639981234"),
    ("0033639981234", "GB", "+33639981234"),
    ("01 99 00 12 34", "FR", "+33199001234"),
    ("+33 2 61 91 12 34", "US", "+33261911234"),
    ("05-36-49-12-34", "FR", "+33536491234"),
    // North America.
    ("(202) 555-0143", "US", "+12025550143"),
    ("202-555-0143", "US", "+12025550143"),
    ("202.555.0143", "CA", "+12025550143"),
    ("1 202 555 0143", "US", "+12025550143"),
    ("1-202-555-0143", "US", "+12025550143"),
    ("+1 (202) 555-0143", "GB", "+12025550143"),
    ("001 202 555 0143", "GB", "+12025550143"),
    ("011 44 7700 900123", "US", "+447700900123"),
    ("011447700900123", "CA", "+447700900123"),
    ("+12025550143", "", "+12025550143"),
    // Germany.
    ("030 23125 999", "DE", "+493023125999"),
    ("(069) 90009-123", "DE", "+496990009123"),
    ("0171 39200 11", "DE", "+491713920011"),
    ("+49 (0) 89 99998-000", "FR", "+498999998000"),
    ("0221/4710123", "DE", "+492214710123"),
    ("0049 40 66969 000", "CH", "+494066969000"),
    // Australia: 0011 dials abroad.
    ("0491 570 006", "AU", "+61491570006"),
    ("+61 491 570 156", "GB", "+61491570156"),
    ("0061 491 570 157", "GB", "+61491570157"),
    ("0011 44 7700 900123", "AU", "+447700900123"),
    ("(04) 9157 0110", "AU", "+61491570110"),
    // From elsewhere, to a British number.
    ("010 44 7700 900123", "JP", "+447700900123"),
    ("00 44 7700 900123", "IN", "+447700900123"),
    ("8~10 44 7700 900123", "RU", "+447700900123"),
    ("0044 7700 900123", "IT", "+447700900123"),
    ("009 44 7700 900123", "NG", "+447700900123"),
];

#[test]
fn every_spelling_has_its_one_meaning() {
    assert!(SPELLINGS.len() >= 80);
    let mut wrong = Vec::new();
    for &(spelling, of, expected) in SPELLINGS {
        let got = e164(spelling, of);
        if got.as_deref() != Ok(expected) {
            wrong.push(format!(
                "{spelling:?} in {of:?} is {got:?} and not {expected}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Spelling, default region, and why it can't be looked up.
const REFUSED: &[(&str, &str, PhoneError)] = &[
    ("", "GB", PhoneError::Empty),
    (" \t\u{a0}\u{3000}", "GB", PhoneError::Empty),
    ("\u{200e}\u{202a}\u{202c}", "GB", PhoneError::Empty),
    // Two lines are two things, never one number.
    ("07700\n900123", "GB", PhoneError::NotANumber),
    ("hello", "GB", PhoneError::NotANumber),
    ("-", "GB", PhoneError::NotANumber),
    ("+", "GB", PhoneError::NotANumber),
    ("n/a", "GB", PhoneError::NotANumber),
    ("ada@example.org", "GB", PhoneError::NotANumber),
    ("ask Ada", "GB", PhoneError::NotANumber),
    ("😀", "GB", PhoneError::NotANumber),
    ("7", "GB", PhoneError::NotANumber),
    ("999", "GB", PhoneError::ShortCode),
    ("112", "GB", PhoneError::ShortCode),
    ("101", "GB", PhoneError::ShortCode),
    ("61016", "GB", PhoneError::ShortCode),
    ("911", "US", PhoneError::ShortCode),
    ("3615", "FR", PhoneError::ShortCode),
    ("١١٢", "GB", PhoneError::ShortCode),
    ("*100#", "GB", PhoneError::ServiceCode),
    ("*#06#", "GB", PhoneError::ServiceCode),
    ("#002#", "GB", PhoneError::ServiceCode),
    ("**21*07700900123#", "GB", PhoneError::ServiceCode),
    ("*67 202 555 0143", "US", PhoneError::ServiceCode),
    ("#", "GB", PhoneError::ServiceCode),
    ("＊１００＃", "GB", PhoneError::ServiceCode),
    ("＃００２＃", "GB", PhoneError::ServiceCode),
    ("08081 570123", "GB", PhoneError::ServiceNumber),
    ("+44 808 157 0123", "", PhoneError::ServiceNumber),
    ("03069 990123", "GB", PhoneError::ServiceNumber),
    ("7946 0018", "GB", PhoneError::LocalOnly),
    ("555-0143", "US", PhoneError::LocalOnly),
    ("07700 900123", "", PhoneError::NoRegion),
    ("0044 7700 900123", "", PhoneError::NoRegion),
    ("447700900123", "", PhoneError::NoRegion),
    ("+999 7700 900123", "GB", PhoneError::UnknownCountryCode),
    ("+0 7700 900123", "GB", PhoneError::UnknownCountryCode),
    ("+44", "GB", PhoneError::NotANumber),
    ("+33 6 39", "GB", PhoneError::TooShort),
    ("+1 202 555 014", "GB", PhoneError::TooShort),
    ("07700 900123 07700 900124", "GB", PhoneError::TooLong),
    ("+1 202 555 01430", "GB", PhoneError::TooLong),
    ("+44 7700 9001234", "GB", PhoneError::TooLong),
    ("12345678901234567890", "GB", PhoneError::TooLong),
];

#[test]
fn every_refusal_says_why() {
    let mut wrong = Vec::new();
    for &(spelling, of, expected) in REFUSED {
        let got = e164(spelling, of);
        if got != Err(expected) {
            wrong.push(format!(
                "{spelling:?} in {of:?} is {got:?} and not {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_long_text_is_refused_before_it_is_read() {
    let padded = |spaces: usize| format!("07700{}900123", " ".repeat(spaces));
    assert!(e164(&padded(250 - 11), "GB").is_ok());
    assert_eq!(e164(&padded(251 - 11), "GB"), Err(PhoneError::TooLong));
    assert_eq!(e164(&"9".repeat(1 << 20), "GB"), Err(PhoneError::TooLong));
    assert_eq!(e164(&"+".repeat(250), "GB"), Err(PhoneError::NotANumber));
    for hostile in [
        "(".repeat(250),
        "0".repeat(250),
        "1x".repeat(125),
        ";ext=".repeat(50),
    ] {
        assert!(e164(&hostile, "GB").is_err());
    }
}

/// A phone's owner can't know which digit of a number is hidden in another script: every digit of Unicode
/// counts, and nothing that only looks like one.
#[test]
fn look_alikes_are_not_digits() {
    for look_alike in ["07700 9OO123", "07700 90012З", "07700 900l23"] {
        let got = e164(look_alike, "GB");
        assert_ne!(got.as_deref(), Ok("+447700900123"), "{look_alike}");
    }
    // Mixed within one number, as keyboards do it.
    assert_eq!(e164("07700 ٩٠٠123", "GB").unwrap(), "+447700900123");
}

#[test]
fn what_was_parsed_is_parsed_to_itself_from_anywhere() {
    for &(_, _, number) in SPELLINGS {
        for of in ["", "GB", "US", "FR", "DE", "AU", "JP", "RU", "CH"] {
            assert_eq!(e164(number, of).as_deref(), Ok(number), "{of}");
        }
    }
}

#[test]
fn a_region_is_where_people_have_numbers() {
    for code in ["GB", "gb", "JE", "US", "CH", "FR", "AU", "IN"] {
        assert!(code.parse::<Region>().is_ok(), "{code}");
    }
    for code in ["", "G", "GBR", "UK ", " GB", "EU", "QQ", "44", "+4", "ＧＢ"] {
        assert_eq!(code.parse::<Region>().unwrap_err(), RegionError, "{code:?}");
    }
}

#[test]
fn no_error_repeats_the_number() {
    for &(spelling, of, _) in REFUSED {
        let error = e164(spelling, of).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.chars().any(|c| c.is_numeric()), "{told}");
        assert!(spelling.len() < 6 || !told.contains(spelling));
    }
}
