//! The bound and the list against a simulated truth: a world in which it is known whose number was tried, and when who could be
//! found in what was published.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::LazyLock,
    time::Duration,
};

use blindbook::store::{IncidentStore, Store};
use blindbook::{
    Timestamp,
    label::Label,
    oprf::UnblindedElement,
    server::{
        EvaluationKey,
        directory::{Change, Consent, MemberBatch, Region, Regions, Setting, Window},
        incident::{
            Counted, Findings, HandOut, Incident, Report, Suspects, Tally, Terms, outlasts,
        },
        policy::Policy,
        quota::{AccountKey, Charge, Origin, Quota, Scope},
    },
    store::{MemoryStore, enlist_exposed, evaluations, exposed_by_region},
};
use proptest::{collection::vec, prelude::*};

use super::{
    EPOCH, T0, at, labels, lease, ledger,
    roles::{now, random_source},
};

const HOUR: u64 = 3_600;
const SLOT: u64 = 24 * HOUR;
/// Numbers that there are; each is a member's at some time or never.
const NUMBERS: usize = 40;
/// Accounts that stay young, as new ones take their places, and old ones.
const YOUNG: std::ops::Range<u8> = 0..4;
const OLD: std::ops::Range<u8> = 4..8;
/// Accounts of the attacker.
const ATTACKER: [u8; 4] = [0, 1, 4, 5];
/// Days that pass: across the end of a month (T0 is the 15th of January).
const DAYS: u64 = 30;

static ELEMENTS: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| {
    let mut rng = random_source(9);
    let element = |_| EvaluationKey::random(&mut rng).public_key().encode();
    (0..NUMBERS).map(element).collect()
});

fn account(number: u8) -> AccountKey {
    AccountKey::new([number + 1; 32])
}

#[derive(Debug, Clone)]
enum Event {
    /// A number joins, with a handle that it may share with its neighbour.
    Join(usize, bool),
    /// It opts out.
    Leave(usize),
    /// It is deleted.
    Delete(usize),
    /// An account tries numbers.
    Try(u8, Vec<usize>),
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let number = 0..NUMBERS;
    let event = prop_oneof![
        3 => (number.clone(), any::<bool>()).prop_map(|(n, shared)| Event::Join(n, shared)),
        1 => number.clone().prop_map(Event::Leave),
        1 => number.clone().prop_map(Event::Delete),
        4 => (0_u8..8, vec(number, 1..12)).prop_map(|(who, numbers)| Event::Try(who, numbers)),
    ];
    vec((0..DAYS * 24, event), 20..160).prop_map(|mut events| {
        events.sort_by_key(|(hour, _)| *hour);
        events
    })
}

fn handle(number: usize, shared: bool) -> String {
    format!("handle-{}", if shared { number / 2 * 2 } else { number })
}

/// Who is in the set that is published at a slot's begin: numbers and handles.
type Set = BTreeMap<usize, String>;

#[derive(Default)]
struct World {
    findable: Set,
    /// For each slot what is served in it.
    served: BTreeMap<u64, Set>,
    /// What the attacker tried, and when, in hours.
    tried: Vec<(u64, usize)>,
}

fn change(store: &MemoryStore, number: usize, change: Change, time: Timestamp) {
    let batch = MemberBatch {
        epoch: EPOCH,
        changes: vec![(UnblindedElement::decode(&ELEMENTS[number]).unwrap(), change)],
        at: time,
    };
    now(store.change_members(batch)).unwrap();
}

fn play(store: &MemoryStore, events: &[(u64, Event)]) -> World {
    let quota = Quota::new(Policy::default(), store).unwrap();
    let mut world = World::default();
    let mut next = 0;
    let mut publish_until = |world: &mut World, day: u64| {
        while next <= day {
            world.served.insert(next, world.findable.clone());
            next += 1;
        }
    };
    for (index, (hour, event)) in events.iter().enumerate() {
        publish_until(&mut world, hour / 24);
        let seconds = hour * HOUR + index as u64;
        match event {
            Event::Join(number, shared) => {
                let consent = Consent::new(at(seconds), "1", "test").unwrap();
                let region = ["GB", "US", "CH"].get(number % 4);
                let region = region.map(|region| Region::new(region).unwrap());
                let enrol = Change::Enrol {
                    label: Label::new(handle(*number, *shared).as_bytes()).unwrap(),
                    setting: Setting::Everyone(consent),
                    residence: Regions::default().residence(region),
                };
                change(store, *number, enrol, at(seconds));
                world.findable.insert(*number, handle(*number, *shared));
            }
            Event::Leave(number) => {
                let leave = Change::Enrol {
                    label: Label::new(handle(*number, false).as_bytes()).unwrap(),
                    setting: Setting::Nobody,
                    residence: Regions::default().residence(None),
                };
                change(store, *number, leave, at(seconds));
                world.findable.remove(number);
            }
            Event::Delete(number) => {
                change(store, *number, Change::Remove, at(seconds));
                world.findable.remove(number);
            }
            Event::Try(who, numbers) => {
                let created = if YOUNG.contains(who) {
                    at(seconds)
                } else {
                    Timestamp::from_secs(T0 - 1_000 * 86_400)
                };
                let mut digest = [0; 32];
                digest[..8].copy_from_slice(&index.to_be_bytes());
                let charge = Charge {
                    account: account(*who),
                    scope: Scope::Discover,
                    account_created: created,
                    origin: Origin::Unknown,
                    elements: NonZeroU32::new(numbers.len() as u32).unwrap(),
                    request_digest: digest,
                    epoch: EPOCH,
                    at: at(seconds),
                };
                now(ledger::seal(store, at(seconds)));
                let admitted = now(quota.admit(charge)).is_ok();
                if admitted && ATTACKER.contains(who) {
                    world
                        .tried
                        .extend(numbers.iter().map(|number| (*hour, *number)));
                }
            }
        }
    }
    publish_until(&mut world, DAYS + 2);
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_bound_contains_the_truth_and_the_list_is_who_could_be_found(
        events in events(),
        since in 0..DAYS * 24,
        length in 0..DAYS * 24,
        rotated in 0_u64..72,
        suspected in 0_u8..3,
    ) {
        let store = MemoryStore::new();
        let until = since + length;
        // The rotation ends the story: what happens later happens under another key.
        let end = until + rotated;
        let events: Vec<_> = events.into_iter().filter(|(hour, _)| *hour < end).collect();
        let world = play(&store, &events);

        let suspects = match suspected {
            0 => Suspects {
                accounts: ATTACKER.map(account).into(),
                ..Suspects::default()
            },
            1 => Suspects {
                accounts: OLD.map(account).collect(),
                new_accounts: true,
                ..Suspects::default()
            },
            _ => Suspects {
                unknown: true,
                ..Suspects::default()
            },
        };
        let hours = |hour: u64| at(hour * HOUR);
        let terms = Terms {
            aware_at: hours(until),
            since: hours(since),
            until: None,
            suspects,
        };
        let incident = Incident::open(0, [7; 16], terms, EPOCH, hours(until)).unwrap();
        let opened = now(store.open_incident(incident)).unwrap();
        let mut incident = opened.clone();
        incident.contain(hours(until)).unwrap();
        incident.learn_of_rotation(hours(end));
        incident.report(hours(end)).unwrap();
        let exposed = incident.list(false, hours(end)).unwrap().exposed;
        let window = Window {
            since: exposed.since,
            until: exposed.until,
            slot: outlasts(Duration::from_secs(SLOT)),
        };
        let findings = Findings {
            service: "chat.example".into(),
            at: hours(end),
            outlasts_seconds: window.slot.as_secs(),
            evaluations: now(evaluations(&store, &ledger::keys(), &incident, hours(end))).unwrap().0,
            regions: now(exposed_by_region(&store, EPOCH, window)).unwrap(),
            tally: Tally::default(),
            ledger: None,
            incident: incident.clone(),
        };
        let report = Report::new(&findings);
        prop_assert_eq!(
            report.evaluations.counted,
            [Counted::NamedAccounts, Counted::NewAccounts, Counted::AllAccounts]
                [usize::from(suspected)]
        );

        // Tried in the window, and in a set that was served between its begin and the rotation. An hour is tried to its end.
        let sets: Vec<&Set> = world.served.range(since / 24..=end / 24).map(|(_, set)| set).collect();
        let learned: BTreeSet<usize> = world
            .tried
            .iter()
            .filter(|(hour, _)| (since..until).contains(hour))
            .map(|(_, number)| *number)
            .filter(|number| sets.iter().any(|set| set.contains_key(number)))
            .collect();
        prop_assert!(report.at_most >= learned.len() as u64, "{} < {learned:?}", report.at_most);
        let regions: u64 = report.regions.iter().map(|region| region.members).sum();
        prop_assert_eq!(regions, report.members);
        for region in &report.regions {
            prop_assert!(region.at_most <= report.at_most);
            prop_assert!(region.expected.is_none_or(|expected| expected <= region.at_most));
            prop_assert_eq!(region.numbers.is_none(), region.region == "unknown");
        }

        // Everybody who was in such a set is on the list, once; twice made, it is the same list.
        for _ in 0..2 {
            prop_assert_eq!(now(enlist_exposed(&store, &incident, EPOCH, window)).unwrap(), 0);
        }
        let handed = now(store.hand_out_notices(opened.id(), lease(1, 0), at(0), None, 1_000));
        let HandOut::Notices(notices) = handed.unwrap() else { panic!("nobody else has it") };
        let listed = labels(&notices);
        prop_assert_eq!(listed.len(), notices.len());
        for set in &sets {
            prop_assert!(set.values().all(|handle| listed.contains(handle)));
        }
        // And nobody else: a handle on it could be found from a day and two hours before the window until the rotation.
        let could = could_be_found(&events, since * HOUR, end * HOUR);
        prop_assert_eq!(listed, could);
    }
}

/// By the plainest model: when each handle could be found.
fn could_be_found(events: &[(u64, Event)], since: u64, until: u64) -> BTreeSet<String> {
    let margin = SLOT + 2 * HOUR;
    let mut open: BTreeMap<usize, (String, u64)> = BTreeMap::new();
    let mut found = BTreeSet::new();
    let mut close = |open: &mut BTreeMap<usize, (String, u64)>, number: &usize, at: u64| {
        if let Some((handle, _)) = open.remove(number)
            && at + margin >= since
        {
            found.insert(handle);
        }
    };
    for (index, (hour, event)) in events.iter().enumerate() {
        let seconds = hour * HOUR + index as u64;
        if seconds > until {
            break;
        }
        match event {
            Event::Join(number, shared) => {
                close(&mut open, number, seconds);
                open.insert(*number, (handle(*number, *shared), seconds));
            }
            Event::Leave(number) | Event::Delete(number) => close(&mut open, number, seconds),
            Event::Try(..) => {}
        }
    }
    let still: Vec<usize> = open.keys().copied().collect();
    for number in still {
        close(&mut open, &number, u64::MAX / 2);
    }
    found
}
