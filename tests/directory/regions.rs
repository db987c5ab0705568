//! Where nobody can be found without having agreed, and what an operator's own table can't change.

use blindbook::{
    label::Label,
    server::directory::{
        Audience, Change, ChangeError, Consent, Member, Region, Regions, RegionsError, Setting,
        apply,
    },
};

use super::at;

/// The European Union, the rest of the European Economic Area, the United Kingdom, Switzerland, Brazil.
const PROTECTED: &str = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK \
                         IS LI NO GB CH BR";

fn region(code: &str) -> Region {
    Region::new(code).unwrap()
}

fn unasked(regions: &Regions, code: Option<&str>) -> Change {
    Change::Enrol {
        label: Label::new(b"handle").unwrap(),
        setting: Setting::EveryoneByDefault,
        residence: regions.residence(code.map(region)),
    }
}

fn consent(consented: u64) -> Consent {
    Consent::new(at(consented), "2026-11", "ios/settings").unwrap()
}

#[test]
fn by_default_nobody_is_found_anywhere_without_having_agreed() {
    let regions = Regions::default();
    assert_eq!(regions.waived().count(), 0);
    for code in [None, Some("US"), Some("DE"), Some("ZZ"), Some("AQ")] {
        let (member, error) = apply(None, unasked(&regions, code), at(1)).unwrap_err();
        assert_eq!(member, None);
        assert_eq!(error, ChangeError::ConsentNeeded);
    }
    for code in PROTECTED.split(' ') {
        assert!(regions.protected().any(|one| one == region(code)), "{code}");
    }
}

#[test]
fn a_table_cannot_waive_what_the_law_demands() {
    for code in PROTECTED.split(' ') {
        for table in [
            format!("{code},waived"),
            format!("region,consent\nUS,waived\n{code},waived\n"),
        ] {
            let refused = Regions::parse(&table).unwrap_err();
            assert_eq!(refused, RegionsError::Protected(region(code)));
        }
        // Nor by saying less than always, nor by saying nothing.
        for table in [format!("{code},needed\nUS,waived"), "US,waived".to_owned()] {
            let regions = Regions::parse(&table).unwrap();
            assert!(regions.residence(Some(region(code))).needs_consent());
            assert!(regions.protected().any(|one| one == region(code)));
        }
    }
    assert_eq!(
        Regions::parse("DE,waived").unwrap_err().to_string(),
        "a consent can't be waived in DE"
    );
}

#[test]
fn a_table_says_where_nobody_has_to_be_asked() {
    let regions = Regions::parse(
        "\u{feff}region,consent\r\n# ours\r\n\r\nUS, waived\r\nJP,needed\r\nAU,always\r\n",
    )
    .unwrap();
    assert_eq!(regions.waived().collect::<Vec<_>>(), [region("US")]);
    for (code, needs) in [
        (Some("US"), false),
        (Some("JP"), true),
        (Some("AU"), true),
        (Some("CA"), true),
        (None, true),
    ] {
        let residence = regions.residence(code.map(region));
        assert_eq!(residence.needs_consent(), needs, "{code:?}");
        assert_eq!(residence.region(), code.map(region));
    }
    for (table, line) in [
        ("US", 1),
        ("US,maybe", 1),
        ("us,waived", 1),
        ("USA,waived", 1),
        ("US,waived\nregion,consent", 2),
        ("# one\nUS,waived\n,waived", 3),
        ("US,waived,US", 1),
    ] {
        let refused = Regions::parse(table).unwrap_err();
        assert_eq!(refused, RegionsError::Line(line), "{table}");
    }
    let refused = Regions::parse("US,waived\nUS,needed").unwrap_err();
    assert_eq!(refused, RegionsError::Twice(2));
    // The built-in table is one of the same kind.
    let built_in = include_str!("../../src/server/directory/regions.csv");
    assert_eq!(Regions::parse(built_in), Ok(Regions::default()));
}

/// Not having been asked is worth less than any answer.
#[test]
fn who_has_answered_is_not_found_by_default() {
    let regions = Regions::parse("US,waived").unwrap();
    let us = || unasked(&regions, Some("US"));
    let found = apply(None, us(), at(1)).unwrap();
    assert_eq!(found.audience(), Audience::Everyone);
    assert_eq!(found.open().unwrap().consent, None);
    assert_eq!(found.region(), Some(region("US")));
    // The same again changes nothing.
    assert_eq!(apply(Some(found.clone()), us(), at(2)).unwrap(), found);

    // A no outranks it for good; only a consent that is later than the no helps.
    let hidden = apply(Some(found.clone()), Change::Remove, at(3)).unwrap();
    let (hidden, error) = apply(Some(hidden), us(), at(4)).unwrap_err();
    assert_eq!(error, ChangeError::ConsentNeeded);
    assert_eq!(
        hidden.as_ref().map(Member::audience),
        Some(Audience::Nobody)
    );
    let agreed = |consented| Change::Enrol {
        label: Label::new(b"handle").unwrap(),
        setting: Setting::Everyone(consent(consented)),
        residence: regions.residence(None),
    };
    let (hidden, error) = apply(hidden, agreed(3), at(5)).unwrap_err();
    assert_eq!(error, ChangeError::StaleConsent);
    let back = apply(hidden, agreed(4), at(5)).unwrap();
    assert_eq!(back.open().unwrap().consent, Some(consent(4)));
    // Where the member lives was said once, and stays.
    assert_eq!(back.region(), Some(region("US")));

    // Who agreed stays one who agreed.
    let asked = apply(Some(found), agreed(6), at(6)).unwrap();
    let still = apply(Some(asked.clone()), us(), at(7)).unwrap();
    assert_eq!(still, asked);
}

/// Who moves to where a consent is needed isn't enrolled there without one.
#[test]
fn a_waiver_does_not_move_along() {
    let regions = Regions::parse("US,waived").unwrap();
    let found = apply(None, unasked(&regions, Some("US")), at(1)).unwrap();
    let (same, error) =
        apply(Some(found.clone()), unasked(&regions, Some("DE")), at(2)).unwrap_err();
    assert_eq!((same, error), (Some(found), ChangeError::ConsentNeeded));
}
