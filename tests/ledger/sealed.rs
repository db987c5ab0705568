//! Hours that are over.

use std::num::NonZeroU32;

use blindbook::{
    Timestamp,
    server::{
        detect::{Signal, Subject},
        ledger::{Body, Entry, Month, RotationStep, Topic, Verifier, Who},
        policy::Policy,
        quota::{
            AccountKey, Activity, AdmitError, Charge, Hour, NetworkKey, Origin, Quota,
            RefusalReason, Scope, Suspect,
        },
        rotation::RotationKind,
    },
    store::{Settled, Store, StoredManifest},
};

use crate::{
    ledger::{key, seal, sealing, suspension},
    open::{charge, hour},
    roles::{EPOCH, now},
};

const SERVICE: [u8; 32] = [5; 32];
const HOUR: u64 = 3_600;

fn begin(hour: Hour) -> Timestamp {
    hour.begin()
}

fn entries(store: &impl Store) -> Vec<Entry> {
    now(store.ledger(0, usize::MAX)).unwrap()
}

/// All entries, each of which must be behind the one before.
fn verified(store: &impl Store) -> Vec<Body> {
    let mut verifier = Verifier::new(&SERVICE, &[]);
    let entries = entries(store);
    for entry in &entries {
        verifier.take(entry);
    }
    verifier.end();
    assert_eq!(verifier.findings(), []);
    entries.iter().map(|entry| entry.body().unwrap()).collect()
}

fn elements(rows: &[(blindbook::server::ledger::Pseudonym, Activity)]) -> u64 {
    rows.iter().map(|(_, activity)| activity.elements).sum()
}

pub(crate) fn hours_that_are_over_become_entries(store: &impl Store) {
    now(store.begin_ledger(SERVICE)).unwrap();
    let quota = Quota::new(Policy::default(), store).unwrap();
    now(quota.admit(charge(1, 100, 1, 0))).unwrap();
    now(quota.admit(charge(2, 50, 1, 10))).unwrap();
    now(quota.admit(charge(1, 30, 2, HOUR))).unwrap();
    // An hour isn't over before it is.
    let last = Timestamp::from_micros(begin(hour(1)).as_micros() - 1);
    now(seal(store, last));
    assert!(entries(store).is_empty());
    now(seal(store, begin(hour(1))));
    assert_eq!(now(store.oldest_open()).unwrap(), Some(hour(1)));
    assert!(
        now(store.open_activity(hour(0), None, 9))
            .unwrap()
            .is_empty()
    );
    now(seal(store, begin(hour(9))));
    assert_eq!(now(store.oldest_open()).unwrap(), None);
    now(seal(store, begin(hour(9))));

    let key = key(Month::of(begin(hour(0))));
    let bodies = verified(store);
    let [
        Body::Charges { hour: h0, rows },
        Body::Totals(totals),
        Body::Charges {
            hour: h1,
            rows: next,
        },
        Body::Totals(_),
    ] = &bodies[..]
    else {
        panic!("{bodies:?}");
    };
    assert_eq!((*h0, *h1), (hour(0), hour(1)));
    let of = |account: u8| key.account(&AccountKey::new([account; 32]));
    let known: Vec<_> = rows
        .iter()
        .map(|(name, row)| (*name, row.elements))
        .collect();
    let mut wanted = [(of(1), 100), (of(2), 50)];
    wanted.sort_unstable();
    assert_eq!(known, wanted);
    assert_eq!(next.len(), 1);
    assert_eq!((totals.accounts, totals.elements), (2, 150));
    // No pseudonym of the quota is in it.
    for entry in entries(store) {
        let bytes = entry.encode();
        for account in [1, 2] {
            assert!(!bytes.windows(8).any(|window| window == [account; 8]));
        }
    }
    let about = now(store.ledger_about((Topic::Charges(hour(1)), 0), Topic::Charges(hour(5)), 9));
    assert_eq!(about.unwrap().len(), 1);
}

/// A clock that went ahead has closed an hour in which somebody asks once more.
pub(crate) fn what_comes_late_is_added_up(store: &impl Store) {
    now(store.begin_ledger(SERVICE)).unwrap();
    let quota = Quota::new(Policy::default(), store).unwrap();
    for digest in 1..4 {
        now(quota.admit(charge(1, 100, digest, 60))).unwrap();
        now(seal(store, begin(hour(30))));
    }
    let bodies = verified(store);
    let sum: u64 = bodies
        .iter()
        .map(|body| match body {
            Body::Charges { hour: of, rows } if *of == hour(0) => elements(rows),
            _ => 0,
        })
        .sum();
    assert_eq!(sum, 300);
    let totals = bodies.iter().filter(|body| matches!(body, Body::Totals(_)));
    assert_eq!(totals.count(), 3);
}

pub(crate) fn a_day_that_isnt_sealed_stops_everything(store: &impl Store) {
    let quota = Quota::new(Policy::default(), store).unwrap();
    now(quota.admit(charge(1, 100, 1, 0))).unwrap();
    // The hour of the last charge that may still be taken, and the next one.
    now(quota.admit(charge(1, 100, 2, 24 * HOUR))).unwrap();
    for (account, scope) in [
        (1, Scope::Discover),
        (2, Scope::Discover),
        (3, Scope::Enrol),
    ] {
        let refused = now(quota.admit(Charge {
            scope,
            ..charge(account, 16, 3, 25 * HOUR)
        }));
        match refused.unwrap_err() {
            AdmitError::Refused(refusal) => {
                assert_eq!(refusal.reason, RefusalReason::LedgerBehind);
                assert!(refusal.retry_after.is_some());
            }
            other => panic!("{other}"),
        }
    }
    now(seal(store, begin(hour(25))));
    now(quota.admit(charge(1, 100, 3, 25 * HOUR))).unwrap();
}

pub(crate) fn what_operators_do_is_in_it(store: &impl Store) {
    now(store.begin_ledger(SERVICE)).unwrap();
    let account = AccountKey::new([1; 32]);
    let until = Timestamp::from_secs(9);
    now(store.suspend(suspension(Suspect::Account(account), Some(until)))).unwrap();
    now(store.suspend(suspension(Suspect::YoungAccounts, None))).unwrap();
    let manifest = StoredManifest {
        sequence: 1,
        bytes: vec![1, 2, 3],
    };
    let settled = Settled::default();
    assert!(now(store.append_manifest(manifest.clone(), settled)).unwrap());
    // What isn't done isn't in it.
    assert!(!now(store.append_manifest(manifest, settled)).unwrap());
    assert!(now(store.begin_rotation(EPOCH, RotationKind::Soft)).unwrap());
    assert!(!now(store.begin_rotation(EPOCH, RotationKind::Soft)).unwrap());
    assert!(now(store.harden_rotation()).unwrap());
    let month = Month::new(24_322);
    assert!(now(store.note_destroyed(month, until)).unwrap());
    assert!(!now(store.note_destroyed(month, until)).unwrap());
    let begun = |kind| Body::Rotation {
        from: EPOCH,
        kind,
        step: RotationStep::Begun,
    };
    let key = key(Month::of(Timestamp::from_micros(0)));
    assert_eq!(
        verified(store),
        [
            Body::Suspended {
                who: Who::Account(key.account(&account)),
                until,
            },
            Body::Lifted {
                who: Who::YoungAccounts,
            },
            Body::Published {
                sequence: 1,
                hash: [0; 32],
            },
            begun(RotationKind::Soft),
            begun(RotationKind::Hard),
            Body::KeyDestroyed { month },
        ]
    );
}

/// More than fits into a page, from one network: a cluster, of which detection has something to say.
pub(crate) fn an_hour_of_many_accounts_is_sealed_in_pages(store: &impl Store) {
    now(store.begin_ledger(SERVICE)).unwrap();
    let quota = Quota::new(Policy::default(), store).unwrap();
    let net24 = NetworkKey::new([9; 32]);
    let many = 4_096 + 5;
    for number in 0..many {
        let mut account = [0; 32];
        account[..4].copy_from_slice(&u32::to_be_bytes(number));
        now(quota.admit(Charge {
            account: AccountKey::new(account),
            account_created: charge(0, 1, 0, 0).at,
            origin: Origin::V4 { net24 },
            elements: NonZeroU32::MIN,
            ..charge(0, 1, 1, 0)
        }))
        .unwrap();
    }
    let at = begin(hour(1));
    // A page is a step of its own: somebody may ask between two.
    now(store.seal(sealing(begin(hour(0))), at)).unwrap();
    assert_eq!(now(store.oldest_open()).unwrap(), Some(hour(0)));
    let signals = now(seal(store, at));
    let found = |signal: &Signal| matches!(signal.subject, Subject::YoungCluster { .. });
    assert!(signals.iter().any(found), "{signals:?}");
    let bodies = verified(store);
    let charges = bodies.iter().filter_map(|body| match body {
        Body::Charges { rows, .. } => Some(rows.len()),
        _ => None,
    });
    assert_eq!(charges.collect::<Vec<_>>(), [4_096, 5]);
    let totals: Vec<_> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::Totals(totals) => Some((totals.accounts, totals.elements, totals.young_elements)),
            _ => None,
        })
        .collect();
    let many = u64::from(many);
    assert_eq!(totals, [(many, many, many)]);
    let signals = bodies.iter().filter(|body| matches!(body, Body::Signal(_)));
    assert!(signals.count() > 0);
    let kept = now(store.signals(None, 9)).unwrap();
    assert!(kept.iter().any(|(_, signal)| found(signal)));
}
