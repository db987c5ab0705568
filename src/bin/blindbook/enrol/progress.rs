//! How far an import has got, in a file beside the one that is imported.
//!
//! Text, one `name value` a line: the position after the last batch that the service has taken, how long the list of
//! rejected lines was then, the SHA-256 of all bytes before the position (so that a file which was changed there
//! isn't resumed), and where the registrar stands in the chain of manifests (so that an import isn't resumed on a service that
//! has none of the people; a rotation of the key moves them all).

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use blindbook::{client::contacts::Position, snapshot::ChainState};
use sha2::{Digest, Sha256};

use crate::{
    failure::Failure,
    files::{read_if_there, replace_private, with_suffix},
    hex,
    registrar::Registrar,
};

const MAX_FILE: u64 = 4_096;
const FIRST_LINE: &str = "blindbook import 1";

/// How far an import has got.
#[derive(Debug)]
pub(crate) struct Progress {
    path: PathBuf,
    position: Position,
    /// Bytes of the list of rejected lines.
    rejected: u64,
    /// Reads the imported file a second time, as far as it is done.
    source: BufReader<File>,
    hash: Sha256,
    chain: ChainState,
}

impl Progress {
    /// Starts anew. What an earlier run left is there until [`save`](Self::save).
    pub(crate) fn begin(file: &Path, registrar: &Registrar<'_>) -> Result<Self, Failure> {
        let source = File::open(file).map_err(|error| Failure::file(file, &error))?;
        Ok(Self {
            path: with_suffix(file, ".progress"),
            position: Position::START,
            rejected: 0,
            source: BufReader::new(source),
            hash: Sha256::new(),
            chain: registrar.chain().clone(),
        })
    }

    /// Goes on where an earlier run was, if there was one.
    pub(crate) fn resume(file: &Path, registrar: &Registrar<'_>) -> Result<Self, Failure> {
        let mut progress = Self::begin(file, registrar)?;
        let Some(bytes) = read_if_there(&progress.path, MAX_FILE)? else {
            return Ok(progress);
        };
        let refuse = |why: &str| {
            Failure::BadInput(format!(
                "{}: {why}; --restart begins at the first line again",
                progress.path.display()
            ))
        };
        let stored = decode(&bytes).ok_or_else(|| refuse("not the progress of an import"))?;
        let Stored { position, hash, .. } = stored;
        registrar
            .check_continues(&stored.chain)
            .map_err(|why| refuse(&why))?;
        let changed = refuse("the file has changed before the line that was reached");
        progress.hash_until(position.offset)?;
        if progress.position.offset != position.offset || progress.digest() != hash {
            return Err(changed);
        }
        progress.position = position;
        progress.rejected = stored.rejected;
        Ok(progress)
    }

    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The service has taken everything before `next`, but for what is in `rejected` bytes of the list.
    pub(crate) fn advance(&mut self, next: Position, rejected: u64) -> Result<(), Failure> {
        self.hash_until(next.offset)?;
        self.position = next;
        self.rejected = rejected;
        self.save()
    }

    /// Stores it, for the next run.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let text = format!(
            "{FIRST_LINE}\noffset {}\nline {}\nrejected {}\nsha256 {}\nchain {}\n",
            self.position.offset,
            self.position.line,
            self.rejected,
            hex::encode(&self.digest()),
            hex::encode(&self.chain.encode()),
        );
        replace_private(&self.path, text.as_bytes())
    }

    fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    fn hash_until(&mut self, offset: u64) -> Result<(), Failure> {
        while self.position.offset < offset {
            let available = self
                .source
                .fill_buf()
                .map_err(|error| Failure::file(&self.path, &error))?;
            let left = usize::try_from(offset - self.position.offset).unwrap_or(usize::MAX);
            let (done, _) = available.split_at(left.min(available.len()));
            if done.is_empty() {
                break;
            }
            self.hash.update(done);
            let count = done.len();
            self.source.consume(count);
            self.position.offset += count as u64;
        }
        Ok(())
    }
}

/// What is in the file.
struct Stored {
    position: Position,
    rejected: u64,
    hash: [u8; 32],
    chain: ChainState,
}

fn decode(bytes: &[u8]) -> Option<Stored> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let mut field = |name: &str| {
        let line = lines.next()?;
        line.strip_prefix(name)?.strip_prefix(' ')
    };
    Some(Stored {
        position: Position {
            offset: field("offset")?.parse().ok()?,
            line: field("line")?.parse().ok()?,
        },
        rejected: field("rejected")?.parse().ok()?,
        hash: hex::decode(field("sha256")?)?,
        chain: ChainState::decode(&hex::decode(field("chain")?)?).ok()?,
    })
}
