//! Members as a registrar enrols them: where they live, who may find them, and what that rests on.

use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};

use crate::{label::Label, oprf::UnblindedElement, timestamp::Timestamp};

/// Who can find a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Audience {
    /// Nobody: the member is in no published structure.
    #[default]
    Nobody,
    /// Everyone who has the identifier and quota.
    Everyone,
}

/// Under what text, where and when somebody agreed to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    at: Timestamp,
    text_version: String,
    surface: String,
}

/// A consent record without a date, or with a field that is empty, too long, or has a control character in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a consent has a date, and names its text and surface in 1 to 64 bytes without control characters"
)]
pub struct ConsentError;

impl Consent {
    /// Longest name of a text or surface, in bytes.
    pub const MAX_LENGTH: usize = 64;

    /// Records that somebody agreed at a time, to a version of the text, at a surface such as `ios/settings`.
    ///
    /// # Errors
    ///
    /// The date is 0, which stands for none; a name is empty, longer than 64 bytes, or has a control character in it.
    pub fn new(at: Timestamp, text_version: &str, surface: &str) -> Result<Self, ConsentError> {
        if at.as_micros() == 0 {
            return Err(ConsentError);
        }
        for name in [text_version, surface] {
            let length = 1..=Self::MAX_LENGTH;
            if !length.contains(&name.len()) || name.chars().any(char::is_control) {
                return Err(ConsentError);
            }
        }
        Ok(Self {
            at,
            text_version: text_version.to_owned(),
            surface: surface.to_owned(),
        })
    }

    /// When it was given.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Which version of the text was agreed to.
    #[must_use]
    pub fn text_version(&self) -> &str {
        &self.text_version
    }

    /// Where it was given.
    #[must_use]
    pub fn surface(&self) -> &str {
        &self.surface
    }
}

/// Where a member lives: a country or territory by its ISO 3166-1 alpha-2 code (`CH`, `GB`).
///
/// Any two capitals are taken: what isn't in the service's table of regions is treated as the strictest of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region([u8; 2]);

/// A text that isn't two capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a region is two capital letters, as in ISO 3166-1")]
pub struct RegionError;

impl Region {
    /// Takes a code of two capital letters.
    ///
    /// # Errors
    ///
    /// Anything else.
    pub fn new(code: &str) -> Result<Self, RegionError> {
        let code: [u8; 2] = code.as_bytes().try_into().map_err(|_| RegionError)?;
        Self::from_bytes(code).ok_or(RegionError)
    }

    /// Takes the two letters; `None` if they aren't capitals.
    #[must_use]
    pub fn from_bytes(code: [u8; 2]) -> Option<Self> {
        code.iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Self(code))
    }

    /// The two letters.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 2] {
        &self.0
    }
}

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(code: &str) -> Result<Self, RegionError> {
        Self::new(code)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({self})")
    }
}

/// What a member chooses: an audience, with the consent that it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Setting {
    /// To be found by nobody. Needs no consent.
    #[default]
    Nobody,
    /// To be found by everyone who has the identifier.
    Everyone(Consent),
    /// To be found by everyone without having been asked: only where the service's table of regions waives the consent, and
    /// never for somebody who has decided otherwise.
    EveryoneByDefault,
}

impl Setting {
    /// The audience chosen.
    #[must_use]
    pub fn audience(&self) -> Audience {
        match self {
            Self::Nobody => Audience::Nobody,
            Self::Everyone(_) | Self::EveryoneByDefault => Audience::Everyone,
        }
    }
}

/// One member as a registrar enrols it.
#[derive(Debug)]
pub struct Enrolment {
    /// Which identifier: `N`.
    pub unblinded: UnblindedElement,
    /// The handle that a match yields.
    pub label: Label,
    /// Who shall find the member.
    pub setting: Setting,
    /// Where the member lives; `None` if that isn't known.
    pub region: Option<Region>,
}

/// A change to a member that isn't made. Who asks for it is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[repr(u8)]
pub enum ChangeError {
    /// The consent isn't newer than the member's decision not to be found.
    #[error("the consent is older than the decision not to be found")]
    StaleConsent = 1,
    /// The consent is dated more than five minutes ahead.
    #[error("the consent is dated in the future")]
    ConsentInFuture = 2,
    /// There is no consent, and the member's region demands one, or the member has decided not to be found.
    #[error("a consent is needed: by the member's region, or after a decision not to be found")]
    ConsentNeeded = 3,
}

impl ChangeError {
    pub(super) fn decode(byte: u8) -> Option<Self> {
        [
            Self::StaleConsent,
            Self::ConsentInFuture,
            Self::ConsentNeeded,
        ]
        .into_iter()
        .find(|error| *error as u8 == byte)
    }
}
