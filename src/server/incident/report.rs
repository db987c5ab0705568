//! The report of an incident: a pure function of what was found out.
//!
//! The fields are what a supervisory authority asks for, by GDPR Art. 33(3) a to d, with the clock of Art. 33(1), and what the
//! people affected are told by Art. 34(2). What only the operator can say and hasn't said is listed as missing, and not made up.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use super::{Counted, Evaluations, Findings, OperatorWords, Period, Step, SuspectCounts, Tally};
use crate::server::date::{hours, in_words, rfc3339};

/// How far the report can go: information may be given in phases (GDPR Art. 33(4)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "http", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Phase {
    /// The first one.
    Preliminary,
    /// A later one.
    Supplementary,
    /// Everybody is told, the incident is closed.
    Final,
    /// Nothing had happened.
    Unfounded,
}

/// The clock of GDPR Art. 33(1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
pub struct Deadline {
    /// When the operator became aware.
    pub aware_at: String,
    /// 72 hours later.
    pub due_at: String,
    /// Seconds that were left when the report was written; 0 once it is late.
    pub seconds_left: u64,
    /// Whether it is late.
    pub late: bool,
    /// In plain words.
    pub words: String,
}

/// What was learned of members in one region, at most.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
pub struct RegionBound {
    /// Two letters (ISO 3166-1), or `unknown`.
    pub region: String,
    /// M: members who could be found.
    pub members: u64,
    /// S: mobile numbers of the region.
    pub numbers: Option<u64>,
    /// min(Q, M).
    pub at_most: u64,
    /// Q * M / S, rounded up: if all of Q had gone here, at random.
    pub expected: Option<u64>,
}

/// GDPR Art. 33(3), point by point.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
pub struct Article33 {
    /// a: the nature of the breach, the categories and numbers of people and records.
    pub a: String,
    /// b: the contact point.
    pub b: Option<String>,
    /// c: the likely consequences.
    pub c: String,
    /// d: the measures taken or proposed.
    pub d: Vec<String>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
pub struct Report {
    /// The service's name.
    pub service: String,
    /// The incident's number.
    pub incident: u64,
    /// How far the report can go.
    pub phase: Phase,
    /// Which report of this incident it is.
    pub number: u32,
    /// When it was written.
    pub written_at: String,
    /// Who is responsible.
    pub controller: Option<String>,
    /// The 72 hours.
    pub deadline: Deadline,
    /// Why it is late.
    pub delay_reason: Option<String>,
    /// From when until when the suspects may have harvested.
    pub harvest: [String; 2],
    /// From when until when members could have been learned of.
    pub exposed: [String; 2],
    /// Seconds for which somebody who has decided not to be found can still be.
    pub outlasts_seconds: u64,
    /// Who is suspected.
    pub suspects: SuspectCounts,
    /// Q, and what it was taken from.
    pub evaluations: Evaluations,
    /// Members of all regions who could be found.
    pub members: u64,
    /// Of how many of them it was learned that they are members: at most.
    pub at_most: u64,
    /// By region.
    pub regions: Vec<RegionBound>,
    /// How the bound is computed, and what it rests on.
    pub formula: Vec<String>,
    /// What is known to be left out or unsure.
    pub caveats: Vec<String>,
    /// The newest entry of the ledger.
    pub ledger: Option<String>,
    /// GDPR Art. 33(3).
    pub article_33: Article33,
    /// What has been done, and when.
    pub steps: Vec<(Step, String)>,
    /// How far telling people has come.
    pub notices: Tally,
    /// Members who were exposed and have no handle to be told by.
    pub nameless: u64,
    /// What people are told: the subject, then the paragraphs.
    pub words: Vec<String>,
    /// What the operator has still to say.
    pub missing: Vec<String>,
}

impl Report {
    /// Writes the report.
    #[must_use]
    pub fn new(findings: &Findings) -> Self {
        let incident = &findings.incident;
        let evaluated = findings.evaluated();
        let members = findings.members();
        let window = |window: Period| [rfc3339(window.since), rfc3339(window.until)];
        let words = findings.incident.words();
        let deadline = deadline(findings);
        let regions: Vec<RegionBound> = findings
            .regions
            .iter()
            .map(|count| {
                let bound = count.bound(evaluated);
                RegionBound {
                    region: count.region.clone().unwrap_or_else(|| "unknown".into()),
                    members: count.members,
                    numbers: count.numbers,
                    at_most: bound.at_most(),
                    expected: bound.expected().filter(|_| findings.evaluations.complete),
                }
            })
            .collect();
        let at_most = evaluated.min(members);
        Self {
            service: findings.service.clone(),
            incident: incident.id(),
            phase: phase(findings),
            number: incident.reports(),
            written_at: rfc3339(findings.at),
            controller: words.controller.clone(),
            missing: missing(words, deadline.late),
            deadline,
            delay_reason: words.delay_reason.clone(),
            harvest: window(findings.harvest()),
            exposed: window(findings.exposed()),
            outlasts_seconds: findings.outlasts_seconds,
            suspects: incident.terms().suspects.count(),
            evaluations: findings.evaluations,
            members,
            at_most,
            regions,
            formula: formula(findings, at_most),
            caveats: caveats(findings),
            ledger: findings.ledger.clone(),
            article_33: Article33 {
                a: nature(findings, at_most),
                b: words.contact.clone(),
                c: CONSEQUENCES.into(),
                d: measures(findings),
            },
            steps: incident
                .steps()
                .into_iter()
                .map(|(step, at)| (step, rfc3339(at)))
                .collect(),
            notices: findings.tally,
            nameless: incident.listing().map_or(0, |listing| listing.nameless),
            words: findings.words_for_people(),
        }
    }
}

fn phase(findings: &Findings) -> Phase {
    match findings.incident.closing() {
        Some(closing) if closing.unfounded => Phase::Unfounded,
        Some(_) => Phase::Final,
        None if findings.incident.reports() > 1 => Phase::Supplementary,
        None => Phase::Preliminary,
    }
}

fn deadline(findings: &Findings) -> Deadline {
    let aware_at = findings.incident.terms().aware_at;
    let due_at = findings.incident.due_at();
    let left = findings.incident.time_left(findings.at);
    let late = findings.at > due_at;
    let words = if late {
        format!(
            "{} late: the reasons for the delay have to accompany it (GDPR Art. 33(1))",
            hours(findings.at.saturating_since(due_at))
        )
    } else {
        format!("{} left of 72 (GDPR Art. 33(1))", hours(left))
    };
    Deadline {
        aware_at: rfc3339(aware_at),
        due_at: rfc3339(due_at),
        seconds_left: left.as_secs(),
        late,
        words,
    }
}

fn missing(words: &OperatorWords, late: bool) -> Vec<String> {
    let mut missing = Vec::new();
    let mut lacks = |lacks: bool, what: &str| {
        if lacks {
            missing.push(what.to_string());
        }
    };
    lacks(
        words.controller.is_none(),
        "the controller's name and address",
    );
    lacks(
        words.contact.is_none(),
        "the data protection officer's or another contact point's name and details: Art. 33(3) b",
    );
    lacks(
        late && words.delay_reason.is_none(),
        "the reasons for the delay: Art. 33(1)",
    );
    missing
}

fn formula(findings: &Findings, at_most: u64) -> Vec<String> {
    let Evaluations {
        elements,
        complete,
        requests,
        counted,
        ..
    } = findings.evaluations;
    let whose = match counted {
        Counted::NamedAccounts => "the accounts named as suspects",
        Counted::NewAccounts => "all accounts that were new, and those named as suspects",
        Counted::AllAccounts => "all accounts, as the suspects' can't be told from others'",
    };
    let evaluated = if complete {
        format!(
            "Q = {elements} elements in {requests} requests, of {whose}, in all hours that the window touches"
        )
    } else {
        format!(
            "Q isn't known, as nothing is kept of the first hours of the window: at least {elements} elements in \
             {requests} requests, of {whose}. So the bound is M"
        )
    };
    Vec::from([
        evaluated,
        format!(
            "M = {} members who could be found between {} and {}, or less than {} before",
            findings.members(),
            rfc3339(findings.exposed().since),
            rfc3339(findings.exposed().until),
            hours(Duration::from_secs(findings.outlasts_seconds))
        ),
        format!("learned at most min(Q, M) = {at_most}"),
        "expected in a region, if all of Q had gone there at random: Q * M / S, with S the mobile numbers \
         of its numbering plan"
            .into(),
        "each element evaluated is one number at most, and each number one member at most; padding, \
         repetitions and numbers without a member only make the truth smaller"
            .into(),
    ])
}

fn caveats(findings: &Findings) -> Vec<String> {
    let mut caveats = Vec::from([
        "Which numbers were tried can't be known: the service sees none. The bound is what can be proved, \
         not an estimate of what happened."
            .to_string(),
        "Somebody who kept a set that was published before the window can look numbers up in that, too. What was published \
         can't be recalled."
            .into(),
    ]);
    let silent = findings.evaluations.silent_accounts;
    if silent > 0 {
        caveats.push(format!(
            "{silent} of the accounts named did nothing in these hours. If a name is misspelt, \
             Q is too small."
        ));
    }
    if !rotated(findings) {
        caveats.push(
            "The key hasn't been rotated hard since: what was harvested also finds who joins from now on.".into(),
        );
    }
    if let Some(listing) = findings.incident.listing()
        && listing.nameless > 0
    {
        caveats.push(format!(
            "{} members who could be found have no handle to be told by: the service's labels have no bytes.",
            listing.nameless
        ));
    }
    caveats
}

fn rotated(findings: &Findings) -> bool {
    let steps = findings.incident.steps();
    steps.iter().any(|(step, _)| *step == Step::Rotated)
}

fn nature(findings: &Findings, at_most: u64) -> String {
    let harvest = findings.harvest();
    format!(
        "Breach of confidentiality: enumeration. Between {} and {}, somebody used the contact discovery of {} to \
         try out phone numbers or e-mail addresses, and so learned which of them are registered. Categories of people: \
         members who had chosen to be found by their number. About {} of them could have been found; of at most {at_most} \
         it was learned. Categories of records: for each of these, that the number or address is registered, and the \
         opaque handle of its account. No numbers, names, messages or address books were disclosed.",
        in_words(harvest.since),
        in_words(harvest.until),
        findings.service,
        findings.members(),
    )
}

const CONSEQUENCES: &str = "Who has a number can know that its owner uses the service, and under which handle. Likely uses are \
    unwanted messages and calls, phishing that pretends to come from the service, and joining the number with other \
    data about the same person. For some people it can matter that they use the service at all. What was learned can't be recalled.";

fn measures(findings: &Findings) -> Vec<String> {
    let suspects = findings.incident.terms().suspects.count();
    let mut measures = Vec::new();
    for (step, at) in findings.incident.steps() {
        let at = in_words(at);
        match step {
            Step::Contained => {
                let mut whom = Vec::new();
                if suspects.accounts > 0 {
                    whom.push(format!("{} accounts", suspects.accounts));
                }
                if suspects.networks > 0 {
                    whom.push(format!("{} networks", suspects.networks));
                }
                if suspects.new_accounts || suspects.unknown {
                    whom.push("all new accounts".into());
                }
                measures.push(format!("{at}: discovery was suspended for {}.", whom.join(", ")));
            }
            Step::Rotated => measures.push(format!(
                "{at}: the key was rotated without carry-over, so that what was harvested finds nobody who joins later."
            )),
            Step::Listing => measures.push(format!(
                "{at}: the people affected were determined, {} of them; {} have been told (Art. 34).",
                findings.tally.all(),
                findings.tally.told
            )),
            _ => {}
        }
    }
    measures.extend(findings.incident.words().measures.iter().cloned());
    measures
}

impl Findings {
    /// What the people affected are told, in plain words: a subject, then paragraphs (GDPR Art. 34(2)).
    #[must_use]
    pub fn words_for_people(&self) -> Vec<String> {
        let service = &self.service;
        let exposed = self.exposed();
        let mut words = Vec::from([
            format!("Somebody may have learned that you use {service}"),
            format!(
                "What happened: somebody used the contact search of {service} to try out a large number of phone \
                 numbers. We stopped it. Between {} and {} your number could be found, so it may have been among them. We \
                 can't tell whether it was: our service never sees which numbers are searched for. That is why we tell \
                 everybody who could be found.",
                in_words(exposed.since),
                in_words(exposed.until)
            ),
            "What could be learned: that your phone number or e-mail address is registered with us, and the handle of \
             your account that your contacts see."
                .into(),
            "What could not be learned: your name, your messages, your contacts, your password, or anything else. Nobody \
             got into your account."
                .into(),
        ]);
        words.push(if rotated(self) {
            "What we have done: we suspended those who did it and changed our keys, so that what was collected finds nobody \
             who joins later. What somebody has learned already can't be taken back."
                .into()
        } else {
            "What we have done: we suspended those who did it. What somebody has learned already can't be taken back.".into()
        });
        words.push(format!(
            "What you can do: be careful with messages and calls from people you don't know, also if they say they come \
             from {service}. You needn't change your password. If you don't want to be found by your number, turn that off \
             in your settings.{}",
            match &self.incident.words().contact {
                Some(contact) => format!(" If you have questions: {contact}."),
                None => String::new(),
            }
        ));
        words
    }
}
