//! What the rows of detection promise, in every store.

use std::{fmt::Debug, vec::Vec};

use crate::server::{
    detect::{DetectRows, DetectRules, Signal, SignalRows, Subject, accounts, networks},
    quota::{AccountKey, AccountKind, Activity, Day, Hour, NetworkActivity, NetworkKey},
};

const DAY: u32 = 20_006;

fn account(number: u32) -> AccountKey {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    AccountKey::new(key)
}

/// So many accounts that look up a day's refill, on a day.
fn asked(day: u32, numbers: core::ops::Range<u32>) -> (Hour, Vec<(AccountKey, Activity)>) {
    let activity = Activity {
        elements: 96,
        ..Activity::none(AccountKind::Old)
    };
    let page = numbers.map(|number| (account(number), activity));
    (Hour::new((DAY + day) * 24), page.collect())
}

fn unusual(hour: u32) -> Signal {
    Signal {
        hour: Hour::new(hour),
        subject: Subject::Canary { account: None },
    }
}

pub(in crate::store) fn rows_are_kept_for_two_weeks_and_then_forgotten<R>(rows: &mut R)
where
    R: DetectRows<Error: Debug>,
{
    let rules = DetectRules::default();
    let mut signals = Vec::new();
    for day in 0..10 {
        let (hour, page) = asked(day, 0..3);
        signals.extend(accounts(rows, &rules, 96, hour, &page).unwrap());
    }
    let whom: Vec<_> = signals.iter().map(|signal| signal.suspect()).collect();
    assert_eq!(whom.len(), 3, "in both stretches: {whom:?}");
    let crowd = |day: u32| {
        let activity = NetworkActivity {
            young_accounts: 100,
            young_elements: 1_600,
        };
        let page = [(NetworkKey::new([7; 32]), activity)];
        (Hour::new((DAY + day) * 24), page)
    };
    let (hour, page) = crowd(9);
    assert_eq!(networks(rows, &rules, hour, &page).unwrap().len(), 1);

    let known = |rows: &mut R, day| {
        let today = Day::new(DAY + day);
        let account = rows.watched(&account(1), today).unwrap();
        let network = rows.network_usual(&NetworkKey::new([7; 32]), today);
        (account.is_some(), network.unwrap().is_some())
    };
    // Their last day is the tenth of 20,006 to 20,019: they are looked for until 20,033.
    for (day, kept) in [(9, true), (23, true), (9 + 28, false)] {
        assert_eq!(known(rows, day), (kept, kept), "day {day}");
    }
    // What isn't looked for any more goes when others come: here those of long ago.
    for day in [40, 41, 68, 69] {
        let (hour, page) = asked(day, 10..13);
        accounts(rows, &rules, 96, hour, &page).unwrap();
        let (hour, page) = crowd(day);
        networks(rows, &rules, hour, &page).unwrap();
    }
    assert_eq!(known(rows, 9), (false, false));
    assert_eq!(known(rows, 69), (false, true));
}

/// Keeps signals until the oldest have to go, one by one and by age.
pub(in crate::store) fn signals_are_numbered_and_the_oldest_go<R>(rows: &mut R)
where
    R: SignalRows<Error: Debug>,
{
    for number in 1..=R::KEPT + 10 {
        let kept = rows.keep_signal(&unusual(480_000)).unwrap();
        assert_eq!(kept, number);
    }
    for _ in 0..5 {
        rows.keep_signal(&unusual(480_000 + R::KEPT_HOURS + 1))
            .unwrap();
    }
}

/// After [`signals_are_numbered_and_the_oldest_go`].
pub(in crate::store) fn remaining(signals: &[(u64, Signal)]) {
    let most = 100_000;
    let numbers: Vec<u64> = signals.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.first(), Some(&(most + 15)));
    // Of the first hundred thousand and ten, ten had to go by their number, and twenty by their age.
    assert_eq!(numbers.last(), Some(&31));
    assert_eq!(numbers.len() as u64, most - 15);
}
