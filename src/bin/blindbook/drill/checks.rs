//! What has to be so after a drill, compared with what was.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{evidence::Evidence, readers::Sync};
use crate::text::count;

/// Look-ups of everybody who is honest.
const SYNCS: usize = 7;

/// What came of a drill, beside what is true.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// Signals before the attack.
    pub(super) signals_before: u64,
    /// Whom signals have pointed at.
    pub(super) suspects: usize,
    /// The networks that the fakes were made in.
    pub(super) networks: usize,
    /// Fakes whose network wasn't suspended when those were that signals point at.
    pub(super) unnamed: u64,
    /// By region: whom the attacker has found.
    pub(super) found: BTreeMap<String, BTreeSet<String>>,
    /// Elements that the attacker got answered.
    pub(super) answered: u64,
    /// By region: how many could be found by the attacker.
    pub(super) members: BTreeMap<String, u64>,
    /// By region: the report's bound.
    pub(super) bounds: BTreeMap<String, u64>,
    /// The report's bound for all.
    pub(super) bound: u64,
    /// The report's Q, and whether it is complete.
    pub(super) evaluations: (u64, bool),
    /// Who could be found by the attacker.
    pub(super) affected: BTreeSet<String>,
    /// How often each handle was told.
    pub(super) told: BTreeMap<String, u32>,
    /// Notices handed over, by each run of the command.
    pub(super) handed_over: Vec<u64>,
    pub(super) answered_after_containment: u64,
    pub(super) syncs: Vec<Sync>,
    /// Honest accounts in a network of the attacker's.
    pub(super) neighbours: BTreeSet<String>,
    pub(super) closed: bool,
    pub(super) evidence: Evidence,
}

/// One thing that has to be so.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) passed: bool,
    pub(super) found: String,
}

/// Checks all of it.
pub(super) fn all(outcome: &Outcome) -> Vec<Check> {
    let attack = [
        found_somebody(outcome),
        quiet_before(outcome),
        signalled(outcome),
        contained(outcome),
        neighbours(outcome),
        honest(outcome),
    ];
    let incident = [
        counted(outcome),
        formula(outcome),
        bounded(outcome),
        told_once(outcome),
        nobody_else(outcome),
        Check::new(
            "the incident is closed",
            outcome.closed,
            outcome.closed.to_string(),
        ),
        ledger(outcome),
        changed_copies(outcome),
    ];
    attack.into_iter().chain(incident).collect()
}

impl Check {
    const fn new(name: &'static str, passed: bool, found: String) -> Self {
        Self {
            name,
            passed,
            found,
        }
    }
}

impl Outcome {
    fn all_found(&self) -> BTreeSet<&String> {
        self.found.values().flatten().collect()
    }
}

fn found_somebody(outcome: &Outcome) -> Check {
    let found = outcome.all_found().len();
    Check::new(
        "the attacker found somebody",
        found > 0,
        format!(
            "{} members, with {} elements",
            count(found as u64),
            count(outcome.answered)
        ),
    )
}

fn quiet_before(outcome: &Outcome) -> Check {
    Check::new(
        "nothing was signalled before the attack",
        outcome.signals_before == 0,
        format!("{} signals", outcome.signals_before),
    )
}

/// As many networks as the attacker has, and all fakes in them: so each of them, and no other one.
fn signalled(outcome: &Outcome) -> Check {
    Check::new(
        "signals named the attacker's networks and no other",
        outcome.suspects == outcome.networks && outcome.unnamed == 0,
        format!(
            "{} named, of the {} there are; {} fakes in others",
            outcome.suspects, outcome.networks, outcome.unnamed
        ),
    )
}

fn contained(outcome: &Outcome) -> Check {
    Check::new(
        "nothing was answered to a suspect once it was contained",
        outcome.answered_after_containment == 0,
        format!("{} elements", count(outcome.answered_after_containment)),
    )
}

/// Nobody else in their network can be told from the attacker, so they have to wait; but not longer than they are told.
fn neighbours(outcome: &Outcome) -> Check {
    let as_told = |sync: &Sync| {
        let refused = sync.refused.iter();
        let refused = refused.filter(|(account, _)| outcome.neighbours.contains(account));
        let (accounts, refusals): (BTreeSet<&String>, Vec<_>) =
            refused.map(|(account, why)| (account, why)).unzip();
        match sync.suspended_until {
            None => accounts.is_empty(),
            Some(_) => {
                accounts.len() == outcome.neighbours.len()
                    && refusals.iter().all(|why| {
                        why.problem == "network-suspended" && why.back_at == sync.suspended_until
                    })
            }
        }
    };
    let suspended = |sync: &&Sync| sync.suspended_until.is_some();
    let wrong = outcome.syncs.iter().filter(|sync| !as_told(sync));
    let wrong: Vec<&str> = wrong.map(|sync| sync.when).collect();
    Check::new(
        "who shares a suspended network was told so and until when, and answered then",
        wrong.is_empty() && outcome.syncs.iter().any(|sync| suspended(&sync)),
        format!(
            "{} people, {} times refused; otherwise: {}",
            outcome.neighbours.len(),
            outcome.syncs.iter().filter(suspended).count(),
            listed(&wrong)
        ),
    )
}

fn honest(outcome: &Outcome) -> Check {
    let wrong = outcome.syncs.iter().filter(|sync| {
        let mut refused = sync.refused.iter();
        let others = refused.any(|(account, _)| !outcome.neighbours.contains(account));
        others || sync.wrong > 0 || sync.new == 0 || sync.people <= sync.new
    });
    let wrong: Vec<&str> = wrong.map(|sync| sync.when).collect();
    Check::new(
        "all other honest people found their contacts all along, new accounts too",
        wrong.is_empty() && outcome.syncs.len() == SYNCS,
        format!("{} times; wrong: {}", outcome.syncs.len(), listed(&wrong)),
    )
}

fn counted(outcome: &Outcome) -> Check {
    let (elements, complete) = outcome.evaluations;
    Check::new(
        "the report counts all that was answered",
        complete && elements >= outcome.answered,
        format!(
            "Q is {}, {} were answered",
            count(elements),
            count(outcome.answered)
        ),
    )
}

/// The report's figures, from the true number of members.
fn formula(outcome: &Outcome) -> Check {
    let (elements, _) = outcome.evaluations;
    let members_of = |region: &String| outcome.members.get(region).copied().unwrap_or(0);
    let all: u64 = outcome.members.values().sum();
    let right = |bound: u64, members: u64| bound == members.min(elements);
    let each = outcome
        .bounds
        .iter()
        .all(|(region, bound)| right(*bound, members_of(region)));
    let regions = outcome.bounds.iter().map(|(region, bound)| {
        let (bound, members) = (count(*bound), count(members_of(region)));
        format!("{region} {bound} of {members}")
    });
    Check::new(
        "the bound is Q, or the number of members where that is less",
        each && right(outcome.bound, all),
        format!(
            "Q is {}; {}",
            count(elements),
            regions.collect::<Vec<_>>().join(", ")
        ),
    )
}

fn bounded(outcome: &Outcome) -> Check {
    let bound_of = |region: &String| outcome.bounds.get(region).copied().unwrap_or(0);
    let all = outcome.all_found().len() as u64;
    let each = outcome
        .found
        .iter()
        .all(|(region, found)| found.len() as u64 <= bound_of(region));
    let regions = outcome.found.iter().map(|(region, found)| {
        let (found, bound) = (count(found.len() as u64), count(bound_of(region)));
        format!("{region} {found} of at most {bound}")
    });
    Check::new(
        "the bound contains the truth",
        each && all <= outcome.bound,
        format!(
            "{}; all {} of at most {}",
            regions.collect::<Vec<_>>().join(", "),
            count(all),
            count(outcome.bound)
        ),
    )
}

fn told_once(outcome: &Outcome) -> Check {
    let not_once = |handle: &&String| outcome.told.get(*handle) != Some(&1);
    let missed = outcome.affected.iter().filter(not_once).count();
    let found = outcome.all_found();
    let untold = found
        .iter()
        .filter(|handle| !outcome.told.contains_key(**handle));
    let untold = untold.count();
    let again: u64 = outcome.handed_over.iter().skip(1).sum();
    Check::new(
        "everybody affected was told once",
        missed == 0 && untold == 0 && again == 0 && !outcome.affected.is_empty(),
        format!(
            "{} affected, {missed} not told once, {untold} found and not told",
            count(outcome.affected.len() as u64)
        ),
    )
}

fn nobody_else(outcome: &Outcome) -> Check {
    let stranger = |handle: &&String| !outcome.affected.contains(*handle);
    let strangers = outcome.told.keys().filter(stranger).count();
    Check::new(
        "nobody else was told",
        strangers == 0,
        format!("{strangers} others"),
    )
}

fn ledger(outcome: &Outcome) -> Check {
    let ledger = &outcome.evidence.ledger;
    Check::new(
        "the ledger is whole, by its last checkpoint",
        ledger.findings.is_empty() && ledger.entries > 0 && ledger.vouched == ledger.entries,
        format!(
            "{} entries, {} vouched for; wrong: {}",
            count(ledger.entries),
            count(ledger.vouched),
            listed(&ledger.findings)
        ),
    )
}

fn changed_copies(outcome: &Outcome) -> Check {
    let changed = &outcome.evidence.changed;
    let found = changed
        .iter()
        .map(|(how, copy)| format!("{how}: {}", listed(&copy.findings)));
    Check::new(
        "a copy of the ledger that was changed is refused",
        !changed.is_empty() && changed.iter().all(|(_, copy)| !copy.findings.is_empty()),
        found.collect::<Vec<_>>().join("; "),
    )
}

fn listed<T: AsRef<str>>(all: &[T]) -> String {
    match all {
        [] => "nothing".to_owned(),
        all => all
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<&str>>()
            .join(", "),
    }
}
