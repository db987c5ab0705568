//! Hours that are still open.

use std::num::NonZeroU32;

use blindbook::{
    Timestamp,
    server::{
        policy::Policy,
        quota::{
            AccountKey, AccountKind, Activity, AdmitError, Charge, Hour, NetworkActivity,
            NetworkKey, Origin, Quota, RefusalReason, Scope, Suspect,
        },
    },
    store::{Store, StoreError},
};

use crate::{
    ledger::suspension,
    roles::{EPOCH, now},
};

/// The beginning of an hour.
const T0: u64 = 1_800_000_000;
const HOUR: u64 = 3_600;

pub(crate) fn hour(number: u64) -> Hour {
    Hour::of(Timestamp::from_secs(T0 + number * HOUR))
}

/// A charge of an old account that comes from nowhere in particular.
pub(crate) fn charge(account: u8, elements: u32, digest: u8, seconds: u64) -> Charge {
    Charge {
        account: AccountKey::new([account; 32]),
        scope: Scope::Discover,
        account_created: Timestamp::from_secs(1),
        origin: Origin::Unknown,
        elements: NonZeroU32::new(elements).unwrap(),
        request_digest: [digest; 32],
        epoch: EPOCH,
        at: Timestamp::from_secs(T0 + seconds),
    }
}

fn reason<T: std::fmt::Debug>(outcome: Result<T, AdmitError<StoreError>>) -> RefusalReason {
    match outcome.unwrap_err() {
        AdmitError::Refused(refusal) => refusal.reason,
        other => panic!("{other}"),
    }
}

pub(crate) fn every_request_is_counted_in_its_hour(store: &impl Store) {
    let mut policy = Policy::default();
    policy.account.request_burst = 3;
    let quota = Quota::new(policy, store).unwrap();
    let ask = |charge| now(quota.admit(charge));
    assert_eq!(now(store.oldest_open()).unwrap(), None);
    ask(charge(1, 1_000, 1, 0)).unwrap();
    // Again, which costs nothing; more than one request may have; and one too soon.
    ask(charge(1, 1_000, 1, 0)).unwrap();
    ask(charge(1, 2_000, 2, 0)).unwrap_err();
    assert_eq!(reason(ask(charge(1, 16, 3, 0))), RefusalReason::RequestRate);
    // Somebody suspended decides nothing and isn't counted.
    let suspect = Suspect::Account(AccountKey::new([2; 32]));
    now(store.suspend(suspension(suspect, Some(Timestamp::MAX)))).unwrap();
    ask(charge(2, 16, 1, 0)).unwrap_err();
    let registrar = Charge {
        scope: Scope::Enrol,
        ..charge(3, 950_000 / 16, 1, 30)
    };
    for digest in 0..16 {
        let request_digest = [digest; 32];
        ask(Charge {
            request_digest,
            ..registrar.clone()
        })
        .unwrap();
    }
    ask(charge(1, 1_000, 4, HOUR)).unwrap();

    assert_eq!(now(store.oldest_open()).unwrap(), Some(hour(0)));
    let first = Activity {
        kind: AccountKind::Old,
        requests: 4,
        refused: 2,
        elements: 1_000,
        carried: 0,
        emptied: false,
    };
    let registrar = Activity {
        kind: AccountKind::Registrar,
        requests: 16,
        refused: 0,
        elements: 950_000,
        carried: 0,
        emptied: true,
    };
    let second = Activity {
        requests: 1,
        refused: 0,
        ..first
    };
    let [one, three] = [1, 3].map(|account| AccountKey::new([account; 32]));
    let page = |hour, after, limit| now(store.open_activity(hour, after, limit)).unwrap();
    assert_eq!(page(hour(0), None, 9), [(one, first), (three, registrar)]);
    assert_eq!(page(hour(0), None, 1), [(one, first)]);
    assert_eq!(page(hour(0), Some(one), 9), [(three, registrar)]);
    assert_eq!(page(hour(0), Some(three), 9), []);
    assert_eq!(page(hour(1), None, 9), [(one, second)]);
    assert_eq!(page(hour(2), None, 9), []);
}

pub(crate) fn young_accounts_are_counted_by_network(store: &impl Store) {
    let quota = Quota::new(Policy::default(), store).unwrap();
    let [net64, net48, net32] = [1, 2, 3].map(|number| NetworkKey::new([number; 32]));
    let origin = Origin::V6 {
        net64,
        net48,
        net32,
    };
    let elsewhere = Origin::V4 { net24: net48 };
    let young = |account, digest, origin, seconds| Charge {
        account_created: Timestamp::from_secs(T0),
        origin,
        ..charge(account, 100, digest, seconds)
    };
    now(quota.admit(young(1, 1, origin, 0))).unwrap();
    now(quota.admit(young(1, 2, origin, 1))).unwrap();
    now(quota.admit(young(1, 2, origin, 1))).unwrap();
    now(quota.admit(young(2, 1, elsewhere, 2))).unwrap();
    // One who is refused has come nevertheless.
    let greedy = Charge {
        elements: NonZeroU32::new(2_000).unwrap(),
        ..young(3, 1, elsewhere, 3)
    };
    now(quota.admit(greedy)).unwrap_err();
    // An old account isn't of interest here.
    let old = Charge {
        origin,
        ..charge(4, 100, 1, 3)
    };
    now(quota.admit(old)).unwrap();
    now(quota.admit(young(1, 3, origin, HOUR))).unwrap();

    let page = |hour, after| now(store.open_network_activity(hour, after, 9)).unwrap();
    let seen = |young_accounts, young_elements| NetworkActivity {
        young_accounts,
        young_elements,
    };
    assert_eq!(
        page(hour(0), None),
        [
            (net64, seen(1, 200)),
            (net48, seen(3, 300)),
            (net32, seen(1, 200))
        ]
    );
    assert_eq!(page(hour(0), Some(net48)), [(net32, seen(1, 200))]);
    assert_eq!(page(hour(1), None).len(), 3);
    let rows = now(store.open_activity(hour(0), None, 9)).unwrap();
    let kinds: Vec<AccountKind> = rows.iter().map(|(_, row)| row.kind).collect();
    assert_eq!(
        kinds,
        [
            AccountKind::Young,
            AccountKind::Young,
            AccountKind::Young,
            AccountKind::Old
        ]
    );
}
