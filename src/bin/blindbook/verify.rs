//! `verify`: whether a folder of segments and manifests is what its publisher signed, all of it.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    path::PathBuf,
};

use blindbook::{
    snapshot::{
        Advance, ChainState, FileSource, Kind, Manifest, ReadError, Segment, SegmentEntry,
        SegmentError, SignedManifest, SnapshotPublicKey,
    },
    store::SegmentFolder,
};
use serde::Serialize;

use crate::{
    config::clock,
    connection::snapshot_key,
    failure::Failure,
    files, hex,
    text::{bytes, count, printable},
};

/// Longest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: that of the configuration, or a mirror of it
    folder: PathBuf,
    /// The service's snapshot key: 64 hexadecimal digits, or a file with them
    #[arg(long, value_name = "KEY|FILE", env = "BLINDBOOK_SNAPSHOT_KEY")]
    snapshot_key: String,
}

/// What is in the folder, and what is wrong with it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Manifests whose signatures are good and that follow each other.
    manifests: u64,
    /// Those between the oldest and the newest that aren't there.
    missing_manifests: u64,
    sequence: u64,
    members: u64,
    /// Segments that the newest manifest names and of which every byte was checked.
    segments: u64,
    bytes: u64,
    /// Deltas that lead to the newest set and add nobody who isn't in it.
    deltas: u64,
    /// Files that nothing leads to any more.
    leftover: Vec<String>,
    problems: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(Report, Option<Failure>), Failure> {
    let key = snapshot_key(&args.snapshot_key)?;
    // Opening would make one.
    fs::read_dir(&args.folder).map_err(|error| Failure::file(&args.folder, &error))?;
    let folder = SegmentFolder::open(&args.folder).map_err(Failure::machine)?;
    let mut report = Report::default();
    let manifests = report.check_manifests(&folder, &key)?;
    if let Some(newest) = manifests.last() {
        report.check_latest(&folder, newest)?;
        report.check_segments(&folder, newest)?;
        let last_two = manifests.iter().rev().take(2);
        let named = last_two.flat_map(|manifest| &manifest.claims().segments);
        let named: Vec<[u8; 32]> = named.map(|entry| entry.id).collect();
        report.leftover = folder.leftover(&named).map_err(Failure::machine)?;
        if folder.building().exists() {
            report.leftover.push("building".into());
        }
    } else {
        report.problems.push("there is no manifest".into());
    }
    let why = (!report.problems.is_empty()).then(|| {
        let problems = report.problems.join("\n");
        Failure::BadInput(format!("{}: {problems}", args.folder.display()))
    });
    Ok((report, why))
}

impl Report {
    /// Reads every manifest; returns those that are good, oldest first.
    fn check_manifests(
        &mut self,
        folder: &SegmentFolder,
        key: &SnapshotPublicKey,
    ) -> Result<Vec<Manifest>, Failure> {
        let path = folder.manifest(0);
        let path = path.parent().unwrap_or(&path);
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(path).map_err(|error| Failure::file(path, &error))? {
            let entry = entry.map_err(Failure::machine)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
            match number {
                Some(number) => drop(files.insert(number, entry.path())),
                None => self
                    .leftover
                    .push(format!("manifests/{}", name.to_string_lossy())),
            }
        }
        let mut good: Vec<Manifest> = Vec::new();
        let mut chain: Option<ChainState> = None;
        for (number, path) in files {
            let content = files::read(&path, MAX_MANIFEST)?;
            let signed = SignedManifest::decode(&content).map_err(|error| error.to_string());
            let manifest = signed.and_then(|signed| {
                let manifest = signed.verify(key).map_err(|error| error.to_string())?;
                match manifest.claims().sequence {
                    sequence if sequence == number => Ok(manifest),
                    sequence => Err(format!("says that it is number {sequence}")),
                }
            });
            // Whether it was valid when it was made; today is looked at in the newest.
            let next = manifest.and_then(|manifest| {
                let then = manifest.claims().not_before;
                let next = match &chain {
                    None => ChainState::start(&manifest, then).map(|next| (next, Advance::Next)),
                    Some(chain) => chain.advance(&manifest, then),
                };
                next.map(|(next, advance)| (manifest, next, advance))
                    .map_err(|error| error.to_string())
            });
            match next {
                Ok((manifest, next, advance)) => {
                    if let Advance::Skipped(between) = advance {
                        self.missing_manifests += between;
                    }
                    chain = Some(next);
                    self.manifests += 1;
                    good.push(manifest);
                }
                Err(why) => self.problems.push(format!("manifests/{number}: {why}")),
            }
        }
        Ok(good)
    }

    fn check_latest(&mut self, folder: &SegmentFolder, newest: &Manifest) -> Result<(), Failure> {
        let claims = newest.claims();
        self.sequence = claims.sequence;
        self.members = claims.members();
        let latest = files::read_if_there(&folder.latest(), MAX_MANIFEST)?;
        if latest != files::read_if_there(&folder.manifest(claims.sequence), MAX_MANIFEST)? {
            let why = format!("latest: isn't manifest {}", claims.sequence);
            self.problems.push(why);
        }
        if clock().as_micros() / 1_000_000 > claims.not_after {
            let why = format!("manifests/{}: has expired", claims.sequence);
            self.problems.push(why);
        }
        Ok(())
    }

    fn check_segments(&mut self, folder: &SegmentFolder, newest: &Manifest) -> Result<(), Failure> {
        let claims = newest.claims();
        let open = |entry: &SegmentEntry| {
            let file = File::open(folder.path(&entry.id))?;
            Segment::open(FileSource::new(file)?, newest)
        };
        for entry in &claims.segments {
            match open(entry).and_then(|mut segment| segment.verify()) {
                Ok(()) => {
                    self.segments += 1;
                    self.bytes += entry.size;
                }
                Err(error) => {
                    let why = format!("{}: {}", hex::encode(&entry.id), cause(error)?);
                    self.problems.push(why);
                }
            }
        }
        if !self.problems.is_empty() {
            return Ok(());
        }
        for entry in &claims.segments {
            let why = match check_content(entry, newest, open) {
                Ok(None) => {
                    self.deltas += u64::from(entry.kind == Kind::Delta);
                    continue;
                }
                Ok(Some(why)) => why.to_owned(),
                Err(error) => cause(error)?,
            };
            self.problems
                .push(format!("{}: {why}", hex::encode(&entry.id)));
        }
        Ok(())
    }
}

/// What is wrong with a segment of which every byte is the one that was signed.
fn check_content(
    entry: &SegmentEntry,
    newest: &Manifest,
    open: impl Fn(&SegmentEntry) -> Result<Segment<FileSource>, ReadError>,
) -> Result<Option<&'static str>, ReadError> {
    let base = newest.base();
    if entry.to != newest.claims().newest() {
        return Ok(Some("leads to a set that isn't the newest"));
    }
    if entry.kind != Kind::Delta {
        return Ok(None);
    }
    let delta = open(entry)?;
    let others = !delta.adds_only_members_of(&mut open(base)?)?;
    Ok(others.then_some("adds somebody who isn't in the newest set"))
}

/// What is wrong with a file; a disk that doesn't answer isn't the folder's fault.
fn cause(error: ReadError) -> Result<String, Failure> {
    match error {
        ReadError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok("is missing".into())
        }
        ReadError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Ok(SegmentError::Length.to_string())
        }
        ReadError::Io(error) => Err(Failure::machine(error)),
        error => Ok(error.to_string()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "manifests   {} signed and in a chain, {} missing between them",
            count(self.manifests),
            count(self.missing_manifests)
        )?;
        writeln!(
            f,
            "newest      manifest {}, {} members",
            self.sequence,
            count(self.members)
        )?;
        writeln!(
            f,
            "segments    {}, {} in all, every byte checked",
            count(self.segments),
            bytes(self.bytes)
        )?;
        write!(
            f,
            "deltas      {} to the newest set, which add nobody who isn't in it",
            count(self.deltas)
        )?;
        for name in &self.leftover {
            write!(f, "\nleftover    {}", printable(name))?;
        }
        if self.problems.is_empty() {
            f.write_str("\ngood")?;
        }
        Ok(())
    }
}
