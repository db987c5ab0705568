//! `ledger export`: a copy that is there whole or not at all.

use std::{
    fmt,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::source::from_service;
use crate::{
    config::Config,
    failure::Failure,
    text::{bytes, count, printable},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where it is written
    file: PathBuf,
    /// The service's configuration
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
    /// Replaces a file that is there
    #[arg(long)]
    force: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    file: String,
    entries: u64,
    bytes: u64,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let config = Config::read(&args.config)?;
    let failed = |error| Failure::file(&args.file, &error);
    if !args.force && args.file.try_exists().map_err(failed)? {
        let there = format!("{}: is there already", args.file.display());
        return Err(Failure::BadInput(there).hint("--force replaces it"));
    }
    let folder = match args.file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Only its owner may read it, and nobody finds half of it under its name.
    let mut unfinished = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mut entries = from_service(&config, "")?;
    let mut report = Report {
        file: args.file.display().to_string(),
        entries: 0,
        bytes: 0,
    };
    let mut out = BufWriter::new(&mut unfinished);
    let mut write = |part: &[u8]| {
        report.bytes += part.len() as u64;
        out.write_all(part).map_err(failed)
    };
    write(&entries.header().encode())?;
    while let Some(entry) = entries.next_whole()? {
        write(&entry.encode())?;
        report.entries += 1;
    }
    out.flush().map_err(failed)?;
    drop(out);
    unfinished.as_file().sync_all().map_err(failed)?;
    let kept = match args.force {
        true => unfinished.persist(&args.file),
        false => unfinished.persist_noclobber(&args.file),
    };
    kept.map_err(|error| failed(error.error))?;
    Ok(report)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} entries, {}",
            printable(&self.file),
            count(self.entries),
            bytes(self.bytes)
        )
    }
}
