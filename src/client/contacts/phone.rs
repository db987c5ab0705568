//! Phone numbers as people write them.
//!
//! Layer 4. It turns a spelling and a default region into an [`Identifier`] by the rules of
//! `rlibphonenumber`, and must not know where the spelling came from.

use std::prelude::rust_2024::*;
use std::{fmt, str::FromStr};

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat,
    PhoneNumberType, ValidationError,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::client::identifier::Identifier;

/// The longest spelling that is looked at, in bytes. `libphonenumber` has the same limit.
const MAX_SPELLING_BYTES: usize = 250;
/// What is at most this many digits, without country code, is a short code.
const MAX_SHORT_CODE_DIGITS: usize = 6;

/// A country or territory with a number plan, by its ISO 3166 alpha-2 code (`CH`, `GB`).
///
/// It says what a number without country code means.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region(rlibphonenumber::Region);

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(code: &str) -> Result<Self, RegionError> {
        if code.len() != 2 {
            return Err(RegionError);
        }
        let region = rlibphonenumber::Region::from_code(code).map_err(|_| RegionError)?;
        PHONE_NUMBER_UTIL
            .get_country_code_for_region(region)
            .map(|_| Self(region))
            .ok_or(RegionError)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({})", self.0)
    }
}

/// A text isn't the code of a [`Region`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("not the two-letter code of a country or territory with phone numbers")]
pub struct RegionError;

/// Why a phone number can't be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum PhoneError {
    /// There is nothing but white space.
    #[error("empty")]
    Empty,
    /// There is no phone number in it.
    #[error("not a phone number")]
    NotANumber,
    /// A number of at most six digits that only works inside one country: emergency, voting, a shop's
    /// text messages.
    #[error("a short code, which has no international form")]
    ShortCode,
    /// A code for the network itself, with stars or a leading hash.
    #[error("a service code with * or #")]
    ServiceCode,
    /// Free-phone, shared cost, premium rate, company access, pager or voice mail.
    #[error("a service number and not a person's")]
    ServiceNumber,
    /// Lacks what is needed to dial it from elsewhere.
    #[error("a local number without its area code")]
    LocalOnly,
    /// It has no country code and the import has no default region.
    #[error("no country code, and no region was given")]
    NoRegion,
    /// The country code isn't assigned.
    #[error("unknown country code")]
    UnknownCountryCode,
    /// Shorter than any number of its country.
    #[error("too short for its country")]
    TooShort,
    /// Longer than any number of its country.
    #[error("too long for its country")]
    TooLong,
    /// Its country has shorter and longer numbers, but none of this length.
    #[error("a length that its country does not have")]
    WrongLength,
}

/// Parses a phone number as people write it; without country code it is one of `region`.
///
/// Takes what `libphonenumber` takes: any digits of Unicode, spaces, dots, hyphens and brackets, `00` or
/// what else the region dials for abroad, `(0)`, letters of vanity numbers, `tel:` URIs. Extensions and what
/// is dialled after a pause (`p`, `w`, `,,`) are left out: the identifier is the line that a text message
/// can verify. Invisible format characters, which phones put around copied numbers, are ignored.
///
/// # Possible, not valid
///
/// A number is accepted when its length is *possible* in its country, even if no known range holds it.
/// Number plans grow faster than devices are updated: a stricter check would lose real people on old
/// devices, without a word, and make two releases disagree. What it lets through in addition costs one unit of
/// quota each and finds nobody. (Numbers reserved for fiction, as 07700 900000 in the United Kingdom, are
/// possible and mostly not valid.) Ranges that are known to be free-phone, shared cost, premium rate, company
/// access, pagers or voice mail are refused: they aren't a person's.
///
/// # Errors
///
/// [`PhoneError`], by the first thing that is wrong.
pub fn parse_phone(text: &str, region: Option<Region>) -> Result<Identifier, PhoneError> {
    if text.len() > MAX_SPELLING_BYTES {
        return Err(PhoneError::TooLong);
    }
    let spelling = Zeroizing::new(clean(text));
    if spelling.is_empty() {
        return Err(PhoneError::Empty);
    }
    if spelling.starts_with('#') || spelling.contains('*') {
        return Err(PhoneError::ServiceCode);
    }
    let dialled = before_pause(&spelling);
    let international = dialled.contains('+') || dialled.contains('\u{ff0b}');
    let digits = dialled.chars().filter(|c| c.is_numeric()).count();
    let short = |error| {
        if !international && digits <= MAX_SHORT_CODE_DIGITS {
            PhoneError::ShortCode
        } else {
            error
        }
    };

    let number = PHONE_NUMBER_UTIL
        .parse(dialled, region.map(|region| region.0))
        .map_err(|error| match error {
            ParseError::InvalidCountryCode if region.is_none() && !international => {
                PhoneError::NoRegion
            }
            ParseError::InvalidCountryCode => PhoneError::UnknownCountryCode,
            ParseError::NotANumber(_) => PhoneError::NotANumber,
            ParseError::TooShortAfterIdd | ParseError::TooShortNsn => short(PhoneError::TooShort),
            ParseError::TooLongNsn => PhoneError::TooLong,
        })?;
    match number.is_possible_with_reason() {
        Ok(NumberLengthType::IsPossible) => {}
        Ok(NumberLengthType::IsPossibleLocalOnly) => return Err(short(PhoneError::LocalOnly)),
        Err(ValidationError::InvalidCountryCode) => return Err(PhoneError::UnknownCountryCode),
        Err(ValidationError::TooShort) => return Err(short(PhoneError::TooShort)),
        Err(ValidationError::InvalidLength) => return Err(short(PhoneError::WrongLength)),
        Err(ValidationError::TooLong) => return Err(PhoneError::TooLong),
    }
    if is_service(&number) {
        return Err(PhoneError::ServiceNumber);
    }
    let e164 = Zeroizing::new(number.format_as(PhoneNumberFormat::E164).into_owned());
    // A few plans allow lengths outside of what E.164 can carry.
    Identifier::phone_e164(&e164).map_err(|_| PhoneError::WrongLength)
}

fn is_service(number: &PhoneNumber) -> bool {
    match number.get_type() {
        PhoneNumberType::TollFree
        | PhoneNumberType::PremiumRate
        | PhoneNumberType::SharedCost
        | PhoneNumberType::UAN
        | PhoneNumberType::Pager
        | PhoneNumberType::VoiceMail => true,
        PhoneNumberType::FixedLine
        | PhoneNumberType::Mobile
        | PhoneNumberType::FixedLineOrMobile
        | PhoneNumberType::VoIP
        | PhoneNumberType::PersonalNumber
        | PhoneNumberType::Unknown => false,
    }
}

/// Drops invisible format characters, the white space around, a trailing hash, and writes `tel:` in lower case;
/// spaces of any width, stars and hashes become those of ASCII.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    cleaned.extend(text.chars().filter(|c| !is_format(*c)).map(plain));
    let start = cleaned.len() - cleaned.trim_start().len();
    cleaned.drain(..start);
    cleaned.truncate(
        cleaned
            .trim_end_matches(|c: char| c == '#' || c.is_whitespace())
            .len()
            .max(
                // A lone hash stays, so that it is told as a code.
                usize::from(cleaned.starts_with('#')),
            ),
    );
    if let Some(scheme) = cleaned.get_mut(..4)
        && scheme.eq_ignore_ascii_case("tel:")
    {
        scheme.make_ascii_lowercase();
    }
    cleaned
}

/// What `libphonenumber` knows of spaces ends with a few: not among them is the narrow one that French
/// typography puts between digits. A line break isn't a space: what is on two lines isn't one number.
fn plain(c: char) -> char {
    match c {
        '\u{ff0a}' => '*',
        '\u{ff03}' => '#',
        '\u{2028}' | '\u{2029}' => c,
        '\t' => ' ',
        _ if c.is_whitespace() && !c.is_control() => ' ',
        _ => c,
    }
}

/// Zero-width characters, joiners, marks and overrides of the writing direction.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}')
}

/// Cuts what phones dial after a pause (`020 7946 0018p5`), which would else be read as letters of a vanity
/// number.
fn before_pause(spelling: &str) -> &str {
    let mut previous_is_digit = false;
    for (at, c) in spelling.char_indices() {
        if previous_is_digit && matches!(c, 'p' | 'P' | 'w' | 'W') {
            let (dialled, rest) = spelling.split_at(at);
            let is_dialling = |c: char| c.is_numeric() || " pPwW,;#-".contains(c);
            return if rest.chars().all(is_dialling) {
                dialled
            } else {
                spelling
            };
        }
        previous_is_digit = c.is_numeric();
    }
    spelling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_a_supported_two_letter_code() {
        for good in ["CH", "gb", "Us"] {
            let region: Region = good.parse().unwrap();
            assert_eq!(region.to_string(), good.to_ascii_uppercase());
        }
        for bad in ["", "C", "CHE", "XX", "ZZ", "001", "é", "1A", "41"] {
            assert_eq!(bad.parse::<Region>(), Err(RegionError), "{bad:?}");
        }
    }

    #[test]
    fn pause_is_cut_only_before_what_can_be_dialled() {
        assert_eq!(before_pause("02079460018p5"), "02079460018");
        assert_eq!(before_pause("02079460018w12#,3"), "02079460018");
        assert_eq!(before_pause("1800FLOWERS"), "1800FLOWERS");
        assert_eq!(before_pause("0800wow"), "0800wow");
    }

    #[test]
    fn clean_keeps_a_lone_hash() {
        assert_eq!(clean("#"), "#");
        assert_eq!(clean("##"), "#");
        assert_eq!(clean(" 07700 900123# "), "07700 900123");
        assert_eq!(clean("\u{202a}+44\u{200e}7700\u{202c}"), "+447700");
        assert_eq!(clean("Tel:+44"), "tel:+44");
    }
}
