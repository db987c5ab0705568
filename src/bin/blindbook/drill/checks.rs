//! What has to be so after a drill, compared with what was.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// What came of a drill, beside what is true.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// By region: whom the attacker has found.
    pub(super) found: BTreeMap<String, BTreeSet<String>>,
    /// Elements that the attacker got answered.
    pub(super) answered: u64,
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
    /// Elements of new accounts in a day, before the attack and with it.
    pub(super) new_accounts: (u64, u64),
    pub(super) answered_after_containment: u64,
    pub(super) syncs: Vec<Sync>,
    pub(super) closed: bool,
}

/// A look-up of everybody who is honest.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sync {
    pub(super) when: &'static str,
    pub(super) people: u64,
    /// Those who were refused, or found others than can be found.
    pub(super) wrong: u64,
}

/// One thing that has to be so.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) passed: bool,
    pub(super) found: String,
}

/// Checks all of it.
pub(super) fn all(outcome: &Outcome) -> Vec<Check> {
    let check = |name, passed, found| Check {
        name,
        passed,
        found,
    };
    let found: BTreeSet<&String> = outcome.found.values().flatten().collect();
    let bound_of = |region: &String| outcome.bounds.get(region).copied().unwrap_or(0);
    let contained = outcome
        .found
        .iter()
        .all(|(region, found)| found.len() as u64 <= bound_of(region));
    let regions = outcome
        .found
        .iter()
        .map(|(region, found)| format!("{region} {} of at most {}", found.len(), bound_of(region)));
    let (elements, complete) = outcome.evaluations;
    let once = |handle: &&String| outcome.told.get(*handle) != Some(&1);
    let missed = outcome.affected.iter().filter(once).count();
    let stranger = |handle: &&String| !outcome.affected.contains(*handle);
    let strangers = outcome.told.keys().filter(stranger).count();
    let untold = found
        .iter()
        .filter(|handle| !outcome.told.contains_key(**handle))
        .count();
    let again = outcome.handed_over.iter().skip(1).sum::<u64>();
    let (quiet, loud) = outcome.new_accounts;
    let wrong: Vec<&str> = outcome
        .syncs
        .iter()
        .filter(|sync| sync.wrong > 0 || sync.people == 0)
        .map(|sync| sync.when)
        .collect();
    vec![
        check(
            "the attacker found somebody",
            !found.is_empty(),
            format!(
                "{} members, with {} elements",
                found.len(),
                outcome.answered
            ),
        ),
        check(
            "the attack shows",
            loud > 10 * quiet.max(100),
            format!("{loud} elements of new accounts in a day, {quiet} before"),
        ),
        check(
            "nothing is answered to a suspect once it is contained",
            outcome.answered_after_containment == 0,
            format!("{} elements", outcome.answered_after_containment),
        ),
        check(
            "the report counts all that was answered",
            complete && elements >= outcome.answered,
            format!("Q is {elements}, {} were answered", outcome.answered),
        ),
        check(
            "the bound contains the truth",
            contained && found.len() as u64 <= outcome.bound,
            format!(
                "{}; all {} of at most {}",
                regions.collect::<Vec<_>>().join(", "),
                found.len(),
                outcome.bound
            ),
        ),
        check(
            "everybody affected was told once",
            missed == 0 && untold == 0 && again == 0 && !outcome.affected.is_empty(),
            format!(
                "{} affected, {missed} not told once, {untold} found and not told",
                outcome.affected.len()
            ),
        ),
        check(
            "nobody else was told",
            strangers == 0,
            format!("{strangers} others"),
        ),
        check(
            "honest people found their contacts all along",
            wrong.is_empty() && outcome.syncs.len() == 5,
            format!(
                "{} times, wrong: {}",
                outcome.syncs.len(),
                if wrong.is_empty() {
                    "never".to_owned()
                } else {
                    wrong.join(", ")
                }
            ),
        ),
        check(
            "the incident is closed",
            outcome.closed,
            outcome.closed.to_string(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Outcome {
        let set = |handles: &[&str]| handles.iter().map(|&handle| handle.to_owned()).collect();
        let sync = |when| Sync {
            when,
            people: 9,
            wrong: 0,
        };
        Outcome {
            found: BTreeMap::from([
                ("GB".to_owned(), set(&["a", "b"])),
                ("FR".to_owned(), set(&["c"])),
            ]),
            answered: 5_000,
            bounds: BTreeMap::from([("GB".to_owned(), 2), ("FR".to_owned(), 1)]),
            bound: 3,
            evaluations: (5_000, true),
            affected: set(&["a", "b", "c", "d"]),
            told: ["a", "b", "c", "d"]
                .map(|handle| (handle.to_owned(), 1))
                .into(),
            handed_over: vec![4, 0],
            new_accounts: (0, 5_000),
            answered_after_containment: 0,
            syncs: ["before", "during", "contained", "rotated", "after"]
                .map(sync)
                .into(),
            closed: true,
        }
    }

    type Spoil = fn(&mut Outcome);

    /// A check that can't fail checks nothing: each is failed by one thing that is otherwise, and by nothing else.
    #[test]
    fn each_check_fails_for_what_it_is_there_for() {
        assert!(all(&good()).iter().all(|check| check.passed));
        let spoilt: [(&str, Spoil); 17] = [
            ("the attacker found somebody", |outcome| {
                outcome.found.clear()
            }),
            ("the attack shows", |outcome| {
                outcome.new_accounts = (1_000, 5_000)
            }),
            (
                "nothing is answered to a suspect once it is contained",
                |outcome| outcome.answered_after_containment = 1,
            ),
            ("the report counts all that was answered", |outcome| {
                outcome.evaluations.0 -= 1
            }),
            ("the report counts all that was answered", |outcome| {
                outcome.evaluations.1 = false
            }),
            ("the bound contains the truth", |outcome| outcome.bound = 2),
            ("the bound contains the truth", |outcome| {
                outcome.bounds.insert("FR".to_owned(), 0);
            }),
            ("the bound contains the truth", |outcome| {
                outcome.bounds.remove("GB");
            }),
            ("everybody affected was told once", |outcome| {
                outcome.told.remove("d");
            }),
            ("everybody affected was told once", |outcome| {
                outcome.told.insert("a".to_owned(), 2);
            }),
            ("everybody affected was told once", |outcome| {
                outcome.handed_over = vec![4, 1]
            }),
            ("everybody affected was told once", |outcome| {
                outcome.found.entry("GB".to_owned()).or_default().clear();
                outcome
                    .found
                    .entry("GB".to_owned())
                    .or_default()
                    .insert("e".to_owned());
            }),
            ("nobody else was told", |outcome| {
                outcome.told.insert("e".to_owned(), 1);
            }),
            ("honest people found their contacts all along", |outcome| {
                outcome.syncs[2].wrong = 1
            }),
            ("honest people found their contacts all along", |outcome| {
                outcome.syncs[4].people = 0
            }),
            ("honest people found their contacts all along", |outcome| {
                outcome.syncs.pop();
            }),
            ("the incident is closed", |outcome| outcome.closed = false),
        ];
        for (name, spoil) in spoilt {
            let mut outcome = good();
            spoil(&mut outcome);
            let failed: Vec<&str> = all(&outcome)
                .iter()
                .filter(|check| !check.passed)
                .map(|check| check.name)
                .collect();
            assert_eq!(failed, [name]);
        }
    }
}
