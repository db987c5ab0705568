//! `simulate`: the real quota on a simulated clock, with honest people and an attacker.
//!
//! ```text
//! population --wishes--> \
//!                          world: charge(), and detection by the hour --> outcome --> report
//! attacker   --asks----> /
//! ```
//!
//! Everything follows from the seed: the same arguments give the same bytes.

mod attacker;
mod detected;
mod outcome;
mod population;
mod random;
mod report;
mod rows;
mod world;

use std::path::PathBuf;

use blindbook::server::{
    policy::{Attack, Policy, Usual},
    quota::Meter,
};

pub(crate) use self::{attacker::Strategy, outcome::Outcome};
use self::{
    attacker::{Army, Attacker},
    outcome::Tally,
    population::{DAY, populate, wishes},
    random::Random,
    world::{BEGINNING, World},
};
use crate::{
    failure::Failure,
    policy::{PolicyFile, Space, space},
};

/// Days without an attacker that come first, so that the service knows what is usual.
const BEFORE: i32 = 28;
/// Most honest people; the numbers of their networks end there.
const MOST_PEOPLE: u32 = 4_000_000;
/// Most accounts of an attacker.
const MOST_ACCOUNTS: u32 = 10_000_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    policy: PolicyFile,
    /// Accounts that the attacker has
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ACCOUNTS)))]
    accounts: u32,
    /// IPv4 /24 networks that the attacker's accounts are spread over [default: one for each account]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ACCOUNTS)))]
    networks: Option<u32>,
    /// The attacker's accounts are old ones, bought or stolen; otherwise it makes them
    #[arg(long)]
    old: bool,
    /// How the attacker goes about it
    #[arg(long, value_enum, default_value = "greedy")]
    strategy: Strategy,
    /// Days of the attack
    #[arg(long, value_name = "DAYS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=365))]
    days: u32,
    /// Honest accounts
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PEOPLE)))]
    honest: u32,
    /// The country whose mobile numbers are tried, by its two letters (ISO 3166-1)
    #[arg(long, value_name = "COUNTRY", default_value = "US")]
    country: String,
    /// Another seed is another town
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes a page with plots (HTML with SVG in it)
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What is simulated.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Scenario {
    pub(crate) accounts: u32,
    pub(crate) networks: u32,
    pub(crate) old: bool,
    pub(crate) strategy: Strategy,
    pub(crate) days: u32,
    pub(crate) honest: u32,
    pub(crate) seed: u64,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let policy = args.policy.read()?;
    let country = space(&args.country)?;
    let scenario = Scenario {
        accounts: args.accounts,
        networks: args.networks.unwrap_or(args.accounts),
        old: args.old,
        strategy: args.strategy,
        days: args.days,
        honest: args.honest,
        seed: args.seed,
    };
    let outcome = simulate(&policy, scenario, country);
    if let Some(path) = &args.report {
        std::fs::write(path, report::page(&outcome))
            .map_err(|error| Failure::file(path, &error))?;
    }
    Ok(outcome)
}

/// Plays a scenario.
pub(crate) fn simulate(policy: &Policy, scenario: Scenario, country: Space) -> Outcome {
    let mut random = Random::new(scenario.seed);
    let days = scenario.days as i32;
    let mut people = populate(scenario.honest, days, BEFORE, &mut random);
    let mut world = World::new(unlimited(policy));
    let mut tally = Tally::new(&people);
    for day in -BEFORE..0 {
        let wishes = wishes(&people, day, &mut random);
        tally.play(&mut world, &mut people, None, day, &wishes);
    }
    let usual = Usual {
        young_per_day: world.settle(Meter::Young),
        service_per_day: world.settle(Meter::Service),
    };
    tally.forget(&mut people);
    world.decree(policy.clone());
    let mut attacker = Attacker::new(Army {
        accounts: scenario.accounts,
        networks: scenario.networks,
        old: scenario.old,
        strategy: scenario.strategy,
        days: scenario.days,
        first: u64::from(scenario.honest),
    });
    for day in 0..days {
        let wishes = wishes(&people, day, &mut random);
        tally.play(&mut world, &mut people, Some(&mut attacker), day, &wishes);
    }
    let attack = Attack {
        accounts: u64::from(scenario.accounts),
        days: scenario.days,
        new_accounts: !scenario.old,
    };
    world.close();
    tally.heed(&mut world, people.len() as u64);
    let bound = policy.most_learned(&attack, &usual);
    tally.finish(scenario, country, &attacker, usual, bound)
}

/// The same policy for as long as the service gets to know what is usual: an operator raises the floors as it grows.
fn unlimited(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.young.floor_per_day = 1 << 40;
    policy.service.floor_per_day = 1 << 40;
    policy
}

/// When a day of the simulation begins.
fn begins(day: i32) -> u64 {
    BEGINNING.wrapping_add_signed(i64::from(day) * DAY as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{
        Just, ProptestConfig, Strategy as _, any, prop_assert, prop_oneof, proptest,
    };

    use super::*;

    fn us() -> Space {
        space("US").unwrap()
    }

    fn scenario(accounts: u32, days: u32, honest: u32) -> Scenario {
        Scenario {
            accounts,
            networks: accounts,
            old: false,
            strategy: Strategy::Greedy,
            days,
            honest,
            seed: 1,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let play = |seed| {
            let scenario = Scenario {
                seed,
                ..scenario(20, 5, 2_000)
            };
            let outcome = simulate(&Policy::default(), scenario, us());
            (outcome.to_string(), report::page(&outcome))
        };
        assert_eq!(play(1), play(1));
        assert_ne!(play(1), play(2));
    }

    /// A simulator that found nothing would prove nothing: whoever only asks comes close to what the accounts allow.
    #[test]
    fn a_greedy_attacker_comes_close_to_the_bound() {
        for old in [false, true] {
            let scenario = Scenario {
                old,
                ..scenario(100, 25, 1_000)
            };
            let outcome = simulate(&Policy::default(), scenario, us());
            assert_eq!(outcome.bound, 752_000);
            assert!(outcome.learned <= outcome.bound);
            assert!(
                outcome.learned * 100 > outcome.bound * 95,
                "{}",
                outcome.learned
            );
            assert_eq!(
                outcome.country.share(outcome.learned).len(),
                "0.149 %".len()
            );
        }
    }

    #[test]
    fn honest_people_are_hardly_ever_refused() {
        let outcome = simulate(&Policy::default(), scenario(100, 20, 50_000), us());
        let people = &outcome.up_to_1000_contacts;
        assert!(people.people > 45_000);
        assert!(people.ever_refused * 1_000 < people.people, "{people:?}");
    }

    #[test]
    fn hopping_and_restarting_give_nothing() {
        let play = |strategy| {
            let scenario = Scenario {
                strategy,
                ..scenario(50, 20, 1_000)
            };
            simulate(&Policy::default(), scenario, us())
        };
        let greedy = play(Strategy::Greedy);
        let hopping = play(Strategy::Hopping);
        assert!(hopping.attacker_repeated > 0);
        // What the stolen bytes cost the other account is gone.
        assert!(hopping.learned < greedy.learned);
        assert!(play(Strategy::Restarting).learned <= greedy.bound);
    }

    fn policy() -> impl proptest::strategy::Strategy<Value = Policy> {
        let account = (1_u32..2_000, 0_u32..5_000, 0_u32..20, 16_u32..2_000);
        let network = prop_oneof![Just(1_000_000_u32), 1_024_u32..20_000];
        let shares = (1_024_u64..200_000, 0_u64..200_000, 0_u32..30);
        let baseline = ([100_u32..400, 100_u32..400], [0_u32..=100, 0_u32..=100]);
        (account, network, shares, baseline).prop_map(
            |(
                (initial, more, growth, refill),
                network,
                (young, others, youth),
                (percent, weekly),
            )| {
                let mut policy = Policy::default();
                policy.account.initial_capacity = initial;
                policy.account.capacity = initial + more;
                policy.account.elements_per_request = 1_024.min(initial + more);
                policy.account.growth_days = growth;
                policy.account.refill_per_day = refill;
                policy.network.ipv4_24_per_day = network;
                policy.young.days = youth;
                policy.young.floor_per_day = young;
                policy.service.floor_per_day = young + others;
                [
                    policy.young.percent_of_baseline,
                    policy.service.percent_of_baseline,
                ] = percent;
                [
                    policy.young.growth_percent_per_week,
                    policy.service.growth_percent_per_week,
                ] = weekly;
                policy.validate().unwrap();
                policy
            },
        )
    }

    fn strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
        prop_oneof![
            Just(Strategy::Greedy),
            Just(Strategy::Patient),
            Just(Strategy::Training),
            Just(Strategy::Hopping),
            Just(Strategy::Restarting),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 32,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn no_attacker_learns_more_than_the_bound(
            policy in policy(),
            strategy in strategy(),
            accounts in 1_u32..400,
            networks in 1_u32..400,
            days in 1_u32..45,
            honest in 1_u32..400,
            old in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let scenario = Scenario { accounts, networks, old, strategy, days, honest, seed };
            let outcome = simulate(&policy, scenario, us());
            prop_assert!(
                outcome.learned <= outcome.bound,
                "{} learned, bound {}", outcome.learned, outcome.bound
            );
        }
    }
}
