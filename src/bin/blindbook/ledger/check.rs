//! `ledger verify`: whether anything was changed, up to the newest checkpoint.

use std::{fmt, path::PathBuf};

use blindbook::{
    Timestamp,
    server::ledger::{Checkpoint, Entry, Fault, Verifier},
    store::CheckpointFile,
};
use serde::Serialize;

use super::source::{self, Entries, Unreadable};
use crate::{
    config::{Config, clock},
    connection::snapshot_key,
    failure::Failure,
    incident::{date, moment::Moment},
    text::count,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ledger: source::SourceArgs,
    /// Checkpoints: best a copy that is kept elsewhere; by default those of the configuration
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// Looks only at checkpoints up to then: of a file, when it was exported
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// The service's snapshot key, which signs checkpoints: 64 hexadecimal digits, or a file with them
    #[arg(long, value_name = "KEY|FILE", env = "BLINDBOOK_SNAPSHOT_KEY")]
    snapshot_key: Option<String>,
}

/// What a ledger was found to be.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    entries: u64,
    /// When the first and the last entry were written, in seconds since 1970.
    from: Option<u64>,
    until: Option<u64>,
    /// Checkpoints that the entries agree with.
    checkpoints: u64,
    /// The newest one that was given.
    newest: Option<Newest>,
    /// How much is wrong; the first hundred of it are told.
    faults: u64,
    findings: Vec<String>,
}

/// A checkpoint.
#[derive(Debug, Clone, Copy, Serialize)]
struct Newest {
    entry: u64,
    /// When it was signed, in seconds since 1970.
    at: u64,
}

pub(crate) fn run(args: &Args) -> Result<(Report, Option<Failure>), Failure> {
    let config = args.ledger.config()?;
    // Before the entries: none of them is newer than what is read then.
    let (checkpoints, forged) = args.read(config.as_ref())?;
    let mut entries = args.ledger.open("")?;
    let service = entries.header().service;
    let mut verifier = Verifier::new(&service, &checkpoints);
    let mut report = Report::new(&checkpoints);
    if forged > 0 {
        report.found(format!(
            "{} of the checkpoints aren't signed by the snapshot key",
            count(forged)
        ));
    }
    if let Some(config) = &config
        && config.service_id().map_err(Failure::BadInput)?.hash() != service
    {
        report.found(format!("the ledger isn't that of {}", config.service));
    }
    if let Some(bad) = report.take_all(&mut entries, &mut verifier)? {
        report.found(bad);
    }
    verifier.end();
    report.finish(&verifier);
    let truncated = |fault: &Fault| matches!(fault, Fault::Truncated);
    let older = args.ledger.file.is_some()
        && verifier
            .findings()
            .iter()
            .any(|found| truncated(&found.fault));
    let why = (report.faults > 0).then(|| {
        let findings = report.findings.join("\n");
        let why = Failure::BadInput(format!("{}: {findings}", args.ledger.name()));
        match older {
            true => why.hint("if it was exported before that checkpoint, say --until when"),
            false => why,
        }
    });
    Ok((report, why))
}

impl Args {
    /// An exported ledger, and the checkpoints that it is checked against.
    pub(crate) fn of_file(file: PathBuf, checkpoints: PathBuf, snapshot_key: String) -> Self {
        Self {
            ledger: source::SourceArgs::of_file(file),
            checkpoints: Some(checkpoints),
            until: None,
            snapshot_key: Some(snapshot_key),
        }
    }

    /// Checkpoints whose signatures are good, and how many others there are.
    fn read(&self, config: Option<&Config>) -> Result<(Vec<Checkpoint>, u64), Failure> {
        let path = match (&self.checkpoints, config) {
            (Some(path), _) => path.clone(),
            (None, Some(config)) => {
                let path = config.path(&config.ledger.checkpoints);
                if !path.exists() {
                    return Ok((Vec::new(), 0));
                }
                path
            }
            (None, None) => return Ok((Vec::new(), 0)),
        };
        let key = self.snapshot_key.as_deref().ok_or_else(|| {
            Failure::bad_input("checkpoints are checked with the snapshot key: give --snapshot-key")
        })?;
        let key = snapshot_key(key)?;
        let now = clock().as_micros() / 1_000_000;
        let until = self.until.map(|until| until.before(now));
        let (mut good, mut forged) = (Vec::new(), 0);
        let signed = CheckpointFile::read(&path).map_err(|error| Failure::file(&path, &error))?;
        for bytes in &signed {
            match Checkpoint::verify(bytes, &key) {
                Ok(checkpoint) => good.push(checkpoint),
                Err(_) => forged += 1,
            }
        }
        good.retain(|checkpoint| until.is_none_or(|until| seconds(checkpoint.at) <= until));
        Ok((good, forged))
    }
}

impl Report {
    fn new(checkpoints: &[Checkpoint]) -> Self {
        let newest = checkpoints.iter().max_by_key(|checkpoint| checkpoint.index);
        Self {
            entries: 0,
            from: None,
            until: None,
            checkpoints: 0,
            newest: newest.map(|newest| Newest {
                entry: newest.index,
                at: seconds(newest.at),
            }),
            faults: 0,
            findings: Vec::new(),
        }
    }

    /// What is wrong.
    pub(crate) fn findings(&self) -> &[String] {
        &self.findings
    }

    /// How many entries there are, and how many of them the newest checkpoint vouches for.
    pub(crate) fn vouched(&self) -> (u64, u64) {
        let newest = self.newest.map(|newest| newest.entry + 1);
        (self.entries, newest.unwrap_or(0))
    }

    fn found(&mut self, what: String) {
        self.faults += 1;
        self.findings.push(what);
    }

    /// What there is behind the last entry that isn't one.
    fn take_all(
        &mut self,
        entries: &mut Entries,
        verifier: &mut Verifier,
    ) -> Result<Option<String>, Failure> {
        loop {
            match entries.next() {
                Ok(Some(entry)) => {
                    verifier.take(&entry);
                    self.saw(&entry);
                }
                Ok(None) => return Ok(None),
                Err(Unreadable::Failed(failure)) => return Err(failure),
                Err(Unreadable::Bad(bad)) => {
                    let index = verifier.head().next();
                    return Ok(Some(format!("entry {index}: {bad}")));
                }
            }
        }
    }

    fn saw(&mut self, entry: &Entry) {
        let at = seconds(entry.at());
        self.from.get_or_insert(at);
        self.until = Some(at);
    }

    fn finish(&mut self, verifier: &Verifier) {
        self.entries = verifier.entries();
        self.checkpoints = verifier.checkpoints();
        self.faults += verifier.faults();
        let findings = verifier.findings().iter();
        self.findings.extend(findings.map(ToString::to_string));
    }
}

fn seconds(at: Timestamp) -> u64 {
    at.as_micros() / 1_000_000
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entries      {}", count(self.entries))?;
        if let (Some(from), Some(until)) = (self.from, self.until) {
            write!(f, ", from {} to {}", date(from), date(until))?;
        }
        write!(f, "\ncheckpoints  {} agree", count(self.checkpoints))?;
        if let Some(newest) = self.newest {
            let at = date(newest.at);
            write!(f, "; the newest is for entry {}, of {at}", newest.entry)?;
        }
        match (self.faults, self.newest) {
            (0, Some(newest)) => write!(
                f,
                "\n{} entries, nothing was changed up to entry {} (checkpoint of {})",
                count(self.entries),
                newest.entry,
                date(newest.at)
            ),
            (0, None) => write!(
                f,
                "\n{} entries follow each other; without a checkpoint nobody knows whether all of them were replaced",
                count(self.entries)
            ),
            (faults, _) => write!(f, "\nwrong        {}", count(faults)),
        }
    }
}
