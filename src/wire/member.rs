//! Who may find a member, what that rests on, and the record that enrols one.

use crate::{label::Label, oprf::UnblindedElement};

/// Who may find a member. Nobody, unless the member said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Audience {
    /// The member has no tag in anything that is published.
    #[default]
    Nobody,
    /// Everyone who has the identifier, and quota, finds the member. Rests on this consent.
    Everyone(Consent),
}

/// When, to which text and where a member agreed to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub at: u64,
    /// The operator's number for the text that was shown.
    pub text_version: u32,
    /// The operator's number for the place where it was shown: a screen, a form, an import.
    pub surface: u16,
}

/// One member to put into the directory.
///
/// Made by a registrar, which has just verified that the identifier is the member's.
#[derive(Debug)]
pub struct Enrolment {
    /// `N`: the evaluated identifier.
    pub unblinded: UnblindedElement,
    /// Who may find the member.
    pub audience: Audience,
    /// The opaque handle that a match yields. Never a name.
    pub label: Label,
}
