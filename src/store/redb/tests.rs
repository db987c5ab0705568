//! A disk that fails, or loses what wasn't synced, at every point in turn.

mod history;

use std::{
    future::Future,
    io::{Error, ErrorKind},
    num::NonZeroU32,
    pin::pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use redb::ReadableTableMetadata;

use super::{options::CACHE, *};
use crate::{
    label::Label,
    oprf::UnblindedElement,
    server::{
        EvaluationKey,
        directory::{Change, Residence, Setting},
        policy::Policy,
        quota::{AccountKey, Bucket, Charge, Claim, Hour, NetworkKey, Origin, Scope},
    },
    store::{LedgerStore, SettingStore, SignalStore, signals},
};

#[derive(Debug, Default)]
struct Disk {
    /// What is on the platter.
    durable: Vec<u8>,
    /// What a reader sees.
    current: Vec<u8>,
    /// Writes and syncs until the disk fails.
    left: Option<usize>,
    kind: Option<ErrorKind>,
}

#[derive(Debug, Clone)]
struct Faulty(Arc<Mutex<Disk>>);

impl Disk {
    fn spend(&mut self) -> Result<(), Error> {
        match &mut self.left {
            Some(0) => Err(Error::from(self.kind.unwrap_or(ErrorKind::Other))),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let disk = self.0.lock().unwrap();
        let start = offset as usize;
        let bytes = disk.current.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        disk.current.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        disk.durable = disk.current.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        let start = offset as usize;
        let place = disk.current.get_mut(start..start + data.len());
        place
            .ok_or_else(|| Error::from(ErrorKind::StorageFull))?
            .copy_from_slice(data);
        Ok(())
    }
}

impl RedbStore {
    /// Without a witness.
    fn open_on(backend: Faulty) -> Result<Self, StoreError> {
        Self::open_watched(backend, CACHE, None)
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::yield_now(),
        }
    }
}

fn debit(number: u8) -> Debit {
    asked(number, number, 0)
}

/// Some time after the beginning, in seconds.
fn asked(account: u8, digest: u8, after: u64) -> Debit {
    Policy::default().debit(Charge {
        account: AccountKey::new([account; 32]),
        scope: Scope::Discover,
        origin: Origin::Unknown,
        account_created: Timestamp::from_secs(1),
        elements: NonZeroU32::new(16).unwrap(),
        request_digest: [digest; 32],
        epoch: Epoch::new(1),
        at: Timestamp::from_secs(1_800_000_000 + after),
    })
}

#[test]
fn no_failure_of_the_disk_gives_quota_back() {
    // A good disk, to know how many operations there are.
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        let mut failed = 0;
        for operations in (0..400).step_by(3) {
            let disk = Arc::new(Mutex::new(Disk::default()));
            drop(RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap());
            {
                let mut disk = disk.lock().unwrap();
                disk.left = Some(operations);
                disk.kind = Some(kind);
            }
            let mut answered = 0;
            if let Ok(store) = RedbStore::open_on(Faulty(Arc::clone(&disk))) {
                for number in 0..10 {
                    match wait(store.charge(debit(number))) {
                        Ok(ChargeOutcome::Admitted(_)) => answered += 16,
                        Ok(ChargeOutcome::Refused(refusal)) => panic!("{refusal}"),
                        Err(StoreError::Io(_) | StoreError::Closed | StoreError::Damaged(_)) => {
                            failed += 1;
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            // The machine loses power: what wasn't synced is gone. The disk works again.
            {
                let mut disk = disk.lock().unwrap();
                disk.current = disk.durable.clone();
                disk.left = None;
            }
            let store = RedbStore::open_on(Faulty(disk)).unwrap();
            let durable = wait(store.key_evaluations(Epoch::new(1))).unwrap();
            assert!(
                durable >= answered,
                "{answered} answered, {durable} durable"
            );
        }
        assert!(failed > 100, "the disk didn't fail often enough: {failed}");
    }
}

#[test]
fn a_panic_in_a_step_closes_the_store_and_tells_everybody() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let store = RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap();
    wait(store.check()).unwrap();
    let outcome: Result<(), StoreError> =
        wait(store.writer.submit(1, |_| panic!("a defect in a step")));
    assert_eq!(outcome.unwrap_err(), StoreError::Closed);
    // Reading would still work; but nothing can be charged, and only a new process helps.
    assert_eq!(wait(store.check()), Err(StoreError::Closed));
    assert_eq!(
        wait(store.charge(debit(1))).unwrap_err(),
        StoreError::Closed
    );
    drop(store);
    let store = RedbStore::open_on(Faulty(disk)).unwrap();
    assert!(wait(store.charge(debit(1))).is_ok());
}

/// The first release had neither days nor suspensions in its files.
#[test]
fn a_file_of_version_1_is_taken_over() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let store = RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap();
    wait(store.charge(debit(1))).unwrap();
    wait(store.writer.submit(1, |tables| tables.stamp(1))).unwrap();
    drop(store);
    for _ in 0..2 {
        let store = RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap();
        let ChargeOutcome::Admitted(receipt) = wait(store.charge(debit(1))).unwrap() else {
            panic!("refused");
        };
        assert!(receipt.replayed);
        // Nobody noted what had changed: the next publication reads everybody.
        let progress = wait(store.progress()).unwrap();
        assert!(progress.changes - progress.settled.changes > 1 << 40);
    }
}

/// Version 2 didn't know members by their handle, and version 3 in another order. An account's no would have found nobody to hide.
#[test]
fn a_file_of_an_earlier_version_knows_its_handles() {
    for version in [2, 3] {
        knows_its_handles(version);
    }
}

fn knows_its_handles(version: u64) {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let store = RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap();
    let unblinded = EvaluationKey::from_bytes(&mut [1; 32]).unwrap();
    let unblinded = UnblindedElement::decode(&unblinded.public_key().encode()).unwrap();
    let encoding = *unblinded.expose();
    let label = Label::new(b"ada").unwrap();
    let change = Change::Enrol {
        label: label.clone(),
        setting: Setting::Nobody,
        residence: Residence::default(),
    };
    let batch = MemberBatch {
        epoch: Epoch::new(1),
        changes: Vec::from([(unblinded, change)]),
        at: Timestamp::from_secs(1),
    };
    wait(store.change_members(batch)).unwrap();
    wait(store.writer.submit(1, move |tables| tables.stamp(version))).unwrap();
    drop(store);
    let database = Builder::new()
        .create_with_backend(Faulty(Arc::clone(&disk)))
        .unwrap();
    let transaction = database.begin_write().unwrap();
    let labelled = redb::TableDefinition::<&[u8], ()>::new("labels");
    assert!(transaction.delete_table(labelled).unwrap());
    if version == 3 {
        let labelled = redb::TableDefinition::<&[u8], ()>::new("labelled");
        let mut labelled = transaction.open_table(labelled).unwrap();
        let epoch = 1_u64.to_be_bytes();
        let key = [b"\x03ada".as_slice(), &epoch, &encoding].concat();
        labelled.insert(key.as_slice(), ()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);

    let store = RedbStore::open_on(Faulty(disk)).unwrap();
    let page = wait(store.labelled(&label, None, 10)).unwrap();
    assert_eq!(page.members.len(), 1);
}

/// Version 3 had buckets, claims and requests in tables of their own. Whoever had paid must not pay again, and whoever hadn't
/// must not be let off.
#[test]
fn a_file_of_version_3_keeps_what_accounts_have_used() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let now = 1_800_000_000_000_000_u64;
    drop(RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap());
    let account = |number: u8| AccountKey::new([number; 32]);
    let network = NetworkKey::new([9; 32]);
    let database = Builder::new()
        .create_with_backend(Faulty(Arc::clone(&disk)))
        .unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction
            .open_table(redb::TableDefinition::<&str, u64>::new("meta"))
            .unwrap();
        meta.insert("version", 3).unwrap();
        meta.insert("latest", now).unwrap();
        let mut buckets = transaction
            .open_table(redb::TableDefinition::<[u8; 33], u64>::new("buckets"))
            .unwrap();
        // An hour to go, each.
        for bucket in [
            Bucket::AccountElements(account(1)),
            Bucket::AccountRequests(account(1)),
            Bucket::RegistrarElements(account(1)),
            Bucket::RegistrarRequests(account(2)),
            Bucket::Network(network),
        ] {
            let key = bucket.encode();
            let kind = u64::from(*key.last().unwrap());
            buckets.insert(key, now + kind).unwrap();
        }
        let mut claims = transaction
            .open_table(redb::TableDefinition::<[u8; 32], (u64, u32, u32)>::new(
                "claims",
            ))
            .unwrap();
        claims.insert([1; 32], (7, 80, 5)).unwrap();
        claims.insert([3; 32], (8, 16, 0)).unwrap();
        let mut charged = transaction
            .open_table(redb::TableDefinition::<[u8; 77], u64>::new("charged"))
            .unwrap();
        charged
            .insert(debit(1).replay_key.as_bytes(), now - 1)
            .unwrap();
        charged
            .insert(debit(2).replay_key.as_bytes(), now - 86_400_000_000)
            .unwrap();
    }
    transaction.commit().unwrap();
    drop(database);

    for _ in 0..2 {
        let store = RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap();
        let rows = wait(store.writer.submit(1, move |tables| {
            let mut levels = Vec::new();
            for number in [1, 2] {
                for bucket in [
                    Bucket::AccountElements(account(number)),
                    Bucket::AccountRequests(account(number)),
                    Bucket::RegistrarElements(account(number)),
                    Bucket::RegistrarRequests(account(number)),
                ] {
                    let level = tables.level(&bucket)?;
                    levels.push(level.map_or(0, |level| level.as_micros() - now));
                }
            }
            let level = tables.level(&Bucket::Network(network))?;
            levels.push(level.unwrap().as_micros() - now);
            let mut claims = Vec::new();
            for number in 1..=3 {
                claims.push(tables.claim(&account(number))?);
            }
            let at = Timestamp::from_micros(now);
            let charged = [
                tables.charged(&debit(1).replay_key, at)?,
                tables.charged(&debit(2).replay_key, at)?,
            ];
            Ok((levels, claims, charged))
        }));
        let (levels, claims, charged) = rows.unwrap();
        assert_eq!(levels, [1, 2, 3, 0, 0, 0, 0, 4, 5]);
        let claim = |epoch, evaluated, carry| {
            Some(Claim {
                epoch: Epoch::new(epoch),
                evaluated,
                carry,
            })
        };
        assert_eq!(claims, [claim(7, 80, 5), None, claim(8, 16, 0)]);
        assert_eq!(charged, [Some(Timestamp::from_micros(now - 1)), None]);
    }
}

/// Version 4 had no log, and what accounts had used in the tables.
#[test]
fn a_file_of_version_4_keeps_what_accounts_have_used() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let store = RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap();
    wait(store.charge(debit(1))).unwrap();
    let fold = |tables: &mut Tables<'_>| {
        tables.fold_all()?;
        tables.stamp(4)
    };
    wait(store.writer.submit(1, fold)).unwrap();
    drop(store);
    let database = Builder::new()
        .create_with_backend(Faulty(Arc::clone(&disk)))
        .unwrap();
    let transaction = database.begin_write().unwrap();
    let log = redb::TableDefinition::<u64, &[u8]>::new("log");
    assert!(transaction.delete_table(log).unwrap());
    transaction.commit().unwrap();
    drop(database);

    for _ in 0..2 {
        let store = RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap();
        let ChargeOutcome::Admitted(receipt) = wait(store.charge(debit(1))).unwrap() else {
            panic!("refused");
        };
        assert!(receipt.replayed);
    }
}

/// Waits until nothing is left in the log.
fn settle(store: &RedbStore) {
    while chunks(store) > 0 {
        thread::yield_now();
    }
}

/// How much is left in the log.
fn chunks(store: &RedbStore) -> u64 {
    let log = redb::TableDefinition::<u64, &[u8]>::new("log");
    let read = store.database.begin_read().unwrap();
    read.open_table(log).unwrap().len().unwrap()
}

/// What accounts did in hours that are sealed is in the ledger under other names, and nowhere else.
#[test]
fn nothing_stays_in_the_log_of_a_store_that_is_left_alone() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let store = RedbStore::open_on(Faulty(disk)).unwrap();
    for number in 0..100 {
        wait(store.charge(debit(number))).unwrap();
    }
    settle(&store);
    let read = store.database.begin_read().unwrap();
    let quota = redb::TableDefinition::<&[u8], &[u8]>::new("quota");
    // A row for each account, and one for its request.
    assert_eq!(read.open_table(quota).unwrap().len().unwrap(), 200);
}

/// A readiness probe asks every second.
#[test]
fn looking_at_what_is_pending_writes_nothing() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let store = RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap();
    assert_eq!(wait(store.oldest_open()).unwrap(), None);
    wait(store.charge(debit(1))).unwrap();
    settle(&store);
    disk.lock().unwrap().left = Some(0);
    let hour = Hour::of(Timestamp::from_secs(1_800_000_000));
    for _ in 0..3 {
        assert_eq!(wait(store.oldest_open()).unwrap(), Some(hour));
    }
}

/// Whoever asks whether it is ready doesn't keep the log.
#[test]
fn a_store_that_is_looked_at_again_and_again_folds_all_the_same() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let store = RedbStore::open_on(Faulty(disk)).unwrap();
    wait(store.charge(debit(1))).unwrap();
    for _ in 0..500 {
        wait(store.oldest_open()).unwrap();
        if chunks(&store) == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("it is still there");
}

/// What was asked a day ago is forgotten beside a new request of the same account, unless it was asked again meanwhile.
#[test]
fn a_request_that_was_charged_anew_isnt_forgotten_for_its_former_self() {
    // One of the two lies before the other one.
    for (one, other) in [(1, 2), (2, 1)] {
        let disk = Arc::new(Mutex::new(Disk::default()));
        let store = RedbStore::open_on(Faulty(disk)).unwrap();
        let is_free = |digest, after| {
            let outcome = wait(store.charge(asked(1, digest, after))).unwrap();
            let ChargeOutcome::Admitted(receipt) = outcome else {
                panic!("refused: {outcome:?}");
            };
            receipt.replayed
        };
        assert!(!is_free(other, 0));
        settle(&store);
        let day = 86_400;
        assert!(!is_free(other, day));
        assert!(!is_free(one, day));
        // The row of the account and the next one.
        wait(
            store
                .writer
                .submit(1, |tables| tables.fold_accounts(None, 2)),
        )
        .unwrap();
        assert!(is_free(other, day + 1));
        assert!(is_free(one, day + 1));
    }
}

#[test]
fn sweeping_where_nothing_is_spent_writes_nothing() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let store = RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap();
    for number in 0..3 {
        wait(store.charge(debit(number))).unwrap();
    }
    settle(&store);
    let at = Timestamp::from_secs(1_800_000_000);
    let first = wait(store.sweep(at, None, 2)).unwrap();
    assert_eq!(first.forgotten, 0);
    settle(&store);
    disk.lock().unwrap().left = Some(0);
    assert_eq!(wait(store.sweep(at, first.last, 2)).unwrap().forgotten, 0);
}

#[test]
fn a_log_that_cant_be_read_is_damage() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    drop(RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap());
    let database = Builder::new()
        .create_with_backend(Faulty(Arc::clone(&disk)))
        .unwrap();
    let transaction = database.begin_write().unwrap();
    let log = redb::TableDefinition::<u64, &[u8]>::new("log");
    let torn = [0, 32, 1].as_slice();
    let mut table = transaction.open_table(log).unwrap();
    table.insert(7, torn).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);
    let error = RedbStore::open_on(Faulty(disk)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

#[test]
fn a_later_version_is_refused() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let store = RedbStore::open_on(Faulty(Arc::clone(&disk))).unwrap();
    wait(
        store
            .writer
            .submit(1, |tables| tables.stamp(tables::VERSION + 1)),
    )
    .unwrap();
    drop(store);
    assert_eq!(
        RedbStore::open_on(Faulty(disk)).unwrap_err(),
        StoreError::Version(tables::VERSION + 1)
    );
}

#[test]
fn the_rows_of_detection_conform() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let store = RedbStore::open_on(Faulty(disk)).unwrap();
    let step = |tables: &mut Tables<'_>| {
        signals::tests::rows_are_kept_for_two_weeks_and_then_forgotten(tables);
        signals::tests::signals_are_numbered_and_the_oldest_go(tables);
        Ok(())
    };
    wait(store.writer.submit(1, step)).unwrap();
    signals::tests::remaining(&wait(store.signals(None, 1_000_000)).unwrap());
    let page = wait(store.signals(Some(100_000), 2)).unwrap();
    let numbers: Vec<u64> = page.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [99_999, 99_998]);
}
