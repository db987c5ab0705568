//! A batch of changes, made to the rows of a store in one step.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{Change, Member, Regions, apply};
use crate::{
    oprf::{Encoding, Epoch, UnblindedElement},
    timestamp::Timestamp,
    wire::{EnrolRequest, RefusedChange, RemoveRequest},
};

/// Changes to members of one epoch.
#[derive(Debug)]
pub struct MemberBatch {
    /// The epoch under whose key the members were evaluated.
    pub epoch: Epoch,
    /// Who, and what about them; in this order, at most 65,535.
    pub changes: Vec<(UnblindedElement, Change)>,
    /// The present, by the edge's clock.
    pub at: Timestamp,
}

impl MemberBatch {
    /// The changes that an enrolment asks for, where the regions ask for what the table says.
    #[must_use]
    pub fn enrol(request: EnrolRequest, regions: &Regions, at: Timestamp) -> Self {
        Self {
            epoch: request.epoch(),
            changes: request
                .into_enrolments()
                .into_iter()
                .map(|enrolment| {
                    let change = Change::Enrol {
                        label: enrolment.label,
                        setting: enrolment.setting,
                        residence: regions.residence(enrolment.region),
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Changes after which a member is otherwise than before.
    pub changed: u32,
    /// Changes that had been made before; they only renew a decision not to be found.
    pub unchanged: u32,
    /// Changes that aren't made, ascending.
    pub refused: Vec<RefusedChange>,
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

    /// Replaces what is known of an identifier, and with it everything that points to it: the only way that a row comes,
    /// changes, moves to another epoch or goes.
    ///
    /// | index | which members | |
    /// |---|---|---|
    /// | findable | those with an open interval | what is published |
    /// | changed | those of whom something else is to be published than before | what the next publication reads |
    /// | labels | those with a label, by label | what an account chooses for all its identifiers |
    /// | forgetting | those of whom something will be forgotten, by time | |
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

/// Makes the changes of a batch. One that is refused leaves its member as it was and doesn't hold up the others.
///
/// To be run by a store inside one atomic step: after a crash all of it is there, or nothing.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn change<R: MemberRows>(rows: &mut R, batch: MemberBatch) -> Result<BatchOutcome, R::Error> {
    let MemberBatch { epoch, changes, at } = batch;
    let mut outcome = BatchOutcome {
        changed: 0,
        unchanged: 0,
        refused: Vec::new(),
    };
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
        let after = match apply(current.clone(), change, at) {
            Ok(after) => {
                if Member::visible(Some(&after)) == Member::visible(current.as_ref()) {
                    outcome.unchanged += 1;
                } else {
                    outcome.changed += 1;
                }
                Some(after)
            }
            Err((unchanged, error)) => {
                // A message has at most 65,535 changes.
                let index = u16::try_from(index).unwrap_or(u16::MAX);
                outcome.refused.push(RefusedChange { index, error });
                unchanged
            }
        };
        pending.insert(*unblinded, (before, after));
    }
    for (unblinded, (before, after)) in &pending {
        if before != after {
            rows.set_member(epoch, unblinded, before.as_ref(), after.as_ref())?;
        }
    }
    Ok(outcome)
}
