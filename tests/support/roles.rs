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
    sync::Arc,
    task::{Context, Poll, Wake},
    thread::{self, Thread},
};

use blindbook::{
    oprf::{BlindedElements, Epoch},
    server::{
        Timestamp,
        policy::Policy,
        quota::{AccountKey, Charge, Origin, Permit, Quota, Scope},
    },
    store::MemoryStore,
};
use rand::{SeedableRng, rngs::StdRng};

pub const EPOCH: Epoch = Epoch::new(7);

/// A random source; each stream is the same on every run.
pub fn random_source(stream: u8) -> StdRng {
    StdRng::from_seed([stream; 32])
}

/// Runs a future on this thread, which sleeps while it waits.
pub fn now<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
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
            origin: Origin::Unknown,
            elements: NonZeroU32::new(u32::try_from(elements).unwrap()).unwrap(),
            request_digest,
            epoch: EPOCH,
            at: Timestamp::from_micros(1_000_000_000),
        };
        now(self.0.admit(charge)).unwrap().permit
    }
}
