//! The documents of a setting. Times are seconds since 1970-01-01T00:00:00Z.
//!
//! ```json
//! { "audience": "nobody" }
//! { "audience": "everyone", "consent": { "at": 1793534400, "text_version": "2026-11", "surface": "ios/settings" } }
//! ```
//!
//! asks for a setting, for all identifiers of the handle at once. The answer to that, and to who only looks:
//!
//! ```json
//! { "audience": "everyone", "now": 1793534405, "next_publication": 1793577600, "identifiers": [
//!   { "audience": "everyone", "since": 1793534405, "region": "GB",
//!     "consent": { "at": 1793534400, "text_version": "2026-11", "surface": "ios/settings" } } ] }
//! ```
//!
//! An identifier is never named: neither the service nor its answer knows it.

use std::{
    string::{String, ToString},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    http::problem::Problem,
    server::directory::{Audience, Consent, Member, Setting},
    timestamp::Timestamp,
};

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingOrder {
    /// `nobody` or `everyone`.
    pub audience: String,
    /// What the person agreed to. Needed for `everyone`, but where the service's table of regions waives it; for `nobody` it says
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<ConsentRecord>,
}

/// Under what text, where and when somebody agreed to be found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentRecord {
    /// When, by the person's device, in whole seconds: in the second of a decision not to be found it counts as before that. A decision not to be found outranks what was agreed to before it, so that a request
    /// that comes late brings nobody back.
    pub at: u64,
    /// Which version of the text.
    pub text_version: String,
    /// Where, such as `ios/settings`.
    pub surface: String,
}

/// How the identifiers of a handle stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SettingStatus {
    /// `everyone` if one of the identifiers can be found, else `nobody`.
    pub audience: String,
    /// What time it is for the service. Who dates a consent by it can't be refused for a wrong clock.
    pub now: u64,
    /// The latest by which all of this is so in what is published.
    pub next_publication: u64,
    /// One for each identifier, in an order that says nothing.
    pub identifiers: Vec<IdentifierSetting>,
}

/// How one identifier stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IdentifierSetting {
    /// `nobody` or `everyone`.
    pub audience: String,
    /// Since when; absent for an identifier that could never be found.
    pub since: Option<u64>,
    /// Where the person lives, by its ISO 3166-1 code, if the service was told.
    pub region: Option<String>,
    /// What the person agreed to, where that was needed.
    pub consent: Option<ConsentRecord>,
}

impl SettingOrder {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        // What serde says of a field quotes it.
        serde_json::from_slice(bytes)
            .map_err(|_| Problem::malformed("not a setting in JSON with the fields that it has"))
    }

    pub(super) fn setting(&self) -> Result<Setting, Problem> {
        match (self.audience.as_str(), &self.consent) {
            ("nobody", _) => Ok(Setting::Nobody),
            ("everyone", None) => Ok(Setting::EveryoneByDefault),
            ("everyone", Some(record)) => {
                let at = Timestamp::from_secs(record.at);
                let consent = Consent::new(at, &record.text_version, &record.surface);
                consent.map(Setting::Everyone).map_err(|_| {
                    Problem::malformed(
                        "a consent has a date, and names its text and surface in 1 to 64 bytes without control characters",
                    )
                })
            }
            _ => Err(Problem::malformed("the audience is nobody or everyone")),
        }
    }
}

impl SettingStatus {
    pub(super) fn new(members: &[Member], next_publication: Timestamp, now: Timestamp) -> Self {
        let mut identifiers: Vec<_> = members.iter().map(IdentifierSetting::new).collect();
        // That of the store is by what nobody is told.
        identifiers.sort_unstable();
        let found = members
            .iter()
            .any(|member| member.audience() != Audience::Nobody);
        let audience = if found {
            Audience::Everyone
        } else {
            Audience::Nobody
        };
        Self {
            audience: audience.to_string(),
            now: seconds(now),
            next_publication: seconds(next_publication),
            identifiers,
        }
    }
}

impl IdentifierSetting {
    fn new(member: &Member) -> Self {
        let last = member.intervals().last();
        let since = match member.shown() {
            Some((_, since)) => Some(since),
            None => last.and_then(|last| last.until),
        };
        let open = member.open();
        let consent = open.and_then(|open| open.consent.as_ref());
        Self {
            audience: member.audience().to_string(),
            since: since.map(seconds),
            region: member.region().map(|region| region.to_string()),
            consent: consent.map(|consent| ConsentRecord {
                at: seconds(consent.at()),
                text_version: consent.text_version().to_string(),
                surface: consent.surface().to_string(),
            }),
        }
    }
}

fn seconds(at: Timestamp) -> u64 {
    at.as_micros() / 1_000_000
}
