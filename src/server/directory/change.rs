//! A change to one member, as a registrar makes it.

use super::{CONSENT_AHEAD, ChangeError, Consent, Member, Residence, Setting};
use crate::{label::Label, timestamp::Timestamp};

/// A change to one member.
#[derive(Debug)]
#[non_exhaustive]
pub enum Change {
    /// Enrols, changes the label, the region or the setting.
    Enrol {
        /// The handle that a match yields.
        label: Label,
        /// Who shall find the member.
        setting: Setting,
        /// Where the member lives. Unknown, what was known stays.
        residence: Residence,
    },
    /// Deletes the member.
    Remove,
}

/// Makes a change to what is known of an identifier.
///
/// Making the same change again changes nothing, but that a decision not to be found is as late as it was last made.
/// Nor does a consent older than the one under which a member can be found.
///
/// # Errors
///
/// The consent is older than a decision not to be found, or dated in the future, or there is none where one is
/// needed. The member is handed back as it was.
pub fn apply(
    existing: Option<Member>,
    change: Change,
    at: Timestamp,
) -> Result<Member, (Option<Member>, ChangeError)> {
    match change {
        Change::Enrol {
            label,
            setting,
            residence,
        } => {
            if let Err(error) = permit(existing.as_ref(), &setting, &residence, at) {
                return Err((existing, error));
            }
            let mut member = existing.unwrap_or(Member::UNKNOWN);
            if let Setting::Everyone(consent) = &setting
                && member.is_shown_by_later(consent)
            {
                // Sent before what we have, and late: neither its consent nor its label is the last word.
                return Ok(member);
            }
            member.label = Some(label);
            member.region = residence.region().or(member.region);
            member.set(setting, at);
            Ok(member)
        }
        // Also of somebody unknown, or deleted before: an enrolment that was sent earlier may be still on its way.
        Change::Remove => {
            let mut member = existing.unwrap_or(Member::UNKNOWN);
            member.label = None;
            member.hide(at);
            Ok(member)
        }
    }
}

/// Whether a member may be given a setting.
pub(super) fn permit(
    existing: Option<&Member>,
    setting: &Setting,
    residence: &Residence,
    at: Timestamp,
) -> Result<(), ChangeError> {
    let hidden_at = existing.and_then(Member::hidden_at);
    match setting {
        Setting::Nobody => Ok(()),
        Setting::Everyone(consent) => check_consent(consent, hidden_at, at),
        // A no isn't outranked by not having been asked.
        Setting::EveryoneByDefault if residence.needs_consent() || hidden_at.is_some() => {
            Err(ChangeError::ConsentNeeded)
        }
        Setting::EveryoneByDefault => Ok(()),
    }
}

/// Whether a consent counts after a decision not to be found.
fn check_consent(
    consent: &Consent,
    hidden_at: Option<Timestamp>,
    at: Timestamp,
) -> Result<(), ChangeError> {
    if hidden_at.is_some_and(|hidden| consent.at() <= hidden) {
        return Err(ChangeError::StaleConsent);
    }
    if consent.at() > at.saturating_add(CONSENT_AHEAD) {
        return Err(ChangeError::ConsentInFuture);
    }
    Ok(())
}

impl Member {
    /// Gives a member with a label a setting that is permitted.
    pub(super) fn set(&mut self, setting: Setting, at: Timestamp) {
        match setting {
            Setting::Everyone(consent) => self.show(Some(consent), at),
            Setting::EveryoneByDefault => {
                // Who has agreed isn't made one who wasn't asked.
                let consent = self.open().and_then(|open| open.consent.clone());
                self.show(consent, at);
            }
            Setting::Nobody => self.hide(at),
        }
    }

    /// Whether the member can be found by a consent that is younger than this one.
    pub(super) fn is_shown_by_later(&self, consent: &Consent) -> bool {
        let open = self.open().and_then(|open| open.consent.as_ref());
        open.is_some_and(|open| consent.at() < open.at())
    }
}
