//! `drill`: an incident from the first fake account to the last notice, against the real service on loopback.
//!
//! The days pass as fast as the work is done: the clock of the service is the drill's. What is truly so is known here alone, and in
//! the end it is compared with what the service said and did.
//!
//! The same seed and sizes give the same report, word for word: keys, blinds and pseudonyms are random, and nothing that is told
//! depends on them, nor on how long anything took.

mod attack;
mod checks;
mod clock;
mod evidence;
mod people;
mod phone;
mod play;
mod readers;
mod set;
mod stage;
mod timeline;

use std::fmt;

use serde::Serialize;

use self::{
    checks::Check,
    timeline::{Entry, Timeline},
};
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many people have an account
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u16).range(1_000..=50_000))]
    people: u16,
    /// How many of them look their contacts up, before, during and after
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(20..=2_000))]
    honest: u64,
    /// How many fake accounts the attacker has
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(20..=1_000))]
    fakes: u16,
    /// Decides who is who, and which numbers are tried: the same seed, the same drill
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What happened, and whether it was as it has to be.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Report {
    timeline: Vec<Entry>,
    checks: Vec<Check>,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<Option<Failure>, Failure> {
    let report = Report::of(args, json)?;
    crate::emit(&report, json)?;
    let failed = report.checks.iter().find(|check| !check.passed);
    Ok(failed
        .map(|check| Failure::defect(format!("the drill failed: {}: {}", check.name, check.found))))
}

impl Report {
    fn of(args: &Args, silent: bool) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("blindbook-drill-")
            .tempdir()
            .map_err(Failure::machine)?;
        let mut timeline = Timeline::new(silent);
        let outcome = play::play(args, folder.path(), &mut timeline)?;
        Ok(Self {
            timeline: timeline.entries,
            checks: checks::all(&outcome),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let verdict = if check.passed { "ok    " } else { "FAILED" };
            write!(f, "\n{verdict} {}: {}", check.name, check.found)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches};

    use super::*;

    fn args(words: &[&str]) -> Args {
        let command = Args::augment_args(clap::Command::new("drill").no_binary_name(true));
        Args::from_arg_matches(&command.get_matches_from(words)).unwrap()
    }

    /// Everything is played twice, which takes a while.
    #[test]
    fn the_same_seed_is_the_same_drill() {
        let small = args(&[
            "--people", "1000", "--honest", "20", "--fakes", "21", "--seed", "7",
        ]);
        let [first, again] = [(); 2].map(|()| Report::of(&small, true).unwrap());
        for check in &first.checks {
            assert!(check.passed, "{}: {}", check.name, check.found);
        }
        assert_eq!(first, again);
    }

    /// One region has more members than elements are evaluated, another one fewer: otherwise half of the bound's formula wouldn't
    /// be seen.
    #[test]
    fn by_default_either_side_of_the_bound_is_the_less_somewhere() {
        let default = args(&[]);
        let town = people::Town::new(default.people.into(), default.seed);
        let members = town.by_region(&town.affected());
        let fakes = usize::from(default.fakes);
        let asked_at_least = fakes * attack::AT_A_TIME;
        // A tenth of the fakes goes on, and everybody honest asks twice.
        let honest = usize::try_from(default.honest).unwrap();
        let asked_at_most = asked_at_least + (fakes / 10 + 2 * honest) * attack::AT_A_TIME;
        assert!(members["FR"].len() > asked_at_most);
        assert!(members["GB"].len() < asked_at_least);
    }
}
