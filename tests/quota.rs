//! The quota against a token bucket that is written down as one would explain it, in exact fractions; and against
//! what the policy says that it buys.

#[path = "support/roles.rs"]
#[allow(unused, reason = "only its executor is wanted")]
mod roles;

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    time::Duration,
};

use blindbook::{
    Timestamp,
    server::{
        policy::Policy,
        quota::{AccountKey, AdmitError, Charge, Quota, QuotaStore, RefusalReason, Scope},
    },
    store::{MemoryStore, StoreError},
};
use proptest::{
    collection::vec,
    prelude::{
        Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
    },
};
use roles::{EPOCH, now};

const DAY: u64 = 86_400_000_000;
const MINUTE: u64 = 60_000_000;
const YEARS: i64 = 10 * 365 * DAY as i64;
const BEGINNING: u64 = 1_800_000_000_000_000;

/// What is missing in a bucket, in elements times `interval`; a full one misses nothing.
#[derive(Clone, Copy, Default)]
struct Bucket {
    missing: u128,
    at: u64,
}

impl Bucket {
    /// Time goes on: in each `interval` microseconds one element comes back.
    fn refill(&mut self, now: u64) {
        self.missing = self.missing.saturating_sub(u128::from(now - self.at));
        self.at = now;
    }

    fn left(&self, capacity: u128, interval: u128) -> u128 {
        (capacity * interval).saturating_sub(self.missing)
    }

    fn take(&mut self, count: u32, capacity: u128, interval: u128) -> bool {
        let cost = u128::from(count) * interval;
        let affordable = self.left(capacity, interval) >= cost;
        if affordable {
            self.missing += cost;
        }
        affordable
    }
}

struct Model {
    policy: Policy,
    created: u64,
    latest: Option<u64>,
    elements: BTreeMap<u8, Bucket>,
    requests: BTreeMap<u8, Bucket>,
    charged: HashMap<(u8, u8, u32), u64>,
    evaluations: u64,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Admitted { replayed: bool, left: u32 },
    Refused(RefusalReason),
}

impl Model {
    fn charge(&mut self, account: u8, digest: u8, count: u32, at: u64) -> Outcome {
        use RefusalReason::{
            ClockJumpedAhead, ClockWentBack, Elements, KeyBudget, RequestRate, RequestTooLarge,
        };
        let limits = &self.policy.account;
        let latest = self.latest.unwrap_or(at);
        let back = u64::from(self.policy.clock.back_seconds) * 1_000_000;
        if at + back < latest {
            return Outcome::Refused(ClockWentBack);
        }
        if at > latest + u64::from(self.policy.clock.ahead_days) * DAY {
            return Outcome::Refused(ClockJumpedAhead);
        }
        let now = at.max(latest);

        let each = u128::from(MINUTE.div_ceil(u64::from(limits.requests_per_minute)));
        let requests = self.requests.entry(account).or_default();
        requests.refill(now);
        if !requests.take(1, u128::from(limits.request_burst), each) {
            return Outcome::Refused(RequestRate);
        }
        self.latest = Some(now);

        let each = u128::from(DAY.div_ceil(u64::from(limits.refill_per_day)));
        let growth = u128::from(limits.growth_days) * u128::from(DAY);
        let age = u128::from(now.saturating_sub(self.created));
        let capacity = if age >= growth {
            u128::from(limits.capacity)
        } else {
            let more = u128::from(limits.capacity - limits.initial_capacity);
            u128::from(limits.initial_capacity) + more * age / growth
        };
        let elements = self.elements.entry(account).or_default();
        elements.refill(now);
        let left = |bucket: &Bucket| u32::try_from(bucket.left(capacity, each) / each).unwrap();

        let window = u64::from(self.policy.replay.hours) * 3_600_000_000;
        let key = (account, digest, count);
        let replayed = self
            .charged
            .get(&key)
            .is_some_and(|then| now - then < window);
        if replayed {
            return Outcome::Admitted {
                replayed,
                left: left(elements),
            };
        }
        if count > limits.elements_per_request {
            let limit = limits.elements_per_request;
            return Outcome::Refused(RequestTooLarge { limit });
        }
        if self.evaluations + u64::from(count) > self.policy.key.refuse {
            return Outcome::Refused(KeyBudget);
        }
        if !elements.take(count, capacity, each) {
            return Outcome::Refused(Elements);
        }
        self.charged.insert(key, now);
        self.evaluations += u64::from(count);
        Outcome::Admitted {
            replayed,
            left: left(elements),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Microseconds that the clock goes, in either direction.
    Clock(i64),
    Charge {
        account: u8,
        digest: u8,
        count: u32,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let count = prop_oneof![Just(16_u32), Just(64), Just(256), Just(1_024), 1_u32..1_500];
    let charge = (0_u8..3, 0_u8..8, count).prop_map(|(account, digest, count)| Step::Charge {
        account,
        digest,
        count,
    });
    let short = (-400_000_000_i64..7_200_000_000).prop_map(Step::Clock);
    let long = (0_i64..40 * DAY as i64).prop_map(Step::Clock);
    let absurd = prop_oneof![Just(Step::Clock(-YEARS)), Just(Step::Clock(YEARS))];
    prop_oneof![
        12 => charge,
        4 => short,
        1 => long,
        1 => absurd,
        1 => Just(Step::Restart),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let limits = (
        1_u32..2_000,
        0_u32..3_000,
        0_u32..20,
        1_u32..5_000,
        1_u32..12,
        1_u32..100,
    );
    (
        limits,
        0_u32..=24,
        prop_oneof![Just(1 << 40), 1_u64..20_000],
    )
        .prop_map(
            |((initial, more, days, refill, burst, rate), hours, budget)| {
                let mut policy = Policy::default();
                policy.account.initial_capacity = initial;
                policy.account.capacity = initial + more;
                policy.account.growth_days = days;
                policy.account.refill_per_day = refill;
                policy.account.elements_per_request = 1_024.min(initial + more);
                policy.account.request_burst = burst;
                policy.account.requests_per_minute = rate;
                policy.replay.hours = hours;
                policy.key.refuse = budget;
                policy.key.warn = budget / 2;
                policy.validate().unwrap();
                policy
            },
        )
}

/// A debit as a test sees it: who, when by the clock that was believed, how many elements.
type Debits = Vec<(u8, u64, u32)>;

/// Runs the steps on a store and on the model; both say the same at every one. Returns what was debited.
fn agree<S: QuotaStore<Error = StoreError> + Sync>(
    policy: &Policy,
    steps: &[Step],
    mut store: S,
    restart: impl Fn(S) -> S,
) -> (Debits, S) {
    let mut model = Model {
        policy: policy.clone(),
        created: BEGINNING,
        latest: None,
        elements: BTreeMap::new(),
        requests: BTreeMap::new(),
        charged: HashMap::new(),
        evaluations: 0,
    };
    let mut clock = BEGINNING;
    let mut debits = Vec::new();
    for step in steps {
        match *step {
            Step::Clock(by) => clock = clock.saturating_add_signed(by),
            Step::Restart => store = restart(store),
            Step::Charge {
                account,
                digest,
                count,
            } => {
                let quota = Quota::new(policy.clone(), &store).unwrap();
                let outcome = match now(quota.admit(Charge {
                    account: AccountKey::new([account; 32]),
                    scope: Scope::Discover,
                    account_created: Timestamp::from_micros(BEGINNING),
                    elements: NonZeroU32::new(count).unwrap(),
                    request_digest: [digest; 32],
                    epoch: EPOCH,
                    at: Timestamp::from_micros(clock),
                })) {
                    Ok(admission) => Outcome::Admitted {
                        replayed: admission.receipt.replayed,
                        left: admission.receipt.status.remaining,
                    },
                    Err(AdmitError::Refused(refusal)) => Outcome::Refused(refusal.reason),
                    Err(other) => panic!("{other}"),
                };
                assert_eq!(outcome, model.charge(account, digest, count, clock));
                if let Outcome::Admitted {
                    replayed: false, ..
                } = outcome
                {
                    debits.push((account, model.latest.unwrap(), count));
                }
            }
        }
    }
    (debits, store)
}

/// In no window of so many days more than the policy says.
fn within_bounds(
    policy: &Policy,
    debits: &Debits,
) -> Result<(), proptest::test_runner::TestCaseError> {
    for (first, &(account, since, _)) in debits.iter().enumerate() {
        let mut sum = 0;
        for &(_, at, count) in debits[first..].iter().filter(|debit| debit.0 == account) {
            sum += u64::from(count);
            let days = u32::try_from((at - since).div_ceil(DAY)).unwrap();
            prop_assert!(sum <= policy.most_elements(days), "{sum} in {days} days");
            let age = u32::try_from(at.saturating_sub(BEGINNING).div_ceil(DAY)).unwrap();
            // A clock may have been before the account's time; then it isn't new for that long.
            prop_assert!(since < BEGINNING || sum <= policy.most_elements_of_new_account(age));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_charge_ends_as_a_token_bucket_would_end_it(
        policy in policy(),
        steps in vec(step(), 1..120),
    ) {
        let (debits, _) = agree(&policy, &steps, MemoryStore::new(), |store| store);
        within_bounds(&policy, &debits)?;
    }

    /// Somebody who does nothing but ask, as often and as much as possible, for weeks.
    #[test]
    fn who_asks_all_the_time_stays_within_the_bound(
        policy in policy(),
        pauses in vec(0_i64..2 * DAY as i64, 60),
        greed in any::<u8>(),
    ) {
        let counts = [1_024_u32, 256, 64, 16, 1];
        let steps: Vec<Step> = pauses
            .into_iter()
            .enumerate()
            .flat_map(|(round, pause)| {
                let charges = counts.iter().map(move |&count| Step::Charge {
                    account: 0,
                    digest: (round as u8).wrapping_mul(5).wrapping_add(greed),
                    count,
                });
                std::iter::once(Step::Clock(pause)).chain(charges)
            })
            .collect();
        let (debits, _) = agree(&policy, &steps, MemoryStore::new(), |store| store);
        within_bounds(&policy, &debits)?;
    }

    /// `Retry-After` is no guess: a moment earlier the same request is refused, and then it isn't.
    #[test]
    fn coming_back_when_told_succeeds_and_earlier_does_not(
        policy in policy(),
        drawn in vec(1_u32..1_024, 1..8),
        wanted in 1_u32..1_024,
    ) {
        let store = MemoryStore::new();
        let mut policy = policy;
        policy.key.refuse = 1 << 40;
        policy.account.request_burst = 1_000;
        let quota = Quota::new(policy, &store).unwrap();
        let ask = |digest: u8, count: u32, at: u64| now(quota.admit(Charge {
            account: AccountKey::new([1; 32]),
            scope: Scope::Discover,
            account_created: Timestamp::from_micros(BEGINNING),
            elements: NonZeroU32::new(count).unwrap(),
            request_digest: [digest; 32],
            epoch: EPOCH,
            at: Timestamp::from_micros(at),
        }));
        for (digest, &count) in drawn.iter().enumerate() {
            let _drawn_or_not = ask(digest as u8, count, BEGINNING);
        }
        if let Err(AdmitError::Refused(refusal)) = ask(100, wanted, BEGINNING)
            && refusal.reason == RefusalReason::Elements
            && let Some(wait) = refusal.retry_after
            && wait < Duration::from_secs(80 * 86_400)
        {
            let wait = u64::try_from(wait.as_micros()).unwrap();
            prop_assert!(ask(100, wanted, BEGINNING + wait - 1).is_err());
            prop_assert!(ask(100, wanted, BEGINNING + wait).is_ok());
        }
    }
}

#[cfg(feature = "store")]
mod durable {
    use blindbook::store::{RedbStore, Store};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 12,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn restarts_and_bad_clocks_give_nothing_back(
            policy in policy(),
            steps in vec(step(), 1..60),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store");
            let open = || RedbStore::open(&path).unwrap();
            let (debits, store) = agree(&policy, &steps, open(), |store| {
                drop(store);
                open()
            });
            within_bounds(&policy, &debits)?;
            drop(store);
            let answered: u64 = debits.iter().map(|debit| u64::from(debit.2)).sum();
            prop_assert_eq!(now(open().key_evaluations(EPOCH)).unwrap(), answered);
        }
    }
}
