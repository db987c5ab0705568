//! How long it takes to enrol members and to rotate the key of all of them.
//!
//! Not with criterion: each step is done once, and takes seconds. A hundred thousand members, or as many as
//! `BLINDBOOK_BENCH_MEMBERS` says; the store lies in the folder for temporary files, or in `BLINDBOOK_BENCH_FOLDER`.
//!
//! ```sh
//! BLINDBOOK_BENCH_MEMBERS=1000000 cargo bench --bench rotation --features http
//! ```

use std::time::{Duration, Instant};

use blindbook::{
    Timestamp,
    label::{Label, LabelLength},
    oprf::{Epoch, ServiceId, UnblindedElement},
    server::{
        Delta, EvaluationKey,
        directory::{Change, Consent, MemberBatch, Residence, Setting},
        publish::Terms,
        rotation::RotationKind,
    },
    snapshot::SnapshotKey,
    store::{
        NextKey, NoKeeper, Publisher, RedbStore, RotationStore, Rotator, SegmentFolder, Store,
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rayon::prelude::*;

const EPOCH: Epoch = Epoch::new(1);
const NOW: u64 = 1_800_000_000;
/// Members in one enrolment.
const BATCH: usize = 1_024;

/// Somebody with a handle as scattered as an operator's.
fn member(number: u64) -> (UnblindedElement, Change) {
    let mut random = StdRng::seed_from_u64(number);
    let element = EvaluationKey::random(&mut random).public_key().encode();
    let mut handle: [u8; 16] = random.random();
    // Labels have no zeros at the end.
    handle[15] |= 1;
    let consent = Consent::new(Timestamp::from_secs(1), "2026-11", "ios/settings").unwrap();
    let change = Change::Enrol {
        label: Label::new(&handle).unwrap(),
        setting: Setting::Everyone(consent),
        residence: Residence::default(),
    };
    (UnblindedElement::decode(&element).unwrap(), change)
}

fn report(step: &str, members: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    println!(
        "| {step} | {seconds:.1} | {:.0} |",
        members as f64 / seconds
    );
}

fn main() {
    // `cargo test --benches` runs this too, to see that it compiles.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let members = std::env::var("BLINDBOOK_BENCH_MEMBERS");
    let members = members.map_or(100_000, |members| members.parse().unwrap());
    let folder = match std::env::var_os("BLINDBOOK_BENCH_FOLDER") {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let store = RedbStore::open(&folder.path().join("store")).unwrap();
    println!("{members} members");
    println!("| step | seconds | members a second |");
    println!("|---|---:|---:|");
    runtime.block_on(rotate(&store, folder.path(), members));
}

async fn rotate(store: &RedbStore, folder: &std::path::Path, members: u64) {
    let mut took = Duration::ZERO;
    let numbers: Vec<u64> = (0..members).collect();
    for numbers in numbers.chunks(64 * BATCH) {
        let mut all: Vec<_> = numbers.par_iter().map(|number| member(*number)).collect();
        let begun = Instant::now();
        while !all.is_empty() {
            let changes = all.split_off(all.len().saturating_sub(BATCH));
            let at = Timestamp::from_secs(NOW);
            let batch = MemberBatch {
                epoch: EPOCH,
                changes,
                at,
            };
            store.change_members(batch).await.unwrap();
        }
        took += begun.elapsed();
    }
    report("enrol", members, took);

    let mut random = StdRng::seed_from_u64(u64::MAX);
    let key = EvaluationKey::random(&mut random);
    let delta = Delta::random(&mut random);
    let terms = Terms {
        service: ServiceId::new("bench.example").unwrap(),
        normalisation: 1,
        label_length: LabelLength::new(16).unwrap(),
        epoch: EPOCH,
        public_key: key.public_key().clone(),
        valid_for: Duration::from_secs(3 * 86_400),
    };
    let segments = SegmentFolder::open(&folder.join("segments")).unwrap();
    let publisher = Publisher::new(terms, SnapshotKey::from_seed(&mut [7; 32]), segments);
    let rotator = Rotator::new(store, &NoKeeper);
    assert!(
        store
            .begin_rotation(EPOCH, RotationKind::Hard)
            .await
            .unwrap()
    );
    let begun = Instant::now();
    rotator.rekey(&delta, &|_| {}).await.unwrap();
    report("rekey", members, begun.elapsed());
    let next = NextKey {
        epoch: EPOCH.next().unwrap(),
        key: key.rotate(&delta),
        delta: Some(delta),
    };
    let prepare = Instant::now();
    let at = Timestamp::from_secs(NOW + 86_400);
    let mut prepared = rotator
        .prepare(&publisher, &next, at, &|_| {})
        .await
        .unwrap();
    let switched = rotator.switch(&mut prepared, Duration::ZERO).await.unwrap();
    assert!(switched.is_some());
    report("build and switch", members, prepare.elapsed());
    report("until the new epoch is served", members, begun.elapsed());
    let begun = Instant::now();
    rotator.drop_old().await.unwrap();
    report("drop the old rows", members, begun.elapsed());
}
