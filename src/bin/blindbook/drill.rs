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
    #[arg(long, default_value_t = 12_000, value_parser = clap::value_parser!(u16).range(100..=50_000))]
    people: u16,
    /// How many of them look their contacts up, before, during and after
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(20..=2_000))]
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
