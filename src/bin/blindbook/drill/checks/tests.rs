use super::*;
use crate::drill::{evidence::Audit, phone::Refused};

const UNTIL: u64 = 1_000;

fn refused(problem: &str, back_at: Option<u64>) -> (String, Refused) {
    let problem = problem.to_owned();
    ("neighbour".to_owned(), Refused { problem, back_at })
}

fn good() -> Outcome {
    let set = |handles: &[&str]| handles.iter().map(|&handle| handle.to_owned()).collect();
    let sync = |(when, suspended): (&'static str, bool)| Sync {
        when,
        suspended_until: suspended.then_some(UNTIL),
        people: 9,
        new: 3,
        wrong: 0,
        refused: match suspended {
            true => vec![refused("network-suspended", Some(UNTIL))],
            false => Vec::new(),
        },
    };
    let audit = |findings: &[&str]| Audit {
        entries: 7,
        vouched: 7,
        findings: findings.iter().map(|&finding| finding.to_owned()).collect(),
    };
    Outcome {
        signals_before: 0,
        suspects: 5,
        networks: 5,
        unnamed: 0,
        found: BTreeMap::from([
            ("GB".to_owned(), set(&["a", "b"])),
            ("FR".to_owned(), set(&["c"])),
        ]),
        answered: 5,
        members: BTreeMap::from([("GB".to_owned(), 2), ("FR".to_owned(), 7)]),
        bounds: BTreeMap::from([("GB".to_owned(), 2), ("FR".to_owned(), 6)]),
        bound: 6,
        evaluations: (6, true),
        affected: set(&["a", "b", "c", "d"]),
        told: ["a", "b", "c", "d"]
            .map(|handle| (handle.to_owned(), 1))
            .into(),
        handed_over: vec![4, 0],
        answered_after_containment: 0,
        syncs: [
            ("at first", false),
            ("later", false),
            ("attacked", false),
            ("suspended", true),
            ("contained", true),
            ("rotated", true),
            ("after", false),
        ]
        .map(sync)
        .into(),
        neighbours: set(&["neighbour"]),
        closed: true,
        evidence: Evidence {
            ledger: audit(&[]),
            changed: vec![
                ("edited", audit(&["entry 3: edited"])),
                ("shortened", audit(&["entry 6: missing"])),
            ],
        },
    }
}

type Spoil = fn(&mut Outcome);

const FOUND: &str = "the attacker found somebody";
const QUIET: &str = "nothing was signalled before the attack";
const SIGNALLED: &str = "signals named the attacker's networks and no other";
const CONTAINED: &str = "nothing was answered to a suspect once it was contained";
const NEIGHBOURS: &str =
    "who shares a suspended network was told so and until when, and answered then";
const HONEST: &str = "all other honest people found their contacts all along, new accounts too";
const COUNTED: &str = "the report counts all that was answered";
const FORMULA: &str = "the bound is Q, or the number of members where that is less";
const BOUNDED: &str = "the bound contains the truth";
const TOLD: &str = "everybody affected was told once";
const NOBODY_ELSE: &str = "nobody else was told";
const CLOSED: &str = "the incident is closed";
const LEDGER: &str = "the ledger is whole, by its last checkpoint";
const CHANGED: &str = "a copy of the ledger that was changed is refused";

fn spoilt() -> Vec<(&'static str, Spoil)> {
    let mut all = attack();
    all.extend(incident());
    all
}

fn attack() -> Vec<(&'static str, Spoil)> {
    vec![
        (FOUND, |outcome| outcome.found.clear()),
        (QUIET, |outcome| outcome.signals_before = 1),
        (SIGNALLED, |outcome| outcome.suspects = 6),
        (SIGNALLED, |outcome| outcome.suspects = 4),
        (SIGNALLED, |outcome| outcome.unnamed = 1),
        (CONTAINED, |outcome| outcome.answered_after_containment = 1),
        (NEIGHBOURS, |outcome| outcome.syncs[4].refused.clear()),
        (NEIGHBOURS, |outcome| {
            outcome.syncs[3].refused = vec![refused("network-exhausted", Some(UNTIL))];
        }),
        (NEIGHBOURS, |outcome| {
            outcome.syncs[3].refused = vec![refused("network-suspended", None)];
        }),
        (NEIGHBOURS, |outcome| {
            outcome.syncs[3].refused = vec![refused("network-suspended", Some(UNTIL + 1))];
        }),
        (NEIGHBOURS, |outcome| {
            outcome.syncs[6].refused = vec![refused("network-suspended", Some(UNTIL))];
        }),
        (HONEST, |outcome| {
            let (_, why) = refused("network-suspended", Some(UNTIL));
            outcome.syncs[3].refused.push(("other".to_owned(), why));
        }),
        (HONEST, |outcome| outcome.syncs[4].wrong = 1),
        (HONEST, |outcome| outcome.syncs[4].new = 0),
        (HONEST, |outcome| outcome.syncs[4].people = 3),
        (HONEST, |outcome| outcome.syncs.truncate(6)),
    ]
}

fn incident() -> Vec<(&'static str, Spoil)> {
    vec![
        (COUNTED, |outcome| outcome.answered = 7),
        (COUNTED, |outcome| outcome.evaluations.1 = false),
        (FORMULA, |outcome| outcome.bound = 9),
        (FORMULA, |outcome| {
            outcome.bounds.insert("FR".to_owned(), 7);
        }),
        (FORMULA, |outcome| {
            outcome.bounds.insert("GB".to_owned(), 3);
        }),
        (BOUNDED, |outcome| {
            outcome.bounds.remove("GB");
        }),
        (BOUNDED, |outcome| {
            let found = outcome.found.entry("GB".to_owned()).or_default();
            found.insert("d".to_owned());
        }),
        (TOLD, |outcome| {
            outcome.told.remove("d");
        }),
        (TOLD, |outcome| {
            outcome.told.insert("a".to_owned(), 2);
        }),
        (TOLD, |outcome| outcome.handed_over = vec![4, 1]),
        (TOLD, |outcome| {
            let found = outcome.found.entry("GB".to_owned()).or_default();
            *found = BTreeSet::from(["e".to_owned()]);
        }),
        (NOBODY_ELSE, |outcome| {
            outcome.told.insert("e".to_owned(), 1);
        }),
        (CLOSED, |outcome| outcome.closed = false),
        (LEDGER, |outcome| outcome.evidence.ledger.vouched = 6),
        (LEDGER, |outcome| outcome.evidence.ledger = Audit::default()),
        (LEDGER, |outcome| {
            let findings = &mut outcome.evidence.ledger.findings;
            findings.push("entry 3: edited".to_owned());
        }),
        (CHANGED, |outcome| outcome.evidence.changed.clear()),
        (CHANGED, |outcome| {
            outcome.evidence.changed[1].1.findings.clear();
        }),
    ]
}

/// A check that can't fail checks nothing: each is failed by one thing that is otherwise, and by nothing else.
#[test]
fn each_check_fails_for_what_it_is_there_for() {
    assert!(all(&good()).iter().all(|check| check.passed));
    let spoilt = spoilt();
    for (name, spoil) in &spoilt {
        let mut outcome = good();
        spoil(&mut outcome);
        let failed: Vec<&str> = all(&outcome)
            .iter()
            .filter(|check| !check.passed)
            .map(|check| check.name)
            .collect();
        assert_eq!(failed, [*name]);
    }
    for check in all(&good()) {
        assert!(
            spoilt.iter().any(|(name, _)| *name == check.name),
            "{}",
            check.name
        );
    }
}
