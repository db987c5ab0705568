//! `mirror`: copies a published folder to an object store.

use std::{fmt, path::PathBuf};

use blindbook::{
    mirror::{Copied, Mirror, MirrorError},
    store::SegmentFolder,
};
use serde::Serialize;

use crate::{
    connection::snapshot_key,
    failure::Failure,
    files,
    text::{bytes, count},
};

/// Longest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of segments, that of the configuration
    folder: PathBuf,
    /// Where to: file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, or https:// for WebDAV.
    /// Credentials and regions come from the environment, under the names that each cloud's own tools take
    url: String,
    /// The service's snapshot key: 64 hexadecimal digits, or a file with them
    #[arg(long, value_name = "KEY|FILE", env = "BLINDBOOK_SNAPSHOT_KEY")]
    snapshot_key: String,
}

/// What was copied.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    segments: usize,
    bytes: u64,
    removed: usize,
    /// Why old segments weren't removed, if they weren't.
    litter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let key = snapshot_key(&args.snapshot_key)?;
    // Opening would make one.
    std::fs::read_dir(&args.folder).map_err(|error| Failure::file(&args.folder, &error))?;
    let folder = SegmentFolder::open(&args.folder).map_err(Failure::machine)?;
    let manifest = files::read(&folder.latest(), MAX_MANIFEST)?;
    let environment = std::env::vars().map(|(name, value)| (name.to_lowercase(), value));
    let copied = crate::serve::runtime()?.block_on(async {
        let mirror = Mirror::open(&args.url, environment)?;
        mirror.copy(&manifest, &key, &folder).await
    });
    Ok(Report::from(copied?))
}

impl From<Copied> for Report {
    fn from(copied: Copied) -> Self {
        Self {
            segments: copied.segments,
            bytes: copied.bytes,
            removed: copied.removed,
            litter: copied.litter,
        }
    }
}

impl From<MirrorError> for Failure {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::Store(_) => Self::Unreachable(error.to_string()),
            MirrorError::Newer(_) | MirrorError::Conflict => Self::Refused {
                message: error.to_string(),
                retry_after: None,
            },
            _ => Self::bad_input(error),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mirrored: {} segments, {}; {} old ones removed",
            count(self.segments as u64),
            bytes(self.bytes),
            count(self.removed as u64)
        )?;
        if let Some(litter) = &self.litter {
            write!(f, "; old ones are left: {litter}")?;
        }
        Ok(())
    }
}
