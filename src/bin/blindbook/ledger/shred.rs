//! `ledger shred`: destroys the key of a month, which can't be undone.

use std::{
    fmt,
    io::{IsTerminal, Write},
    path::PathBuf,
};

use blindbook::{http::Shredded, server::ledger::Month};
use serde::Serialize;
use serde_json::json;

use crate::{config::Config, failure::Failure, operator::Operator, text::printable};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which month, such as 2026-10
    month: Month,
    /// The service's configuration
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
    /// Doesn't ask
    #[arg(long)]
    yes: bool,
}

/// What became of the key.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Report(Shredded);

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let operator = Operator(Config::read(&args.config)?.listen.operator);
    let month = args.month.to_string();
    if !args.yes && !agreed(&month)? {
        return Err(Failure::bad_input("nothing was destroyed"));
    }
    operator
        .post("/ledger/shred", &json!({ "month": month }))
        .map(Report)
}

/// Whether somebody at the terminal writes the month once more.
fn agreed(month: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        let nobody = "there is no terminal to ask on: --yes destroys the key without asking";
        return Err(Failure::bad_input(nobody));
    }
    write!(
        std::io::stderr(),
        "Nobody will be able to say whose counts those of {month} are, not even after an incident.\n\
         Copies of the key in backups aren't reached. To destroy it, write {month} once more: "
    )
    .map_err(Failure::machine)?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(Failure::machine)?;
    Ok(answer.trim() == month)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let month = printable(&self.0.month);
        match self.0.destroyed {
            true => write!(f, "destroyed the key of {month}"),
            false => write!(f, "there is no key of {month}"),
        }
    }
}
