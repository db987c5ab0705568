//! `policy check`: each limit in plain words, and what it leaves to somebody with many accounts.

mod elsewhere;
mod space;

use std::{fmt, path::PathBuf};

use blindbook::server::policy::{Attack, Policy, Usual};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    elsewhere::signal,
    space::{Space, space},
};
use crate::{
    config::{Config, MAX_CONFIG},
    failure::Failure,
    files,
    text::{count, table},
};

const ACCOUNTS: [u64; 5] = [5, 100, 1_000, 10_000, 100_000];
const DAYS: [u32; 3] = [1, 25, 60];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Prints each limit in plain words, and what an attacker with many accounts learns at most
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    policy: PolicyFile,
    #[command(flatten)]
    usual: UsualArgs,
    /// The country whose mobile numbers are tried, by its two letters (ISO 3166-1)
    #[arg(long, value_name = "COUNTRY", default_value = "US")]
    country: String,
}

/// Which policy.
#[derive(Debug, clap::Args)]
pub(crate) struct PolicyFile {
    /// A configuration, or a file with its [policy] tables alone; without one, the default policy
    file: Option<PathBuf>,
}

/// What is usual under it.
#[derive(Debug, Default, clap::Args)]
struct UsualArgs {
    /// Elements that new accounts discover on a busy day; 0 for a service that hasn't outgrown its floors
    #[arg(long, value_name = "ELEMENTS", default_value_t = 0)]
    usual_young: u64,
    /// Elements that all accounts discover on a busy day
    #[arg(long, value_name = "ELEMENTS", default_value_t = 0)]
    usual_service: u64,
}

impl UsualArgs {
    fn usual(&self) -> Usual {
        Usual {
            young_per_day: self.usual_young,
            service_per_day: self.usual_service,
        }
    }
}

impl PolicyFile {
    /// Reads and validates the policy.
    pub(crate) fn read(&self) -> Result<Policy, Failure> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Alone {
            policy: Policy,
        }
        let Some(path) = &self.file else {
            return Ok(Policy::default());
        };
        let refuse =
            |why: &dyn fmt::Display| Failure::BadInput(format!("{}: {why}", path.display()));
        let text = String::from_utf8(files::read(path, MAX_CONFIG)?).map_err(|e| refuse(&e))?;
        let tables: toml::Table = toml::from_str(&text).map_err(|error| refuse(&error))?;
        if tables.contains_key("service") {
            return Ok(Config::read(path)?.policy);
        }
        let Alone { policy } = toml::from_str(&text).map_err(|error| refuse(&error))?;
        policy
            .validate()
            .map_err(|error| refuse(&format_args!("[policy] {error}")))?;
        Ok(policy)
    }
}

/// What somebody learns at most, in elements; and beside it, under other services' limits.
#[derive(Debug, Serialize)]
struct Row {
    accounts: u64,
    days: u32,
    new_accounts: u64,
    old_accounts: u64,
    signal: u64,
    incremental: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    limits: Vec<String>,
    country: Space,
    learned_at_most: Vec<Row>,
    incidents: Vec<String>,
}

pub(crate) fn run(command: &Command) -> Result<Report, Failure> {
    let Command::Check(args) = command;
    let policy = args.policy.read()?;
    let usual = args.usual.usual();
    let country = space(&args.country)?;
    let rows = ACCOUNTS.into_iter().flat_map(|accounts| {
        let policy = &policy;
        DAYS.into_iter().map(move |days| {
            let learned = |new_accounts| {
                let attack = Attack {
                    accounts,
                    days,
                    new_accounts,
                };
                policy.most_learned(&attack, &usual)
            };
            Row {
                accounts,
                days,
                new_accounts: learned(true),
                old_accounts: learned(false),
                signal: signal(accounts, days),
                incremental: elsewhere::incremental(accounts, days),
            }
        })
    });
    Ok(Report {
        learned_at_most: rows.collect(),
        incidents: elsewhere::incidents(&policy, &usual),
        limits: policy.to_string().lines().map(String::from).collect(),
        country,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.limits {
            writeln!(f, "{line}")?;
        }
        writeln!(
            f,
            "\nof the {} mobile numbers of {}, an attacker learns at most:\n",
            count(self.country.numbers),
            self.country.country
        )?;
        let mut rows = vec![
            [
                "accounts",
                "days",
                "new accounts",
                "",
                "accounts of any age",
                "",
                "Signal",
                "incremental",
            ]
            .map(String::from)
            .to_vec(),
        ];
        let share = |learned| self.country.share(learned);
        rows.extend(self.learned_at_most.iter().map(|row| {
            vec![
                count(row.accounts),
                count(u64::from(row.days)),
                count(row.new_accounts),
                share(row.new_accounts),
                count(row.old_accounts),
                share(row.old_accounts),
                share(row.signal),
                share(row.incremental),
            ]
        }));
        f.write_str(&table(&rows, &[0, 1, 2, 3, 4, 5, 6, 7]))?;
        writeln!(f, "\n{}", elsewhere::SOURCES)?;
        for line in &self.incidents {
            write!(f, "\n{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Policy, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        PolicyFile { file: Some(path) }.read()
    }

    #[test]
    fn a_policy_is_read_alone_or_from_a_configuration() {
        assert_eq!(read("[policy]").unwrap(), Policy::default());
        assert_eq!(
            read(include_str!("config.toml")).unwrap(),
            Policy::default()
        );
        let policy = read("[policy.young]\nfloor_per_day = 5000\n").unwrap();
        assert_eq!(policy.young.floor_per_day, 5_000);
    }

    #[test]
    fn what_is_unknown_or_contradicts_itself_is_refused_with_the_reason() {
        for (text, why) in [
            ("[policy.yuong]\ndays = 3", "yuong"),
            ("[policy.young]\nday = 3", "day"),
            ("[limits]\nrequests = 3", "limits"),
            (
                "[policy.network]\nipv6_64_per_day = 1000",
                "could never succeed",
            ),
            (
                "[policy.network]\nipv6_48_per_day = 2000",
                "ipv6_64_per_day",
            ),
            (
                "[policy.network]\nipv6_32_per_day = 20000",
                "ipv6_48_per_day",
            ),
            (
                "[policy.young]\nfloor_per_day = 1000",
                "could never succeed",
            ),
            (
                "[policy.young]\nfloor_per_day = 3000000",
                "service.floor_per_day",
            ),
            ("[policy.young]\npercent_of_baseline = 99", "usual day"),
            ("[policy.young]\ngrowth_percent_per_week = 101", "nothing"),
            ("[policy.service]\npercent_of_baseline = 1001", "nothing"),
            ("[policy.service]\npage_percent = 101", "page_percent"),
            ("[policy.service]\npage_percent = 0", "zero"),
            ("[policy.young]\ndays = 40000", "hundred years"),
            (
                "[policy.detect]\nsaturated_days = 15",
                "detect.saturated_days",
            ),
            ("[policy.detect]\nday_percent = 99", "detect.day_percent"),
            ("[policy.detect]\nday = 3", "day"),
        ] {
            match read(text).unwrap_err() {
                Failure::BadInput(message) => assert!(message.contains(why), "{message}"),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn a_hundred_accounts_learn_less_than_promised() {
        let command = Command::Check(CheckArgs {
            policy: PolicyFile { file: None },
            usual: UsualArgs::default(),
            country: "us".into(),
        });
        let report = run(&command).unwrap();
        let row = report
            .learned_at_most
            .iter()
            .find(|row| (row.accounts, row.days) == (100, 25))
            .unwrap();
        assert_eq!((row.new_accounts, row.old_accounts), (752_000, 752_000));
        assert_eq!(report.country.share(row.new_accounts), "0.149 %");
        assert_eq!(report.country.numbers, 505_730_000);
    }
}
