//! Detection against days that are written down, honest and otherwise.

use alloc::{collections::BTreeMap, vec::Vec};
use core::convert::Infallible;

use super::*;
use crate::{
    oprf::Epoch,
    server::{
        Timestamp,
        quota::{
            AccountKey, AccountKind, Activity, Bucket, ChargeRows, Claim, Day, DayRow, Hour, Meter,
            NetworkActivity, NetworkKey, ReplayKey, Suspect,
        },
    },
};

const REFILL: u32 = 96;
const FIRST_DAY: u32 = 20_000;

#[derive(Default)]
struct Rows {
    watched: BTreeMap<AccountKey, Watched>,
    networks: BTreeMap<NetworkKey, NetworkUsual>,
    days: BTreeMap<(Meter, Day), DayRow>,
}

type Answer<T> = Result<T, Infallible>;

/// Of the rows of charges only the days are touched.
impl ChargeRows for Rows {
    type Error = Infallible;

    fn oldest_open(&mut self) -> Result<Option<Hour>, Infallible> {
        Ok(None)
    }

    fn latest(&mut self) -> Answer<Option<Timestamp>> {
        unreachable!()
    }
    fn lost_until(&mut self) -> Result<Option<Timestamp>, Infallible> {
        Ok(None)
    }

    fn level(&mut self, _: &Bucket) -> Answer<Option<Timestamp>> {
        unreachable!()
    }
    fn charged(&mut self, _: &ReplayKey, _: Timestamp) -> Answer<Option<Timestamp>> {
        unreachable!()
    }
    fn evaluations(&mut self, _: Epoch) -> Answer<u64> {
        unreachable!()
    }
    fn suspended(&mut self, _: &Suspect) -> Answer<Option<Timestamp>> {
        unreachable!()
    }
    fn day(&mut self, meter: Meter, day: Day) -> Answer<Option<DayRow>> {
        Ok(self.days.get(&(meter, day)).copied())
    }
    fn activity(&mut self, _: Hour, _: &AccountKey) -> Answer<Option<Activity>> {
        unreachable!()
    }
    fn network_activity(&mut self, _: Hour, _: &NetworkKey) -> Answer<Option<NetworkActivity>> {
        unreachable!()
    }
    fn claim(&mut self, _: &AccountKey) -> Answer<Option<Claim>> {
        unreachable!()
    }
    fn set_claim(&mut self, _: &AccountKey, _: Claim) -> Answer<()> {
        unreachable!()
    }
    fn set_latest(&mut self, _: Timestamp) -> Answer<()> {
        unreachable!()
    }
    fn set_level(&mut self, _: &Bucket, _: Timestamp) -> Answer<()> {
        unreachable!()
    }
    fn set_charged(&mut self, _: &ReplayKey, _: Timestamp) -> Answer<()> {
        unreachable!()
    }
    fn set_evaluations(&mut self, _: Epoch, _: u64) -> Answer<()> {
        unreachable!()
    }
    fn set_day(&mut self, meter: Meter, day: Day, row: DayRow) -> Answer<()> {
        self.days.insert((meter, day), row);
        Ok(())
    }
    fn set_activity(&mut self, _: Hour, _: &AccountKey, _: Activity) -> Answer<()> {
        unreachable!()
    }
    fn set_network_activity(&mut self, _: Hour, _: &NetworkKey, _: NetworkActivity) -> Answer<()> {
        unreachable!()
    }
}

impl DetectRows for Rows {
    fn watched(&mut self, account: &AccountKey, _: Day) -> Answer<Option<Watched>> {
        Ok(self.watched.get(account).copied())
    }
    fn network_usual(&mut self, network: &NetworkKey, _: Day) -> Answer<Option<NetworkUsual>> {
        Ok(self.networks.get(network).copied())
    }
    fn set_watched(&mut self, account: &AccountKey, _: Day, row: Watched) -> Answer<()> {
        let row = Watched::decode(&row.encode()).unwrap();
        self.watched.insert(*account, row);
        Ok(())
    }
    fn set_network_usual(&mut self, network: &NetworkKey, _: Day, row: NetworkUsual) -> Answer<()> {
        let row = NetworkUsual::decode(&row.encode()).unwrap();
        self.networks.insert(*network, row);
        Ok(())
    }
}

fn account(number: u32) -> AccountKey {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    AccountKey::new(key)
}

fn active(kind: AccountKind, elements: u64, emptied: bool) -> Activity {
    Activity {
        requests: 1,
        elements,
        emptied,
        ..Activity::none(kind)
    }
}

impl Rows {
    fn see(&mut self, day: u32, hour: u32, page: &[(AccountKey, Activity)]) -> Vec<Signal> {
        let hour = Hour::new((FIRST_DAY + day) * 24 + hour);
        let rules = DetectRules {
            saturated_days: 10,
            ..DetectRules::default()
        };
        accounts(self, &rules, REFILL, hour, page).unwrap()
    }

    /// One account's elements on a day, in one hour of it.
    fn one(&mut self, day: u32, elements: u64) -> Vec<Signal> {
        self.see(
            day,
            day % 24,
            &[(account(1), active(AccountKind::Old, elements, false))],
        )
    }

    fn crowd(&mut self, hour: u32, accounts: u32) -> Vec<Signal> {
        let activity = NetworkActivity {
            young_accounts: accounts,
            young_elements: u64::from(accounts) * 16,
        };
        let page = [(NetworkKey::new([7; 32]), activity)];
        let hour = Hour::new(FIRST_DAY * 24 + hour);
        networks(self, &DetectRules::default(), hour, &page).unwrap()
    }
}

#[test]
fn an_account_that_uses_all_that_it_gets_is_seen_on_the_tenth_day_and_once() {
    let mut rows = Rows::default();
    for day in 0..40 {
        let signals = rows.one(day, 96);
        let due = matches!(day, 9 | 23 | 37);
        assert_eq!(signals.len(), usize::from(due), "day {day}");
    }
}

#[test]
fn days_off_are_counted_and_not_started_over_from() {
    let mut rows = Rows::default();
    let mut first = None;
    for day in 0..28 {
        // Five days of seven.
        if day % 7 < 5 && !rows.one(day, 80).is_empty() {
            first = first.or(Some(day));
        }
    }
    assert_eq!(first, Some(11));
    // Four of seven escape: so an army pays with more accounts.
    let mut rows = Rows::default();
    assert!((0..100).all(|day| day % 7 >= 4 || rows.one(day, 96).is_empty()));
}

#[test]
fn an_address_book_that_is_looked_up_and_kept_up_to_date_is_no_signal() {
    let mut rows = Rows::default();
    for day in 0..60 {
        let elements = match day {
            0 => 1_024,
            1..9 => 96,
            _ => 16,
        };
        assert_eq!(rows.one(day, elements), []);
    }
    // The same every other week, as with a new phone.
    assert_eq!(rows.one(200, 1_024), []);
}

#[test]
fn hours_of_one_day_are_added_up() {
    let mut rows = Rows::default();
    let mut seen = Vec::new();
    for day in 0..10 {
        for hour in 0..24 {
            let page = [(account(1), active(AccountKind::Young, 4, hour == 3))];
            seen.extend(rows.see(day, hour, &page));
        }
    }
    assert_eq!(seen.len(), 1);
    let Subject::SaturatedAccount { days, emptied, .. } = seen[0].subject else {
        panic!("{:?}", seen[0]);
    };
    assert_eq!((days, emptied), (10, true));
    assert_eq!(seen[0].suspect(), Some(Suspect::Account(account(1))));
}

#[test]
fn registrars_and_requests_that_cost_nothing_are_not_looked_at() {
    let mut rows = Rows::default();
    for day in 0..30 {
        let registrar = (account(1), active(AccountKind::Registrar, 1_000_000, true));
        let nothing = (account(2), active(AccountKind::Young, 0, false));
        assert_eq!(rows.see(day, 0, &[registrar, nothing]), []);
    }
    assert!(rows.watched.is_empty() && rows.days.is_empty());
}

#[test]
fn young_accounts_that_begin_together_in_one_network_are_seen_at_once() {
    let mut rows = Rows::default();
    assert_eq!(rows.crowd(0, 19), []);
    let signals = rows.crowd(1, 100);
    let [
        Signal {
            subject:
                Subject::YoungCluster {
                    accounts: 100,
                    usual: 0,
                    ..
                },
            ..
        },
    ] = signals[..]
    else {
        panic!("{signals:?}");
    };
    assert_eq!(
        signals[0].suspect(),
        Some(Suspect::Network(NetworkKey::new([7; 32])))
    );
    // Not again for a day.
    assert!((2..25).all(|hour| rows.crowd(hour, 100).is_empty()));
    assert_eq!(rows.crowd(25, 100).len(), 1);
}

/// The service had told them all to come back at midnight, and then took the phones of a provider for somebody who makes accounts.
#[test]
fn phones_that_were_turned_away_and_come_back_at_midnight_are_no_cluster() {
    for (refused, seen) in [(0, 1), (85, 0)] {
        let mut rows = Rows::default();
        let turned_away = Activity {
            refused: 1,
            ..active(AccountKind::Young, 0, false)
        };
        let page: Vec<_> = (0..refused)
            .map(|one| (account(one), turned_away))
            .collect();
        assert_eq!(rows.see(0, 15, &page), []);
        assert_eq!(rows.crowd(24, 100).len(), seen);
        // More than there were, and at any other time: as ever.
        assert_eq!(rows.crowd(25, 100).len(), 1 - seen);
        assert_eq!(rows.crowd(72, 200).len(), 1);
    }
}

#[test]
fn in_its_first_week_a_service_has_nothing_that_is_usual() {
    let mut rows = Rows::default();
    for (day, people, seen) in [(0, 400, 0), (1, 800, 0), (6, 2_800, 0), (7, 6_000, 2)] {
        let signals = day_of(&mut rows, day, people, 256);
        assert_eq!(signals.len(), seen, "day {day}");
    }
}

#[test]
fn a_network_that_is_always_crowded_is_left_alone_after_a_week_and_seen_when_it_is_not_as_always() {
    let mut rows = Rows::default();
    let mut last = 0;
    for hour in 0..24 * 28 {
        if !rows.crowd(hour, 60).is_empty() {
            last = hour;
        }
    }
    assert!(last < 24 * 7, "{last}");
    assert_eq!(rows.crowd(24 * 28, 300).len(), 1);
    // Who stays away for two weeks is new again.
    assert_eq!(rows.crowd(24 * 60, 60).len(), 1);
}

#[test]
fn one_large_hour_does_not_make_the_next_one_usual() {
    let mut rows = Rows::default();
    assert_eq!(rows.crowd(0, 1_000).len(), 1);
    assert_eq!(rows.crowd(24, 1_000).len(), 1);
}

/// A day in which so many accounts look up so much, spread over its hours.
fn day_of(rows: &mut Rows, day: u32, people: u32, elements: u64) -> Vec<Signal> {
    let mut seen = Vec::new();
    for hour in 0..24 {
        let page: Vec<_> = (0..people)
            .filter(|number| number % 24 == hour)
            // Others every day.
            .map(|number| {
                let who = account(day * 100_000 + number);
                (who, active(AccountKind::Young, elements, elements >= 1_000))
            })
            .collect();
        seen.extend(rows.see(day, hour, &page));
    }
    seen
}

fn meters(signals: &[Signal]) -> Vec<Meter> {
    let meter = |signal: &Signal| match signal.subject {
        Subject::UnusualDay { meter, .. } => Some(meter),
        _ => None,
    };
    signals.iter().filter_map(meter).collect()
}

#[test]
fn a_day_that_exceeds_four_weeks_by_half_is_seen_while_it_lasts_and_once() {
    let mut rows = Rows::default();
    for day in 0..28 {
        assert_eq!(day_of(&mut rows, day, 400 + day % 3, 256), []);
    }
    let signals = day_of(&mut rows, 28, 650, 256);
    assert_eq!(meters(&signals), [Meter::SeenYoung, Meter::SeenService]);
    assert!(signals.iter().all(|signal| signal.suspect().is_none()));
}

#[test]
fn emptied_buckets_are_counted_for_themselves() {
    let mut rows = Rows::default();
    for day in 0..28 {
        assert_eq!(day_of(&mut rows, day, 2_000, 64), []);
    }
    for day in 28..30 {
        assert_eq!(day_of(&mut rows, day, 120, 1_024), []);
    }
    // The elements of a day are no more than they were before by half.
    let signals = day_of(&mut rows, 30, 185, 1_024);
    assert_eq!(meters(&signals), [Meter::SeenEmptied]);
}

#[test]
fn what_is_usual_is_not_trained_up_from_one_day_to_the_next() {
    let mut rows = Rows::default();
    for day in 0..28 {
        day_of(&mut rows, day, 400, 256);
    }
    // Each day by less than half more than the busiest before.
    let mut people = 400;
    let mut first = None;
    for day in 28..42 {
        people += people / 3;
        if !day_of(&mut rows, day, people, 256).is_empty() {
            first = first.or(Some(day));
        }
    }
    // The first such day is no signal, and makes the second one no more usual than a week may.
    assert_eq!(first, Some(30));
}

#[test]
fn rules_that_tell_nothing_are_refused() {
    assert_eq!(DetectRules::default().validate(), Ok(()));
    for bad in [
        DetectRules {
            saturated_percent: 0,
            ..DetectRules::default()
        },
        DetectRules {
            saturated_days: 15,
            ..DetectRules::default()
        },
        DetectRules {
            cluster_accounts: 0,
            ..DetectRules::default()
        },
        DetectRules {
            cluster_percent: 99,
            ..DetectRules::default()
        },
        DetectRules {
            day_percent: 1_001,
            ..DetectRules::default()
        },
        DetectRules {
            growth_percent_per_week: 101,
            ..DetectRules::default()
        },
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
}

#[test]
fn signals_are_kept_and_read_back_and_nothing_else_is() {
    let all = [
        Subject::SaturatedAccount {
            account: account(7),
            days: 11,
            emptied: true,
        },
        Subject::YoungCluster {
            network: NetworkKey::new([9; 32]),
            accounts: 40,
            usual: 3,
        },
        Subject::UnusualDay {
            meter: Meter::SeenEmptied,
            counted: 1 << 40,
            usual: 5,
        },
        Subject::Canary {
            account: Some(account(8)),
        },
        Subject::Canary { account: None },
    ];
    for subject in all {
        let signal = Signal {
            hour: Hour::new(480_000),
            subject,
        };
        let bytes = signal.encode();
        assert_eq!(Signal::decode(&bytes), Some(signal));
        assert_eq!(Signal::decode(&bytes[1..]), None);
        assert_eq!(Signal::decode(&[&bytes[..], &[0]].concat()), None);
        for kind in [0, 5] {
            let mut other = bytes.clone();
            other[4] = kind;
            assert_eq!(Signal::decode(&other), None);
        }
    }
}
