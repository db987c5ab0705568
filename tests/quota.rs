//! The quota against a token bucket that is written down as one would explain it, in exact fractions; and against
//! what the policy says that it buys.

#[path = "support/ledger.rs"]
#[allow(unused, reason = "only sealing is wanted")]
mod ledger;
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
        quota::{AccountKey, AdmitError, Charge, NetworkKey, Origin, Quota, RefusalReason, Scope},
    },
    store::{MemoryStore, Store},
};
use proptest::{
    collection::vec,
    prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest},
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
    networks: BTreeMap<u8, Bucket>,
    young: Days,
    service: Days,
    charged: HashMap<(u8, u8, u32), u64>,
    evaluations: u64,
}

/// What was charged on each day, and the baseline that it began with.
#[derive(Default)]
struct Days(BTreeMap<u64, (u64, u64)>);

impl Days {
    /// Adds to a day, if its limit allows that, as the documentation of the meters draws it.
    fn allow(&self, today: u64, rule: (u64, u32, u32), count: u32) -> Option<(u64, u64)> {
        let (floor, percent, growth) = (rule.0, u64::from(rule.1), u64::from(rule.2));
        let month = || self.0.range(today.saturating_sub(28)..today);
        let (charged, baseline) = self.0.get(&today).copied().unwrap_or_else(|| {
            let usual = month().map(|(_, (charged, _))| *charged).max();
            let week_ago = month().rfind(|(day, _)| **day + 7 <= today);
            let earlier = week_ago.map_or(0, |(_, (_, baseline))| *baseline);
            let most = earlier.max(floor * 100 / percent) * (100 + growth) / 100;
            (0, usual.unwrap_or(0).min(most))
        });
        let charged = charged + u64::from(count);
        let limit = floor.max(baseline * percent / 100);
        (charged <= limit).then_some((charged, baseline))
    }
}

/// Where the accounts are: one nobody knows where, one in an IPv4 network, the others in one house.
fn origin(account: u8) -> Origin {
    let network = |number| NetworkKey::new([number; 32]);
    match account {
        0 => Origin::Unknown,
        1 => Origin::V4 { net24: network(1) },
        _ => Origin::V6 {
            net64: network(2),
            net48: network(3),
            net32: network(4),
        },
    }
}

fn networks(policy: &Policy, account: u8) -> Vec<(u8, u32)> {
    let limits = &policy.network;
    match account {
        0 | 1 => vec![(account, limits.ipv4_24_per_day)],
        _ => vec![
            (2, limits.ipv6_64_per_day),
            (3, limits.ipv6_48_per_day),
            (4, limits.ipv6_32_per_day),
        ],
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Admitted { replayed: bool, left: u32 },
    Refused(RefusalReason),
}

impl Model {
    fn charge(&mut self, account: u8, digest: u8, count: u32, at: u64) -> Outcome {
        use RefusalReason::{
            ClockJumpedAhead, ClockWentBack, Elements, KeyBudget, NetworkElements, RequestRate,
            RequestTooLarge, ServiceElements, YoungElements,
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
        let mut after = *elements;
        if !after.take(count, capacity, each) {
            return Outcome::Refused(Elements);
        }
        let is_young = now < self.created + u64::from(self.policy.young.days) * DAY;
        let mut drawn = Vec::new();
        for (network, per_day) in networks(&self.policy, account)
            .into_iter()
            .filter(|_| is_young)
        {
            let mut bucket = self.networks.get(&network).copied().unwrap_or_default();
            bucket.refill(now);
            let each = u128::from(DAY.div_ceil(u64::from(per_day)));
            if !bucket.take(count, u128::from(per_day), each) {
                return Outcome::Refused(NetworkElements);
            }
            drawn.push((network, bucket));
        }
        let (young, service) = (&self.policy.young, &self.policy.service);
        let rule = (
            young.floor_per_day,
            young.percent_of_baseline,
            young.growth_percent_per_week,
        );
        let young = self.young.allow(now / DAY, rule, count);
        if is_young && young.is_none() {
            return Outcome::Refused(YoungElements);
        }
        let rule = (
            service.floor_per_day,
            service.percent_of_baseline,
            service.growth_percent_per_week,
        );
        let Some(everybody) = self.service.allow(now / DAY, rule, count) else {
            return Outcome::Refused(ServiceElements);
        };
        *elements = after;
        self.networks.extend(drawn);
        self.young
            .0
            .extend(young.filter(|_| is_young).map(|row| (now / DAY, row)));
        self.service.0.insert(now / DAY, everybody);
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
    /// The hourly sweep: nobody may notice.
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let count = prop_oneof![Just(16_u32), Just(64), Just(256), Just(1_024), 1_u32..1_500];
    let charge = (0_u8..4, 0_u8..8, count).prop_map(|(account, digest, count)| Step::Charge {
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
        1 => Just(Step::Sweep),
    ]
}

/// Limits that accounts share, small enough to be met, or so large that they never are.
#[derive(Debug, Clone)]
struct Sharing {
    networks: [u32; 4],
    floors: [u64; 2],
    percents: [u32; 2],
    growth: [u32; 2],
    young_days: u32,
}

impl Sharing {
    fn apply(&self, policy: &mut Policy) {
        let [net64, net48, net32, net24] = self.networks;
        policy.network.ipv6_64_per_day = 1_024 + net64;
        policy.network.ipv6_48_per_day = 1_024 + net64 + net48;
        policy.network.ipv6_32_per_day = 1_024 + net64 + net48 + net32;
        policy.network.ipv4_24_per_day = 1_024 + net24;
        policy.young.days = self.young_days;
        let [young, more] = self.floors;
        policy.young.floor_per_day = 1_024 + young;
        policy.service.floor_per_day = 1_024 + young + more;
        [
            policy.young.percent_of_baseline,
            policy.service.percent_of_baseline,
        ] = self.percents;
        [
            policy.young.growth_percent_per_week,
            policy.service.growth_percent_per_week,
        ] = self.growth;
    }
}

fn shares() -> impl Strategy<Value = Sharing> {
    let network = || prop_oneof![0_u32..3_000, Just(1_000_000)];
    let floor = || prop_oneof![0_u64..4_000, Just(100_000_000)];
    let percent = || 100_u32..=1_000;
    let growth = || 0_u32..=100;
    (
        [network(), network(), network(), network()],
        [floor(), floor()],
        [percent(), percent()],
        [growth(), growth()],
        0_u32..30,
    )
        .prop_map(|(networks, floors, percents, growth, young_days)| Sharing {
            networks,
            floors,
            percents,
            growth,
            young_days,
        })
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
        shares(),
    )
        .prop_map(
            |((initial, more, days, refill, burst, rate), hours, budget, shares)| {
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
                shares.apply(&mut policy);
                policy.validate().unwrap();
                policy
            },
        )
}

/// A debit as a test sees it: who, when by the clock that was believed, how many elements.
type Debits = Vec<(u8, u64, u32)>;

/// Runs the steps on a store and on the model; both say the same at every one. Returns what was debited.
fn agree<S: Store>(
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
        networks: BTreeMap::new(),
        young: Days::default(),
        service: Days::default(),
        charged: HashMap::new(),
        evaluations: 0,
    };
    let mut clock = BEGINNING;
    let mut debits = Vec::new();
    for step in steps {
        match *step {
            Step::Clock(by) => clock = clock.saturating_add_signed(by),
            Step::Restart => store = restart(store),
            Step::Sweep => sweep(&store, clock),
            Step::Charge {
                account,
                digest,
                count,
            } => {
                let quota = Quota::new(policy.clone(), &store).unwrap();
                now(ledger::seal(&store, Timestamp::from_micros(clock)));
                let outcome = match now(quota.admit(Charge {
                    account: AccountKey::new([account; 32]),
                    scope: Scope::Discover,
                    account_created: Timestamp::from_micros(BEGINNING),
                    origin: origin(account),
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

/// As once an hour, in pages that are too small.
fn sweep(store: &impl Store, clock: u64) {
    let mut after = None;
    loop {
        let page = now(store.sweep(Timestamp::from_micros(clock), after, 2)).unwrap();
        after = page.last;
        if after.is_none() {
            break;
        }
    }
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
        let ask = |digest: u8, count: u32, at: u64| {
            now(ledger::seal(&store, Timestamp::from_micros(at)));
            now(quota.admit(Charge {
            account: AccountKey::new([1; 32]),
            scope: Scope::Discover,
            account_created: Timestamp::from_micros(BEGINNING),
            origin: Origin::Unknown,
            elements: NonZeroU32::new(count).unwrap(),
            request_digest: [digest; 32],
            epoch: EPOCH,
            at: Timestamp::from_micros(at),
            }))
        };
        for (digest, &count) in drawn.iter().enumerate() {
            let _drawn_or_not = ask(digest as u8, count, BEGINNING);
        }
        if let Err(AdmitError::Refused(refusal)) = ask(100, wanted, BEGINNING)
            && matches!(
                refusal.reason,
                RefusalReason::Elements
                    | RefusalReason::NetworkElements
                    | RefusalReason::YoungElements
                    | RefusalReason::ServiceElements
            )
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
    use blindbook::store::RedbStore;
    use proptest::prelude::prop_assert_eq;

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
