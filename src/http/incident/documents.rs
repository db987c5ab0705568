//! The documents of incidents: orders in, answers out.

use std::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    http::Network,
    server::incident::{Incident, OperatorWords, Step, SuspectCounts, Tally},
    timestamp::Timestamp,
};

/// Opens an incident. Times are seconds since 1970.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenOrder {
    pub(super) aware_at: Option<u64>,
    pub(super) since: u64,
    pub(super) until: Option<u64>,
    #[serde(default)]
    pub(super) accounts: Vec<String>,
    #[serde(default)]
    pub(super) networks: Vec<Network>,
    #[serde(default)]
    pub(super) new_accounts: bool,
    #[serde(default)]
    pub(super) signals: Vec<u64>,
    #[serde(default)]
    pub(super) all_signals: bool,
    #[serde(default)]
    pub(super) unknown: bool,
}

/// Names an incident.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    pub(super) incident: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportOrder {
    pub(super) incident: Option<u64>,
    #[serde(default)]
    pub(super) words: OperatorWords,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListOrder {
    pub(super) incident: Option<u64>,
    #[serde(default)]
    pub(super) without_rotation: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoticesOrder {
    pub(super) incident: u64,
    pub(super) holder: u64,
    pub(super) lease_seconds: u32,
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToldOrder {
    pub(super) incident: u64,
    pub(super) holder: u64,
    pub(super) lease_seconds: u32,
    pub(super) ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CloseOrder {
    pub(super) incident: Option<u64>,
    #[serde(default)]
    pub(super) unfounded: bool,
}

/// How far an incident is. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IncidentStatus {
    /// Its number.
    pub incident: u64,
    /// The steps taken, each with when it was taken first.
    pub steps: Vec<(Step, u64)>,
    /// When the operator became aware.
    pub aware_at: u64,
    /// Seconds until the supervisory authority has to be told, by GDPR Art. 33(1); 0 once it is late.
    pub seconds_left: u64,
    /// From when until when the suspects may have harvested.
    pub harvest: [u64; 2],
    /// From when until when members could be learned of.
    pub exposed: [u64; 2],
    /// Who is suspected.
    pub suspects: SuspectCounts,
    /// How many reports were written.
    pub reports: u32,
    /// Whether it is known who has to be told.
    pub listed: bool,
    /// How far telling has come.
    pub notices: Tally,
    /// Whether it is over.
    pub closed: bool,
}

impl IncidentStatus {
    pub(super) fn new(incident: &Incident, notices: Tally, now: Timestamp) -> Self {
        let seconds = |at: Timestamp| at.as_micros() / 1_000_000;
        let terms = incident.terms();
        let harvest = incident.harvest(now);
        let exposed = incident.exposed(now);
        let steps = incident.steps().into_iter();
        Self {
            incident: incident.id(),
            steps: steps.map(|(step, at)| (step, seconds(at))).collect(),
            aware_at: seconds(terms.aware_at),
            seconds_left: incident.time_left(now).as_secs(),
            harvest: [seconds(harvest.since), seconds(harvest.until)],
            exposed: [seconds(exposed.since), seconds(exposed.until)],
            suspects: terms.suspects.count(),
            reports: incident.reports(),
            listed: incident.listing().is_some_and(|listing| listing.complete),
            notices,
            closed: incident.closing().is_some(),
        }
    }
}

/// Who has to be told, and what they are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NoticeList {
    /// How far the incident is.
    pub status: IncidentStatus,
    /// The service's name.
    pub service: String,
    /// The subject, then paragraphs.
    pub words: Vec<String>,
}

/// Notices to hand over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HandedOut {
    /// The notices. Fewer than were asked for means that there are no more.
    pub notices: Vec<HandedNotice>,
}

/// A notice to hand over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HandedNotice {
    /// Its name.
    pub id: String,
    /// The handle of the person, with bytes that aren't printable spelled out.
    pub handle: String,
}

impl std::fmt::Debug for HandedNotice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandedNotice")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
