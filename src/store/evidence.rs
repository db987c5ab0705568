//! Who could be found when: what an incident is reported by.

use std::{future::Future, vec::Vec};

use super::StoreError;
use crate::{
    label::Label,
    oprf::{Encoding, Epoch},
    server::{
        directory::{Region, Window},
        incident::Period,
    },
};

/// A member who could be found in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// Where the member lives, if that is known.
    pub region: Option<Region>,
    /// The handles that a match could yield, oldest first; more than one if the identifier changed hands, or the handle was
    /// changed. A service whose labels have no bytes has only empty ones, which name nobody.
    pub labels: Vec<Label>,
}

/// A page of members, looked through.
#[derive(Debug)]
pub struct AffectedPage {
    /// Those who could be found in the window.
    pub affected: Vec<Affected>,
    /// The last member looked at; `None` if there are no more.
    pub last: Option<Encoding>,
}

/// Reads the evidence of when members could be found.
pub trait EvidenceStore: Send + Sync + 'static {
    /// The time of which it isn't known what was charged, and who could be found, as the store was restored from a backup;
    /// `None` if that never happened. Several such times are told as one.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn lost(&self) -> impl Future<Output = Result<Option<Period>, StoreError>> + Send;

    /// Looks at up to `limit` members of an epoch, those after `after`, deleted ones too, and returns who of them could be
    /// found in a window, or was still published then.
    ///
    /// A rotation moves members with all their evidence from one epoch to the next: those of the newest epoch are everybody,
    /// but while it lasts some are only in the old one.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn members_between(
        &self,
        epoch: Epoch,
        window: Window,
        after: Option<Encoding>,
        limit: usize,
    ) -> impl Future<Output = Result<AffectedPage, StoreError>> + Send;
}
