//! vCard 2.1, 3.0 (RFC 2426) and 4.0 (RFC 6350), as devices export them.
//!
//! Layer 4. It finds the cards of a file and the name, phone numbers and e-mail addresses of each; it
//! must not know how those are parsed.
//!
//! `calcard` reads a card. The cards are separated here and handed over one by one, cut down to the few
//! properties that matter: so a card that isn't closed can't take the next one with it, and neither
//! photographs nor a million unknown properties cost memory.

use calcard::{
    Entry, Parser,
    vcard::{VCard, VCardEntry, VCardKind, VCardProperty, VCardValue},
};
use std::prelude::rust_2024::*;

use super::{
    ContactSet, ContactSetBuilder, FieldKind, ImportError, Location, MAX_ENTRY_BYTES, Region,
    RejectReason, decode_text, open_text,
};

/// The properties that are handed over; `TEL` and `EMAIL` first.
const PROPERTIES: [&str; 9] = [
    "TEL", "EMAIL", "VERSION", "FN", "N", "NICKNAME", "ORG", "KIND", APPLE_KIND,
];
const FIELD_PROPERTIES: usize = 2;
/// What Apple wrote before version 4.0 had `KIND`.
const APPLE_KIND: &str = "X-ADDRESSBOOKSERVER-KIND";

impl ContactSet {
    /// Imports a vCard file with any number of cards, of any version and mixed; numbers without country code
    /// are of `region`.
    ///
    /// The text is UTF-8 or, card by card, ISO 8859-1; quoted-printable and its charset are undone. A card
    /// that isn't closed is rejected as a whole, a group of contacts too; the others aren't affected. `TEL`
    /// and `EMAIL` are looked up, whatever their types; the name is `FN`, else `N`, `NICKNAME` or `ORG`.
    /// Numbers in other properties (`IMPP`, `RELATED`, `NOTE`, ...) are not looked at.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the file as a whole can't be used.
    pub fn from_vcard(bytes: &[u8], region: Option<Region>) -> Result<Self, ImportError> {
        let bytes = open_text(bytes)?;
        let end_of_line = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
        let mut importer = Importer {
            set: Self::builder(region),
            card: None,
            stray: false,
            cards: 0,
        };
        for (line, number) in bytes.split(|&byte| byte == end_of_line).zip(1..) {
            importer.line(line.strip_suffix(b"\r").unwrap_or(line), number)?;
        }
        importer.close_unterminated();
        if importer.cards == 0 {
            return Err(ImportError::NotVcard);
        }
        Ok(importer.set.build())
    }
}

struct Importer {
    set: ContactSetBuilder,
    card: Option<Card>,
    /// Whether the previous line belonged to no card.
    stray: bool,
    cards: usize,
}

/// A card whose end hasn't come yet.
struct Card {
    location: Location,
    kept: Vec<u8>,
    /// Lines of `kept` that begin a field.
    fields: usize,
    /// Whether the property of the previous line is kept.
    keeping: bool,
    /// Whether the property of the previous line is in quoted-printable.
    encoded: bool,
    /// Whether it goes on by a soft line break.
    soft_break: bool,
    too_long: bool,
}

impl Importer {
    fn line(&mut self, line: &[u8], number: u64) -> Result<(), ImportError> {
        if is_delimiter(line, b"BEGIN") {
            self.close_unterminated();
            self.stray = false;
            self.cards += 1;
            self.card = Some(Card::new(self.set.next_entry(Some(number))?));
        } else if let Some(mut card) = self.card.take() {
            if is_delimiter(line, b"END") {
                self.close(card)?;
            } else {
                card.line(line);
                self.card = Some(card);
            }
        } else if line.trim_ascii().is_empty() {
            self.stray = false;
        } else if !self.stray {
            self.stray = true;
            let location = self.set.next_entry(Some(number))?;
            self.set
                .reject(location, None, None, RejectReason::StrayText);
        }
        Ok(())
    }

    fn close_unterminated(&mut self) {
        if let Some(card) = self.card.take() {
            self.set
                .reject(card.location, None, None, RejectReason::UnterminatedCard);
        }
    }

    fn close(&mut self, card: Card) -> Result<(), ImportError> {
        let location = card.location;
        if card.too_long {
            self.set.reject(location, None, None, RejectReason::TooLong);
            return Ok(());
        }
        let text = decode_text(&card.kept);
        let Entry::VCard(parsed) = Parser::new(&text).entry() else {
            self.set
                .reject(location, None, None, RejectReason::MalformedCard);
            return Ok(());
        };
        if is_group(&parsed) {
            self.set.reject(location, None, None, RejectReason::Group);
            return Ok(());
        }
        let fields: Vec<(FieldKind, &str)> = parsed.entries.iter().filter_map(field).collect();
        if fields.len() < card.fields {
            self.set
                .reject(location, None, None, RejectReason::SwallowedField);
        }
        self.set.add_contact(location, &name(&parsed), fields)
    }
}

impl Card {
    fn new(location: Location) -> Self {
        Self {
            location,
            kept: b"BEGIN:VCARD\n".to_vec(),
            fields: 0,
            keeping: false,
            encoded: false,
            soft_break: false,
            too_long: false,
        }
    }

    fn line(&mut self, line: &[u8]) {
        let folded = !self.soft_break && matches!(line.first(), Some(b' ' | b'\t'));
        let continues = self.soft_break || folded;
        if !folded {
            let property = PROPERTIES
                .iter()
                .position(|name| property_name(line).eq_ignore_ascii_case(name.as_bytes()));
            // Behind a soft break a line is part of a value, whatever it looks like: it is counted, and
            // then missed among what the parser finds.
            self.fields += usize::from(property.is_some_and(|at| at < FIELD_PROPERTIES));
            if !continues {
                self.keeping = property.is_some();
                self.encoded = contains_ignore_case(before_value(line), b"QUOTED-PRINTABLE");
            }
        }
        // Only encoded values go on after an equals sign at the end.
        self.soft_break = self.encoded && line.ends_with(b"=");
        if !self.keeping || self.too_long {
            return;
        }
        if self.kept.len() + line.len() >= MAX_ENTRY_BYTES {
            self.too_long = true;
            return;
        }
        let content = if folded {
            // Undone here, among bytes: some exporters cut characters in two.
            self.kept.pop();
            line.get(1..).unwrap_or_default()
        } else {
            line
        };
        match bare_encoding(content).filter(|_| !continues) {
            Some(at) => {
                let (before, encoding) = content.split_at(at);
                self.kept.extend_from_slice(before);
                self.kept.extend_from_slice(b"ENCODING=");
                self.kept.extend_from_slice(encoding);
            }
            None => self.kept.extend_from_slice(content),
        }
        self.kept.push(b'\n');
    }
}

/// `BEGIN:VCARD` or `END:VCARD`, in whatever case and with whatever spaces.
fn is_delimiter(line: &[u8], keyword: &[u8]) -> bool {
    let mut parts = line.splitn(2, |&byte| byte == b':').map(<[u8]>::trim_ascii);
    parts
        .next()
        .is_some_and(|part| part.eq_ignore_ascii_case(keyword))
        && parts
            .next()
            .is_some_and(|part| part.eq_ignore_ascii_case(b"VCARD"))
}

/// The name of the property that a line begins, without its group.
fn property_name(line: &[u8]) -> &[u8] {
    let name = line
        .split(|&byte| byte == b':' || byte == b';')
        .next()
        .unwrap_or_default();
    let name = name.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    name.trim_ascii()
}

/// The name of a property and its parameters.
fn before_value(line: &[u8]) -> &[u8] {
    line.split(|&byte| byte == b':').next().unwrap_or_default()
}

/// Where a line says `;QUOTED-PRINTABLE` without `ENCODING=`. vCard 2.1 allows it, and old phones do it, but
/// `calcard` takes it for a type.
fn bare_encoding(line: &[u8]) -> Option<usize> {
    const BARE: &[u8] = b";QUOTED-PRINTABLE";
    before_value(line)
        .windows(BARE.len())
        .position(|window| window.eq_ignore_ascii_case(BARE))
        .map(|at| at + 1)
}

fn contains_ignore_case(line: &[u8], needle: &[u8]) -> bool {
    line.windows(needle.len())
        .any(|window| window.eq_ignore_ascii_case(needle))
}

fn field(entry: &VCardEntry) -> Option<(FieldKind, &str)> {
    let kind = match entry.name {
        VCardProperty::Tel => FieldKind::Phone,
        VCardProperty::Email => FieldKind::Email,
        _ => return None,
    };
    // What isn't text (a `data:` URI, bytes of no charset) is neither number nor address: it is
    // rejected as an empty one.
    Some((kind, entry.values.iter().find_map(text).unwrap_or_default()))
}

fn is_group(card: &VCard) -> bool {
    card.entries.iter().any(|entry| match &entry.name {
        VCardProperty::Kind => entry
            .values
            .iter()
            .any(|value| matches!(value, VCardValue::Kind(VCardKind::Group))),
        VCardProperty::Other(name) if name.eq_ignore_ascii_case(APPLE_KIND) => entry
            .values
            .iter()
            .filter_map(text)
            .any(|kind| kind.trim().eq_ignore_ascii_case("group")),
        _ => false,
    })
}

/// The display name: the first of the properties that has one.
fn name(card: &VCard) -> String {
    [
        VCardProperty::Fn,
        VCardProperty::N,
        VCardProperty::Nickname,
        VCardProperty::Org,
    ]
    .iter()
    .flat_map(|property| {
        card.entries
            .iter()
            .filter(move |entry| entry.name == *property)
    })
    .map(|entry| {
        let parts: Vec<String> = entry.values.iter().map(plain).collect();
        // N is family name; given name; additional names; prefixes; suffixes.
        let order: &[usize] = match (&entry.name, parts.len()) {
            (VCardProperty::N, 2..) => &[3, 1, 2, 0, 4],
            _ => &[0, 1, 2, 3, 4],
        };
        let parts: Vec<&str> = order
            .iter()
            .filter_map(|&at| parts.get(at))
            .map(|part| part.trim())
            .filter(|part| !part.is_empty())
            .collect();
        parts.join(" ")
    })
    .find(|name| !name.is_empty())
    .unwrap_or_default()
}

fn text(value: &VCardValue) -> Option<&str> {
    match value {
        VCardValue::Text(text) => Some(text),
        _ => None,
    }
}

fn plain(value: &VCardValue) -> String {
    match value {
        VCardValue::Text(text) => text.clone(),
        VCardValue::Component(parts) => parts.join(" "),
        // Quoted-printable in a charset that `calcard` doesn't know.
        VCardValue::Binary(data) => decode_text(&data.data).into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_found_as_devices_write_them() {
        assert!(is_delimiter(b"BEGIN:VCARD", b"BEGIN"));
        assert!(is_delimiter(b" begin : vCard ", b"BEGIN"));
        assert!(!is_delimiter(b"BEGIN:VCALENDAR", b"BEGIN"));
        assert!(!is_delimiter(b"BEGIN", b"BEGIN"));
        assert!(!is_delimiter(b"NOTE:BEGIN:VCARD", b"BEGIN"));
    }

    #[test]
    fn property_names_lose_group_and_parameters() {
        assert_eq!(property_name(b"item1.TEL;TYPE=CELL:+44"), b"TEL");
        assert_eq!(property_name(b"TEL:1.2"), b"TEL");
        assert_eq!(property_name(b"no property"), b"no property");
        assert_eq!(property_name(b""), b"");
    }
}
