//! What a store keeps of a rotation: which members have a row in the new epoch, and how far it has come.

use std::{fmt, future::Future, vec::Vec};

use super::{Settled, StoreError, StoredManifest};
use crate::{
    oprf::{Encoding, Epoch, UnblindedElement},
    server::{
        quota::AccountKey,
        rotation::{Rotation, RotationKind, Window},
    },
    timestamp::Timestamp,
};

/// A run of members of the old epoch with what they are in the new one.
#[derive(Debug, Default)]
pub struct Rekeyed {
    /// The member's unblinded element in the old epoch, and in the new one: ascending by that, if there are many.
    pub members: Vec<(UnblindedElement, UnblindedElement)>,
    /// Whether they had changed after they got their row, and were read from [`RotationStore::to_rekey_again`].
    pub again: bool,
    /// What is done with these.
    pub end: Option<RunEnd>,
}

/// How far a rotation has come at the end of a run of members.
#[derive(Clone, Copy)]
pub struct RunEnd {
    /// The last one of the run by its unblinded element in the old epoch; `None` if there are no members at all.
    pub after: Option<Encoding>,
    /// How many they are.
    pub members: u64,
    /// Whether there is nobody behind them.
    pub complete: bool,
}

impl fmt::Debug for RunEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunEnd")
            .field("members", &self.members)
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}

/// A page of accounts that was gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedClaims {
    /// The last account looked at; `None` if there are no more.
    pub last: Option<AccountKey>,
    /// How many had nothing left to carry over.
    pub dropped: usize,
}

/// How a switch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Switched {
    /// The new epoch is the one that is served.
    Done,
    /// Nothing was changed: members have changed who have to be rekeyed again before.
    MembersChanged,
    /// Nothing was changed: the manifest isn't the next one, or no rotation is at this point.
    Conflict,
}

/// The rotation of the directory from one epoch to the next, resumable at each step.
///
/// While members are rekeyed, the old epoch's rows are the ones that count: whoever changes one of them, for whatever reason,
/// has it noted by the store, in the same step. A row of the new epoch is made from that of the old one and nothing else: all
/// of it moves, the evidence too.
pub trait RotationStore {
    /// The rotation that isn't finished, if there is one.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn rotation(&self) -> impl Future<Output = Result<Option<Rotation>, StoreError>> + Send;

    /// Begins to rotate to the epoch behind `from`; `false`, and nothing is changed, if another rotation isn't finished.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn begin_rotation(
        &self,
        from: Epoch,
        kind: RotationKind,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Makes a rotation hard that hasn't switched yet; `false`, and nothing is changed, if there is none.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn harden_rotation(&self) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Up to `limit` members of the old epoch, ascending by unblinded element, those after `after`. Fewer than `limit` means
    /// that there are no more.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn to_rekey(
        &self,
        after: Option<Encoding>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<UnblindedElement>, StoreError>> + Send;

    /// Up to `limit` members who have changed since the rotation began.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn to_rekey_again(
        &self,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<UnblindedElement>, StoreError>> + Send;

    /// Gives members their rows in the new epoch, from what their rows in the old one say now. Does nothing unless members
    /// are being rekeyed.
    ///
    /// What of a member isn't published yet in the old epoch isn't in the new one. A member who has changed since, and whose
    /// row in the new epoch changes by that, is published as changed. A store may take a run in several steps, the last of which
    /// notes its end: until then the run is taken again from its beginning after an interruption.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn rekey(&self, members: Rekeyed) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Appends the first manifest of the new epoch and makes that the epoch that is served: as
    /// [`append_manifest`](super::Store::append_manifest), and the phase with it. Without a window the rotation is a hard one.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn switch_epoch(
        &self,
        manifest: StoredManifest,
        settled: Settled,
        window: Option<Window>,
    ) -> impl Future<Output = Result<Switched, StoreError>> + Send;

    /// Ends the window of a soft rotation if its time is over; without a time at once. Returns whether the rotation is ending.
    ///
    /// A time later than the latest charge counts as that one, as for [`forget`](super::Store::forget): keys that are
    /// destroyed can't be brought back.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn end_window(
        &self,
        at: Option<Timestamp>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Drops up to `limit` rows of the epoch that a rotation has switched from; returns how many. None means that there are no
    /// more.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn drop_old(&self, limit: usize) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Looks at up to `limit` accounts, those behind `after`, and forgets what they have had evaluated in epochs that nothing
    /// is carried over from any more.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn drop_claims(
        &self,
        after: Option<AccountKey>,
        limit: usize,
    ) -> impl Future<Output = Result<DroppedClaims, StoreError>> + Send;

    /// Forgets a rotation that is ending.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn finish_rotation(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
