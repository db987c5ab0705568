//! `signals`: what detection has found, from the operators' listener of the running service.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use blindbook::http::SignalReport;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    config::{Config, clock},
    failure::Failure,
    incident::moment::Moment,
    operator::Operator,
    text::{count, table},
};

/// Signals asked for at once.
const PAGE: usize = 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service's configuration
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
    /// Those from then on: 2026-11-25T04:00:00Z, or a time ago such as 36h or 3d; by default all that are kept
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// At most so many, the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

/// Signals, newest first.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    signals: Vec<SignalReport>,
    /// There are older ones.
    more: bool,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let operator = Operator(Config::read(&args.config)?.listen.operator);
    let now = clock().as_micros() / 1_000_000;
    // The begin of that hour: a signal has no other time.
    let since = args.since.map_or(0, |since| since.before(now)) / 3_600 * 3_600;
    let mut signals: Vec<SignalReport> = Vec::new();
    loop {
        let before = signals.last().map_or(u64::MAX, |last| last.number);
        let page: Vec<SignalReport> =
            operator.get(&format!("/signals?before={before}&limit={PAGE}"))?;
        let last = page.len() < PAGE;
        let too_old = page.iter().any(|signal| signal.hour < since);
        signals.extend(page);
        if last || too_old || signals.len() > args.limit {
            break;
        }
    }
    signals.retain(|signal| signal.hour >= since);
    let more = signals.len() > args.limit;
    signals.truncate(args.limit);
    Ok(Report { signals, more })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.signals.is_empty() {
            return f.write_str("no signals");
        }
        let rows: Vec<Vec<String>> = self.signals.iter().map(row).collect();
        f.write_str(&table(&rows, &[0]))?;
        if self.more {
            writeln!(
                f,
                "\nthe newest {}: there are more, which --limit shows",
                count(self.signals.len() as u64)
            )?;
        }
        let kinds: BTreeMap<&str, &SignalReport> = self
            .signals
            .iter()
            .map(|signal| (signal.kind.as_str(), signal))
            .collect();
        for (kind, signal) in kinds {
            write!(
                f,
                "\n{kind}\n  means  {}\n  to do  {}",
                signal.meaning, signal.advice
            )?;
        }
        Ok(())
    }
}

fn row(signal: &SignalReport) -> Vec<String> {
    let hour = i64::try_from(signal.hour).ok();
    let hour = hour.and_then(|hour| OffsetDateTime::from_unix_timestamp(hour).ok());
    let hour = hour.and_then(|hour| hour.format(&Rfc3339).ok());
    vec![
        signal.number.to_string(),
        hour.unwrap_or_default(),
        signal.kind.clone(),
        signal.suspect.clone().unwrap_or_default(),
        signal.seen.clone(),
    ]
}
