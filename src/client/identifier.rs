//! The private input: what a person is found by.
//!
//! Layer 4, client role. It knows how a strictly written number or address becomes the bytes that are
//! hashed to the group, and nothing of how people write them (that is `contacts`), of blinding or of
//! the network. The server role has no counterpart of this type.
//!
//! ```text
//! tel:+447700900123            "tel:" and E.164
//! mailto:ada@example.org       "mailto:" and the normalised address
//! ```

use alloc::vec::Vec;
use core::fmt;

use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;
use zeroize::Zeroizing;

/// The longest private input, in bytes, scheme included.
pub const MAX_INPUT_LENGTH: usize = 255;

const PHONE_SCHEME: &str = "tel:";
const EMAIL_SCHEME: &str = "mailto:";

/// Digits of an E.164 number: at most 15 (ITU-T E.164, section 6.2.1); below seven there is no
/// subscriber number that can be dialled from abroad.
const PHONE_DIGITS: core::ops::RangeInclusive<usize> = 7..=15;
/// RFC 5321, section 4.5.3.1.1.
const MAX_LOCAL_PART_LENGTH: usize = 64;
/// RFC 1035, section 2.3.4.
const MAX_DOMAIN_LABEL_LENGTH: usize = 63;

/// The private input of the protocol: one phone number or e-mail address in its only spelling.
///
/// Everyone who spells the same number or address gets the same bytes, whatever the device; which
/// spellings are the same is the [`NormalisationProfile`].
///
/// # Security
///
/// An identifier is a secret of the person it belongs to: it isn't cloned, printed or compared with
/// `==`, and it is wiped on drop. [`ct_eq`](ConstantTimeEq::ct_eq) takes the same time for any two
/// inputs of equal length; the length isn't hidden.
#[must_use]
pub struct Identifier(Zeroizing<Vec<u8>>);

/// What sort of identifier it is. Not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IdentifierKind {
    /// A phone number.
    Phone,
    /// An e-mail address.
    Email,
}

impl Identifier {
    /// Takes a phone number in strict E.164: `+`, then 7 to 15 ASCII digits, the first not zero.
    ///
    /// Numbers as people write them go through `contacts::parse_phone`.
    ///
    /// # Errors
    ///
    /// [`IdentifierError::Phone`] if it is anything else, be it a space.
    pub fn phone_e164(number: &str) -> Result<Self, IdentifierError> {
        let digits = number.strip_prefix('+').ok_or(IdentifierError::Phone)?;
        if !PHONE_DIGITS.contains(&digits.len())
            || digits.starts_with('0')
            || !digits.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(IdentifierError::Phone);
        }
        Ok(Self::join(PHONE_SCHEME, number))
    }

    /// Takes an e-mail address and normalises it.
    ///
    /// The rules, which are part of [`NormalisationProfile::CURRENT`]:
    ///
    /// 1. White space (Unicode `White_Space`) at both ends is dropped; inside it is refused.
    /// 2. There is exactly one `@`.
    /// 3. The local part is a dot-atom (RFC 5322, section 3.2.3) of 1 to 64 ASCII characters. Quoted local
    ///    parts and internationalised ones (RFC 6531) are refused: their equality depends on the version
    ///    of Unicode, so two devices could disagree.
    /// 4. The domain has at least two labels of letters, digits and inner hyphens, 1 to 63 characters
    ///    each, and the last isn't all digits. Internationalised domains are taken in their ASCII form
    ///    (`xn--...`) only; address literals are refused.
    /// 5. ASCII letters of both parts become lower case. RFC 5321 lets a host tell `Ada@` from `ada@`;
    ///    practically none does, while people capitalise at will.
    /// 6. Nothing else is folded: no dots or `+tags` are removed, since what they mean is the provider's
    ///    choice and changes, and folding them would join the addresses of different people.
    ///
    /// # Errors
    ///
    /// The [`IdentifierError`] of the first rule that it breaks.
    pub fn email(address: &str) -> Result<Self, IdentifierError> {
        let address = address.trim();
        if address.len() > MAX_INPUT_LENGTH - EMAIL_SCHEME.len() {
            return Err(IdentifierError::TooLong);
        }
        let (local_part, domain) = address.split_once('@').ok_or(IdentifierError::EmailAt)?;
        if domain.contains('@') {
            return Err(IdentifierError::EmailAt);
        }
        if !is_dot_atom(local_part) {
            return Err(IdentifierError::EmailLocalPart);
        }
        if !is_host_name(domain) {
            return Err(IdentifierError::EmailDomain);
        }
        let mut identifier = Self::join(EMAIL_SCHEME, address);
        identifier.0.make_ascii_lowercase();
        Ok(identifier)
    }

    fn join(scheme: &str, rest: &str) -> Self {
        // Allocated once at its final size: a growing vector would leave unwiped copies behind.
        let mut input = Zeroizing::new(Vec::with_capacity(scheme.len() + rest.len()));
        input.extend_from_slice(scheme.as_bytes());
        input.extend_from_slice(rest.as_bytes());
        Self(input)
    }

    /// The bytes that are hashed to the group: 12 to [`MAX_INPUT_LENGTH`] of them, UTF-8.
    ///
    /// # Security
    ///
    /// What is copied out of the reference is the caller's to wipe.
    #[must_use]
    pub fn as_input(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is a phone number or an e-mail address.
    #[must_use]
    pub fn kind(&self) -> IdentifierKind {
        if self.0.starts_with(PHONE_SCHEME.as_bytes()) {
            IdentifierKind::Phone
        } else {
            IdentifierKind::Email
        }
    }
}

impl ConstantTimeEq for Identifier {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.as_slice().ct_eq(other.0.as_slice())
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identifier(<redacted>)")
    }
}

/// Letters, digits and the other `atext` of RFC 5322, in runs that single dots join.
fn is_dot_atom(text: &str) -> bool {
    let is_atext =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.len() <= MAX_LOCAL_PART_LENGTH
        && text
            .split('.')
            .all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// RFC 1123, section 2.1, with at least two labels.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_DOMAIN_LABEL_LENGTH).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let Some((_, last)) = text.rsplit_once('.') else {
        return false;
    };
    text.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// The id of the rules by which spellings become one [`Identifier`].
///
/// A registrar and a phone that normalise differently miss each other without noticing. So the id
/// travels in the signed manifest, and a client that has another one is told.
///
/// An id covers everything that decides the bytes of an identifier: the rules and the number plans of
/// the release of `rlibphonenumber` that `contacts` is pinned to, what `contacts::parse_phone` does
/// before and after it, and the rules of [`Identifier::email`]. It is raised whenever one of them changes,
/// and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NormalisationProfile(u16);

impl NormalisationProfile {
    /// The profile of this release: 1, with `rlibphonenumber` 2.2.15.
    pub const CURRENT: Self = Self(1);

    /// The profile that a manifest names.
    #[must_use]
    pub const fn from_id(id: u16) -> Self {
        Self(id)
    }

    /// The id as the manifest carries it.
    #[must_use]
    pub const fn id(self) -> u16 {
        self.0
    }
}

/// Why a text isn't an [`Identifier`]. The caller is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// Not `+` and 7 to 15 digits that don't start with zero.
    #[error("not a phone number in E.164")]
    Phone,
    /// No `@`, or more than one.
    #[error("an e-mail address has exactly one @")]
    EmailAt,
    /// The part before the `@` is empty, too long, quoted or not ASCII.
    #[error("the part before the @ is not one that can be compared safely")]
    EmailLocalPart,
    /// The part after the `@` isn't a host name in ASCII.
    #[error("the part after the @ is not a domain in ASCII form")]
    EmailDomain,
    /// Longer than [`MAX_INPUT_LENGTH`] with its scheme.
    #[error("longer than 255 bytes")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::*;

    #[test]
    fn phone_takes_strict_e164_only() {
        for good in ["+1234567", "+447700900123", "+123456789012345"] {
            let identifier = Identifier::phone_e164(good).unwrap();
            assert_eq!(identifier.as_input(), format!("tel:{good}").as_bytes());
            assert_eq!(identifier.kind(), IdentifierKind::Phone);
        }
        for bad in [
            "",
            "+",
            "447700900123",
            "+123456",
            "+1234567890123456",
            "+0447700900",
            "+44 7700900123",
            "++447700900123",
            "+44770090012a",
            "+٤٤٧٧٠٠٩٠٠١٢٣",
            "+447700900123\n",
            " +447700900123",
        ] {
            assert_eq!(
                Identifier::phone_e164(bad).unwrap_err(),
                IdentifierError::Phone,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn email_is_normalised_to_one_spelling() {
        for (spelling, input) in [
            ("ada@example.org", "mailto:ada@example.org"),
            ("  Ada@Example.ORG\u{a0}\r\n", "mailto:ada@example.org"),
            ("a.d.a+tag@example.org", "mailto:a.d.a+tag@example.org"),
            (
                "o'neil_1@sub.xn--mnchen-3ya.example",
                "mailto:o'neil_1@sub.xn--mnchen-3ya.example",
            ),
            ("a@1.example", "mailto:a@1.example"),
        ] {
            let identifier = Identifier::email(spelling).unwrap();
            assert_eq!(identifier.as_input(), input.as_bytes());
            assert_eq!(identifier.kind(), IdentifierKind::Email);
            let again = Identifier::email(input.strip_prefix("mailto:").unwrap()).unwrap();
            assert!(bool::from(identifier.ct_eq(&again)));
        }
    }

    #[test]
    fn email_refuses_what_two_devices_could_read_differently() {
        use IdentifierError::{EmailAt, EmailDomain, EmailLocalPart, TooLong};
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long_label = format!("a@{}.org", "a".repeat(64));
        let long: String = format!("a@{}org", "abcdefgh.".repeat(28));
        for (bad, error) in [
            ("", EmailAt),
            ("ada.example.org", EmailAt),
            ("a@b@example.org", EmailAt),
            ("@example.org", EmailLocalPart),
            ("a b@example.org", EmailLocalPart),
            ("\"a b\"@example.org", EmailLocalPart),
            (".a@example.org", EmailLocalPart),
            ("a..b@example.org", EmailLocalPart),
            ("a.@example.org", EmailLocalPart),
            ("zoë@example.org", EmailLocalPart),
            ("a\0@example.org", EmailLocalPart),
            (&long_local, EmailLocalPart),
            ("a@", EmailDomain),
            ("a@localhost", EmailDomain),
            ("a@example..org", EmailDomain),
            ("a@example.org.", EmailDomain),
            ("a@-example.org", EmailDomain),
            ("a@example-.org", EmailDomain),
            ("a@exa_mple.org", EmailDomain),
            ("a@münchen.example", EmailDomain),
            ("a@[192.0.2.1]", EmailDomain),
            ("a@192.0.2.1", EmailDomain),
            ("a@exam ple.org", EmailDomain),
            (&long_label, EmailDomain),
            (&long, TooLong),
        ] {
            assert_eq!(Identifier::email(bad).unwrap_err(), error, "{bad:?}");
        }
    }

    #[test]
    fn the_longest_address_fills_the_limit_exactly() {
        let domain = format!("{}org", "abcdefgh.".repeat(20));
        let local = "a".repeat(64);
        let address = format!("{local}@{domain}");
        let identifier = Identifier::email(&address).unwrap();
        assert_eq!(identifier.as_input().len(), MAX_INPUT_LENGTH);
        assert_eq!(
            Identifier::email(&format!("{address}a")).unwrap_err(),
            IdentifierError::TooLong
        );
    }

    #[test]
    fn equality_is_by_content_and_kind() {
        let phone = Identifier::phone_e164("+447700900123").unwrap();
        let same = Identifier::phone_e164("+447700900123").unwrap();
        let other = Identifier::phone_e164("+447700900124").unwrap();
        let longer = Identifier::phone_e164("+4477009001234").unwrap();
        assert!(bool::from(phone.ct_eq(&same)));
        assert!(!bool::from(phone.ct_eq(&other)));
        assert!(!bool::from(phone.ct_eq(&longer)));
    }

    #[test]
    fn debug_and_errors_show_nothing() {
        let phone = Identifier::phone_e164("+447700900123").unwrap();
        assert_eq!(format!("{phone:?}"), "Identifier(<redacted>)");
        let error = Identifier::email("secret@name@example.org").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
