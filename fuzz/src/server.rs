//! A server role with a quota that is never exhausted.

use std::{
    future::Future,
    num::NonZeroU32,
    pin::pin,
    task::{Context, Poll, Waker},
};

use blindbook::{
    oprf::{Epoch, Evaluation, PublicKey, UnblindedElement, digest_inputs},
    server::{
        EvaluationKey, Evaluator, Timestamp,
        policy::Policy,
        quota::{AccountKey, Charge, Origin, Permit, Quota, Scope},
    },
    store::MemoryStore,
    wire::EvaluateRequest,
};
use rand::rngs::StdRng;

pub struct Server {
    evaluator: Evaluator,
    quota: Quota<MemoryStore>,
}

impl Server {
    pub fn new(rng: &mut StdRng) -> Self {
        Self {
            evaluator: Evaluator::new(Epoch::new(1), EvaluationKey::random(rng)),
            quota: Quota::new(Policy::default(), MemoryStore::new()).expect("a valid policy"),
        }
    }

    pub fn public_key(&self) -> PublicKey {
        self.evaluator.public_key().clone()
    }

    /// `None` if an element isn't one, or the epoch is another.
    pub fn evaluate(&self, request: &EvaluateRequest, rng: &mut StdRng) -> Option<Evaluation> {
        let permit = self.permit(request.blinded.len(), request.blinded.digest())?;
        if request.epoch != self.evaluator.epoch() {
            return None;
        }
        self.evaluator
            .blind_evaluate(permit, &request.blinded, rng)
            .ok()
    }

    pub fn evaluate_directly(&self, inputs: &[&[u8]]) -> Vec<UnblindedElement> {
        let permit = self.permit(inputs.len(), digest_inputs(inputs));
        self.evaluator
            .evaluate(permit.expect("quota for nine"), inputs)
            .expect("short inputs")
    }

    fn permit(&self, elements: usize, request_digest: [u8; 32]) -> Option<Permit> {
        let charge = Charge {
            account: AccountKey::new([1; 32]),
            scope: Scope::Enrol,
            account_created: Timestamp::from_micros(0),
            origin: Origin::Unknown,
            elements: NonZeroU32::new(u32::try_from(elements).ok()?)?,
            request_digest,
            epoch: self.evaluator.epoch(),
            at: Timestamp::from_micros(1_000_000_000),
        };
        let mut admission = pin!(self.quota.admit(charge));
        match admission
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(admission) => admission.ok().map(|admission| admission.permit),
            Poll::Pending => None,
        }
    }
}
