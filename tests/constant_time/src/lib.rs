//! What the checks of constant time share: both roles, a quota that is never exhausted, and verdicts.

use std::{
    future::Future,
    num::NonZeroU32,
    pin::pin,
    process::ExitCode,
    task::{Context, Poll, Waker},
};

use blindbook::{
    oprf::Epoch,
    server::{
        Timestamp,
        policy::Policy,
        quota::{AccountKey, Charge, Origin, Permit, Quota, Scope},
    },
    store::MemoryStore,
};

pub const EPOCH: Epoch = Epoch::new(1);

/// A quota that no check runs into.
pub struct Grants(Quota<MemoryStore>);

impl Default for Grants {
    fn default() -> Self {
        let mut policy = Policy::default();
        policy.registrar.capacity = 1_000_000_000;
        policy.registrar.refill_per_day = 1_000_000_000;
        policy.registrar.request_burst = 1_000_000_000;
        policy.registrar.requests_per_minute = 1_000_000_000;
        Self(Quota::new(policy, MemoryStore::new()).expect("a valid policy"))
    }
}

impl Grants {
    pub fn permit(&self, elements: usize, request_digest: [u8; 32]) -> Permit {
        let charge = Charge {
            account: AccountKey::new([1; 32]),
            scope: Scope::Enrol,
            account_created: Timestamp::from_micros(0),
            origin: Origin::Unknown,
            elements: u32::try_from(elements)
                .ok()
                .and_then(NonZeroU32::new)
                .expect("a batch"),
            request_digest,
            epoch: EPOCH,
            at: Timestamp::from_micros(1_000_000_000),
        };
        let admission = pin!(self.0.admit(charge)).poll(&mut Context::from_waker(Waker::noop()));
        match admission {
            Poll::Ready(admission) => admission.expect("enough quota").permit,
            Poll::Pending => unreachable!("a store in memory doesn't wait"),
        }
    }
}

/// Collects what was found, one line each.
#[derive(Default)]
pub struct Verdicts {
    failed: bool,
}

impl Verdicts {
    /// `details` follow a verdict that is as it should be, or isn't.
    pub fn line(&mut self, name: &str, passed: bool, details: &str) {
        self.failed |= !passed;
        let verdict = if passed { "ok" } else { "FAILED" };
        println!("{verdict:6} {name}: {details}");
    }

    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(u8::from(self.failed))
    }
}
