//! Members as a registrar enrols them: who may find them, and what that rests on.

use alloc::{borrow::ToOwned, string::String};

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

/// What a member chooses: an audience, with the consent that it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Setting {
    /// To be found by nobody. Needs no consent.
    #[default]
    Nobody,
    /// To be found by everyone who has the identifier.
    Everyone(Consent),
}

impl Setting {
    /// The audience chosen.
    #[must_use]
    pub fn audience(&self) -> Audience {
        match self {
            Self::Nobody => Audience::Nobody,
            Self::Everyone(_) => Audience::Everyone,
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
}

impl ChangeError {
    pub(super) fn decode(byte: u8) -> Option<Self> {
        [Self::StaleConsent, Self::ConsentInFuture]
            .into_iter()
            .find(|error| *error as u8 == byte)
    }
}
