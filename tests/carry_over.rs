//! A soft rotation, as a phone and a service see it: what was paid for under the old key is known under the new one.

#[path = "support/published.rs"]
mod published;
#[path = "support/roles.rs"]
mod roles;
#[path = "support/world.rs"]
mod world;

use std::num::NonZeroU32;

use blindbook::{
    client::{ExpectCarriedOver, Identifier, OprfClient, StateError, SyncState},
    oprf::{
        BlindedElements, ContactKey, Encoding, Epoch, EvaluatedElements, PublicKey,
        UnblindedElement, digest_inputs,
    },
    server::{
        Delta, EvaluateError, EvaluationKey, Evaluator, Timestamp,
        policy::Policy,
        quota::{AccountKey, Charge, Origin, Quota, Scope},
        rotation::{CarriedOver, CarryOver},
    },
    snapshot::{Manifest, ManifestDraft, Segment, SegmentBuilder},
    store::MemoryStore,
    wire::{CarryOverRequest, CarryOverResponse, EvaluateRequest, EvaluateResponse, Message},
};
use published::{NOW, draft, entry, service};
use rand::rngs::StdRng;
use roles::{EPOCH, now, random_source};
use world::{LABELS, numbers, signed};

const NEXT: Epoch = Epoch::new(8);
const ACCOUNT: AccountKey = AccountKey::new([3; 32]);

/// A service in the window of a soft rotation, and the quota of one account.
struct World {
    quota: Quota<MemoryStore>,
    old: Evaluator,
    new: Evaluator,
    carry_over: CarryOver,
    rng: StdRng,
}

impl World {
    fn new(stream: u8) -> Self {
        let mut rng = random_source(stream);
        let key = EvaluationKey::random(&mut rng);
        let delta = Delta::random(&mut rng);
        let rotated = key.rotate(&delta);
        let mut policy = Policy::default();
        policy.account.request_burst = 1_000_000;
        Self {
            quota: Quota::new(policy, MemoryStore::new()).unwrap(),
            carry_over: CarryOver::new(EPOCH, NEXT, key.public_key().clone(), delta),
            old: Evaluator::new(EPOCH, key),
            new: Evaluator::new(NEXT, rotated),
            rng,
        }
    }

    fn charge(&self, epoch: Epoch, batch: &BlindedElements) -> Charge {
        let elements = u32::try_from(batch.len()).unwrap();
        Charge {
            account: ACCOUNT,
            scope: Scope::Discover,
            account_created: Timestamp::from_micros(0),
            origin: Origin::Unknown,
            elements: NonZeroU32::new(elements).unwrap(),
            request_digest: batch.digest(),
            epoch,
            at: Timestamp::from_secs(NOW),
        }
    }

    fn evaluate(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        let request = EvaluateRequest::decode(message).unwrap();
        let charge = self.charge(request.epoch, &request.blinded);
        let admission = now(self.quota.admit(charge)).map_err(|error| error.to_string())?;
        let evaluator = [&self.old, &self.new]
            .into_iter()
            .find(|evaluator| evaluator.epoch() == request.epoch)
            .unwrap();
        let evaluation = evaluator
            .blind_evaluate(admission.permit, &request.blinded, &mut self.rng)
            .unwrap();
        let response = EvaluateResponse {
            epoch: request.epoch,
            evaluated: evaluation.elements,
            proof: evaluation.proof,
        };
        Ok(response.encode())
    }

    fn carry_over(&mut self, message: &[u8]) -> Result<CarryOverResponse, String> {
        let request = CarryOverRequest::decode(message).unwrap();
        let charge = self.charge(request.to, &request.blinded);
        let admission =
            now(self.quota.admit_carry_over(charge)).map_err(|error| error.to_string())?;
        let CarriedOver {
            delta_key,
            elements,
            proof,
        } = self
            .carry_over
            .carry_over(admission.permit, &request.blinded, &mut self.rng)
            .unwrap();
        Ok(CarryOverResponse {
            from: request.from,
            to: request.to,
            delta_key: delta_key.encode(),
            carried: elements,
            proof,
        })
    }

    /// What identifiers evaluate to, whatever that costs.
    fn evaluated(&self, evaluator: &Evaluator, members: &[Identifier]) -> Vec<UnblindedElement> {
        let inputs: Vec<&[u8]> = members.iter().map(Identifier::as_input).collect();
        let charge = Charge {
            scope: Scope::Enrol,
            request_digest: digest_inputs(&inputs),
            elements: NonZeroU32::new(u32::try_from(inputs.len()).unwrap()).unwrap(),
            ..self.charge(
                evaluator.epoch(),
                &BlindedElements::new(vec![[0; 32]]).unwrap(),
            )
        };
        let permit = now(self.quota.admit(charge)).unwrap().permit;
        evaluator.evaluate(permit, &inputs).unwrap()
    }

    fn segment(&self, evaluator: &Evaluator, members: &[Identifier]) -> Vec<u8> {
        let epoch = evaluator.epoch();
        let mut builder = SegmentBuilder::new(service().hash(), epoch, LABELS);
        let elements = self.evaluated(evaluator, members);
        for (element, member) in elements.iter().zip(members) {
            let key = ContactKey::derive(&service().hash(), epoch, element);
            let input = member.as_input();
            let label = blindbook::label::Label::new(&input[input.len() - 4..]).unwrap();
            let mut sealed = Vec::new();
            label.seal_into(&key, epoch, LABELS, &mut sealed).unwrap();
            builder.add(key.tag(), &sealed).unwrap();
        }
        builder.build().unwrap()
    }

    fn manifest(&self, evaluator: &Evaluator, segment: &[u8], last: Option<&Manifest>) -> Manifest {
        let sequence = last.map_or(1, |last| last.claims().sequence + 1);
        let previous = last.map_or([0; 32], |last| *last.hash());
        signed(&ManifestDraft {
            epoch: evaluator.epoch(),
            public_key: evaluator.public_key().clone(),
            ..draft(sequence, previous, entry(segment), LABELS)
        })
    }

    fn evaluate_all(&mut self, state: &mut SyncState, contacts: &[Identifier]) -> usize {
        let mut paid = 0;
        while let Some(expect) = state
            .next_request(contacts, usize::MAX, NOW, &mut self.rng)
            .unwrap()
        {
            paid += expect.elements();
            let answer = self.evaluate(&expect.message()).unwrap();
            state.finish(expect, &answer).unwrap();
        }
        paid
    }

    fn next(&mut self, state: &mut SyncState, budget: usize) -> Option<ExpectCarriedOver> {
        state.next_carry_over(budget, NOW, &mut self.rng).unwrap()
    }

    fn left(&self) -> u32 {
        let charge = self.charge(
            NEXT,
            &BlindedElements::new(vec![[0xff; 32]; 2_000]).unwrap(),
        );
        let refused = now(self.quota.admit_carry_over(charge)).unwrap_err();
        let blindbook::server::quota::AdmitError::Refused(refusal) = refused else {
            panic!("{refused}");
        };
        refusal.status.remaining
    }
}

/// A phone that has looked up its contacts in the old epoch and has seen the manifest of the new one.
fn rotated(world: &mut World, contacts: &[Identifier]) -> SyncState {
    let members = numbers(0..100);
    let old = world.segment(&world.old, &members);
    let first = world.manifest(&world.old, &old, None);
    let mut state = SyncState::new(&service(), &mut world.rng);
    let _followed = state.follow(&first, NOW).unwrap();
    world.evaluate_all(&mut state, contacts);
    let new = world.segment(&world.new, &members);
    let second = world.manifest(&world.new, &new, Some(&first));
    let followed = state.follow(&second, NOW).unwrap();
    assert_eq!(followed.to_carry_over, contacts.len());
    assert_eq!(followed.forgotten, 0);
    state
}

fn found(world: &World, state: &SyncState, contacts: &[Identifier]) -> Vec<usize> {
    let segment = world.segment(&world.new, &numbers(0..100));
    let manifest = world.manifest(&world.new, &segment, None);
    let mut opened = [Segment::open(&segment, &manifest).unwrap()];
    let found = state.find(&mut opened, contacts).unwrap();
    found.iter().map(|found| found.identifier).collect()
}

#[test]
fn the_same_people_are_found_and_nothing_is_paid() {
    let mut world = World::new(1);
    let contacts = numbers(90..170);
    let mut state = rotated(&mut world, &contacts);
    let paid = now(blindbook::store::Store::key_evaluations(
        world.quota.store(),
        NEXT,
    ))
    .unwrap();
    assert_eq!((state.pending(&contacts), state.known()), (80, 0));
    // What is to be carried over isn't paid for again.
    assert_eq!(world.evaluate_all(&mut state, &contacts), 0);
    assert!(found(&world, &state, &contacts).is_empty());

    let mut sent = Vec::new();
    while let Some(expect) = world.next(&mut state, usize::MAX) {
        // Stored and started again in between.
        let mut again = SyncState::decode(&state.encode(), &service()).unwrap();
        let repeated = world.next(&mut again, 0).unwrap();
        assert_eq!(repeated.message(), expect.message());
        sent.push((expect.contacts(), expect.elements()));
        let answer = world.carry_over(&expect.message()).unwrap().encode();
        again.finish_carry_over(repeated, &answer).unwrap();
        state = again;
    }
    assert_eq!(sent, [(80, 256)]);
    assert_eq!((state.pending(&contacts), state.to_carry_over()), (0, 0));
    assert_eq!(
        found(&world, &state, &contacts),
        (0..10).collect::<Vec<_>>()
    );
    let after = now(blindbook::store::Store::key_evaluations(
        world.quota.store(),
        NEXT,
    ))
    .unwrap();
    assert_eq!(paid, after);
    // It could be carried over once more by the next rotation, and not again in this one.
    assert_eq!(world.left(), 0);
    let stored = state.encode();
    assert_eq!(
        *SyncState::decode(&stored, &service()).unwrap().encode(),
        *stored
    );
}

/// Eighty contacts were paid for as 64 and 16 elements. The smallest class that holds all of them is one that the account
/// has no claim to: the service says what is left, and that is enough for all of them.
#[test]
fn whoever_has_paid_for_all_contacts_has_enough() {
    let mut world = World::new(2);
    let contacts = numbers(0..80);
    let members = world.segment(&world.old, &contacts);
    let first = world.manifest(&world.old, &members, None);
    let mut state = SyncState::new(&service(), &mut world.rng);
    let _followed = state.follow(&first, NOW).unwrap();
    for part in [numbers(0..64), numbers(64..80)] {
        world.evaluate_all(&mut state, &part);
    }
    let second = world.manifest(&world.new, &members, Some(&first));
    let _followed = state.follow(&second, NOW).unwrap();
    let expect = world.next(&mut state, usize::MAX).unwrap();
    assert_eq!(expect.elements(), 256);
    world.carry_over(&expect.message()).unwrap_err();
    state.carry_over_refused(expect);
    assert_eq!(world.left(), 80);
    let mut classes = Vec::new();
    while let Some(expect) = {
        let budget = world.left() as usize;
        world.next(&mut state, budget)
    } {
        classes.push(expect.elements());
        let answer = world.carry_over(&expect.message()).unwrap().encode();
        state.finish_carry_over(expect, &answer).unwrap();
    }
    assert_eq!(classes, [64, 16]);
    assert_eq!(state.pending(&contacts), 0);
}

#[test]
fn seventeen_and_sixty_four_contacts_are_the_same_traffic() {
    let lengths = [17, 64].map(|count| {
        let mut world = World::new(3);
        let mut state = rotated(&mut world, &numbers(0..count));
        let expect = world.next(&mut state, usize::MAX).unwrap();
        let message = expect.message();
        (
            message.len(),
            world.carry_over(&message).unwrap().encode().len(),
        )
    });
    assert_eq!(lengths[0], lengths[1]);
}

/// Everything that a service can do wrong, or to single somebody out, is one and the same error, and nothing is learned.
#[test]
fn no_other_answer_is_taken() {
    let mut world = World::new(4);
    let contacts = numbers(0..5);
    let state = rotated(&mut world, &contacts).encode();
    let fresh = || SyncState::decode(&state, &service()).unwrap();
    let mut asking = fresh();
    let expect = world.next(&mut asking, usize::MAX).unwrap();
    let (stored, message) = (asking.encode(), expect.message());
    let resumed = |world: &mut World| {
        let mut state = SyncState::decode(&stored, &service()).unwrap();
        let expect = world.next(&mut state, 0).unwrap();
        assert_eq!(expect.message(), message);
        (state, expect)
    };
    let honest = world.carry_over(&message).unwrap().encode();
    let decoded = || CarryOverResponse::decode(&honest).unwrap();
    let carried = |encodings: Vec<Encoding>| EvaluatedElements::new(encodings).unwrap();
    let good = decoded().carried.encodings().to_vec();

    let mut bad: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: &str, response: CarryOverResponse| {
        bad.push((what.to_owned(), response.encode()));
    };
    let request = CarryOverRequest::decode(&message).unwrap();
    let with = |old: &PublicKey, delta: Delta, batch: &BlindedElements| {
        let other = CarryOver::new(EPOCH, NEXT, old.clone(), delta);
        let quota = World::new(9);
        let charge = quota.charge(EPOCH, batch);
        let _claim = now(quota.quota.admit(charge)).unwrap();
        let charge = quota.charge(NEXT, batch);
        let permit = now(quota.quota.admit_carry_over(charge)).unwrap().permit;
        let made = other
            .carry_over(permit, batch, &mut random_source(5))
            .unwrap();
        CarryOverResponse {
            from: EPOCH,
            to: NEXT,
            delta_key: made.delta_key.encode(),
            carried: made.elements,
            proof: made.proof,
        }
    };
    // Another delta, with a proof that holds for it: what it doesn't hold for is the pair of public keys.
    let mut rng = random_source(6);
    let old_key = world.old.public_key().clone();
    add(
        "another delta",
        with(&old_key, Delta::random(&mut rng), &request.blinded),
    );
    // The proof of another batch, of the same delta.
    let other = {
        let mut state = fresh();
        let expect = world.next(&mut state, usize::MAX).unwrap();
        assert_ne!(expect.message(), message);
        expect.message()
    };
    let other = {
        // As if another account had asked.
        let batch = CarryOverRequest::decode(&other).unwrap().blinded;
        let charge = world.charge(EPOCH, &batch);
        let _claim = now(world.quota.admit(charge)).unwrap();
        world.carry_over(&other).unwrap()
    };
    add(
        "the proof of another batch",
        CarryOverResponse {
            proof: other.proof,
            ..decoded()
        },
    );
    for (what, delta_key) in [
        ("the old public key", world.old.public_key().encode()),
        ("the new public key", world.new.public_key().encode()),
        ("no element", [1; 32]),
        ("the identity", [0; 32]),
    ] {
        add(
            what,
            CarryOverResponse {
                delta_key,
                ..decoded()
            },
        );
    }
    for place in 0..good.len() {
        for (what, encoding) in [
            ("another element", world.old.public_key().encode()),
            ("the identity", [0; 32]),
            ("no element", [0xff; 32]),
            ("as it was sent", request.blinded.encodings()[place]),
        ] {
            let mut encodings = good.clone();
            encodings[place] = encoding;
            add(
                &format!("{what} at {place}"),
                CarryOverResponse {
                    carried: carried(encodings),
                    ..decoded()
                },
            );
        }
        let mut encodings = good.clone();
        encodings.swap(place, (place + 1) % good.len());
        add(
            &format!("swapped at {place}"),
            CarryOverResponse {
                carried: carried(encodings),
                ..decoded()
            },
        );
    }
    for (what, from, to) in [
        ("other epochs", NEXT, EPOCH),
        ("a later epoch", EPOCH, Epoch::new(9)),
    ] {
        add(
            what,
            CarryOverResponse {
                from,
                to,
                ..decoded()
            },
        );
    }
    let mut fewer = good.clone();
    fewer.pop();
    let mut more = good.clone();
    more.push(world.new.public_key().encode());
    for (what, encodings) in [("fewer", fewer), ("one more", more)] {
        add(
            what,
            CarryOverResponse {
                carried: carried(encodings),
                ..decoded()
            },
        );
    }
    let mut errors = std::collections::BTreeSet::new();
    for (what, answer) in bad {
        let (mut state, expect) = resumed(&mut world);
        let error = state.finish_carry_over(expect, &answer).expect_err(&what);
        errors.insert(error.to_string());
        assert_eq!((state.known(), state.to_carry_over()), (0, 5), "{what}");
    }
    assert_eq!(errors.len(), 1, "{errors:?}");
    let (mut state, expect) = resumed(&mut world);
    assert_eq!(state.finish_carry_over(expect, &honest).unwrap(), 5);
    assert_eq!(found(&world, &state, &contacts), [0, 1, 2, 3, 4]);
}

/// Whoever has `H(x)` carried over instead of a result gets `delta * H(x)`, which leads to nobody in either epoch.
#[test]
fn what_is_no_old_result_gives_nothing_usable() {
    let mut world = World::new(7);
    let members = numbers(0..16);
    // An attacker with a claim to 16 elements. The key one makes H(x) of x.
    let claim = BlindedElements::new(vec![world.old.public_key().encode(); 16]).unwrap();
    let charge = world.charge(EPOCH, &claim);
    let _claim = now(world.quota.admit(charge)).unwrap();
    let mut one = [0; 32];
    one[0] = 1;
    let one = Evaluator::new(EPOCH, EvaluationKey::from_bytes(&mut one).unwrap());
    let hashed = world.evaluated(&one, &members);
    let client = OprfClient::new(world.new.public_key().clone());
    let results: Vec<&UnblindedElement> = hashed.iter().collect();
    let old_key = world.old.public_key().clone();
    let expect = client
        .blind_results(&old_key, &results, 0, &mut world.rng)
        .unwrap();
    let message = CarryOverRequest {
        from: EPOCH,
        to: NEXT,
        blinded: expect.request().clone(),
    };
    let answer = world.carry_over(&message.encode()).unwrap();
    let learned = expect
        .finalize(&answer.delta_key, &answer.carried, &answer.proof)
        .unwrap();
    for evaluator in [&world.old, &world.new] {
        let segment = world.segment(evaluator, &members);
        let manifest = world.manifest(evaluator, &segment, None);
        let tag = |element: &UnblindedElement| {
            ContactKey::derive(&service().hash(), evaluator.epoch(), element).tag()
        };
        let tags: Vec<_> = learned.iter().chain(&hashed).map(tag).collect();
        let mut search = blindbook::snapshot::Search::new(&tags);
        search
            .read(&mut Segment::open(&segment, &manifest).unwrap())
            .unwrap();
        assert!(search.found().is_empty());
    }
    // The claim is used up all the same.
    assert_eq!(world.left(), 0);
}

#[test]
fn a_permit_is_for_one_batch_one_epoch_and_no_evaluation() {
    let mut world = World::new(8);
    let client = OprfClient::new(world.new.public_key().clone());
    let batches = [(); 2].map(|()| client.blind(&[], 16, &mut world.rng).unwrap());
    let [asked, other] = batches.each_ref().map(|expect| expect.request());
    let charge = world.charge(EPOCH, asked);
    let _claim = now(world.quota.admit(charge)).unwrap();
    let permit = |world: &World, to| {
        let charge = world.charge(to, asked);
        now(world.quota.admit_carry_over(charge)).map(|admission| admission.permit)
    };
    // What nobody has evaluated can't be carried over to anywhere.
    permit(&world, EPOCH).unwrap_err();
    permit(&world, Epoch::new(9)).unwrap_err();
    let first = permit(&world, NEXT).unwrap();
    let refused = world.carry_over.carry_over(first, other, &mut world.rng);
    assert_eq!(refused.unwrap_err(), EvaluateError::OtherPermit);
    // The same bytes again take nothing.
    let again = permit(&world, NEXT).unwrap();
    let carried = world.carry_over.carry_over(again, asked, &mut world.rng);
    assert_eq!(carried.unwrap().elements.len(), 16);
    assert_eq!(world.left(), 0);
}

#[test]
fn what_cannot_be_carried_over_is_forgotten_and_paid_again() {
    let mut world = World::new(10);
    let contacts = numbers(0..20);
    let mut state = rotated(&mut world, &contacts);
    assert_eq!(state.forget_old(), 20);
    assert!(world.next(&mut state, usize::MAX).is_none());
    assert_eq!(world.evaluate_all(&mut state, &contacts), 64);
    assert_eq!(found(&world, &state, &contacts).len(), 20);
}

#[test]
fn no_part_of_a_stored_state_is_taken_for_all_of_it() {
    let mut world = World::new(11);
    let mut state = rotated(&mut world, &numbers(0..3));
    let _asked = world.next(&mut state, usize::MAX).unwrap();
    let stored = state.encode();
    for length in 0..stored.len() {
        let cut = SyncState::decode(&stored[..length], &service());
        assert_eq!(cut.unwrap_err(), StateError::Damaged, "{length}");
    }
    // A carry-over without anything to carry over, and an epoch before that isn't the one before.
    let mut flags = stored.clone();
    flags[7] &= !8;
    SyncState::decode(&flags, &service()).unwrap_err();
}
