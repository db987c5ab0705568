//! How fast the quota decides: all limits, durable before it answers, a thousand accounts at once.
//!
//! Not with criterion, which measures one thing at a time: what counts here is how many decisions a second there can be, with a
//! thousand accounts that ask again as soon as they are answered; and how long the slowest in a hundred waits when a thousand
//! accounts ask for 5,000 decisions a second together. The store lies in the folder for temporary files, or in `BLINDBOOK_BENCH_FOLDER`.
//!
//! ```sh
//! cargo bench --bench quota --features http
//! ```

use std::{
    num::NonZeroU32,
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use blindbook::{
    Timestamp,
    oprf::Epoch,
    server::{
        policy::Policy,
        quota::{AccountKey, Charge, NetworkKey, Origin, Quota, Scope},
    },
    store::RedbStore,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use redb::{Database, TableDefinition};

/// Accounts that ask at the same time.
const AT_ONCE: u64 = 1_000;
/// Decisions of each, one at once after another: enough for what is folded to keep up with what is logged.
const EACH: u64 = 1_000;
/// Decisions of each that doesn't ask as fast as it can.
const PACED: u64 = 150;
/// Time between two requests of an account that doesn't ask as fast as it can: 5,000 a second together.
const PACE: Duration = Duration::from_millis(200);
/// Accounts in the small store, which begins empty.
const FEW: u64 = 300_000;
const NOW: u64 = 1_800_000_000;
/// Accounts in the large store. Each has a row for its levels and one for a request; each second one is young, and has one for its
/// network.
const ACCOUNTS: u64 = 4_000_000;
const ROWS: u64 = ACCOUNTS * 5 / 2;

const QUOTA: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("quota");
const NETWORKS: TableDefinition<'_, [u8; 32], u64> = TableDefinition::new("networks");

/// A pseudonym, as scattered as a keyed hash.
fn pseudonym(kind: u64, number: u64) -> [u8; 32] {
    StdRng::seed_from_u64(kind << 56 | number).random()
}

/// Fills the tables of the quota with rows of accounts that asked a moment ago.
fn fill(path: &Path) {
    // Makes the tables.
    drop(RedbStore::open(path).unwrap());
    let level = (NOW + 3_600) * 1_000_000;
    let sorted = |kind, step| {
        let numbers = (0..ACCOUNTS).step_by(step);
        let mut keys: Vec<[u8; 32]> = numbers.map(|number| pseudonym(kind, number)).collect();
        keys.sort_unstable();
        keys
    };
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(QUOTA).unwrap();
        for account in sorted(1, 1) {
            let mut row = [0; 32];
            row[..8].copy_from_slice(&level.to_be_bytes());
            row[8..16].copy_from_slice(&level.to_be_bytes());
            row[16..24].copy_from_slice(&1_u64.to_be_bytes());
            row[24..28].copy_from_slice(&16_u32.to_be_bytes());
            table.insert(account.as_slice(), row.as_slice()).unwrap();
            let request = [account.as_slice(), &account[..24]].concat();
            let when = (NOW * 1_000_000).to_be_bytes();
            table.insert(request.as_slice(), when.as_slice()).unwrap();
        }
        let mut table = transaction.open_table(NETWORKS).unwrap();
        for network in sorted(2, 2) {
            table.insert(network, level).unwrap();
        }
    }
    transaction.commit().unwrap();
}

struct Outcome {
    rate: f64,
    median: Duration,
    p99: Duration,
}

/// A request of one of `accounts` accounts, half of which are young.
fn charge(number: u64, serial: u64) -> Charge {
    let young = number.is_multiple_of(2);
    let age = if young { 3_600 } else { 100 * 86_400 };
    Charge {
        account: AccountKey::new(pseudonym(1, number)),
        scope: Scope::Discover,
        account_created: Timestamp::from_secs(NOW - age),
        origin: Origin::V6 {
            net64: NetworkKey::new(pseudonym(2, number)),
            net48: NetworkKey::new(pseudonym(3, number / 16)),
            net32: NetworkKey::new(pseudonym(4, number / 4_096)),
        },
        elements: NonZeroU32::new(16).unwrap(),
        request_digest: pseudonym(5, serial),
        epoch: Epoch::new(1),
        // Ten seconds between two requests: what the request rate gives back.
        at: Timestamp::from_secs(NOW + 3_600 + serial / AT_ONCE * 10),
    }
}

/// Has all accounts ask, as fast as they can or once in `pace`.
fn measure(
    runtime: &tokio::runtime::Runtime,
    store: RedbStore,
    accounts: u64,
    rounds: Range<u64>,
    pace: Option<Duration>,
) -> Outcome {
    let mut policy = Policy::default();
    policy.young.floor_per_day = 100_000_000;
    policy.service.floor_per_day = 100_000_000;
    let quota = Arc::new(Quota::new(policy, store).unwrap());
    let begun = Instant::now();
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|task| {
            let quota = Arc::clone(&quota);
            let rounds = rounds.clone();
            runtime.spawn(async move {
                let mut random = StdRng::seed_from_u64(task);
                let mut took = Vec::new();
                let mut due = begun + pace.unwrap_or_default() * task as u32 / AT_ONCE as u32;
                for round in rounds {
                    let mut asked = Instant::now();
                    if let Some(pace) = pace {
                        tokio::time::sleep_until(due.into()).await;
                        // Whoever couldn't ask in time, because the answer before was late, has waited since then.
                        asked = due;
                        due += pace;
                    }
                    let number = random.random_range(0..accounts);
                    let charge = charge(number, round * AT_ONCE + task);
                    let decision = quota.admit(charge).await;
                    took.push(asked.elapsed());
                    decision.unwrap();
                }
                took
            })
        })
        .collect();
    let mut took: Vec<Duration> = runtime.block_on(async {
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        all
    });
    let whole = begun.elapsed();
    took.sort_unstable();
    Outcome {
        rate: took.len() as f64 / whole.as_secs_f64(),
        median: took[took.len() / 2],
        p99: took[took.len() * 99 / 100],
    }
}

fn main() {
    // `cargo test --benches` runs this too, to see that it compiles.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let folder = match std::env::var_os("BLINDBOOK_BENCH_FOLDER") {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    println!("{AT_ONCE} accounts at once, {EACH} decisions of each, all limits, durable");
    println!(
        "| rows | decisions a second | median ms | p99 ms | median ms at 5,000 a second | p99 ms |"
    );
    println!("|---:|---:|---:|---:|---:|---:|");
    let mut rates = Vec::new();
    for (name, rows) in [("small", 0), ("large", ROWS)] {
        let path = folder.path().join(name);
        if rows > 0 {
            fill(&path);
        }
        let accounts = if rows > 0 { ACCOUNTS } else { FEW };
        let open = || RedbStore::open(&path).unwrap();
        let outcome = measure(&runtime, open(), accounts, 0..EACH, None);
        let paced = measure(&runtime, open(), accounts, EACH..EACH + PACED, Some(PACE));
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        println!(
            "| {rows} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} |",
            outcome.rate,
            ms(outcome.median),
            ms(outcome.p99),
            ms(paced.median),
            ms(paced.p99)
        );
        rates.push(outcome.rate);
    }
    println!("slower by a factor of {:.2}", rates[0] / rates[1]);
}
