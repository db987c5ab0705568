//! What detection has said: about the attacker, about honest people, and about nobody in particular.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use blindbook::server::{
    detect::Signal,
    quota::{Hour, Suspect},
};
use serde::Serialize;

use super::{
    Scenario,
    population::{DAY, FIRST_FOREIGN_NETWORK},
    rows,
    world::BEGINNING,
};
use crate::text::{count, table};

/// Microseconds of an hour.
const HOUR: u64 = DAY / 24;
/// A month, in days.
const MONTH: f64 = 30.0;

/// Signals by whom they point at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Pointed {
    pub(crate) attacker: u64,
    pub(crate) honest: u64,
    pub(crate) nobody: u64,
}

impl Pointed {
    fn add(&mut self, whose: Whose) {
        *match whose {
            Whose::Attackers => &mut self.attacker,
            Whose::Honest => &mut self.honest,
            Whose::Nobodys => &mut self.nobody,
        } += 1;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Attackers,
    Honest,
    Nobodys,
}

/// All signals of a simulation.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Detected {
    /// By kind, in the days before the attack.
    pub(crate) before: BTreeMap<&'static str, Pointed>,
    /// By kind, during the attack.
    pub(crate) during: BTreeMap<&'static str, Pointed>,
    /// Hours from the begin of the attack until an operator could have seen a signal of any kind.
    pub(crate) first_signal_hours: Option<u32>,
    /// The same for one that points at the attacker.
    pub(crate) first_against_attacker_hours: Option<u32>,
    /// Accounts of the attacker that were pointed at, by themselves or by their network.
    pub(crate) accounts_pointed_at: u64,
    /// Signals that point at honest people or their networks, for 100,000 honest accounts and 30 days: before the attack, and
    /// during it.
    pub(crate) false_alarms_before: f64,
    pub(crate) false_alarms_during: f64,
    #[serde(skip)]
    accounts: BTreeSet<u64>,
    #[serde(skip)]
    networks: BTreeSet<u64>,
}

impl Detected {
    /// Counts signals, and returns how many of them belong to the attack.
    pub(super) fn add(&mut self, signals: &[Signal], honest: u64) -> Pointed {
        let mut pointed = Pointed::default();
        for signal in signals {
            let whose = match signal.suspect() {
                Some(Suspect::Account(account)) => {
                    let number = rows::number(account.as_bytes());
                    self.blame(number >= honest, number, |all| &mut all.accounts)
                }
                Some(Suspect::Network(network)) => {
                    let number = rows::number(network.as_bytes());
                    let foreign = number >= FIRST_FOREIGN_NETWORK;
                    self.blame(foreign, number, |all| &mut all.networks)
                }
                _ => Whose::Nobodys,
            };
            // An hour is looked at once it is over.
            let known = Hour::new(signal.hour.get() + 1).begin().as_micros();
            let kinds = match known > BEGINNING {
                true => {
                    let hours = ((known - BEGINNING) / HOUR) as u32;
                    self.first_signal_hours.get_or_insert(hours);
                    if whose == Whose::Attackers {
                        self.first_against_attacker_hours.get_or_insert(hours);
                    }
                    pointed.add(whose);
                    &mut self.during
                }
                false => &mut self.before,
            };
            kinds.entry(signal.kind().name()).or_default().add(whose);
        }
        pointed
    }

    fn blame(
        &mut self,
        attacker: bool,
        number: u64,
        of: fn(&mut Self) -> &mut BTreeSet<u64>,
    ) -> Whose {
        if !attacker {
            return Whose::Honest;
        }
        of(self).insert(number);
        Whose::Attackers
    }

    /// Works out the rates.
    pub(super) fn finish(mut self, scenario: &Scenario, days_before: u32) -> Self {
        let rate = |kinds: &BTreeMap<_, Pointed>, days: u32| {
            let alarms: u64 = kinds.values().map(|pointed| pointed.honest).sum();
            alarms as f64 / (f64::from(scenario.honest) / 100_000.0) / (f64::from(days) / MONTH)
        };
        self.false_alarms_before = rate(&self.before, days_before);
        self.false_alarms_during = rate(&self.during, scenario.days);
        let networks = u64::from(scenario.networks.max(1));
        let seen = (0..u64::from(scenario.accounts)).filter(|account| {
            let network = FIRST_FOREIGN_NETWORK + account % networks;
            self.accounts
                .contains(&(u64::from(scenario.honest) + account))
                || self.networks.contains(&network)
        });
        self.accounts_pointed_at = seen.count() as u64;
        self
    }
}

impl fmt::Display for Detected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![
            [
                "signals",
                "before: honest",
                "nobody",
                "attack: attacker",
                "honest",
                "nobody",
            ]
            .map(String::from)
            .to_vec(),
        ];
        let kinds: BTreeSet<_> = self.before.keys().chain(self.during.keys()).collect();
        for kind in kinds {
            let of = |kinds: &BTreeMap<_, Pointed>| kinds.get(kind).copied().unwrap_or_default();
            let (before, during) = (of(&self.before), of(&self.during));
            rows.push(vec![
                (*kind).to_owned(),
                count(before.honest),
                count(before.nobody),
                count(during.attacker),
                count(during.honest),
                count(during.nobody),
            ]);
        }
        if rows.len() == 1 {
            writeln!(f, "no signals")?;
        } else {
            f.write_str(&table(&rows, &[1, 2, 3, 4, 5]))?;
        }
        let after = |hours: Option<u32>| match hours {
            Some(hours) => format!("{} hours after the attack began", count(u64::from(hours))),
            None => String::from("never"),
        };
        writeln!(f, "the first signal: {}", after(self.first_signal_hours))?;
        writeln!(
            f,
            "the first one that points at the attacker: {}; {} of its accounts were pointed at in the end",
            after(self.first_against_attacker_hours),
            count(self.accounts_pointed_at)
        )?;
        writeln!(
            f,
            "false alarms for 100,000 honest accounts and month: {:.2} before the attack, {:.2} during it",
            self.false_alarms_before, self.false_alarms_during
        )
    }
}
