//! The quota: no evaluation without a [`Permit`], no permit without a durable debit.
//!
//! Layer 4: stands on the policy and must not know where charges are stored, what time it is, or who an
//! account is beyond its pseudonym.
//!
//! ```text
//! Charge --Policy--> Debit --QuotaStore (one atomic, durable step)--> ChargeOutcome --> Permit | Refusal
//!                               runs `charge`, the one charging function
//! ```
//!
//! Every limit is a draw in [`charge()`], so that no way of learning "is x a member" has limits of its own, and all
//! draws of one request are taken in one step, or none.

mod activity;
mod charge;
mod claim;
mod debit;
mod gcra;
mod meter;
mod origin;
mod outcome;
mod rows;

use core::{error::Error, fmt, future::Future, num::NonZeroU32};

pub use activity::{AccountKind, Activity, Hour, NetworkActivity};
pub use charge::charge;
pub use claim::Claim;
pub use debit::{Bucket, Debit, Draw, Purpose, ReplayKey, Shares, Suspect};
pub(crate) use gcra::DAY;
pub use gcra::Limit;
pub(super) use meter::seen_row;
pub use meter::{Day, DayRow, Meter, MeterRule, Usage};
pub use origin::{NetworkKey, Origin};
pub use outcome::{ChargeOutcome, QuotaStatus, Receipt, Refusal, RefusalReason};
pub use rows::ChargeRows;

use super::{
    Timestamp,
    policy::{Policy, PolicyError},
};
use crate::oprf::Epoch;

/// The pseudonym of an account: a keyed hash of the credential's subject, computed at the edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey([u8; 32]);

impl AccountKey {
    /// Takes the keyed hash.
    #[must_use]
    pub const fn new(pseudonym: [u8; 32]) -> Self {
        Self(pseudonym)
    }

    /// The bytes, for the store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountKey(<redacted>)")
    }
}

/// What a credential allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// To look up contacts.
    Discover,
    /// To evaluate identifiers and enrol them: a registrar.
    Enrol,
}

/// A request for an evaluation, as far as the quota needs to know it.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Who pays.
    pub account: AccountKey,
    /// With which kind of credential.
    pub scope: Scope,
    /// When the account was made, as the credential says. Ignored for a registrar.
    pub account_created: Timestamp,
    /// Where the request comes from. Ignored for a registrar.
    pub origin: Origin,
    /// How many elements are to be evaluated.
    pub elements: NonZeroU32,
    /// [`BlindedElements::digest`](crate::oprf::BlindedElements::digest): what a repeated request is recognised by.
    pub request_digest: [u8; 32],
    /// The epoch of the key that is to evaluate them.
    pub epoch: Epoch,
    /// The present, by the edge's clock.
    pub at: Timestamp,
}

/// A store that can take a debit.
///
/// One call is one round trip and one atomic step. It may be called any number of times for the same
/// charge: the second call finds the first one's record and takes nothing.
pub trait QuotaStore {
    /// Why the store couldn't answer.
    type Error: Error + Send + Sync + 'static;

    /// Runs [`charge()`] on the stored rows and answers once what it wrote is durable.
    ///
    /// # Errors
    ///
    /// The store can't answer, or can't say whether the debit is durable. Nothing may be evaluated then; a
    /// debit that was taken nevertheless is found again by the retry.
    fn charge(
        &self,
        debit: Debit,
    ) -> impl Future<Output = Result<ChargeOutcome, Self::Error>> + Send;
}

/// The right to one evaluation of one batch under one key.
///
/// Made by [`Quota::admit`] alone, consumed by the evaluation.
///
/// ```compile_fail
/// fn twice(permit: blindbook::server::quota::Permit) {
///     drop(permit.clone());
/// }
/// ```
#[derive(Debug)]
#[must_use = "the elements have been paid for"]
pub struct Permit {
    elements: NonZeroU32,
    request_digest: [u8; 32],
    epoch: Epoch,
}

impl Permit {
    /// How many elements were paid for.
    #[must_use]
    pub fn elements(&self) -> u32 {
        self.elements.get()
    }

    /// The epoch of the key that may evaluate them.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether this is the batch that was paid for.
    #[must_use]
    pub fn covers(&self, request_digest: &[u8; 32]) -> bool {
        self.request_digest == *request_digest
    }
}

/// The right to one carry-over of one batch to one epoch.
///
/// Made by [`Quota::admit_carry_over`] alone, consumed by the carry-over. It isn't a [`Permit`]: what it cost is what was
/// evaluated in the old epoch, which buys nothing new.
#[derive(Debug)]
#[must_use = "the elements have been taken off"]
pub struct CarryOverPermit(Permit);

impl CarryOverPermit {
    /// How many elements may be carried over.
    #[must_use]
    pub fn elements(&self) -> u32 {
        self.0.elements()
    }

    /// The epoch to which they may be.
    #[must_use]
    pub fn to(&self) -> Epoch {
        self.0.epoch()
    }

    /// Whether this is the batch that may be.
    #[must_use]
    pub fn covers(&self, request_digest: &[u8; 32]) -> bool {
        self.0.covers(request_digest)
    }
}

/// An admitted carry-over.
#[derive(Debug)]
pub struct CarryOverAdmission {
    /// The right to it.
    pub permit: CarryOverPermit,
    /// What it left behind.
    pub receipt: Receipt,
}

/// An admitted request.
#[derive(Debug)]
pub struct Admission {
    /// The right to evaluate it.
    pub permit: Permit,
    /// What the debit left behind.
    pub receipt: Receipt,
    /// Whether the key has passed [`KeyBudget::warn`](super::policy::KeyBudget::warn): time to rotate.
    pub key_warning: bool,
    /// Whether everybody together has passed [`ServiceLimits::page_percent`](super::policy::ServiceLimits::page_percent):
    /// somebody should look before phones are refused.
    pub service_warning: bool,
}

/// A request that isn't evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError<E: Error + 'static> {
    /// The account is to blame, or the clock, or the key.
    #[error(transparent)]
    Refused(Refusal),
    /// The store couldn't answer: fail closed.
    #[error("the quota store can't answer")]
    Store(#[source] E),
}

/// The quota of a service: a policy and a store.
#[derive(Debug)]
pub struct Quota<S> {
    policy: Policy,
    store: S,
}

impl<S: QuotaStore> Quota<S> {
    /// Enforces a policy on the rows of a store.
    ///
    /// # Errors
    ///
    /// The policy contradicts itself.
    pub fn new(policy: Policy, store: S) -> Result<Self, PolicyError> {
        policy.validate()?;
        Ok(Self { policy, store })
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Takes a carry-over off what the account has had evaluated in the epoch before, durably, and permits it.
    ///
    /// `charge` is about the epoch that is carried over to. It isn't drawn from the account's elements, nor from what accounts
    /// share. The same bytes within 24 hours are permitted again and take nothing.
    ///
    /// # Errors
    ///
    /// The quota refuses; or the store can't answer.
    pub async fn admit_carry_over(
        &self,
        charge: Charge,
    ) -> Result<CarryOverAdmission, AdmitError<S::Error>> {
        let permit = CarryOverPermit(Permit {
            elements: charge.elements,
            request_digest: charge.request_digest,
            epoch: charge.epoch,
        });
        let outcome = self.store.charge(self.policy.carry_over(charge)).await;
        match outcome.map_err(AdmitError::Store)? {
            ChargeOutcome::Admitted(receipt) => Ok(CarryOverAdmission { permit, receipt }),
            ChargeOutcome::Refused(refusal) => Err(AdmitError::Refused(refusal)),
        }
    }

    /// Charges for an evaluation, durably, and permits it.
    ///
    /// The same bytes from the same account under the same key within 24 hours are permitted again and cost a
    /// request, but no elements.
    ///
    /// # Errors
    ///
    /// The quota refuses, and says when to come back; or the store can't answer.
    pub async fn admit(&self, charge: Charge) -> Result<Admission, AdmitError<S::Error>> {
        let permit = Permit {
            elements: charge.elements,
            request_digest: charge.request_digest,
            epoch: charge.epoch,
        };
        let outcome = self.store.charge(self.policy.debit(charge)).await;
        match outcome.map_err(AdmitError::Store)? {
            ChargeOutcome::Admitted(receipt) => Ok(Admission {
                permit,
                key_warning: receipt.key_evaluations >= self.policy.key.warn,
                service_warning: receipt
                    .service
                    .is_some_and(|usage| usage.reaches(self.policy.service.page_percent)),
                receipt,
            }),
            ChargeOutcome::Refused(refusal) => Err(AdmitError::Refused(refusal)),
        }
    }
}

impl<S: QuotaStore + Sync> QuotaStore for &S {
    type Error = S::Error;

    fn charge(
        &self,
        debit: Debit,
    ) -> impl Future<Output = Result<ChargeOutcome, Self::Error>> + Send {
        S::charge(self, debit)
    }
}

impl<S: QuotaStore + Send + Sync> QuotaStore for alloc::sync::Arc<S> {
    type Error = S::Error;

    fn charge(
        &self,
        debit: Debit,
    ) -> impl Future<Output = Result<ChargeOutcome, Self::Error>> + Send {
        S::charge(self, debit)
    }
}
