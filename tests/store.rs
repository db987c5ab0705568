//! What every store promises. Each one runs the same suite; the embedded one has more to prove.

#[path = "support/ledger.rs"]
#[allow(unused, reason = "only orders are wanted")]
mod ledger;
#[path = "support/roles.rs"]
mod roles;
#[path = "store/rotation.rs"]
#[cfg(feature = "store")]
mod rotation;
#[path = "store/settings.rs"]
mod settings;

use std::num::NonZeroU32;

use blindbook::{
    Timestamp,
    label::Label,
    oprf::{Epoch, UnblindedElement},
    server::{
        EvaluationKey,
        directory::{
            BatchOutcome, Change, ChangeError, Consent, DECISION_RETENTION, EVIDENCE_RETENTION,
            MemberBatch, Residence, Setting,
        },
        policy::Policy,
        quota::{
            AccountKey, Admission, AdmitError, Charge, NetworkKey, Origin, Quota, Refusal,
            RefusalReason, Scope, Suspect,
        },
    },
    store::{MemoryStore, Progress, Settled, Store, StoreError, StoredManifest},
    wire::RefusedChange,
};
use ledger::suspension;
use roles::{EPOCH, now, random_source};

const T0: u64 = 1_800_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(T0 + seconds)
}

/// Somebody's element, always the same for one number.
fn who(number: u8) -> UnblindedElement {
    let key = EvaluationKey::random(&mut random_source(number));
    UnblindedElement::decode(&key.public_key().encode()).unwrap()
}

fn everyone(consented: u64) -> Setting {
    Setting::Everyone(Consent::new(at(consented), "2026-11", "ios/settings").unwrap())
}

fn enrol(setting: Setting) -> Change {
    Change::Enrol {
        label: Label::new(b"handle").unwrap(),
        setting,
        residence: Residence::default(),
    }
}

fn batch(seconds: u64, changes: impl IntoIterator<Item = (u8, Change)>) -> MemberBatch {
    MemberBatch {
        epoch: EPOCH,
        changes: changes
            .into_iter()
            .map(|(number, change)| (who(number), change))
            .collect(),
        at: at(seconds),
    }
}

fn made(changed: u32, unchanged: u32) -> BatchOutcome {
    BatchOutcome {
        changed,
        unchanged,
        refused: Vec::new(),
    }
}

fn charge(elements: u32, digest: u8, seconds: u64) -> Charge {
    Charge {
        account: AccountKey::new([3; 32]),
        scope: Scope::Discover,
        account_created: at(0),
        origin: Origin::Unknown,
        elements: NonZeroU32::new(elements).unwrap(),
        request_digest: [digest; 32],
        epoch: EPOCH,
        at: at(seconds),
    }
}

fn findable(store: &impl Store, epoch: Epoch) -> Vec<[u8; 32]> {
    let found = now(store.findable(epoch, None, 1_000)).unwrap();
    found.iter().map(|one| *one.unblinded.expose()).collect()
}

fn quota_is_charged_once(store: &impl Store) {
    let quota = Quota::new(Policy::default(), store).unwrap();
    let first = now(quota.admit(charge(1_000, 1, 0))).unwrap();
    assert_eq!(first.receipt.status.remaining, 24);
    assert!(!first.receipt.replayed);
    // The same bytes again.
    let again = now(quota.admit(charge(1_000, 1, 60))).unwrap();
    assert!(again.receipt.replayed);
    // Others.
    match now(quota.admit(charge(64, 2, 60))).unwrap_err() {
        AdmitError::Refused(refusal) => {
            assert_eq!(refusal.reason, RefusalReason::Elements);
            assert!(refusal.retry_after.unwrap().as_secs() > 3_600);
        }
        other => panic!("{other}"),
    }
    assert_eq!(now(store.key_evaluations(EPOCH)).unwrap(), 1_000);
    assert_eq!(now(store.key_evaluations(Epoch::new(99))).unwrap(), 0);
    // Two days later they aren't the same request any more.
    now(ledger::seal(store, at(2 * 86_400)));
    let later = now(quota.admit(charge(100, 1, 2 * 86_400))).unwrap();
    assert!(!later.receipt.replayed);
    // A clock that goes back an hour is not believed.
    match now(quota.admit(charge(1, 9, 86_400))).unwrap_err() {
        AdmitError::Refused(refusal) => {
            assert_eq!(refusal.reason, RefusalReason::ClockWentBack);
        }
        other => panic!("{other}"),
    }
}

fn refusal(outcome: Result<Admission, AdmitError<StoreError>>) -> Refusal {
    match outcome.unwrap_err() {
        AdmitError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

/// Whoever is suspended is refused before anything is taken, for repeated bytes too, until it is over or lifted.
fn suspensions_hold_until_they_are_over(store: &impl Store) {
    let quota = Quota::new(Policy::default(), store).unwrap();
    let house = NetworkKey::new([8; 32]);
    let provider = NetworkKey::new([10; 32]);
    let charge = |digest, seconds| Charge {
        origin: Origin::V6 {
            net64: house,
            net48: NetworkKey::new([9; 32]),
            net32: provider,
        },
        ..charge(16, digest, seconds)
    };
    now(quota.admit(charge(1, 0))).unwrap();
    for (suspect, reason) in [
        (
            Suspect::Account(AccountKey::new([3; 32])),
            RefusalReason::AccountSuspended,
        ),
        (Suspect::Network(house), RefusalReason::NetworkSuspended),
        (Suspect::Network(provider), RefusalReason::NetworkSuspended),
        (Suspect::YoungAccounts, RefusalReason::YoungSuspended),
    ] {
        now(store.suspend(suspension(suspect, Some(at(100))))).unwrap();
        for digest in [1, 2] {
            let refusal = refusal(now(quota.admit(charge(digest, 40))));
            assert_eq!(refusal.reason, reason);
            assert_eq!(refusal.retry_after.unwrap().as_secs(), 60);
            assert_eq!(refusal.status.remaining, 1_008);
        }
        now(store.suspend(suspension(suspect, Some(Timestamp::MAX)))).unwrap();
        let forever = refusal(now(quota.admit(charge(1, 40))));
        let young = suspect == Suspect::YoungAccounts;
        // Young accounts grow old.
        let wait = young.then_some(14 * 86_400 - 40);
        assert_eq!(forever.retry_after.map(|wait| wait.as_secs()), wait);
        // Somebody elsewhere, a registrar, or an old account isn't concerned, as the case may be.
        let mut other = Charge {
            account: AccountKey::new([4; 32]),
            origin: Origin::Unknown,
            account_created: Timestamp::from_micros(0),
            ..charge(3, 40)
        };
        now(quota.admit(other.clone())).unwrap();
        other.scope = Scope::Enrol;
        other.origin = charge(3, 40).origin;
        now(quota.admit(other)).unwrap();
        now(store.sweep(at(40), None, 1)).unwrap();
        assert_eq!(refusal(now(quota.admit(charge(1, 40)))).reason, reason);
        now(store.suspend(suspension(suspect, None))).unwrap();
        assert!(now(quota.admit(charge(1, 40))).unwrap().receipt.replayed);
        // One that is over is forgotten, and means nothing before that either.
        now(store.suspend(suspension(suspect, Some(at(40))))).unwrap();
        now(quota.admit(charge(1, 40))).unwrap();
    }
}

/// All limits of a request hold, or nothing is drawn from any.
fn nothing_is_drawn_unless_all_is_admitted(store: &impl Store) {
    let mut policy = Policy::default();
    policy.young.floor_per_day = 2_048;
    policy.network.ipv4_24_per_day = 1_600;
    let quota = Quota::new(policy, store).unwrap();
    let from = |account: u8, network: u8, elements, digest| Charge {
        account: AccountKey::new([account; 32]),
        origin: Origin::V4 {
            net24: NetworkKey::new([network; 32]),
        },
        ..charge(elements, digest, 0)
    };
    let usage = now(quota.admit(from(1, 1, 1_000, 1))).unwrap().receipt;
    assert_eq!(usage.young.unwrap().charged, 1_000);
    assert_eq!(usage.service.unwrap().limit, 2_000_000);
    // The network has 600 left, the young accounts 1,048.
    let refused = refusal(now(quota.admit(from(2, 1, 1_000, 2))));
    assert_eq!(refused.reason, RefusalReason::NetworkElements);
    assert_eq!(refused.status.remaining, 1_024);
    assert_eq!(refused.retry_after.unwrap().as_secs(), 86_400 * 400 / 1_600);
    let all = now(quota.admit(from(2, 1, 600, 3))).unwrap().receipt;
    assert_eq!(all.young.unwrap().charged, 1_600);
    let refused = refusal(now(quota.admit(from(3, 2, 500, 4))));
    assert_eq!(refused.reason, RefusalReason::YoungElements);
    // Until the next day (UTC).
    assert_eq!(refused.retry_after.unwrap().as_secs(), 86_400 - T0 % 86_400);
    // An old account draws from neither.
    let old = Charge {
        account_created: Timestamp::from_micros(0),
        ..from(4, 1, 1_000, 5)
    };
    let receipt = now(quota.admit(old)).unwrap().receipt;
    assert_eq!(receipt.young, None);
    assert_eq!(receipt.service.unwrap().charged, 2_600);
    assert_eq!(now(store.key_evaluations(EPOCH)).unwrap(), 2_600);
    let rest = now(quota.admit(from(3, 2, 448, 6))).unwrap().receipt;
    assert_eq!(rest.young.unwrap().charged, 2_048);
}

/// Saturated day after day, a limit grows by what it may in a week and no more; and it comes back.
fn a_baseline_is_not_trained_up_faster_than_it_may(store: &impl Store) {
    let mut policy = Policy::default();
    policy.service.floor_per_day = 4_000;
    policy.young.floor_per_day = 4_000;
    policy.young.days = 0;
    policy.registrar.request_burst = 1_000_000;
    let quota = Quota::new(policy, store).unwrap();
    let mut limits = Vec::new();
    for day in 0..60_u64 {
        let mut limit = 4_000;
        now(ledger::seal(store, at(day * 86_400)));
        for account in 0..8_u8 {
            let mut key = [account; 32];
            key[0] = day as u8;
            let charge = Charge {
                account: AccountKey::new(key),
                ..charge(1_000, 1, day * 86_400)
            };
            match now(quota.admit(charge)) {
                Ok(admission) => limit = admission.receipt.service.unwrap().limit,
                Err(AdmitError::Refused(refusal)) => {
                    assert_eq!(refusal.reason, RefusalReason::ServiceElements);
                }
                Err(other) => panic!("{other}"),
            }
        }
        limits.push(limit);
        now(store.sweep(at(day * 86_400), None, 1)).unwrap();
    }
    for (day, limit) in limits.iter().enumerate() {
        let weeks = i32::try_from(day / 7).unwrap() + 1;
        let most = 4_000.0 * 1.1_f64.powi(weeks);
        assert!((*limit as f64) <= most, "{limit} on day {day}");
    }
    assert_eq!(limits[0], 4_000);
    assert!(limits[59] > 7_000, "{limits:?}");
    // After a month of rest it is the floor again.
    let later = Charge {
        account: AccountKey::new([200; 32]),
        ..charge(16, 1, 90 * 86_400)
    };
    now(ledger::seal(store, at(90 * 86_400)));
    let receipt = now(quota.admit(later)).unwrap().receipt;
    assert_eq!(receipt.service.unwrap().limit, 4_000);
}

fn full_buckets_are_forgotten(store: &impl Store) {
    let quota = Quota::new(Policy::default(), store).unwrap();
    now(quota.admit(charge(96, 1, 0))).unwrap();
    let mut one = charge(16, 2, 0);
    one.account = AccountKey::new([200; 32]);
    now(quota.admit(one)).unwrap();
    let sweep = |seconds| {
        let (mut after, mut forgotten) = (None, 0);
        loop {
            let page = now(store.sweep(at(seconds), after, 2)).unwrap();
            forgotten += page.forgotten;
            after = page.last;
            if after.is_none() {
                return forgotten;
            }
        }
    };
    // Whatever the clock says, it is the time of the latest charge that counts.
    assert_eq!(sweep(100 * 86_400), 0);
    let mut later = charge(16, 3, 6 * 3_600);
    later.account = AccountKey::new([201; 32]);
    later.account_created = Timestamp::from_micros(0);
    now(quota.admit(later.clone())).unwrap();
    // The network, which is the same for both, and more where buckets have rows of their own; what was drawn just now isn't full.
    assert!(sweep(6 * 3_600) > 0);
    assert_eq!(sweep(6 * 3_600), 0);
    let left = now(quota.admit(charge(16, 4, 6 * 3_600))).unwrap().receipt;
    // 24 of the 96 came back.
    assert_eq!(left.status.remaining, left.status.capacity - 72 - 16);
}

fn members_come_and_go(store: &impl Store) {
    let enrolled = batch(
        10,
        [
            (1, enrol(everyone(1))),
            (2, enrol(Setting::Nobody)),
            (3, enrol(everyone(2))),
        ],
    );
    assert_eq!(now(store.change_members(enrolled)).unwrap(), made(3, 0));
    let mut expected = [*who(1).expose(), *who(3).expose()];
    expected.sort_unstable();
    assert_eq!(findable(store, EPOCH), expected);
    assert!(findable(store, Epoch::new(8)).is_empty());

    // The same file again changes nothing.
    let again = batch(20, [(1, enrol(everyone(1))), (3, enrol(everyone(2)))]);
    assert_eq!(now(store.change_members(again)).unwrap(), made(0, 2));

    // Page by page it is the same.
    let first = now(store.findable(EPOCH, None, 1)).unwrap();
    let after = *first[0].unblinded.expose();
    assert_eq!(first[0].label.as_bytes(), b"handle");
    let second = now(store.findable(EPOCH, Some(after), 1)).unwrap();
    assert_eq!(*second[0].unblinded.expose(), expected[1]);
    let after = *second[0].unblinded.expose();
    assert!(
        now(store.findable(EPOCH, Some(after), 1))
            .unwrap()
            .is_empty()
    );

    // A change that would revive a decision that was revoked leaves its member alone, and the others go through.
    let hide = batch(100, [(1, enrol(Setting::Nobody))]);
    assert_eq!(now(store.change_members(hide)).unwrap(), made(1, 0));
    let mixed = batch(
        200,
        [
            (1, enrol(everyone(50))),
            (4, enrol(everyone(150))),
            (6, enrol(everyone(1_000))),
        ],
    );
    let outcome = now(store.change_members(mixed)).unwrap();
    let refused = [
        (0, ChangeError::StaleConsent),
        (2, ChangeError::ConsentInFuture),
    ];
    let refused = refused.map(|(index, error)| RefusedChange { index, error });
    assert_eq!(
        outcome,
        BatchOutcome {
            refused: refused.into(),
            ..made(1, 0)
        }
    );
    let mut expected = [*who(3).expose(), *who(4).expose()];
    expected.sort_unstable();
    assert_eq!(findable(store, EPOCH), expected);
    let gone = batch(250, [(4, Change::Remove)]);
    assert_eq!(now(store.change_members(gone)).unwrap(), made(1, 0));

    // Twice in one batch: in their order.
    let twice = batch(
        300,
        [(5, enrol(everyone(250))), (5, enrol(Setting::Nobody))],
    );
    assert_eq!(now(store.change_members(twice)).unwrap(), made(2, 0));
    assert_eq!(findable(store, EPOCH), [*who(3).expose()]);

    // Deleted and opted out look the same in everything that is published.
    let removed = batch(400, [(3, Change::Remove), (77, Change::Remove)]);
    assert_eq!(now(store.change_members(removed)).unwrap(), made(1, 1));
    assert!(findable(store, EPOCH).is_empty());
}

/// A removal was forgotten at once if nobody was there to be removed. So an enrolment that was sent earlier and
/// came later put somebody into the published set whose deletion had been confirmed; the same with a second
/// deletion after a first one.
fn a_removal_outranks_what_arrives_after_it(store: &impl Store) {
    let removed = |seconds| batch(seconds, [(1, Change::Remove)]);
    assert_eq!(now(store.change_members(removed(100))).unwrap(), made(0, 1));
    let late = |consented| batch(110, [(1, enrol(everyone(consented)))]);
    let stale = || BatchOutcome {
        refused: vec![RefusedChange {
            index: 0,
            error: ChangeError::StaleConsent,
        }],
        ..made(0, 0)
    };
    assert_eq!(now(store.change_members(late(90))).unwrap(), stale());
    assert_eq!(now(store.change_members(removed(120))).unwrap(), made(0, 1));
    assert_eq!(now(store.change_members(late(115))).unwrap(), stale());
    assert!(findable(store, EPOCH).is_empty());
    // A new decision counts.
    assert_eq!(now(store.change_members(late(121))).unwrap(), made(1, 0));
    assert_eq!(findable(store, EPOCH).len(), 1);
}

/// A clock that jumped ten years ahead, and that the quota didn't believe, made the store forget every deletion and
/// all evidence.
fn a_clock_that_jumps_ahead_makes_nothing_forgotten(store: &impl Store) {
    let quota = Quota::new(Policy::default(), store).unwrap();
    now(quota.admit(charge(16, 1, 50))).unwrap();
    now(store.change_members(batch(60, [(1, Change::Remove)]))).unwrap();
    let years = 10 * 365 * 86_400;
    assert_eq!(now(store.forget(at(years), 100)).unwrap(), 0);
    let late = batch(70, [(1, enrol(everyone(55)))]);
    assert_eq!(now(store.change_members(late)).unwrap().refused.len(), 1);
}

fn what_was_kept_long_enough_is_forgotten(store: &impl Store) {
    let epoch = Epoch::new(20);
    let in_epoch = |seconds, changes: Vec<(u8, Change)>| MemberBatch {
        epoch,
        ..batch(seconds, changes)
    };
    let enrolled = vec![(1, enrol(everyone(1))), (2, enrol(Setting::Nobody))];
    now(store.change_members(in_epoch(10, enrolled))).unwrap();
    let removed = vec![(1, Change::Remove), (2, Change::Remove)];
    now(store.change_members(in_epoch(20, removed))).unwrap();

    let after = |retention: std::time::Duration| at(20).saturating_add(retention);
    let while_kept = after(DECISION_RETENTION).saturating_sub(std::time::Duration::from_secs(9));
    let before = now(store.forget(while_kept, 100)).unwrap();
    assert_eq!(before, 0);
    // A decision without evidence goes after a month, the evidence after two years.
    assert_eq!(
        now(store.forget(after(DECISION_RETENTION), 100)).unwrap(),
        1
    );
    assert_eq!(
        now(store.forget(after(DECISION_RETENTION), 100)).unwrap(),
        0
    );
    assert!(now(store.forget(after(EVIDENCE_RETENTION), 100)).unwrap() >= 1);
    // Nothing of them is left: a consent that was once revoked counts as any other.
    let back = vec![(1, enrol(everyone(1)))];
    now(store.change_members(in_epoch(30, back))).unwrap();
    assert_eq!(findable(store, epoch), [*who(1).expose()]);
}

fn the_chain_only_grows(store: &impl Store) {
    assert_eq!(now(store.latest_manifest()).unwrap(), None);
    let manifest = |sequence, byte| StoredManifest {
        sequence,
        bytes: vec![byte; 100],
    };
    assert!(!now(store.append_manifest(manifest(2, 2), Settled::default())).unwrap());
    assert!(now(store.append_manifest(manifest(1, 1), Settled::default())).unwrap());
    assert!(!now(store.append_manifest(manifest(1, 9), Settled::default())).unwrap());
    assert!(now(store.append_manifest(manifest(2, 2), Settled::default())).unwrap());
    assert_eq!(now(store.latest_manifest()).unwrap(), Some(manifest(2, 2)));
}

fn changed(store: &impl Store) -> Vec<([u8; 32], Option<u64>)> {
    let all = now(store.changed(EPOCH, None, 1_000)).unwrap();
    // Page by page it is the same.
    let mut paged = Vec::new();
    let mut after = None;
    while let Some(one) = now(store.changed(EPOCH, after, 1)).unwrap().pop() {
        after = Some(*one.unblinded.expose());
        paged.push(one.number);
    }
    assert!(all.iter().map(|one| one.number).eq(paged));
    let shown = all.iter().map(|one| {
        let since = one.shown.as_ref().map(|(label, since)| {
            assert_eq!(label.as_bytes(), b"handle");
            since.as_micros() / 1_000_000 - T0
        });
        (*one.unblinded.expose(), since)
    });
    shown.collect()
}

fn sorted<const N: usize>(
    mut members: [([u8; 32], Option<u64>); N],
) -> [([u8; 32], Option<u64>); N] {
    members.sort_unstable();
    members
}

fn what_changes_is_known_until_it_is_published(store: &impl Store) {
    assert_eq!(now(store.progress()).unwrap(), Progress::default());
    let one = |number| *who(number).expose();
    let enrolled = [
        (1, enrol(everyone(1))),
        (2, enrol(Setting::Nobody)),
        (3, enrol(everyone(2))),
    ];
    now(store.change_members(batch(10, enrolled))).unwrap();
    // Whom nobody can find isn't news.
    let expected = sorted([(one(1), Some(10)), (one(3), Some(10))]);
    assert_eq!(changed(store), expected);
    let mark = now(store.progress()).unwrap().changes;
    assert_eq!(mark, 2);
    // Another consent and the same again change nothing that is published.
    now(store.change_members(batch(20, [(1, enrol(everyone(12)))]))).unwrap();
    now(store.change_members(batch(21, [(3, enrol(everyone(2)))]))).unwrap();
    assert_eq!(now(store.progress()).unwrap().changes, mark);

    // Between reading and publishing: one leaves, one joins.
    now(store.change_members(batch(30, [(1, Change::Remove)]))).unwrap();
    now(store.change_members(batch(31, [(4, enrol(everyone(25)))]))).unwrap();
    let manifest = |sequence| StoredManifest {
        sequence,
        bytes: vec![1],
    };
    let settled = |changes| Settled {
        changes,
        decoys: (3, changes),
    };
    // What isn't appended settles nothing.
    assert!(!now(store.append_manifest(manifest(2), settled(mark))).unwrap());
    assert_eq!(changed(store).len(), 3);
    assert!(now(store.append_manifest(manifest(1), settled(mark))).unwrap());
    let expected = sorted([(one(1), None), (one(4), Some(31))]);
    assert_eq!(changed(store), expected);
    let progress = Progress {
        changes: 4,
        settled: settled(2),
        findable: 2,
    };
    assert_eq!(now(store.progress()).unwrap(), progress);
    while now(store.drop_settled(1)).unwrap() > 0 {}
    assert_eq!(changed(store), expected);
    assert!(
        now(store.changed(Epoch::new(8), None, 9))
            .unwrap()
            .is_empty()
    );

    assert!(now(store.append_manifest(manifest(2), settled(4))).unwrap());
    assert!(changed(store).is_empty());
}

fn conforms<S: Store>(fresh: impl Fn() -> S) {
    quota_is_charged_once(&fresh());
    suspensions_hold_until_they_are_over(&fresh());
    nothing_is_drawn_unless_all_is_admitted(&fresh());
    a_baseline_is_not_trained_up_faster_than_it_may(&fresh());
    full_buckets_are_forgotten(&fresh());
    members_come_and_go(&fresh());
    a_removal_outranks_what_arrives_after_it(&fresh());
    a_clock_that_jumps_ahead_makes_nothing_forgotten(&fresh());
    what_was_kept_long_enough_is_forgotten(&fresh());
    the_chain_only_grows(&fresh());
    what_changes_is_known_until_it_is_published(&fresh());
    settings::a_handle_stands_for_all_its_identifiers_in_all_epochs(&fresh());
    settings::an_old_consent_is_refused_for_all_of_a_handle(&fresh());
    settings::an_identifier_goes_with_its_handle(&fresh());
    settings::a_choice_without_consent_is_for_regions_that_waive_it(&fresh());
    settings::the_findable_of_a_window_are_known(&fresh());
}

#[test]
fn the_memory_store_conforms() {
    conforms(MemoryStore::new);
}

#[cfg(feature = "store")]
mod embedded {
    use std::{cell::Cell, fs, sync::Arc, thread};

    use blindbook::{server::quota::QuotaStore, store::RedbStore};

    use super::*;

    #[test]
    fn the_embedded_store_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let next = Cell::new(0);
        conforms(|| {
            next.set(next.get() + 1);
            RedbStore::open(&folder.path().join(next.get().to_string())).unwrap()
        });
    }

    #[test]
    fn everything_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = RedbStore::open(&path).unwrap();
        let quota = Quota::new(Policy::default(), &store).unwrap();
        now(quota.admit(charge(1_000, 1, 0))).unwrap();
        now(store.change_members(batch(5, [(1, enrol(everyone(1)))]))).unwrap();
        let manifest = StoredManifest {
            sequence: 1,
            bytes: vec![1],
        };
        now(store.append_manifest(manifest.clone(), Settled::default())).unwrap();
        drop(store);

        let store = RedbStore::open(&path).unwrap();
        let quota = Quota::new(Policy::default(), &store).unwrap();
        assert!(
            now(quota.admit(charge(1_000, 1, 5)))
                .unwrap()
                .receipt
                .replayed
        );
        now(quota.admit(charge(1_000, 2, 5))).unwrap_err();
        assert_eq!(findable(&store, EPOCH), [*who(1).expose()]);
        assert_eq!(now(store.latest_manifest()).unwrap(), Some(manifest));
    }

    #[test]
    fn charges_of_many_threads_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(RedbStore::open(&folder.path().join("store")).unwrap());
        let threads: Vec<_> = (0..8_u8)
            .map(|thread| {
                let store = Arc::clone(&store);
                thread::spawn(move || {
                    let quota = Quota::new(Policy::default(), store).unwrap();
                    for request in 0..50_u8 {
                        let mut one = charge(16, request, 0);
                        let mut account = [thread; 32];
                        account[0] = request;
                        one.account = AccountKey::new(account);
                        now(quota.admit(one)).unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(now(store.key_evaluations(EPOCH)).unwrap(), 8 * 50 * 16);
    }

    #[test]
    fn a_file_that_is_in_use_or_no_store_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = RedbStore::open(&path).unwrap();
        assert_eq!(RedbStore::open(&path).unwrap_err(), StoreError::Locked);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        now(store.change_members(batch(5, [(1, enrol(everyone(1)))]))).unwrap();
        drop(store);
        let good = fs::read(&path).unwrap();

        let refused = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let error = RedbStore::open(&path).unwrap_err();
            assert!(matches!(error, StoreError::Damaged(_)), "{name}: {error}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "{name} was changed");
        };
        refused("garbage", &[0x5a; 10_000]);
        refused("truncated", &good[..good.len() / 2]);
        let folder_as_file = RedbStore::open(folder.path()).unwrap_err();
        assert!(matches!(folder_as_file, StoreError::Io(_)));
    }

    #[test]
    fn ten_years_of_clock_give_each_bucket_back_at_most_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&folder.path().join("store")).unwrap();
        let outcome = |seconds| {
            let debit = Policy::default().debit(charge(1_000, (seconds % 251) as u8, seconds));
            now(store.charge(debit)).unwrap()
        };
        use blindbook::server::quota::ChargeOutcome::{Admitted, Refused};
        assert!(matches!(outcome(0), Admitted(_)));
        assert!(matches!(outcome(10 * 365 * 86_400), Refused(_)));
        assert!(matches!(outcome(1), Refused(_)));
    }
}
