//! A backup takes the place of the store. That is noticed, and nothing is charged or published until somebody accepts it; then
//! nobody has more quota than before, nobody comes back who had opted out, and clients follow what is published.

#[cfg(feature = "cli")]
#[path = "restore/command.rs"]
mod command;
#[path = "support/ledger.rs"]
#[allow(unused, reason = "only sealing is wanted")]
mod ledger;
#[path = "support/roles.rs"]
#[allow(unused, reason = "only its executor is wanted")]
mod roles;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use blindbook::{
    Timestamp,
    label::{Label, LabelLength},
    oprf::{ContactKey, Epoch, ServiceId, UnblindedElement},
    server::{
        EvaluationKey, Evaluator,
        directory::{Change, Consent, MemberBatch, Residence, Setting},
        policy::Policy,
        publish::{PublishPolicy, Terms},
        quota::{AccountKey, AdmitError, Charge, NetworkKey, Origin, Quota, RefusalReason, Scope},
    },
    snapshot::{
        ChainState, FileSource, Manifest, Search, Segment, SignedManifest, SnapshotKey,
        cheapest_path,
    },
    store::{
        EvidenceStore, Pace, PublishError, Publisher, RedbStore, RestoreError, RestorePlan,
        RestoreTerms, Restored, RestoredStore, SegmentFolder, Store, StoreError, StoreOptions,
    },
};
use roles::{EPOCH, now, random_source};

/// Noon, UTC.
const T0: u64 = 1_800_014_400;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(T0 + seconds)
}

/// Somebody's element, always the same for one number.
fn who(number: u8) -> UnblindedElement {
    let key = EvaluationKey::random(&mut random_source(number));
    UnblindedElement::decode(&key.public_key().encode()).unwrap()
}

/// A service's files.
struct World {
    folder: tempfile::TempDir,
    decoys: u32,
}

impl World {
    fn new(decoys: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, decoys }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> Result<RedbStore, StoreError> {
        RedbStore::open(&self.path("store"))
    }

    fn refused(&self) -> Restored {
        match self.open().unwrap_err() {
            StoreError::Restored(why) => why,
            other => panic!("{other}"),
        }
    }

    fn publisher(&self) -> Publisher {
        let key = EvaluationKey::derive(&[9; 32], b"7").unwrap();
        let terms = Terms {
            service: ServiceId::new("chat.example").unwrap(),
            normalisation: 1,
            label_length: LabelLength::new(8).unwrap(),
            epoch: EPOCH,
            public_key: Evaluator::new(EPOCH, key).public_key().clone(),
            valid_for: Duration::from_secs(3 * DAY),
        };
        let segments = SegmentFolder::open(&self.path("segments")).unwrap();
        Publisher::new(terms, snapshot_key(), segments).with_policy(PublishPolicy {
            decoy_class: self.decoys,
            ..PublishPolicy::default()
        })
    }

    fn publish(&self, store: &RedbStore, seconds: u64) -> Manifest {
        let publishing = self.publisher().publish_now(store, at(seconds));
        publishing.unwrap()
    }

    /// Copies the store, as it is now that nobody has it open.
    fn back_up(&self) {
        fs::copy(self.path("store"), self.path("backup")).unwrap();
    }

    fn put_back(&self) {
        fs::copy(self.path("backup"), self.path("store")).unwrap();
    }

    fn restored(&self) -> RestoredStore {
        RestoredStore::open(&self.path("store"), &self.path("store.witness")).unwrap()
    }

    fn plan(&self, store: &RestoredStore, seconds: u64) -> Result<RestorePlan, RestoreError> {
        let publisher = self.publisher();
        let terms = RestoreTerms {
            policy: &Policy::default(),
            sealed: EPOCH,
            keep_published: true,
            at: at(seconds),
        };
        store.plan(&publisher, &store.newest(&publisher, None)?, &terms)
    }

    fn accept(&self, seconds: u64) {
        let store = self.restored();
        let plan = self.plan(&store, seconds).unwrap();
        store.accept(plan).unwrap();
    }

    /// Who of these is in the set that a manifest names.
    fn in_set(&self, manifest: &Manifest, numbers: impl IntoIterator<Item = u8>) -> Vec<u8> {
        let claims = manifest.claims();
        let service = claims.service.hash();
        let tag = |number| ContactKey::derive(&service, claims.epoch, &who(number)).tag();
        let numbers: Vec<u8> = numbers.into_iter().collect();
        let tags: Vec<_> = numbers.iter().map(|number| tag(*number)).collect();
        let mut search = Search::new(&tags);
        let path = cheapest_path(&claims.segments, claims.newest(), |entry| entry.size).unwrap();
        let folder = SegmentFolder::open(&self.path("segments")).unwrap();
        for entry in path {
            let file = fs::File::open(folder.path(&entry.id)).unwrap();
            let mut segment = Segment::open(FileSource::new(file).unwrap(), manifest).unwrap();
            search.read_all(&mut segment).unwrap();
        }
        let there = |number: &u8| matches!(search.sealed_label(tag(*number)), Some(Some(_)));
        numbers.into_iter().filter(there).collect()
    }
}

trait PublishNow {
    fn publish_now(&self, store: &RedbStore, at: Timestamp) -> Result<Manifest, PublishError>;
}

impl PublishNow for Publisher {
    fn publish_now(&self, store: &RedbStore, at: Timestamp) -> Result<Manifest, PublishError> {
        let published = now(self.publish(store, at, Pace::Now, &|_| {}))?;
        Ok(published.manifest)
    }
}

fn snapshot_key() -> SnapshotKey {
    SnapshotKey::from_seed(&mut [7; 32])
}

fn set(store: &RedbStore, numbers: impl IntoIterator<Item = u8>, shown: bool, seconds: u64) {
    set_labelled(store, numbers, shown, seconds, |number| [number + 1; 8]);
}

fn set_labelled(
    store: &RedbStore,
    numbers: impl IntoIterator<Item = u8>,
    shown: bool,
    seconds: u64,
    label: impl Fn(u8) -> [u8; 8],
) {
    let change = |number: u8| {
        let setting = if shown {
            Setting::Everyone(Consent::new(at(seconds), "2026-11", "ios/settings").unwrap())
        } else {
            Setting::Nobody
        };
        let change = Change::Enrol {
            label: Label::new(&label(number)).unwrap(),
            setting,
            residence: Residence::default(),
        };
        (who(number), change)
    };
    let batch = MemberBatch {
        epoch: EPOCH,
        changes: numbers.into_iter().map(change).collect(),
        at: at(seconds),
    };
    let made = now(store.change_members(batch)).unwrap();
    assert_eq!(made.refused, []);
}

fn charge(account: u8, elements: u32, digest: u8, seconds: u64) -> Charge {
    Charge {
        account: AccountKey::new([account; 32]),
        scope: Scope::Discover,
        account_created: Timestamp::from_secs(1),
        origin: Origin::Unknown,
        elements: elements.try_into().unwrap(),
        request_digest: [digest; 32],
        epoch: EPOCH,
        at: at(seconds),
    }
}

/// Elements that are admitted, 16 at a time.
fn takes(store: &RedbStore, charge: &Charge) -> u32 {
    let quota = Quota::new(patient(), store).unwrap();
    let mut taken = 0;
    now(ledger::seal(store, charge.at));
    for digest in 0..=u8::MAX {
        let mut charge = charge.clone();
        charge.elements = 16.try_into().unwrap();
        charge.request_digest = [digest; 32];
        charge.request_digest[0] = charge.at.as_micros().to_le_bytes()[4];
        match now(quota.admit(charge)) {
            Ok(admission) => {
                assert!(!admission.receipt.replayed);
                taken += 16;
            }
            Err(AdmitError::Refused(_)) => break,
            Err(other) => panic!("{other}"),
        }
    }
    taken
}

/// The default, but for the rate of requests.
fn patient() -> Policy {
    let mut policy = Policy::default();
    policy.account.request_burst = 1_000_000;
    policy.account.requests_per_minute = 60_000_000;
    policy
}

fn reason(store: &RedbStore, charge: Charge) -> RefusalReason {
    match now(Quota::new(patient(), store).unwrap().admit(charge)).unwrap_err() {
        AdmitError::Refused(refusal) => {
            assert!(refusal.retry_after.is_some());
            refusal.reason
        }
        other => panic!("{other}"),
    }
}

/// The bug that this is about: a store from yesterday gave everybody back what they had used since, and the next set had those
/// in it who had opted out.
#[test]
fn a_backup_brings_back_neither_quota_nor_anybody_who_has_opted_out() {
    for decoys in [0, 10] {
        let world = World::new(decoys);
        let store = world.open().unwrap();
        set(&store, 0..40, true, 0);
        world.publish(&store, 10);
        set(&store, 40..45, true, 20);
        let quota = Quota::new(Policy::default(), &store).unwrap();
        now(quota.admit(charge(1, 64, 1, 30))).unwrap();
        drop(store);
        world.back_up();

        let store = world.open().unwrap();
        set(&store, 0..5, false, HOUR);
        // A number has another owner.
        set(&store, 5..6, false, HOUR);
        set_labelled(&store, 5..6, true, HOUR + 1, |_| *b"somebody");
        set(&store, 50..57, true, HOUR);
        // Deltas, so that there are other decoys than there were.
        for hour in 1..4 {
            world.publish(&store, hour * HOUR + 10);
            set(&store, [57 + hour as u8], true, hour * HOUR + 20);
        }
        let newest = world.publish(&store, 4 * HOUR);
        let chain = ChainState::start(&newest, T0 + 5 * HOUR).unwrap();
        let quota = Quota::new(Policy::default(), &store).unwrap();
        for digest in 2..7 {
            now(quota.admit(charge(1, 1_000, digest, 4 * HOUR + u64::from(digest)))).unwrap();
        }
        let evaluated = now(store.key_evaluations(EPOCH)).unwrap();
        drop(store);

        // However often, and whoever asks.
        world.put_back();
        for _ in 0..3 {
            assert!(matches!(world.refused(), Restored::Older { .. }));
        }
        let restored = world.restored();
        let plan = world.plan(&restored, 5 * HOUR).unwrap();
        assert_eq!((plan.stored, plan.newest), (1, 5));
        assert_eq!((plan.kept, plan.hidden), (34 + 5, 6));
        assert_eq!(plan.vanished, 7 + 3 + 1);
        // Looking changes nothing.
        drop(restored);
        assert!(matches!(world.refused(), Restored::Older { .. }));
        world.accept(5 * HOUR);

        let store = world.open().unwrap();
        assert!(now(store.key_evaluations(EPOCH)).unwrap() >= evaluated);
        // The rest of the day nobody, and then what was gained since.
        let mut same = charge(1, 16, 9, 5 * HOUR + 60);
        assert_eq!(reason(&store, same.clone()), RefusalReason::Elements);
        same.at = at(11 * HOUR);
        assert_eq!(reason(&store, same), RefusalReason::ServiceElements);
        let carried = Charge {
            epoch: EPOCH.next().unwrap(),
            ..charge(1, 16, 10, 11 * HOUR + 60)
        };
        let carried = now(Quota::new(patient(), &store)
            .unwrap()
            .admit_carry_over(carried));
        assert!(matches!(
            carried.unwrap_err(),
            AdmitError::Refused(refusal) if refusal.reason == RefusalReason::CarryOver
        ));
        assert!(takes(&store, &charge(1, 16, 0, DAY + 5 * HOUR)) <= 96);
        assert!(takes(&store, &charge(2, 16, 0, DAY + 5 * HOUR)) <= 96);

        let mut chain = chain;
        for hour in [6, 30, 54] {
            let manifest = world.publish(&store, hour * HOUR);
            let (advanced, _) = chain.advance(&manifest, T0 + hour * HOUR + 60).unwrap();
            chain = advanced;
            assert!(world.in_set(&manifest, 0..6).is_empty());
            let expected: Vec<u8> = (6..45).collect();
            assert_eq!(world.in_set(&manifest, 0..70), expected);
            let decoys = manifest.claims().members() - 39;
            assert!(if world.decoys == 0 {
                decoys == 0
            } else {
                decoys >= 10
            });
        }
        // A consent from before isn't one; a new one is.
        let old = Consent::new(at(HOUR), "2026-11", "ios/settings").unwrap();
        let change = Change::Enrol {
            label: Label::new(&[1; 8]).unwrap(),
            setting: Setting::Everyone(old),
            residence: Residence::default(),
        };
        let batch = MemberBatch {
            epoch: EPOCH,
            changes: vec![(who(1), change)],
            at: at(55 * HOUR),
        };
        assert_eq!(now(store.change_members(batch)).unwrap().refused.len(), 1);
        set(&store, 2..4, true, 55 * HOUR);
        let manifest = world.publish(&store, 56 * HOUR);
        assert_eq!(world.in_set(&manifest, 0..6), [2, 3]);
        // Nobody is told that they can't have been found while nobody knows.
        let lost = now(store.lost()).unwrap().unwrap();
        assert_eq!((lost.since, lost.until), (at(30), at(5 * HOUR)));
        drop(store);
        // From here on it is a store as any other.
        drop(world.open().unwrap());
        world.put_back();
        assert_eq!(world.refused(), Restored::Other);
    }
}

/// Whoever was made after it can't have drawn anything before; whose age isn't known may have.
#[test]
fn new_accounts_start_full_and_their_networks_do_not() {
    let world = World::new(0);
    let store = world.open().unwrap();
    now(Quota::new(patient(), &store)
        .unwrap()
        .admit(charge(1, 16, 1, 0)))
    .unwrap();
    drop(store);
    world.back_up();
    drop(world.open().unwrap());
    world.put_back();
    world.accept(HOUR);
    let store = world.open().unwrap();
    let then = DAY + HOUR;
    let made = |account, made: Timestamp, network: u8| Charge {
        account_created: made,
        origin: Origin::V4 {
            net24: NetworkKey::new([network; 32]),
        },
        ..charge(account, 16, 0, then)
    };
    assert_eq!(takes(&store, &made(2, at(then - 60), 1)), 1_024);
    // A little behind is not after; in the future is unknown.
    let grown = (5_120 - 1_024) / 14;
    assert!(takes(&store, &made(3, at(HOUR + 60), 1)) <= 96 + grown);
    assert!(takes(&store, &made(4, at(then + DAY), 1)) <= 96);
    drop(store);
}

#[test]
fn what_shows_that_a_store_was_restored() {
    let world = World::new(0);
    let witness = world.path("store.witness");
    drop(world.open().unwrap());
    let seen = fs::read_to_string(&witness).unwrap();
    assert!(seen.starts_with("blindbook store ") && !seen.contains("handle"));

    // Moved alone to another machine.
    fs::remove_file(&witness).unwrap();
    assert_eq!(world.refused(), Restored::NoWitness);
    for bad in ["", "blindbook", "blindbook store zz commits 1\n"] {
        fs::write(&witness, bad).unwrap();
        assert_eq!(world.refused(), Restored::BadWitness);
    }
    fs::write(&witness, &seen).unwrap();
    drop(world.open().unwrap());

    // Lost: a new store in its place isn't it.
    fs::rename(world.path("store"), world.path("old")).unwrap();
    assert!(matches!(
        world.refused(),
        Restored::Older { commits: 0, .. }
    ));
    fs::rename(world.path("old"), world.path("store")).unwrap();
    drop(world.open().unwrap());

    // Another one's witness.
    drop(RedbStore::open(&world.path("other")).unwrap());
    fs::rename(world.path("other.witness"), &witness).unwrap();
    assert_eq!(world.refused(), Restored::Other);

    // It can lie where backups don't go.
    let elsewhere = World::new(0);
    let apart = elsewhere.path("apart");
    let options = StoreOptions::new().witness(&apart);
    let open = || options.open(&elsewhere.path("store"));
    drop(open().unwrap());
    elsewhere.back_up();
    drop(open().unwrap());
    elsewhere.put_back();
    assert!(matches!(
        open().unwrap_err(),
        StoreError::Restored(Restored::Older { .. })
    ));
}

/// Store and witness were restored, and the folder of what is published wasn't: what clients have seen tells it.
#[test]
fn a_chain_that_went_on_without_the_store_is_noticed() {
    let world = World::new(0);
    let store = world.open().unwrap();
    set(&store, 0..3, true, 0);
    world.publish(&store, 10);
    drop(store);
    world.back_up();
    fs::copy(world.path("store.witness"), world.path("old witness")).unwrap();
    let store = world.open().unwrap();
    set(&store, 0..1, false, 20);
    world.publish(&store, 30);
    drop(store);
    world.put_back();
    fs::rename(world.path("old witness"), world.path("store.witness")).unwrap();
    let store = world.open().unwrap();
    let error = world.publisher().publish_now(&store, at(40)).unwrap_err();
    let known = Restored::Chain { known: 2 };
    assert!(
        matches!(error, PublishError::Store(StoreError::Restored(why)) if why == known),
        "{error}"
    );
    assert!(now(world.publisher().last(&store)).is_err());
    drop(store);
    world.accept(50);
    let store = world.open().unwrap();
    let manifest = world.publish(&store, 60);
    assert_eq!(manifest.claims().sequence, 3);
    assert_eq!(world.in_set(&manifest, 0..3), [1, 2]);
}

#[test]
fn what_cannot_be_gone_on_with_is_refused() {
    let world = World::new(0);
    let store = world.open().unwrap();
    set(&store, 0..3, true, 0);
    world.publish(&store, 10);
    drop(store);
    world.back_up();
    drop(world.open().unwrap());
    world.put_back();
    // The clock is behind.
    let restored = world.restored();
    assert!(matches!(
        world.plan(&restored, 0).map(drop),
        Ok(()) | Err(RestoreError::ClockBehind { .. })
    ));
    let publisher = world.publisher();
    let newest = restored.newest(&publisher, None).unwrap();
    let policy = Policy::default();
    let terms = RestoreTerms {
        policy: &policy,
        sealed: EPOCH,
        keep_published: true,
        at: Timestamp::from_secs(T0 - HOUR),
    };
    let behind = restored.plan(&publisher, &newest, &terms).unwrap_err();
    assert!(matches!(behind, RestoreError::ClockBehind { .. }));
    // Another epoch is published than the members are of.
    let terms = RestoreTerms {
        at: at(60),
        ..terms
    };
    let key = EvaluationKey::derive(&[9; 32], b"8").unwrap();
    let other = publisher.in_epoch(
        Epoch::new(8),
        Evaluator::new(Epoch::new(8), key).public_key().clone(),
    );
    let moved = restored.plan(&other, &newest, &terms).unwrap_err();
    assert!(matches!(moved, RestoreError::OtherEpoch { .. }), "{moved}");
    // Two histories.
    let first = fs::read(world.path("segments/manifests/1")).unwrap();
    let mut draft = SignedManifest::decode(&first)
        .unwrap()
        .unverified_claims()
        .clone();
    draft.not_after += 1;
    let forged = snapshot_key().sign(&draft).unwrap();
    let forked = restored.newest(&publisher, Some(forged)).unwrap_err();
    assert!(matches!(forked, RestoreError::Forked(1)));
    let foreign = restored.newest(&publisher, Some(vec![7; 300])).unwrap_err();
    assert!(matches!(
        foreign,
        RestoreError::Publish(PublishError::ForeignChain)
    ));
    // Without the set nobody can be compared with it; then nobody at all is found.
    for entry in &draft.segments {
        let segments = SegmentFolder::open(&world.path("segments")).unwrap();
        fs::remove_file(segments.path(&entry.id)).unwrap();
    }
    let missing = restored.plan(&publisher, &newest, &terms).unwrap_err();
    assert!(matches!(
        missing,
        RestoreError::Publish(PublishError::Published(_))
    ));
    let terms = RestoreTerms {
        keep_published: false,
        ..terms
    };
    let plan = restored.plan(&publisher, &newest, &terms).unwrap();
    assert_eq!((plan.kept, plan.hidden), (0, 3));
}

/// The store is lost altogether. Clients still follow.
#[test]
fn an_empty_store_goes_on_from_what_is_published() {
    let world = World::new(0);
    let store = world.open().unwrap();
    set(&store, 0..3, true, 0);
    world.publish(&store, 10);
    let newest = world.publish(&store, 20);
    drop(store);
    remove(&world.path("store"));
    assert!(matches!(world.refused(), Restored::Older { .. }));
    world.accept(30);
    let store = world.open().unwrap();
    let manifest = world.publish(&store, DAY);
    let chain = ChainState::start(&newest, T0 + 60).unwrap();
    let _next = chain.advance(&manifest, T0 + DAY + 60).unwrap();
    assert_eq!(manifest.claims().members(), 0);
    assert!(takes(&store, &charge(1, 16, 0, DAY + 30)) <= 96);
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}
