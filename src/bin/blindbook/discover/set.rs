//! Reads the published set: as a whole while it comes, from a folder, or in part.

use std::{
    fmt,
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
    time::Instant,
};

use blindbook::{
    client::{BeliefFactor, Chosen, Identifier, Part, SyncState},
    http_client::{FolderError, SetFolder, Transport, TransportError},
    snapshot::{
        Forward, Manifest, Ranges, ReadError, Search, Segment, SegmentEntry, SegmentError,
        cheapest_path,
    },
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;

use crate::{
    connection::{Connection, retried},
    failure::Failure,
    text::bytes,
};

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct SetArgs {
    /// Keep the published set in a folder, so that the next run fetches only what has changed. Without it the whole
    /// set is fetched and searched as it comes
    #[arg(
        long = "set",
        value_name = "FOLDER",
        conflicts_with = "max_belief_factor"
    )]
    folder: Option<PathBuf>,
    /// Fetch a part of the set, with which the service may believe up to so many times more strongly than before that
    /// somebody is in the address book. 8 is an eighth of the set
    #[arg(long, value_name = "FACTOR")]
    max_belief_factor: Option<BeliefFactor>,
}

/// What was fetched.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Fetched {
    pub(crate) bytes: u64,
    bases: usize,
    deltas: usize,
    /// Whether a new base was made from the segments in the folder.
    rebuilt: bool,
    /// Which part of the base was fetched, if not all of it.
    fraction: Option<f64>,
    /// By how much the service's belief may have grown, at most.
    belief_factor: Option<f64>,
}

/// Looks up all identifiers that were evaluated in the newest set.
pub(crate) fn search(
    args: &SetArgs,
    connection: &Connection,
    manifest: &Manifest,
    state: &mut SyncState,
    identifiers: &[Identifier],
    keep: impl Fn(&SyncState) -> Result<(), Failure>,
) -> Result<(Search, Fetched), Failure> {
    let begun = Instant::now();
    let (search, fetched) = if let Some(folder) = &args.folder {
        from_folder(folder, connection, manifest, || state.search(identifiers))?
    } else {
        let part = match args.max_belief_factor {
            None => Part::Whole,
            Some(greatest) => {
                let rng = &mut UnwrapErr(SysRng);
                let part = state.choose_part(manifest, identifiers, greatest, rng);
                part.map_err(|error| {
                    Failure::bad_input(error)
                        .hint("accept a greater factor, or read the whole set, which tells nothing")
                })?
            }
        };
        // Before the service sees it: a choice that is made twice gives the contacts away.
        keep(state)?;
        Fetch {
            transport: connection.transport(),
            manifest,
            search: state.search(identifiers),
            fetched: Fetched::default(),
        }
        .run(&part)?
    };
    connection.took("published set", 0, fetched.bytes as usize, begun.elapsed());
    Ok((search, fetched))
}

fn from_folder(
    folder: &Path,
    connection: &Connection,
    manifest: &Manifest,
    begin: impl Fn() -> Search,
) -> Result<(Search, Fetched), Failure> {
    let folder = SetFolder::open(folder, connection.snapshot_key().clone())?;
    let (search, fetched) = folder.read(connection.transport(), manifest, |path| {
        let mut search = begin();
        for segment in path {
            search.read(segment)?;
        }
        Ok(search)
    })?;
    let fetched = Fetched {
        bytes: fetched.bytes,
        bases: fetched.bases,
        deltas: fetched.deltas,
        rebuilt: fetched.rebuilt,
        ..Fetched::default()
    };
    Ok((search, fetched))
}

/// Segments that are searched as they come.
struct Fetch<'a> {
    transport: &'a Transport,
    manifest: &'a Manifest,
    search: Search,
    fetched: Fetched,
}

impl Fetch<'_> {
    fn run(mut self, part: &Part) -> Result<(Search, Fetched), Failure> {
        let claims = self.manifest.claims();
        let path = cheapest_path(&claims.segments, claims.newest(), |entry| entry.size)
            .ok_or(Failure::defect(SegmentError::OtherSet))?;
        for entry in path {
            match (entry.from, part) {
                (0, Part::Runs(chosen)) => self.part(entry, chosen)?,
                _ => self.whole(entry)?,
            }
            match entry.from {
                0 => self.fetched.bases += 1,
                _ => self.fetched.deltas += 1,
            }
        }
        Ok((self.search, self.fetched))
    }

    /// All of a segment, to its last byte wherever the contacts are.
    fn whole(&mut self, entry: &SegmentEntry) -> Result<(), Failure> {
        let read = retried(|| {
            let download = self
                .transport
                .download(&entry.id, entry.size, 0..entry.size);
            let opened = Segment::open(Forward::new(download), self.manifest);
            match opened.and_then(|mut segment| self.search.read_all(&mut segment)) {
                Err(ReadError::Io(error)) => Err(TransportError::from_read(error)),
                other => Ok(other),
            }
        })?;
        self.fetched.bytes += entry.size;
        read.map_err(Failure::defect)
    }

    fn part(&mut self, entry: &SegmentEntry, chosen: &Chosen) -> Result<(), Failure> {
        let mut held = Ranges::new();
        held.insert(0, self.range(entry, 0..entry.outline_length())?);
        let opened = Segment::open(held, self.manifest);
        let mut segment = opened.map_err(Failure::defect)?;
        for range in segment.ranges(chosen.runs()).map_err(Failure::defect)? {
            let from = range.start;
            segment.insert(from, self.range(entry, range)?);
        }
        self.fetched.fraction = Some(chosen.fraction());
        self.fetched.belief_factor = Some(chosen.belief_factor());
        let checked = segment.verify_runs(chosen.runs());
        checked
            .and_then(|()| self.search.read(&mut segment))
            .map_err(Failure::defect)
    }

    fn range(&mut self, entry: &SegmentEntry, range: Range<u64>) -> Result<Vec<u8>, Failure> {
        let got = retried(|| {
            let mut bytes = Vec::new();
            self.transport
                .download(&entry.id, entry.size, range.clone())
                .read_to_end(&mut bytes)
                .map_err(TransportError::from_read)?;
            Ok(bytes)
        })?;
        self.fetched.bytes += got.len() as u64;
        Ok(got)
    }
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        write!(f, "fetched {}", bytes(self.bytes))?;
        match (self.fraction, self.bases) {
            (Some(fraction), _) => write!(f, ": {:.1} % of the base", fraction * 100.0)?,
            (None, 0) => {}
            (None, bases) => write!(f, ": {}", many(bases, "base"))?,
        }
        match self.deltas {
            0 => {}
            deltas if self.bases == 0 => write!(f, ": {}", many(deltas, "delta"))?,
            deltas => write!(f, " and {}", many(deltas, "delta"))?,
        }
        if self.rebuilt {
            write!(f, "; the new base was made from what was there")?;
        }
        if let (Some(factor), Some(fraction)) = (self.belief_factor, self.fraction) {
            write!(
                f,
                "\nthe service may believe up to {factor:.1} times more strongly than before that somebody is in this \
                 address book: {:.1} % of the set was fetched",
                fraction * 100.0
            )?;
        }
        Ok(())
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::Io(path, error) => Self::file(&path, &error),
            FolderError::Locked(_) => Self::bad_input(error),
            FolderError::Transport(error) => error.into(),
            FolderError::Segment(ReadError::Io(_)) => Self::machine(error),
            other => Self::defect(other),
        }
    }
}
