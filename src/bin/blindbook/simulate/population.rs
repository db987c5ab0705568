//! Honest people: how many contacts they have, when they join, what changes, and where they are.
//!
//! | assumption | |
//! |---|---|
//! | contacts | log-normal, median 180, deviation 1.0: mean 297, 4 % have more than 1,000. Surveys find means from 152 (Britain, 2011) to 652 (exports of address books); the tail is longer than theirs |
//! | joining | one in ten joins during the days that are simulated, evenly; the others are old accounts |
//! | changes | 15 % have a new number on a day; the app looks it up at some time of that day, not before the day after joining |
//! | a new phone | once in 1,000 days; the whole address book is looked up again |
//! | networks | six in ten behind one of 20,000 IPv4 /24, the fuller the lower its number; the others in an IPv6 /64 of their own, 16 to a /48, in one of 200 providers |

use blindbook::server::quota::Origin;

use super::{random::Random, rows};

/// Microseconds of a day.
pub(super) const DAY: u64 = 86_400_000_000;

const MEDIAN: f64 = 180.0;
const DEVIATION: f64 = 1.0;
const MOST: f64 = 20_000.0;
/// One in so many accounts joins in the simulated days.
const JOINING: u64 = 10;
const CHANGE: f64 = 0.15;
const NEW_PHONE: f64 = 0.001;
const BEHIND_IPV4: f64 = 0.6;
const IPV4_NETWORKS: f64 = 20_000.0;
const PROVIDERS: f64 = 200.0;
/// Numbers of networks: attackers have theirs above.
pub(super) const FIRST_FOREIGN_NETWORK: u64 = 8_000_000;
/// Contacts of those for whom the policy promises that they are never refused.
pub(super) const PROMISED: u16 = 1_000;

/// Somebody who has a phone and an account.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) contacts: u16,
    /// The day on which the account was made, counted from the first one; long before for most.
    pub(super) joins: i32,
    network: u32,
    behind_ipv4: bool,
    pub(super) refused: bool,
    /// Contacts that wait until the app may come back.
    pub(super) waiting: u32,
}

/// What a person's phone wants to look up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// Microseconds into the day.
    pub(super) at: u64,
    pub(super) person: u32,
    pub(super) contacts: u16,
}

/// Makes people, most of whom joined long ago.
pub(super) fn populate(count: u32, days: i32, before: i32, random: &mut Random) -> Vec<Person> {
    (0..count)
        .map(|_| {
            let contacts = (MEDIAN.ln() + DEVIATION * random.normal()).exp();
            let joins = if random.below(JOINING) == 0 {
                random.below((days + before).unsigned_abs().into()) as i32 - before
            } else {
                -before - 100 - random.below(1_000) as i32
            };
            let behind_ipv4 = random.unit() < BEHIND_IPV4;
            // The square makes some networks fuller than others.
            let crowd =
                |networks: f64, random: &mut Random| (networks * random.unit().powi(2)) as u32;
            let network = if behind_ipv4 {
                crowd(IPV4_NETWORKS, random)
            } else {
                crowd(PROVIDERS, random)
            };
            Person {
                contacts: contacts.clamp(1.0, MOST) as u16,
                joins,
                network,
                behind_ipv4,
                refused: false,
                waiting: 0,
            }
        })
        .collect()
}

/// What all phones want on a day, in the order of time.
pub(super) fn wishes(people: &[Person], day: i32, random: &mut Random) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for (number, person) in people.iter().enumerate() {
        let contacts = if person.joins == day {
            person.contacts
        } else if person.joins > day {
            continue;
        } else {
            let chance = random.unit();
            if chance < NEW_PHONE {
                person.contacts
            } else if chance < NEW_PHONE + CHANGE {
                1
            } else {
                continue;
            }
        };
        wishes.push(Wish {
            at: random.below(DAY),
            person: number as u32,
            contacts,
        });
    }
    wishes.sort_unstable_by_key(|wish| (wish.at, wish.person));
    wishes
}

/// Where a person is.
pub(super) fn origin(number: u32, person: &Person) -> Origin {
    let number = u64::from(number);
    let network = u64::from(person.network);
    if person.behind_ipv4 {
        return Origin::V4 {
            net24: rows::network(network),
        };
    }
    Origin::V6 {
        net64: rows::network(1_000_000 + number),
        net48: rows::network(5_000_000 + number / 16),
        net32: rows::network(100_000 + network),
    }
}

/// Elements of a request for so many contacts, as apps pad them.
pub(super) fn padded(contacts: u32) -> u32 {
    [16, 64, 256]
        .into_iter()
        .find(|size| contacts <= *size)
        .unwrap_or(1_024)
}
