//! `ledger`: what was done, as evidence that nobody can change unseen: checked, shown, copied; and keys of months destroyed.

mod check;
mod copy;
mod shred;
mod source;
mod view;

use std::fmt;

pub(crate) use check::{Args as VerifyArgs, run as verify};
use serde::Serialize;

use crate::failure::Failure;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Finds out whether an entry was edited, dropped or moved
    Verify(check::Args),
    /// Says what is in it
    Show(view::Args),
    /// Copies it to a file, which can be verified without the service
    Export(copy::Args),
    /// Destroys the key of a month: nobody can say any more whose counts those of that month are
    Shred(shred::Args),
}

/// What was found or done.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Report {
    Verified(check::Report),
    Shown(view::Report),
    Exported(copy::Report),
    Shredded(shred::Report),
}

pub(crate) fn run(command: &Command) -> Result<(Report, Option<Failure>), Failure> {
    let report = match command {
        Command::Verify(args) => {
            let (report, wrong) = check::run(args)?;
            return Ok((Report::Verified(report), wrong));
        }
        Command::Show(args) => Report::Shown(view::run(args)?),
        Command::Export(args) => Report::Exported(copy::run(args)?),
        Command::Shred(args) => Report::Shredded(shred::run(args)?),
    };
    Ok((report, None))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified(report) => report.fmt(f),
            Self::Shown(report) => report.fmt(f),
            Self::Exported(report) => report.fmt(f),
            Self::Shredded(report) => report.fmt(f),
        }
    }
}
