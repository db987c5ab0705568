//! The address book after parsing: contacts, unique identifiers, and what was rejected.
//!
//! Layer 4. It folds duplicates and keeps count; it must not know any file format.

use std::fmt;
use std::prelude::rust_2024::*;

use zeroize::Zeroizing;

use super::{
    FieldKind, ImportError, Location, MAX_ENTRIES, MAX_FIELDS, MAX_FIELDS_PER_ENTRY, Region,
    RejectReason, Rejected, parse_field,
};
use crate::client::identifier::Identifier;

/// The longest display name that is kept, in characters.
const MAX_NAME_CHARS: usize = 256;

/// One person of an address book.
pub struct Contact {
    name: Zeroizing<String>,
    location: Location,
    identifiers: Vec<usize>,
}

impl Contact {
    /// The display name: at most 256 characters on one line without control characters or overrides of
    /// the writing direction. May be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the contact was in the import.
    #[must_use]
    pub fn location(&self) -> Location {
        self.location
    }

    /// Indices into [`ContactSet::identifiers`], each once, in the order of the entry.
    #[must_use]
    pub fn identifiers(&self) -> &[usize] {
        &self.identifiers
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact")
            .field("name", &"<redacted>")
            .field("location", &self.location)
            .field("identifiers", &self.identifiers.len())
            .finish()
    }
}

/// An address book, ready to be discovered.
///
/// # Examples
///
/// ```
/// use blindbook::client::contacts::{ContactSet, FieldKind};
///
/// let mut builder = ContactSet::builder("GB".parse().ok());
/// builder.add("Ada", [(FieldKind::Phone, "07700 900123"), (FieldKind::Email, "ada@example.org")])?;
/// builder.add("Ada (work)", [(FieldKind::Phone, "+44 7700 900123")])?;
/// let contacts = builder.build();
///
/// assert_eq!(contacts.identifiers().len(), 2);
/// assert_eq!(contacts.owners(0), [0, 1]);
/// assert_eq!(contacts.duplicates(), 1);
/// # Ok::<(), blindbook::client::contacts::ImportError>(())
/// ```
pub struct ContactSet {
    contacts: Vec<Contact>,
    identifiers: Vec<Identifier>,
    owners: Vec<Vec<usize>>,
    rejected: Vec<Rejected>,
    duplicates: usize,
}

impl ContactSet {
    /// Starts a set from an address book that isn't a file; numbers without country code are of `region`.
    #[must_use]
    pub fn builder(region: Option<Region>) -> ContactSetBuilder {
        ContactSetBuilder {
            region,
            entries: 0,
            contacts: Vec::new(),
            fields: Vec::new(),
            rejected: Vec::new(),
        }
    }

    /// The contacts, in the order of the import, also those without any identifier.
    #[must_use]
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// Each identifier once, in the order of first appearance: the same import gives the same order.
    pub fn identifiers(&self) -> &[Identifier] {
        &self.identifiers
    }

    /// Adds an identifier that is to be looked up with the others and belongs to no contact, for example one's own;
    /// returns its index, which may be one that is there already.
    pub fn include(&mut self, identifier: Identifier) -> usize {
        let input = identifier.as_input();
        let there = self
            .identifiers
            .iter()
            .position(|one| one.as_input() == input);
        there.unwrap_or_else(|| {
            self.identifiers.push(identifier);
            self.owners.push(Vec::new());
            self.identifiers.len() - 1
        })
    }

    /// The contacts that the identifier with this index belongs to, ascending; empty if there is no such
    /// identifier.
    #[must_use]
    pub fn owners(&self, identifier: usize) -> &[usize] {
        self.owners.get(identifier).map_or(&[], Vec::as_slice)
    }

    /// What can't be looked up, in the order of the import.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// How many usable fields were folded into an identifier that was there already.
    #[must_use]
    pub fn duplicates(&self) -> usize {
        self.duplicates
    }
}

impl fmt::Debug for ContactSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContactSet")
            .field("contacts", &self.contacts.len())
            .field("identifiers", &self.identifiers.len())
            .field("rejected", &self.rejected.len())
            .field("duplicates", &self.duplicates)
            .finish()
    }
}

/// Collects the entries of a [`ContactSet`].
pub struct ContactSetBuilder {
    region: Option<Region>,
    entries: usize,
    contacts: Vec<Contact>,
    /// Usable fields and the index of their contact, ascending.
    fields: Vec<(Identifier, usize)>,
    rejected: Vec<Rejected>,
}

impl ContactSetBuilder {
    /// Adds one entry with the fields as their owner wrote them.
    ///
    /// Fields that can't be used are in [`ContactSet::rejected`] afterwards and don't fail the call.
    ///
    /// # Errors
    ///
    /// [`ImportError::TooManyEntries`] beyond [`MAX_ENTRIES`], [`ImportError::TooManyFields`] beyond
    /// [`MAX_FIELDS`](super::MAX_FIELDS).
    pub fn add<'a>(
        &mut self,
        name: &str,
        fields: impl IntoIterator<Item = (FieldKind, &'a str)>,
    ) -> Result<(), ImportError> {
        let location = self.next_entry(None)?;
        self.add_contact(location, name, fields)
    }

    /// Folds duplicates and closes the set.
    #[must_use]
    pub fn build(mut self) -> ContactSet {
        let numbers = number_by_content(&self.fields);
        let mut identifiers = Vec::new();
        let mut owners: Vec<Vec<usize>> = Vec::new();
        let fields = self.fields.len();
        for ((identifier, contact), number) in self.fields.into_iter().zip(numbers) {
            if number == identifiers.len() {
                identifiers.push(identifier);
                owners.push(Vec::new());
            }
            // Fields come in the order of their contacts, so a repetition inside one entry is the last.
            if let Some(owners) = owners.get_mut(number)
                && owners.last() != Some(&contact)
            {
                owners.push(contact);
                if let Some(contact) = self.contacts.get_mut(contact) {
                    contact.identifiers.push(number);
                }
            }
        }
        ContactSet {
            duplicates: fields - identifiers.len(),
            contacts: self.contacts,
            identifiers,
            owners,
            rejected: self.rejected,
        }
    }

    /// Counts an entry and says where it is.
    pub(super) fn next_entry(&mut self, line: Option<u64>) -> Result<Location, ImportError> {
        if self.entries == MAX_ENTRIES {
            return Err(ImportError::TooManyEntries);
        }
        self.entries += 1;
        Ok(Location {
            entry: self.entries,
            line,
        })
    }

    /// Parses the fields of an entry that [`Self::next_entry`] has counted.
    pub(super) fn add_contact<'a>(
        &mut self,
        location: Location,
        name: &str,
        fields: impl IntoIterator<Item = (FieldKind, &'a str)>,
    ) -> Result<(), ImportError> {
        let contact = self.contacts.len();
        self.contacts.push(Contact {
            name: Zeroizing::new(display_name(name)),
            location,
            identifiers: Vec::new(),
        });
        let mut count = 0;
        for (kind, text) in fields {
            if count == MAX_FIELDS_PER_ENTRY {
                self.reject(location, Some(contact), None, RejectReason::TooManyFields);
                break;
            }
            if self.fields.len() + self.rejected.len() >= MAX_FIELDS {
                return Err(ImportError::TooManyFields);
            }
            count += 1;
            match parse_field(kind, text, self.region) {
                Ok(identifier) => self.fields.push((identifier, contact)),
                Err(reason) => self.reject(location, Some(contact), Some(kind), reason),
            }
        }
        if count == 0 {
            self.reject(location, Some(contact), None, RejectReason::NoAddress);
        }
        Ok(())
    }

    pub(super) fn reject(
        &mut self,
        location: Location,
        contact: Option<usize>,
        kind: Option<FieldKind>,
        reason: RejectReason,
    ) {
        self.rejected.push(Rejected {
            location,
            contact,
            kind,
            reason,
        });
    }
}

impl fmt::Debug for ContactSetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContactSetBuilder")
            .field("region", &self.region)
            .field("entries", &self.entries)
            .field("fields", &self.fields.len())
            .field("rejected", &self.rejected.len())
            .finish()
    }
}

/// Numbers the fields from zero, in order of first appearance; equal identifiers get the same number.
///
/// Sorting needs no second copy of the identifiers, as the keys of a map would.
fn number_by_content(fields: &[(Identifier, usize)]) -> Vec<usize> {
    let mut sorted: Vec<(&[u8], usize)> = fields
        .iter()
        .enumerate()
        .map(|(at, (identifier, _))| (identifier.as_input(), at))
        .collect();
    sorted.sort_unstable();
    // The position of the first field with the same identifier, by position.
    let mut firsts: Vec<(usize, usize)> = sorted
        .chunk_by(|a, b| a.0 == b.0)
        .filter_map(|equal| equal.first().map(|first| (first.1, equal)))
        .flat_map(|(first, equal)| equal.iter().map(move |&(_, at)| (at, first)))
        .collect();
    firsts.sort_unstable();
    let mut numbers: Vec<usize> = Vec::with_capacity(fields.len());
    let mut next = 0;
    for (at, first) in firsts {
        let number = match numbers.get(first) {
            Some(&number) => number,
            None => {
                debug_assert_eq!(at, first);
                next += 1;
                next - 1
            }
        };
        numbers.push(number);
    }
    numbers
}

/// One line without control characters and without what turns the direction of text: a name from a stranger's
/// card is printed to terminals, with other text behind it.
fn display_name(name: &str) -> String {
    let mut displayed = String::new();
    for word in name.split(|c: char| c.is_whitespace() || c.is_control()) {
        let mut shown = word.chars().filter(|c| !turns_text(*c)).peekable();
        if shown.peek().is_none() {
            continue;
        }
        if !displayed.is_empty() {
            displayed.push(' ');
        }
        displayed.extend(shown);
    }
    if let Some((end, _)) = displayed.char_indices().nth(MAX_NAME_CHARS) {
        displayed.truncate(end);
    }
    displayed
}

/// Embeddings, overrides and isolates. Marks and joiners stay: scripts and emoji need them.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    fn phone(number: &str) -> Identifier {
        Identifier::phone_e164(number).unwrap()
    }

    #[test]
    fn numbers_follow_first_appearance_and_not_the_content() {
        let fields = [
            "+447700900999",
            "+447700900111",
            "+447700900999",
            "+447700900000",
        ]
        .map(|number| (phone(number), 0));
        assert_eq!(number_by_content(&fields), [0, 1, 0, 2]);
        assert!(number_by_content(&[]).is_empty());
    }

    #[test]
    fn a_name_is_one_short_line() {
        assert_eq!(
            display_name(" Ada\r\n\u{1b}[2J  Lovelace\t"),
            "Ada [2J Lovelace"
        );
        assert_eq!(
            display_name(&"é".repeat(300)).chars().count(),
            MAX_NAME_CHARS
        );
    }

    #[test]
    fn the_entry_after_the_last_is_refused() {
        let mut builder = ContactSet::builder(None);
        for _ in 0..MAX_ENTRIES {
            builder.add("", []).unwrap();
        }
        assert_eq!(builder.add("", []), Err(ImportError::TooManyEntries));
        assert_eq!(builder.build().contacts().len(), MAX_ENTRIES);
    }

    #[test]
    fn fields_beyond_the_limit_are_reported_once() {
        let mut builder = ContactSet::builder("GB".parse().ok());
        let fields = vec![(FieldKind::Phone, "07700 900123"); MAX_FIELDS_PER_ENTRY + 5];
        builder.add("", fields).unwrap();
        let set = builder.build();
        assert_eq!(set.duplicates(), MAX_FIELDS_PER_ENTRY - 1);
        assert_eq!(set.rejected().len(), 1);
        assert_eq!(set.rejected()[0].reason, RejectReason::TooManyFields);
    }
}
