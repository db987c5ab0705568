//! `ledger show`: entries in words.

use std::{collections::VecDeque, fmt};

use blindbook::{
    Timestamp,
    server::{
        ledger::{Body, Entry, Pseudonym, RotationStep, Totals, Who},
        quota::{Hour, Suspect},
        rotation::RotationKind,
    },
};
use serde::Serialize;

use super::source;
use crate::{
    failure::Failure,
    hex,
    incident::date,
    text::{count, table},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ledger: source::SourceArgs,
    /// From this entry on
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    from: u64,
    /// At most so many, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    last: usize,
}

/// Entries, oldest first.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    entries: VecDeque<Line>,
}

/// An entry, in words.
#[derive(Debug, Serialize)]
struct Line {
    index: u64,
    /// When it was written, in seconds since 1970.
    at: u64,
    kind: &'static str,
    what: String,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let query = format!("?from={}&last={}", args.from, args.last);
    let mut source = args.ledger.open(&query)?;
    let mut entries = VecDeque::new();
    while let Some(entry) = source.next_whole()? {
        // A file has all of them.
        if entry.index() < args.from {
            continue;
        }
        entries.push_back(Line::new(&entry));
        if entries.len() > args.last {
            entries.pop_front();
        }
    }
    Ok(Report { entries })
}

impl Line {
    fn new(entry: &Entry) -> Self {
        let (kind, what) = match entry.body() {
            Ok(body) => (body.name(), words(&body)),
            Err(bad) => ("unknown", bad.to_string()),
        };
        Self {
            index: entry.index(),
            at: seconds(entry.at()),
            kind,
            what,
        }
    }
}

fn words(body: &Body) -> String {
    match body {
        Body::Charges { hour, rows } => {
            let elements = rows.iter().map(|(_, activity)| activity.elements);
            format!(
                "hour of {}: {} accounts, {} elements",
                begin(*hour),
                count(rows.len() as u64),
                count(elements.fold(0, u64::saturating_add))
            )
        }
        Body::Totals(totals) => sums(totals),
        Body::Signal(signal) => match signal.suspect() {
            Some(suspect) => format!("{}: {} {signal}", signal.kind().name(), name(&suspect)),
            None => format!("{}: {signal}", signal.kind().name()),
        },
        Body::Suspended { who, until } if *until == Timestamp::MAX => {
            format!("{} until it is lifted", whom(who))
        }
        Body::Suspended { who, until } => {
            format!("{} until {}", whom(who), date(seconds(*until)))
        }
        Body::Lifted { who } => whom(who),
        Body::Published { sequence, hash } => {
            format!("manifest {sequence}, {}", short(hash))
        }
        Body::Rotation { from, kind, step } => {
            let kind = match kind {
                RotationKind::Soft => "soft",
                _ => "hard",
            };
            let step = match step {
                RotationStep::Begun => "begun",
                RotationStep::Window => "new epoch served, carrying over",
                RotationStep::Ending => "old epoch no longer served",
                RotationStep::Finished => "finished, the old key destroyed",
                _ => "another step",
            };
            format!("{kind}, from epoch {}: {step}", from.get())
        }
        Body::Incident {
            incident,
            step,
            accounts,
            networks,
        } => format!(
            "incident {incident} {}: {} accounts, {} networks",
            format!("{step:?}").to_lowercase(),
            count((*accounts).into()),
            count((*networks).into())
        ),
        Body::KeyDestroyed { month } => format!("of {month}"),
        Body::Restored { taken, kept } => format!(
            "an older copy: {} steps had been taken, {} are there",
            count(*taken),
            count(*kept)
        ),
        _ => String::new(),
    }
}

fn sums(totals: &Totals) -> String {
    let mut words = format!(
        "hour of {}: {} accounts, {} requests, {} refused, {} elements",
        begin(totals.hour),
        count(totals.accounts),
        count(totals.requests),
        count(totals.refused),
        count(totals.elements)
    );
    for (number, what) in [
        (totals.carried, "carried over"),
        (totals.young_elements, "of new accounts"),
        (totals.emptied, "buckets emptied"),
    ] {
        if number > 0 {
            words.push_str(&format!(", {} {what}", count(number)));
        }
    }
    words
}

fn whom(who: &Who) -> String {
    let named = |what, pseudonym: &Pseudonym| format!("{what} {}", short(pseudonym.as_bytes()));
    match who {
        Who::Account(pseudonym) => named("account", pseudonym),
        Who::Network(pseudonym) => named("network", pseudonym),
        _ => "new accounts".into(),
    }
}

fn name(suspect: &Suspect) -> String {
    match suspect {
        Suspect::Account(account) => format!("account {}", short(account.as_bytes())),
        Suspect::Network(network) => format!("network {}", short(network.as_bytes())),
        _ => "new accounts".into(),
    }
}

/// The first bytes of a pseudonym or a hash, by which two can be told apart.
fn short(bytes: &[u8]) -> String {
    hex::encode(bytes.get(..4).unwrap_or(bytes))
}

fn begin(hour: Hour) -> String {
    date(seconds(hour.begin()))
}

fn seconds(at: Timestamp) -> u64 {
    at.as_micros() / 1_000_000
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            return f.write_str("no entries");
        }
        let cells = |line: &Line| {
            vec![
                line.index.to_string(),
                date(line.at),
                line.kind.to_owned(),
                line.what.clone(),
            ]
        };
        let rows: Vec<_> = self.entries.iter().map(cells).collect();
        f.write_str(table(&rows, &[0]).trim_end_matches('\n'))
    }
}
