//! Both roles with as little around them as possible.

#![allow(unreachable_pub, reason = "shared by several tests")]
#![allow(
    missing_debug_implementations,
    dead_code,
    reason = "shared by several tests"
)]

use std::{
    future::Future,
    num::NonZeroU32,
    pin::pin,
    task::{Context, Poll, Waker},
};

use blindbook::{
    oprf::{BlindedElements, Epoch},
    server::{
        Timestamp,
        policy::Policy,
        quota::{AccountKey, Charge, Permit, Quota, Scope},
    },
    store::MemoryStore,
};
use rand::{SeedableRng, rngs::StdRng};

pub const EPOCH: Epoch = Epoch::new(7);

/// A random source; each stream is the same on every run.
pub fn random_source(stream: u8) -> StdRng {
    StdRng::from_seed([stream; 32])
}

/// Runs a future that never waits for anything but this thread.
pub fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return output;
        }
    }
}

/// A quota that a test doesn't run into.
pub struct Grants(Quota<MemoryStore>);

impl Grants {
    pub fn new() -> Self {
        let mut policy = Policy::default();
        policy.registrar.capacity = 100_000_000;
        policy.registrar.refill_per_day = 100_000_000;
        policy.registrar.request_burst = 1_000_000;
        policy.registrar.requests_per_minute = 1_000_000;
        Self(Quota::new(policy, MemoryStore::new()).unwrap())
    }

    pub fn permit(&self, blinded: &BlindedElements) -> Permit {
        self.permit_for(blinded.len(), blinded.digest())
    }

    pub fn permit_for(&self, elements: usize, request_digest: [u8; 32]) -> Permit {
        let charge = Charge {
            account: AccountKey::new([1; 32]),
            scope: Scope::Enrol,
            account_created: Timestamp::from_micros(0),
            elements: NonZeroU32::new(u32::try_from(elements).unwrap()).unwrap(),
            request_digest,
            epoch: EPOCH,
            at: Timestamp::from_micros(1_000_000_000),
        };
        now(self.0.admit(charge)).unwrap().permit
    }
}
