//! Members by their handle: what an account may see and choose for its own identifiers.

use std::{future::Future, vec::Vec};

use super::StoreError;
use crate::{
    label::Label,
    oprf::Epoch,
    server::directory::{Choice, ChoiceOutcome, Identity, Member},
};

/// Members of one handle.
#[derive(Debug)]
pub struct LabelledPage {
    /// The members, with their epochs.
    pub members: Vec<(Epoch, Member)>,
    /// The last one; `None` if there are no more.
    pub last: Option<Identity>,
}

/// What a store does for whoever has a handle.
pub trait SettingStore: Send + Sync + 'static {
    /// Up to `limit` members who have a handle, in all epochs, ascending; those after `after`.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn labelled(
        &self,
        label: &Label,
        after: Option<Identity>,
        limit: usize,
    ) -> impl Future<Output = Result<LabelledPage, StoreError>> + Send;

    /// Makes a choice for up to `limit` members who have its handle, by
    /// [`directory::choose`](crate::server::directory::choose()); those after `after`.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn choose(
        &self,
        choice: Choice,
        after: Option<Identity>,
        limit: usize,
    ) -> impl Future<Output = Result<ChoiceOutcome, StoreError>> + Send;
}
