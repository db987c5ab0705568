//! What an app keeps between two looks at the service: nothing is evaluated twice, and nobody is shown
//! another history.

#[path = "support/published.rs"]
mod published;
#[path = "support/roles.rs"]
mod roles;
#[path = "support/world.rs"]
mod world;

use blindbook::{
    client::{OwnEntry, StateError, SyncError, SyncState},
    label::Label,
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
            .next_request(&numbers(0..1), 1_024, NOW, &mut world.rng)
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
    assert_eq!(state.retain(&contacts, NOW), 0);
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
            .next_request(&numbers(0..count), 5_000, NOW, &mut world.rng)
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
        let expect = state.next_request(&contacts, budget, NOW, &mut world.rng);
        let expect = expect.unwrap();
        assert_eq!(expect.as_ref().map(|expect| expect.elements()), elements);
        expect.into_iter().for_each(|expect| state.refused(expect));
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
            .next_request(&contacts, 16, NOW, &mut world.rng)
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

/// A request that was paid and whose answer didn't arrive was made anew, with other bytes, when the app was started again:
/// it was paid twice.
#[test]
fn a_request_outlives_the_client_that_made_it() {
    let mut world = World::new();
    let segment = world.segment(&numbers(0..10));
    let manifest = signed(&world.draft(&segment, 1, [0; 32]));
    let mut state = SyncState::new(&service(), &mut world.rng);
    let _followed = state.follow(&manifest, NOW).unwrap();
    let contacts = numbers(0..5);
    let mut next = |state: &mut SyncState, contacts: std::ops::Range<u32>, budget, now| {
        let expect = state.next_request(&numbers(contacts), budget, now, &mut world.rng);
        expect.unwrap()
    };
    let lost = next(&mut state, 0..5, 1_024, NOW).unwrap().message();
    let stored = state.encode();

    // Started again, a day passes or another address book is looked up.
    for (contacts, budget, now, same) in [
        (0..5, 1_024, NOW, true),
        (0..5, 0, NOW + 23 * 3_600, true),
        (7..9, 1_024, NOW + 60, true),
        (0..5, 1_024, NOW - 86_400 * 365, true),
        (0..5, 1_024, NOW + 23 * 3_600 + 1, false),
    ] {
        let mut state = SyncState::decode(&stored, &service()).unwrap();
        assert_eq!(*state.encode(), *stored);
        let again = next(&mut state, contacts, budget, now).unwrap();
        assert_eq!(again.message() == lost, same, "{now}");
        assert_eq!(again.elements(), 16);
    }
    // Answered: all is as if nothing had happened.
    let mut state = SyncState::decode(&stored, &service()).unwrap();
    let _followed = state.follow(&manifest, NOW).unwrap();
    let again = next(&mut state, 0..5, 16, NOW).unwrap();
    let answer = world.answer(&again.message());
    assert_eq!(state.finish(again, &answer).unwrap(), 5);
    assert!(world.evaluate_all(&mut state, &contacts).is_empty());
    let mut opened = [Segment::open(&segment, &manifest).unwrap()];
    assert_eq!(state.find(&mut opened, &contacts).unwrap().len(), 5);
    assert!(state.encode().len() < stored.len());

    // Refused: not paid, and not kept. Rotated once: paid, and can be carried over. Rotated twice: worthless.
    let mut state = SyncState::decode(&stored, &service()).unwrap();
    let expect = state.next_request(&contacts, 16, NOW, &mut world.rng);
    state.refused(expect.unwrap().unwrap());
    let other = state.next_request(&contacts, 16, NOW, &mut world.rng);
    assert_ne!(other.unwrap().unwrap().message(), lost);
    for (epoch, same) in [(8, true), (9, false)] {
        let mut state = SyncState::decode(&stored, &service()).unwrap();
        let rotated = EvaluationKey::random(&mut world.rng);
        let rotated = ManifestDraft {
            epoch: Epoch::new(epoch),
            public_key: rotated.public_key().clone(),
            ..world.draft(&segment, 2, *manifest.hash())
        };
        let _followed = state.follow(&signed(&rotated), NOW).unwrap();
        let mut state = SyncState::decode(&state.encode(), &service()).unwrap();
        let again = state.next_request(&contacts, 16, NOW, &mut world.rng);
        assert_eq!(again.unwrap().unwrap().message() == lost, same);
        // Nothing is carried over: then it isn't of use either.
        state.forget_old();
        let other = state.next_request(&contacts, 16, NOW, &mut world.rng);
        assert_ne!(other.unwrap().unwrap().message(), lost);
    }

    for length in 0..stored.len() {
        SyncState::decode(&stored[..length], &service()).unwrap_err();
    }
}

/// Another file, or a wrong region, on the same state made it forget everybody who was paid for.
#[test]
fn contacts_are_forgotten_when_they_are_gone_for_long() {
    const DAY: u64 = 86_400;
    let mut world = World::new();
    let segment = world.segment(&numbers(0..1));
    let manifest = signed(&world.draft(&segment, 1, [0; 32]));
    let mut state = SyncState::new(&service(), &mut world.rng);
    let _followed = state.follow(&manifest, NOW).unwrap();
    world.evaluate_all(&mut state, &numbers(0..10));
    // Two files in turn.
    for day in 0..100 {
        let range = if day % 2 == 0 { 0..5 } else { 5..10 };
        assert_eq!(state.retain(&numbers(range), NOW + day * DAY), 0);
        state = SyncState::decode(&state.encode(), &service()).unwrap();
    }
    let now = NOW + 100 * DAY;
    assert_eq!(state.retain(&numbers(0..5), now), 0);
    assert_eq!(state.retain(&numbers(0..5), now + 28 * DAY), 0);
    // A clock that was wrong for a moment neither forgets nor keeps for ever.
    assert_eq!(state.retain(&numbers(0..5), 0), 0);
    assert_eq!(state.retain(&numbers(0..5), 29 * DAY), 0);
    assert_eq!(state.retain(&numbers(0..5), 40 * DAY), 5);
    assert_eq!(state.known(), 5);
    assert_eq!(state.retain(&numbers(0..5), u64::MAX), 0);
    assert_eq!(state.pending(&numbers(0..10)), 5);
}

#[test]
fn a_member_notices_being_left_out_or_mislabelled() {
    let mut world = World::new();
    let own = numbers(3..4);
    let expected = Label::new(b"0003").unwrap();
    let listed = world.segment(&numbers(0..10));
    let missing = world.segment(&numbers(4..10));
    // The tag is there, with bytes that nobody can open.
    let (tag, _) = world.members(&own).remove(0);
    let mut builder = SegmentBuilder::new(service().hash(), EPOCH, LABELS);
    builder.add(tag, &[0x11; 20]).unwrap();
    let forged = builder.build().unwrap();
    for (segment, with, without) in [
        (listed, OwnEntry::Listed, OwnEntry::Listed),
        (missing, OwnEntry::Missing, OwnEntry::Missing),
        (forged, OwnEntry::OtherLabel, OwnEntry::OtherLabel),
    ] {
        let manifest = signed(&world.draft(&segment, 1, [0; 32]));
        let mut state = SyncState::new(&service(), &mut world.rng);
        let _followed = state.follow(&manifest, NOW).unwrap();
        let mut segment = Segment::open(&segment, &manifest).unwrap();
        // Not evaluated, or not looked for: nothing is said.
        let search = state.search(&own);
        assert_eq!(state.check_own(&search, &own[0], None), None);
        world.evaluate_all(&mut state, &numbers(0..5));
        let search = state.search(&numbers(0..3));
        assert_eq!(state.check_own(&search, &own[0], None), None);

        let mut search = state.search(&numbers(0..5));
        search.read(&mut segment).unwrap();
        let check = |label: Option<&Label>| state.check_own(&search, &own[0], label).unwrap();
        assert_eq!(check(Some(&expected)), with);
        assert_eq!(check(None), without);
        if with == OwnEntry::Listed {
            let other = Label::new(b"0004").unwrap();
            assert_eq!(check(Some(&other)), OwnEntry::OtherLabel);
        }
    }
}

#[test]
fn a_key_that_was_rotated_twice_means_evaluating_again() {
    let mut world = World::new();
    let segment = world.segment(&numbers(0..10));
    let first = world.draft(&segment, 1, [0; 32]);
    let mut state = SyncState::new(&service(), &mut world.rng);
    let _followed = state.follow(&signed(&first), NOW).unwrap();
    let contacts = numbers(5..15);
    world.evaluate_all(&mut state, &contacts);
    // A request that is under way while the key changes is not taken.
    let pending = state
        .next_request(&numbers(50..60), 16, NOW, &mut world.rng)
        .unwrap()
        .unwrap();
    let late = world.answer(&pending.message());

    let rotated = Evaluator::new(Epoch::new(9), EvaluationKey::random(&mut world.rng));
    let next = ManifestDraft {
        epoch: Epoch::new(9),
        public_key: rotated.public_key().clone(),
        ..world.draft(&segment, 2, *signed(&first).hash())
    };
    let followed = state.follow(&signed(&next), NOW).unwrap();
    assert_eq!((followed.forgotten, followed.to_carry_over), (10, 0));
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
    let (left, right) = swapped[end - 104..].split_at_mut(52);
    left.swap_with_slice(right);
    assert_eq!(
        SyncState::decode(&swapped, &service()).unwrap_err(),
        StateError::Damaged
    );
}
