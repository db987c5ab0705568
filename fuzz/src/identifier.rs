//! Identifiers from any text.

use blindbook::client::{Identifier, contacts::parse_phone};

/// What is taken is in its only spelling: taking it again gives the same.
pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    if let Ok(identifier) = Identifier::email(text) {
        let spelling = spelling(&identifier, "mailto:");
        let again = Identifier::email(&spelling).expect("a normal spelling");
        assert_eq!(again.as_input(), identifier.as_input());
    }
    if let Ok(identifier) = parse_phone(text, "GB".parse().ok()) {
        let spelling = spelling(&identifier, "tel:");
        let again = Identifier::phone_e164(&spelling).expect("a normal spelling");
        assert_eq!(again.as_input(), identifier.as_input());
    }
}

fn spelling(identifier: &Identifier, scheme: &str) -> String {
    let input = core::str::from_utf8(identifier.as_input()).expect("UTF-8");
    input.strip_prefix(scheme).expect("its scheme").to_owned()
}
