//! What incidents need of a store.

use std::{future::Future, vec::Vec};

use super::StoreError;
use crate::{
    server::incident::{HandOut, Incident, Lease, Notice, NoticeId, Tally},
    timestamp::Timestamp,
};

/// Incidents and their notices. While an incident isn't closed, the store forgets nothing about members, nor what accounts
/// did in hours long ago.
pub trait IncidentStore: Send + Sync {
    /// Keeps a new incident, by [`incident::open`](crate::server::incident::open()).
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn open_incident(
        &self,
        incident: Incident,
    ) -> impl Future<Output = Result<Incident, StoreError>> + Send;

    /// All incidents, ascending by number.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn incidents(&self) -> impl Future<Output = Result<Vec<Incident>, StoreError>> + Send;

    /// Replaces an incident that is still as it was, by [`incident::replace`](crate::server::incident::replace()).
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn replace_incident(
        &self,
        before: Incident,
        after: Incident,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Puts notices on a list, by [`incident::enlist`](crate::server::incident::enlist()).
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn enlist_notices(
        &self,
        incident: u64,
        notices: Vec<Notice>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes up to `limit` notices to hand them over, by [`incident::hand_out`](crate::server::incident::hand_out()).
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn hand_out_notices(
        &self,
        incident: u64,
        lease: Lease,
        now: Timestamp,
        after: Option<NoticeId>,
        limit: usize,
    ) -> impl Future<Output = Result<HandOut, StoreError>> + Send;

    /// Says that notices have arrived, by [`incident::confirm`](crate::server::incident::confirm()).
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn confirm_notices(
        &self,
        incident: u64,
        ids: Vec<NoticeId>,
        lease: Lease,
        now: Timestamp,
    ) -> impl Future<Output = Result<Tally, StoreError>> + Send;

    /// How far telling has come.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn notice_tally(&self, incident: u64)
    -> impl Future<Output = Result<Tally, StoreError>> + Send;
}
