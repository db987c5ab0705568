//! What a policy bounds: the most that anybody can have evaluated, by arithmetic alone.
//!
//! ```text
//! N accounts, D days; an account is young for Y days
//!
//! account(D)  = capacity + refill * D                      of one account, however old
//! new(D)      = capacity after D days + refill * D         of one that is made in these days
//! day(k)      = a day's limit in week k, if the baseline grew all the time as fast as it may
//! total       = sum of day(k) over D + 1 days              D days begin and end in the middle of one
//!
//! of old accounts:  min(N * account(D), total of the service, key budget)
//! of new accounts:  min(N * new(D), total of the service, key budget, young + old)
//!                   young = total of the young accounts
//!                   old   = N * account(D - Y), or nothing if they don't grow old in D days
//! ```
//!
//! Every element is charged to an account, to the service and, while the account is young, to all young accounts; each of the
//! numbers bounds one of these sums, so the least of them bounds what was evaluated. It counts honest people's elements as the
//! attacker's: nobody reaches it.

use super::Policy;
use crate::server::{
    Timestamp,
    quota::{DAY, MeterRule},
};

/// Who tries to learn something, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attack {
    /// How many accounts it has.
    pub accounts: u64,
    /// For how many days it goes on.
    pub days: u32,
    /// Whether the accounts are made for it, on its first day or later. Otherwise they may be of any age.
    pub new_accounts: bool,
}

/// What is usual when an attack begins: the highest baselines of the four weeks before.
///
/// None at all is right for a service that hasn't outgrown the floors of its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usual {
    /// Elements a day of all young accounts.
    pub young_per_day: u64,
    /// Elements a day of everybody.
    pub service_per_day: u64,
}

impl Policy {
    /// The most elements that one account, however old, can have evaluated in any `days` days.
    ///
    /// Exact, as far as the account's own limit goes: an account that keeps asking reaches it. The same bytes again, which tell
    /// nothing new, don't count.
    #[must_use]
    pub fn most_elements(&self, days: u32) -> u64 {
        let micros = u64::from(days) * DAY;
        let limit = self.account.elements_limit(Timestamp::from_micros(0));
        u64::from(self.account.capacity) + limit.refilled_in(micros)
    }

    /// The most elements that an account can have evaluated in its first `days` days. Exact likewise.
    #[must_use]
    pub fn most_elements_of_new_account(&self, days: u32) -> u64 {
        let micros = u64::from(days) * DAY;
        let limit = self.account.elements_limit(Timestamp::from_micros(0));
        u64::from(limit.capacity_at(Timestamp::from_micros(micros))) + limit.refilled_in(micros)
    }

    /// The most elements that all accounts together can have evaluated in any `days` days.
    #[must_use]
    pub fn most_elements_of_service(&self, days: u32, usual: &Usual) -> u64 {
        most_in(&self.service.rule(), days, usual.service_per_day).min(self.key.refuse)
    }

    /// The most elements that an attack can have evaluated, so the most numbers about which it learns anything.
    ///
    /// The least of: what the accounts' buckets give, what all accounts share, and, for new accounts, what all young
    /// accounts share plus what the accounts' buckets give once they are old. It counts honest people's elements as the
    /// attacker's, so nobody reaches it.
    #[must_use]
    pub fn most_learned(&self, attack: &Attack, usual: &Usual) -> u64 {
        let of = |each: u64| each.saturating_mul(attack.accounts);
        let service = self.most_elements_of_service(attack.days, usual);
        if !attack.new_accounts {
            return of(self.most_elements(attack.days)).min(service);
        }
        let young = most_in(&self.young.rule(), attack.days, usual.young_per_day);
        let old = match attack.days.checked_sub(self.young.days) {
            Some(days) => of(self.most_elements(days)),
            None => 0,
        };
        of(self.most_elements_of_new_account(attack.days))
            .min(service)
            .min(young.saturating_add(old))
    }
}

/// The sum of the limits of the days that any `days` days touch.
fn most_in(rule: &MeterRule, days: u32, usual: u64) -> u64 {
    let mut sum = 0_u64;
    let mut baseline = usual;
    for day in 0..=days {
        // The first week's baselines grow from those of the week before.
        if day % 7 == 0 {
            baseline = rule.highest_after(baseline);
        }
        sum = sum.saturating_add(rule.limit(baseline));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 505_730_000;

    #[test]
    fn a_hundred_accounts_in_25_days_learn_less_than_the_policy_promises() {
        for new_accounts in [true, false] {
            let attack = Attack {
                accounts: 100,
                days: 25,
                new_accounts,
            };
            let learned = Policy::default().most_learned(&attack, &Usual::default());
            assert_eq!(learned, 752_000);
            assert!(learned * 100_000 < US * 150);
        }
    }

    #[test]
    fn an_army_is_bounded_by_what_all_share() {
        let policy = Policy::default();
        let army = |days, new_accounts| {
            let attack = Attack {
                accounts: 1_000_000_000,
                days,
                new_accounts,
            };
            policy.most_learned(&attack, &Usual::default())
        };
        // Baselines are whole elements, rounded down.
        let assert_just_below = |bound: u64, exact: u64| {
            assert!((exact - 20..=exact).contains(&bound), "{bound} and {exact}");
        };
        // Two days of the first week.
        assert_just_below(army(1, true), 2 * 1_100_000);
        assert_just_below(army(1, false), 2 * 2_200_000);
        // Eight days: the last one is of the second week.
        assert_just_below(army(7, true), 7 * 1_100_000 + 1_210_000);
        // Two weeks later they are old, and it is the service's limit that holds.
        assert_eq!(army(14, true), army(14, false));
    }

    #[test]
    fn what_is_usual_counts() {
        let usual = Usual {
            young_per_day: 10_000_000,
            service_per_day: 100_000_000,
        };
        let attack = Attack {
            accounts: 1_000_000_000,
            days: 1,
            new_accounts: true,
        };
        let learned = Policy::default().most_learned(&attack, &usual);
        assert_eq!(learned, 2 * 16_500_000);
    }
}
