//! Which members don't exist.

use std::{future::Future, vec::Vec};

use super::{Affected, StoreError};
use crate::{label::Label, timestamp::Timestamp};

/// Canaries: members under numbers that were never assigned. Everything that is published of them is as of any member; that they
/// aren't people is known here alone, by their labels.
pub trait CanaryStore: Send + Sync {
    /// Notes labels as canaries', for ever; returns how many weren't noted before.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn add_canaries(
        &self,
        labels: Vec<Label>,
        at: Timestamp,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// All canaries.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    fn canaries(&self) -> impl Future<Output = Result<Canaries, StoreError>> + Send;
}

/// The labels of canaries: few, so that all of them are read at once.
#[derive(Debug, Default)]
pub struct Canaries(Vec<Label>);

impl Canaries {
    /// Most canaries of a service.
    pub const MOST: usize = 10_000;

    /// Takes their labels, in any order.
    #[must_use]
    pub fn new(mut labels: Vec<Label>) -> Self {
        labels.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        Self(labels)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether a label is one of theirs.
    #[must_use]
    pub fn has(&self, label: &Label) -> bool {
        let found = self
            .0
            .binary_search_by(|one| one.as_bytes().cmp(label.as_bytes()));
        found.is_ok()
    }

    /// Leaves out who isn't a person: canaries are neither told of incidents nor counted among whom they are about.
    pub(super) fn without(&self, affected: Vec<Affected>) -> Vec<Affected> {
        let people = affected.into_iter().map(|mut member| {
            member.labels.retain(|label| !self.has(label));
            member
        });
        people.filter(|member| !member.labels.is_empty()).collect()
    }
}
