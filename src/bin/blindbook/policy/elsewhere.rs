//! What is published about other services' limits, and what happened where there were none.

use blindbook::server::policy::{Policy, Usual};

use crate::text::count;

pub(crate) const SOURCES: &str = "\
new accounts: made for the attack. accounts of any age: old ones that were bought or stolen.
Signal: 50,000 contacts an account, then 6 an hour, as its contact discovery service is published. incremental: 20,000 in
10 days for each account (Hagen et al., NDSS 2021), beside 20,000 a day that tell of those who joined or left in these
10 days. Neither has a limit on all accounts together.";

/// Numbers that a person matched in 2019, in about two months.
const NUMBERS_2019: u64 = 2_000_000_000;
/// Accounts known after the enumeration of 2025.
const ACCOUNTS_2025: u64 = 3_500_000_000;

/// Signal's contact discovery: a bucket of 50,000, refilled with 6 an hour.
pub(crate) fn signal(accounts: u64, days: u32) -> u64 {
    accounts.saturating_mul(50_000 + 6 * 24 * u64::from(days))
}

/// The incremental contact discovery proposal: 20,000 in 10 days, against everybody.
pub(super) fn incremental(accounts: u64, days: u32) -> u64 {
    accounts.saturating_mul(20_000 * (u64::from(days) / 10 + 1))
}

/// The incidents, had they met this policy.
pub(super) fn incidents(policy: &Policy, usual: &Usual) -> Vec<String> {
    let service = policy.most_elements_of_service(60, usual);
    let each = policy.most_elements(60);
    let first = format!(
        "2019: one person uploaded 2 billion numbers in about two months and matched 17 million accounts. In 60 days, \
         {} here.",
        if service < NUMBERS_2019 {
            format!(
                "all accounts together have {} evaluated at most",
                count(service)
            )
        } else {
            format!("that takes {} accounts", count(NUMBERS_2019.div_ceil(each)))
        }
    );
    let first_day = 5 * policy.most_elements(1);
    let years = ACCOUNTS_2025.saturating_sub(5 * u64::from(policy.account.capacity))
        / (5 * 365 * u64::from(policy.account.refill_per_day));
    let second = format!(
        "2025: five accounts tried more than 100 million numbers an hour and found 3.5 billion accounts. Five accounts have {} \
         evaluated on the first day here, and 3.5 billion in {} years.",
        count(first_day),
        count(years)
    );
    vec![first, second]
}
