//! A batch of changes, made to the rows of a store in one step: all of them or none.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{Change, ChangeError, Member, apply};
use crate::{
    oprf::{Encoding, Epoch, UnblindedElement},
    timestamp::Timestamp,
    wire::{EnrolRequest, RemoveRequest},
};

/// Changes to members of one epoch.
#[derive(Debug)]
pub struct MemberBatch {
    /// The epoch under whose key the members were evaluated.
    pub epoch: Epoch,
    /// Who, and what about them; in this order.
    pub changes: Vec<(UnblindedElement, Change)>,
    /// The present, by the edge's clock.
    pub at: Timestamp,
}

impl MemberBatch {
    /// The changes that an enrolment asks for.
    #[must_use]
    pub fn enrol(request: EnrolRequest, at: Timestamp) -> Self {
        Self {
            epoch: request.epoch(),
            changes: request
                .into_enrolments()
                .into_iter()
                .map(|enrolment| {
                    let change = Change::Enrol {
                        label: enrolment.label,
                        setting: enrolment.setting,
                    };
                    (enrolment.unblinded, change)
                })
                .collect(),
            at,
        }
    }

    /// The changes that a removal asks for.
    #[must_use]
    pub fn remove(request: RemoveRequest, at: Timestamp) -> Self {
        let unblinded = request.unblinded.into_iter();
        Self {
            epoch: request.epoch,
            changes: unblinded.map(|who| (who, Change::Remove)).collect(),
            at,
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchOutcome {
    /// All changes are made.
    Made {
        /// Changes after which a member is otherwise than before.
        changed: u32,
        /// Changes that had been made before; they only renew a decision not to be found.
        unchanged: u32,
    },
    /// Nothing is changed, because one change can't be made.
    Refused {
        /// Which one, from 0.
        index: usize,
        /// Why.
        error: ChangeError,
    },
}

/// The rows that [`change()`] reads and writes, inside one atomic step of a store.
pub trait MemberRows {
    /// Why a row can't be read or written.
    type Error;

    /// What is known of an identifier.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn member(&mut self, epoch: Epoch, unblinded: &Encoding)
    -> Result<Option<Member>, Self::Error>;

    /// Replaces what is known of an identifier.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_member(
        &mut self,
        epoch: Epoch,
        unblinded: &Encoding,
        before: Option<&Member>,
        after: Option<&Member>,
    ) -> Result<(), Self::Error>;
}

/// Makes all changes of a batch, or none of them.
///
/// To be run by a store inside one atomic step. Nothing is written before every change is known to be good.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn change<R: MemberRows>(rows: &mut R, batch: MemberBatch) -> Result<BatchOutcome, R::Error> {
    let MemberBatch { epoch, changes, at } = batch;
    let (mut changed, mut unchanged) = (0, 0);
    // Before and after, for each identifier once.
    let mut pending: BTreeMap<Encoding, (Option<Member>, Option<Member>)> = BTreeMap::new();
    for (index, (unblinded, change)) in changes.into_iter().enumerate() {
        let unblinded = unblinded.expose();
        let (before, current) = match pending.remove(unblinded) {
            Some(seen) => seen,
            None => {
                let known = rows.member(epoch, unblinded)?;
                (known.clone(), known)
            }
        };
        let previous = current.clone();
        let after = match apply(current, change, at) {
            Ok(after) => after,
            Err((_, error)) => return Ok(BatchOutcome::Refused { index, error }),
        };
        if Member::visible(Some(&after)) == Member::visible(previous.as_ref()) {
            unchanged += 1;
        } else {
            changed += 1;
        }
        pending.insert(*unblinded, (before, Some(after)));
    }
    for (unblinded, (before, after)) in &pending {
        if before != after {
            rows.set_member(epoch, unblinded, before.as_ref(), after.as_ref())?;
        }
    }
    Ok(BatchOutcome::Made { changed, unchanged })
}
