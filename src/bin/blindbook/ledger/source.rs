//! Where entries are read from: an exported file, or the running service.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use blindbook::server::ledger::{BadEntry, Entry, ExportHeader};

use crate::{config::Config, failure::Failure, operator::Operator};

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    /// An exported ledger; by default the running service is asked for its own
    pub(crate) file: Option<PathBuf>,
    /// The service's configuration; not needed for a file
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: Option<PathBuf>,
}

impl SourceArgs {
    pub(super) const fn of_file(file: PathBuf) -> Self {
        Self {
            file: Some(file),
            config: None,
        }
    }

    /// The configuration, if there is one.
    pub(crate) fn config(&self) -> Result<Option<Config>, Failure> {
        self.config.as_deref().map(Config::read).transpose()
    }

    /// Opens the file, or asks the service with this query.
    pub(crate) fn open(&self, query: &str) -> Result<Entries, Failure> {
        if let Some(path) = &self.file {
            let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
            return Entries::new(Box::new(file), self.name());
        }
        let config = self.config()?;
        let config = config.ok_or_else(|| {
            Failure::bad_input("give --config of a running service, or an exported file")
        })?;
        from_service(&config, query)
    }

    /// What its failures are about.
    pub(crate) fn name(&self) -> String {
        match &self.file {
            Some(path) => path.display().to_string(),
            None => "the service's ledger".into(),
        }
    }
}

/// The ledger of the running service.
pub(crate) fn from_service(config: &Config, query: &str) -> Result<Entries, Failure> {
    let operator = Operator(config.listen.operator);
    let answer = operator.stream(&format!("/ledger{query}"))?;
    Entries::new(Box::new(answer), "the service's ledger".into())
}

/// Why there is no next entry.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// What there is isn't one.
    Bad(BadEntry),
    /// The disk or the service doesn't give it.
    Failed(Failure),
}

/// Entries one after the other, in memory for one of them.
pub(crate) struct Entries {
    read: Box<dyn Read>,
    name: String,
    header: ExportHeader,
    buffer: Vec<u8>,
    taken: usize,
}

impl Entries {
    fn new(read: Box<dyn Read>, name: String) -> Result<Self, Failure> {
        let mut entries = Self {
            read,
            name,
            header: ExportHeader { service: [0; 32] },
            buffer: Vec::new(),
            taken: 0,
        };
        while entries.buffer.len() < ExportHeader::LENGTH && entries.more()? {}
        let mut rest = entries.buffer.as_slice();
        entries.header = ExportHeader::take(&mut rest)
            .map_err(|error| Failure::BadInput(format!("{}: {error}", entries.name)))?;
        entries.taken = entries.buffer.len() - rest.len();
        Ok(entries)
    }

    /// Whose ledger it says that it is.
    pub(crate) const fn header(&self) -> &ExportHeader {
        &self.header
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Unreadable> {
        loop {
            let mut rest = self.buffer.get(self.taken..).unwrap_or_default();
            let ended = rest.is_empty();
            match Entry::take(&mut rest) {
                Ok(entry) => {
                    self.taken = self.buffer.len() - rest.len();
                    return Ok(Some(entry));
                }
                Err(BadEntry::Truncated) => {}
                Err(bad) => return Err(Unreadable::Bad(bad)),
            }
            if !self.more().map_err(Unreadable::Failed)? {
                return match ended {
                    true => Ok(None),
                    false => Err(Unreadable::Bad(BadEntry::Truncated)),
                };
            }
        }
    }

    /// The next entry of a ledger that is only shown or copied.
    pub(crate) fn next_whole(&mut self) -> Result<Option<Entry>, Failure> {
        self.next().map_err(|unreadable| match unreadable {
            Unreadable::Bad(bad) => Failure::BadInput(format!("{}: {bad}", self.name)),
            Unreadable::Failed(failure) => failure,
        })
    }

    /// Reads more bytes; `false` at the end.
    fn more(&mut self) -> Result<bool, Failure> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let chunk = (&mut self.read).take(CHUNK as u64);
        let read = { chunk }.read_to_end(&mut self.buffer);
        read.map(|count| count > 0)
            .map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::Machine(format!("{}: {error}", self.name))
    }
}
