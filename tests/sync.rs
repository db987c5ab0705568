//! What an app keeps between two looks at the service: nothing is evaluated twice, and nobody is shown
//! another history.

#[path = "support/published.rs"]
mod published;
#[path = "support/roles.rs"]
mod roles;
#[path = "support/world.rs"]
mod world;

use blindbook::{
    client::{StateError, SyncError, SyncState},
    oprf::{ContactKey, Epoch, ServiceId},
    server::{EvaluationKey, Evaluator},
    snapshot::{Advance, ChainError, ManifestDraft, Segment, SegmentBuilder, SegmentError},
};
use published::{NOW, service};
use roles::EPOCH;
use world::{LABELS, World, numbers, signed};

#[test]
fn an_address_book_is_matched_and_only_news_are_evaluated_later() {
    let mut world = World::new();
    let segment = world.segment(&numbers(0..100));
    let manifest = signed(&world.draft(&segment, 1, [0; 32]));
    let mut opened = [Segment::open(&segment, &manifest).unwrap()];

    let mut state = SyncState::new(&service(), &mut world.rng);
    assert_eq!(
        state
            .next_request(&numbers(0..1), 1_024, &mut world.rng)
            .unwrap_err(),
        SyncError::NoManifest
    );
    assert_eq!(
        state.find(&mut opened, &numbers(0..1)).unwrap_err(),
        SegmentError::OtherSegment
    );
    let followed = state.follow(&manifest, NOW).unwrap();
    assert_eq!(
        (followed.forgotten, followed.other_normalisation),
        (0, None)
    );

    let contacts = numbers(90..120);
    assert_eq!(world.evaluate_all(&mut state, &contacts), [64]);
    let found = state.find(&mut opened, &contacts).unwrap();
    let places: Vec<usize> = found.iter().map(|found| found.identifier).collect();
    assert_eq!(places, (0..10).collect::<Vec<_>>());
    assert_eq!(found[3].label.as_bytes(), b"0093");

    // A day later: two contacts are new, five are gone.
    let stored = state.encode();
    let mut state = SyncState::decode(&stored, &service()).unwrap();
    let followed = state.follow(&manifest, NOW).unwrap();
    assert_eq!(followed.advance, Advance::Same);
    let contacts = numbers(95..122);
    assert_eq!(state.retain(&contacts), 5);
    assert_eq!(state.known(), 25);
    assert_eq!(state.pending(&contacts), 2);
    assert_eq!(world.evaluate_all(&mut state, &contacts), [16]);
    assert_eq!(state.find(&mut opened, &contacts).unwrap().len(), 5);
    assert!(world.evaluate_all(&mut state, &contacts).is_empty());
}

#[test]
fn seventeen_and_sixty_four_contacts_are_the_same_traffic() {
    let mut world = World::new();
    let segment = world.segment(&numbers(0..1));
    let manifest = signed(&world.draft(&segment, 1, [0; 32]));
    let mut lengths = Vec::new();
    for count in [17, 64] {
        let mut state = SyncState::new(&service(), &mut world.rng);
        let _followed = state.follow(&manifest, NOW).unwrap();
        let expect = state
            .next_request(&numbers(0..count), 5_000, &mut world.rng)
            .unwrap()
            .unwrap();
        lengths.push((
            expect.message().len(),
            world.answer(&expect.message()).len(),
        ));
        assert_eq!(expect.contacts(), count as usize);
    }
    assert_eq!(lengths[0], lengths[1]);
}

#[test]
fn a_budget_is_never_exceeded() {
    let mut world = World::new();
    let segment = world.segment(&numbers(0..1));
    let mut state = SyncState::new(&service(), &mut world.rng);
    let _followed = state
        .follow(&signed(&world.draft(&segment, 1, [0; 32])), NOW)
        .unwrap();
    let contacts = numbers(0..2_000);
    for (budget, elements) in [(15, None), (16, Some(16)), (1_023, Some(256))] {
        let expect = state.next_request(&contacts, budget, &mut world.rng);
        let expect = expect.unwrap();
        assert_eq!(expect.map(|expect| expect.elements()), elements);
    }
    assert_eq!(
        world.evaluate_all(&mut state, &contacts),
        [1_024, 1_024],
        "the rest of 976 fits in one more"
    );
}

#[test]
fn a_wrong_answer_leaves_nothing_behind() {
    let mut world = World::new();
    let segment = world.segment(&numbers(0..1));
    let manifest = signed(&world.draft(&segment, 1, [0; 32]));
    let mut state = SyncState::new(&service(), &mut world.rng);
    let _followed = state.follow(&manifest, NOW).unwrap();
    let contacts = numbers(0..10);
    for corrupt in 0..5 {
        let expect = state
            .next_request(&contacts, 16, &mut world.rng)
            .unwrap()
            .unwrap();
        let mut answer = world.answer(&expect.message());
        match corrupt {
            0 => answer[0] = 9,
            1 => answer[9] ^= 1, // the epoch
            2 => answer.truncate(100),
            3 => answer.swap(12, 44),
            _ => {
                let other = world.evaluator.epoch();
                world.evaluator = Evaluator::new(other, EvaluationKey::random(&mut world.rng));
                answer = world.answer(&expect.message());
            }
        }
        state.finish(expect, &answer).unwrap_err();
        assert_eq!(state.known(), 0, "{corrupt}");
    }
}

#[test]
fn a_rotated_key_means_evaluating_again() {
    let mut world = World::new();
    let segment = world.segment(&numbers(0..10));
    let first = world.draft(&segment, 1, [0; 32]);
    let mut state = SyncState::new(&service(), &mut world.rng);
    let _followed = state.follow(&signed(&first), NOW).unwrap();
    let contacts = numbers(5..15);
    world.evaluate_all(&mut state, &contacts);
    // A request that is under way while the key changes is not taken.
    let pending = state
        .next_request(&numbers(50..60), 16, &mut world.rng)
        .unwrap()
        .unwrap();
    let late = world.answer(&pending.message());

    let rotated = Evaluator::new(Epoch::new(8), EvaluationKey::random(&mut world.rng));
    let next = ManifestDraft {
        epoch: Epoch::new(8),
        public_key: rotated.public_key().clone(),
        ..world.draft(&segment, 2, *signed(&first).hash())
    };
    let followed = state.follow(&signed(&next), NOW).unwrap();
    assert_eq!(followed.forgotten, 10);
    assert_eq!(state.pending(&contacts), 10);
    state.finish(pending, &late).unwrap_err();
    assert_eq!(state.known(), 0);
}

#[test]
fn another_history_or_service_is_refused_and_other_rules_are_told() {
    let mut world = World::new();
    let segment = world.segment(&numbers(0..1));
    let first = world.draft(&segment, 1, [0; 32]);
    let second = ManifestDraft {
        normalisation: 77,
        ..world.draft(&segment, 2, *signed(&first).hash())
    };
    let mut state = SyncState::new(&service(), &mut world.rng);
    let _followed = state.follow(&signed(&first), NOW).unwrap();
    let followed = state.follow(&signed(&second), NOW).unwrap();
    assert_eq!(
        followed.other_normalisation.map(|profile| profile.id()),
        Some(77)
    );
    assert_eq!(
        state.follow(&signed(&first), NOW).unwrap_err(),
        SyncError::Chain(ChainError::Rollback)
    );
    assert_eq!(state.chain().unwrap().sequence(), 2);
    let foreign = ManifestDraft {
        service: ServiceId::new("other.example").unwrap(),
        ..world.draft(&segment, 3, *signed(&second).hash())
    };
    assert_eq!(
        state.follow(&signed(&foreign), NOW).unwrap_err(),
        SyncError::OtherService
    );
}

#[test]
fn a_label_that_does_not_open_is_no_match() {
    let mut world = World::new();
    let ada = numbers(0..1);
    let honest = world.segment(&ada);
    let tag = {
        let inputs = [ada[0].as_input()];
        let digest = blindbook::oprf::digest_inputs(&inputs);
        let permit = world.grants.permit_for(1, digest);
        let element = world.evaluator.evaluate(permit, &inputs).unwrap();
        ContactKey::derive(&service().hash(), EPOCH, &element[0]).tag()
    };
    // Somebody else's tag that happens to be the same.
    let mut builder = SegmentBuilder::new(service().hash(), EPOCH, LABELS);
    builder.add(tag, &[0x11; 20]).unwrap();
    let collided = builder.build().unwrap();
    for (segment, matches) in [(honest, 1), (collided, 0)] {
        let manifest = signed(&world.draft(&segment, 1, [0; 32]));
        let mut state = SyncState::new(&service(), &mut world.rng);
        let _followed = state.follow(&manifest, NOW).unwrap();
        world.evaluate_all(&mut state, &ada);
        let mut opened = [Segment::open(&segment, &manifest).unwrap()];
        assert_eq!(state.find(&mut opened, &ada).unwrap().len(), matches);
    }
}

#[test]
fn a_stored_state_is_read_whole_or_not_at_all() {
    let mut world = World::new();
    let segment = world.segment(&numbers(0..1));
    let mut state = SyncState::new(&service(), &mut world.rng);
    assert_eq!(
        SyncState::decode(&state.encode(), &service())
            .unwrap()
            .known(),
        0
    );
    let manifest = signed(&world.draft(&segment, 1, [0; 32]));
    let _followed = state.follow(&manifest, NOW).unwrap();
    world.evaluate_all(&mut state, &numbers(0..3));
    let bytes = state.encode();
    let again = SyncState::decode(&bytes, &service()).unwrap();
    assert_eq!(*again.encode(), *bytes);

    let other = ServiceId::new("other.example").unwrap();
    assert_eq!(
        SyncState::decode(&bytes, &other).unwrap_err(),
        StateError::OtherService
    );
    for length in 0..bytes.len() {
        SyncState::decode(&bytes[..length], &service()).unwrap_err();
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    SyncState::decode(&longer, &service()).unwrap_err();
    // The entries in another order aren't what `encode` writes.
    let mut swapped = bytes.to_vec();
    let end = swapped.len();
    let (left, right) = swapped[end - 96..].split_at_mut(48);
    left.swap_with_slice(right);
    assert_eq!(
        SyncState::decode(&swapped, &service()).unwrap_err(),
        StateError::Damaged
    );
}
