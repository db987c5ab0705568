//! Whatever happens to a service, in any order, what was answered was debited: retries, a disk that fails, power cuts, clocks that
//! jump ten years either way, and backups that take the store's place.

use std::{collections::BTreeSet, env, path::PathBuf, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    label::LabelLength,
    oprf::ServiceId,
    server::{
        Evaluator,
        detect::DetectRules,
        ledger::{Month, Sealed, Sealing},
        publish,
    },
    snapshot::SnapshotKey,
    store::{
        DerivedLedgerKeys, LedgerKeys, LedgerStore, Publisher, RestoreError, RestoreTerms,
        RestoredStore, SegmentFolder,
    },
};

const EPOCH: Epoch = Epoch::new(1);
const BEGIN: u64 = 1_800_000_000;
const DAY: i64 = 86_400;
const TEN_YEARS: i64 = 3_653 * DAY;

#[derive(Debug, Clone)]
enum Event {
    /// An account asks, with bytes of which there are few, so that some are sent again.
    Ask {
        account: u8,
        elements: u32,
        digest: u8,
    },
    /// The clock is set by so many seconds.
    Clock(i64),
    /// The disk fails after so many operations.
    Fail(usize),
    /// The process is started anew.
    Restart,
    /// The power fails: what wasn't synced is gone, and maybe the last that the witness saw.
    PowerCut { witness_too: bool },
    /// The store is copied while nobody runs it.
    Backup,
    /// One of the copies is put in its place.
    Restore(usize),
}

/// Seals what is over. A disk that fails meanwhile has closed the store, which the next one who asks finds.
fn seal(store: &RedbStore, at: Timestamp) {
    let keys = DerivedLedgerKeys::new(&mut [1; 32]);
    let mut month = Month::of(at);
    loop {
        let sealing = Sealing {
            rules: DetectRules::default(),
            refill_per_day: 96,
            key: keys.key(month).unwrap(),
        };
        match wait(store.seal(sealing, at)) {
            Ok(Sealed::OtherMonth(other)) => month = other,
            Ok(Sealed::Page { .. }) => {}
            _ => return,
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let elements = prop_oneof![Just(16_u32), Just(64), Just(256), Just(1_024)];
    let jump = prop_oneof![
        3 => 0..3_600_i64,
        2 => 0..3 * DAY,
        1 => Just(80 * DAY),
        1 => -600..0_i64,
        1 => Just(TEN_YEARS),
        1 => Just(-TEN_YEARS),
    ];
    prop_oneof![
        12 => (0..4_u8, elements, 0..12_u8).prop_map(|(account, elements, digest)| Event::Ask {
            account,
            elements,
            digest,
        }),
        3 => jump.prop_map(Event::Clock),
        1 => (0..40_usize).prop_map(Event::Fail),
        1 => Just(Event::Restart),
        1 => any::<bool>().prop_map(|witness_too| Event::PowerCut { witness_too }),
        1 => Just(Event::Backup),
        1 => (0..8_usize).prop_map(Event::Restore),
    ]
}

/// A service, and what it has answered.
struct History {
    folder: tempfile::TempDir,
    disk: Arc<Mutex<Disk>>,
    store: Option<RedbStore>,
    policy: Policy,
    clock: i64,
    /// The first time that anything was charged at, and the latest that was believed.
    first: i64,
    latest: i64,
    /// When the last two accounts were made: the moment they first asked.
    made: [Option<i64>; 2],
    backups: Vec<Vec<u8>>,
    earlier_witness: Option<Vec<u8>>,
    sent: BTreeSet<(u8, u8, u32)>,
    answered: [u64; 4],
}

impl History {
    fn new() -> Self {
        let mut policy = Policy::default();
        policy.service.floor_per_day = 1_000_000_000;
        let mut history = Self {
            folder: tempfile::tempdir().unwrap(),
            disk: Arc::default(),
            store: None,
            policy,
            clock: i64::try_from(BEGIN).unwrap(),
            first: i64::MAX,
            latest: 0,
            made: [None; 2],
            backups: Vec::new(),
            earlier_witness: None,
            sent: BTreeSet::new(),
            answered: [0; 4],
        };
        history.open().unwrap();
        history
    }

    fn witness(&self) -> PathBuf {
        self.folder.path().join("witness")
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_secs(u64::try_from(self.clock).unwrap())
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let witness = Witness::at(&self.witness());
        let store = RedbStore::open_watched(Faulty(Arc::clone(&self.disk)), CACHE, Some(witness))?;
        self.earlier_witness = Some(std::fs::read(self.witness()).unwrap());
        self.store = Some(store);
        Ok(())
    }

    /// The process has ended; the disk works again.
    fn end(&mut self) {
        self.store = None;
        self.disk.lock().unwrap().left = None;
    }

    fn power_cut(&mut self) {
        self.store = None;
        let mut disk = self.disk.lock().unwrap();
        disk.current = disk.durable.clone();
        disk.left = None;
    }

    fn ask(&mut self, account: u8, elements: u32, digest: u8) {
        let created = match account.checked_sub(2) {
            None => 1,
            Some(new) => *self.made[usize::from(new)].get_or_insert(self.clock),
        };
        let charge = Charge {
            account: AccountKey::new([account; 32]),
            scope: Scope::Discover,
            origin: Origin::Unknown,
            account_created: Timestamp::from_secs(u64::try_from(created).unwrap()),
            elements: NonZeroU32::new(elements).unwrap(),
            request_digest: [digest; 32],
            epoch: EPOCH,
            at: self.at(),
        };
        let store = self.store.as_ref().unwrap();
        seal(store, self.at());
        match wait(store.charge(self.policy.debit(charge))) {
            Ok(ChargeOutcome::Admitted(receipt)) => {
                self.first = self.first.min(self.clock);
                self.latest = self.latest.max(self.clock);
                if receipt.replayed {
                    // It was paid for, if maybe not answered.
                    assert!(self.sent.contains(&(account, digest, elements)));
                } else {
                    self.answered[usize::from(account)] += u64::from(elements);
                }
            }
            Ok(ChargeOutcome::Refused(_)) => {}
            // Nobody was answered. Only a new process helps.
            Err(_) => {
                self.power_cut();
                self.open().unwrap();
            }
        }
        self.sent.insert((account, digest, elements));
    }

    fn restore(&mut self, which: usize) {
        let Some(backup) = self.backups.get(which % self.backups.len().max(1)) else {
            return;
        };
        let backup = backup.clone();
        self.end();
        {
            let mut disk = self.disk.lock().unwrap();
            disk.durable = backup.clone();
            disk.current = backup;
        }
        for _ in 0..2 {
            assert!(matches!(self.open(), Err(StoreError::Restored(_))));
        }
        self.accept();
        self.open().unwrap();
    }

    fn accept(&mut self) {
        let key = EvaluationKey::from_bytes(&mut [1; 32]).unwrap();
        let evaluator = Evaluator::new(EPOCH, key);
        let terms = publish::Terms {
            service: ServiceId::new("chat.example").unwrap(),
            normalisation: 1,
            label_length: LabelLength::default(),
            epoch: EPOCH,
            public_key: evaluator.public_key().clone(),
            valid_for: Duration::from_secs(86_400),
        };
        let segments = SegmentFolder::open(&self.folder.path().join("segments")).unwrap();
        let publisher = Publisher::new(terms, SnapshotKey::from_seed(&mut [7; 32]), segments);
        let backend = Faulty(Arc::clone(&self.disk));
        let store = RestoredStore::open_on(backend, Witness::at(&self.witness())).unwrap();
        assert!(store.why().is_some());
        let newest = store.newest(&publisher, None).unwrap();
        let plan = |at| {
            let terms = RestoreTerms {
                policy: &self.policy,
                sealed: EPOCH,
                keep_published: true,
                at,
            };
            store.plan(&publisher, &newest, &terms)
        };
        let plan = match plan(self.at()) {
            Err(RestoreError::ClockBehind { at }) => {
                self.clock = i64::try_from(at.as_micros() / 1_000_000 + 1).unwrap();
                plan(self.at()).unwrap()
            }
            planned => planned.unwrap(),
        };
        store.accept(plan).unwrap();
        self.latest = self.latest.max(self.clock);
    }

    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Ask {
                account,
                elements,
                digest,
            } => self.ask(account, elements, digest),
            Event::Clock(seconds) => self.clock = (self.clock + seconds).max(1),
            Event::Fail(operations) => self.disk.lock().unwrap().left = Some(operations),
            Event::Restart => {
                self.end();
                // What a process that ended couldn't write, nobody was told.
                self.power_cut();
                self.open().unwrap();
            }
            Event::PowerCut { witness_too } => {
                self.power_cut();
                if let Some(witness) = self.earlier_witness.as_ref().filter(|_| witness_too) {
                    std::fs::write(self.witness(), witness).unwrap();
                }
                self.open().unwrap();
            }
            Event::Backup => {
                self.power_cut();
                let copy = self.disk.lock().unwrap().durable.clone();
                self.backups.push(copy);
                self.open().unwrap();
            }
            Event::Restore(which) => self.restore(which),
        }
    }

    fn check(&mut self) {
        self.power_cut();
        self.open().unwrap();
        let store = self.store.as_ref().unwrap();
        let durable = wait(store.key_evaluations(EPOCH)).unwrap();
        let answered: u64 = self.answered.iter().sum();
        assert!(
            durable >= answered,
            "{answered} answered, {durable} debited"
        );
        // From a full bucket, whatever the clock said: what it gained until the latest time that was ever believed.
        let days = self.latest.saturating_sub(self.first).max(0) / DAY + 1;
        let most = self.policy.most_elements(u32::try_from(days).unwrap());
        for (account, answered) in self.answered.iter().enumerate() {
            assert!(*answered <= most, "{account}: {answered} in {days} days");
        }
    }
}

fn cases() -> u32 {
    let more = env::var("PROPTEST_CASES").ok();
    more.and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_answered_was_debited(events in vec(event(), 1..80)) {
        let mut history = History::new();
        for event in &events {
            history.happens(event);
        }
        history.check();
    }
}
