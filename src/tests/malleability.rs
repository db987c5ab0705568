//! The group has an arithmetic, and whoever knows it can ask for more than hashes of identifiers. It buys nothing: what comes
//! back for a combination is the same combination of results, one equation for one element paid.

use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use alloc::vec::Vec;

use super::random_source;
use crate::{
    group::{Element, Scalar},
    oprf::{
        BlindedElements, ContactKey, Encoding, Epoch, ServiceId, UnblindedElement, hash_to_group,
    },
    server::{
        EvaluationKey, Evaluator, Timestamp,
        policy::Policy,
        quota::{AccountKey, Charge, Origin, Quota, Scope},
    },
    store::MemoryStore,
};

const EPOCH: Epoch = Epoch::new(1);

/// A service with a quota that counts.
struct Service {
    evaluator: Evaluator,
    quota: Quota<MemoryStore>,
}

impl Service {
    fn new() -> Self {
        Self {
            evaluator: Evaluator::new(EPOCH, EvaluationKey::random(&mut random_source(1))),
            quota: Quota::new(Policy::default(), MemoryStore::new()).unwrap(),
        }
    }

    /// Pays for all elements and has them evaluated. Returns what came back and what is left.
    fn evaluate(&self, elements: &[Element]) -> (Vec<Element>, u32) {
        let encodings = elements.iter().map(Element::encode).collect();
        let blinded = BlindedElements::new(encodings).unwrap();
        let charge = Charge {
            account: AccountKey::new([1; 32]),
            scope: Scope::Discover,
            account_created: Timestamp::from_secs(1_800_000_000),
            origin: Origin::Unknown,
            elements: u32::try_from(blinded.len()).unwrap().try_into().unwrap(),
            request_digest: blinded.digest(),
            epoch: EPOCH,
            at: Timestamp::from_secs(1_800_000_000),
        };
        let admission = ready(self.quota.admit(charge)).unwrap();
        let left = admission.receipt.status.remaining;
        let evaluation =
            self.evaluator
                .blind_evaluate(admission.permit, &blinded, &mut random_source(2));
        let decode = |encoding: &Encoding| Element::decode(encoding).unwrap();
        let evaluated = evaluation.unwrap().elements;
        (evaluated.encodings().iter().map(decode).collect(), left)
    }
}

/// The store in memory never waits.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the store waits"),
    }
}

fn small(value: u8) -> Scalar {
    let mut encoding = [0; 32];
    encoding[0] = value;
    Scalar::decode(&encoding).unwrap()
}

fn hashed(input: &[u8]) -> Element {
    let encodings = hash_to_group(&[input], 0)
        .unwrap()
        .multiply_and_encode(&small(1));
    Element::decode(&encodings[0]).unwrap()
}

fn tag(unblinded: &Element) -> u64 {
    let unblinded = UnblindedElement::decode(&unblinded.encode()).unwrap();
    let service = ServiceId::new("chat.example").unwrap().hash();
    ContactKey::derive(&service, EPOCH, &unblinded).tag().get()
}

#[test]
fn combinations_of_elements_give_nothing_beyond_their_own_charge() {
    let service = Service::new();
    let inputs: [&[u8]; 3] = [
        b"tel:+447700900001",
        b"tel:+447700900002",
        b"tel:+447700900003",
    ];
    let [a, b, c] = inputs.map(hashed);
    let crafted = [
        b.add(&c).add(&a.negate()),
        a.multiply(&small(5)),
        a.negate(),
        a.add(&b),
    ];
    let (answers, left) = service.evaluate(&crafted);
    assert_eq!(left, 1_024 - 4);
    // Not one of them is the tag of a number, so nothing can be looked up with it.
    let (numbers, left) = service.evaluate(&[a, b, c]);
    assert_eq!(left, 1_024 - 7);
    let tags: Vec<u64> = numbers.iter().map(tag).collect();
    for answer in &answers {
        assert!(!tags.contains(&tag(answer)));
    }
    // A combination is worth an element only to whoever has paid for all the others in it.
    let [na, nb, nc] = &numbers[..] else {
        panic!("three numbers");
    };
    assert_eq!(answers[0].add(na).add(&nb.negate()).encode(), nc.encode());
    assert_eq!(answers[2].negate().encode(), na.encode());
    // Nor does it help to ask for the same thing many times in one batch.
    let (_, left) = service.evaluate(&[hashed(inputs[0]), hashed(inputs[0]), hashed(inputs[0])]);
    assert_eq!(left, 1_024 - 10);
}
