//! What happens, told while it does.

use serde::Serialize;

use super::clock;
use crate::{failure::Failure, incident::date};

/// What happened at a time of the drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    at: String,
    what: String,
}

/// What has happened so far.
pub(super) struct Timeline {
    pub(super) entries: Vec<Entry>,
    silent: bool,
}

impl Timeline {
    /// A silent one is told in the end.
    pub(super) const fn new(silent: bool) -> Self {
        Self {
            entries: Vec::new(),
            silent,
        }
    }

    pub(super) fn note(&mut self, what: String) -> Result<(), Failure> {
        let at = date(clock::seconds());
        if !self.silent {
            crate::print(&format!("{at}  {what}"))?;
        }
        self.entries.push(Entry { at, what });
        Ok(())
    }
}
