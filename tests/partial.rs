//! A phone that fetches a part of the set: what it finds, what it fetches, and what it refuses.

#[path = "support/published.rs"]
mod published;
#[path = "support/roles.rs"]
mod roles;
#[path = "support/world.rs"]
mod world;

use std::ops::Range;

use blindbook::{
    client::{BeliefFactor, Identifier, Match, Part, PartError, SyncState},
    oprf::{Epoch, Tag},
    server::{EvaluationKey, Evaluator},
    snapshot::{
        Manifest, ManifestDraft, Ranges, RangesError, Runs, Search, Segment, SegmentBuilder,
        SegmentError,
    },
};
use published::{NOW, delta_entry, entry, service};
use rand::Rng;
use roles::EPOCH;
use world::{LABELS, World, numbers, signed};

fn factor(factor: f64) -> BeliefFactor {
    BeliefFactor::new(factor).unwrap()
}

/// A base of these members and a crowd of others.
fn base(world: &mut World, members: &[Identifier], crowd: usize) -> Vec<u8> {
    let mut builder = SegmentBuilder::new(service().hash(), EPOCH, LABELS);
    for (tag, sealed) in world.members(members) {
        builder.add(tag, &sealed).unwrap();
    }
    for _ in 0..crowd {
        let tag = world.rng.next_u64();
        builder.add(Tag::new(tag), &published::sealed(tag)).unwrap();
    }
    builder.build().unwrap()
}

/// A phone that has evaluated its contacts.
fn phone(world: &mut World, manifest: &Manifest, contacts: &[Identifier]) -> SyncState {
    let mut state = SyncState::new(&service(), &mut world.rng);
    let _followed = state.follow(manifest, NOW).unwrap();
    world.evaluate_all(&mut state, contacts);
    state
}

fn runs(part: Part) -> Runs {
    match part {
        Part::Runs(chosen) => chosen.runs().clone(),
        Part::Whole => panic!("the whole set"),
    }
}

fn bytes_of(segment: &[u8], range: &Range<u64>) -> Vec<u8> {
    segment[range.start as usize..range.end as usize].to_vec()
}

/// What a phone does with a server that has `segment`; and which ranges that server sees.
fn fetch(
    segment: &[u8],
    manifest: &Manifest,
    runs: &Runs,
) -> Result<(Segment<Ranges>, Vec<Range<u64>>), RangesError> {
    let outline = 0..manifest.base().outline_length();
    let mut held = Ranges::new();
    held.insert(0, bytes_of(segment, &outline));
    let mut opened = Segment::open(held, manifest)?;
    let ranges = opened.ranges(runs)?;
    for range in &ranges {
        opened.insert(range.start, bytes_of(segment, range));
    }
    opened.verify_runs(runs)?;
    Ok((opened, ranges))
}

fn labels(found: &[Match]) -> Vec<&[u8]> {
    found.iter().map(|one| one.label.as_bytes()).collect()
}

#[test]
fn a_part_finds_what_the_whole_set_finds() {
    let mut world = World::new();
    let members = numbers(0..40);
    let segment = base(&mut world, &members, 300_000);
    let manifest = signed(&world.draft(&segment, 1, [0; 32]));
    let contacts = numbers(30..60);
    let mut state = phone(&mut world, &manifest, &contacts);
    let part = state
        .choose_part(&manifest, &contacts, factor(4.0), &mut world.rng)
        .unwrap();
    let Part::Runs(chosen) = &part else {
        panic!("{part:?}");
    };
    // 256 shards: 64 runs of one.
    assert_eq!((chosen.fraction(), chosen.belief_factor()), (0.25, 4.0));

    let runs = runs(part);
    let (opened, ranges) = fetch(&segment, &manifest, &runs).unwrap();
    let found = state.find(&mut [opened], &contacts).unwrap();
    let mut whole = [Segment::open(segment.as_slice(), &manifest).unwrap()];
    assert_eq!(found, state.find(&mut whole, &contacts).unwrap());
    assert_eq!(found.len(), 10);

    // Ascending and apart; as many labels as tags, a quarter of both.
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
    let fetched: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let share = fetched as f64 / (segment.len() as u64 - manifest.base().outline_length()) as f64;
    assert!((share - 0.25).abs() < 0.01, "{share}");
    assert_eq!(ranges.len() % 2, 0);

    // Whoever isn't covered isn't said to be absent.
    let stranger = (0..u64::MAX)
        .step_by(1 << 40)
        .map(Tag::new)
        .find(|tag| !runs.covers(*tag))
        .unwrap();
    let (mut opened, _) = fetch(&segment, &manifest, &runs).unwrap();
    assert_eq!(
        opened.find(&[stranger]).unwrap_err(),
        RangesError::NotFetched
    );
}

#[test]
fn the_same_is_fetched_again_whatever_is_looked_for() {
    let mut world = World::new();
    let members = numbers(0..40);
    let first = base(&mut world, &members, 300_000);
    let manifest = signed(&world.draft(&first, 1, [0; 32]));
    let mut state = phone(&mut world, &manifest, &numbers(0..30));
    let mut choose = |state: &mut SyncState, manifest: &Manifest, range: Range<u32>| {
        let part = state.choose_part(manifest, &numbers(range), factor(4.0), &mut world.rng);
        runs(part.unwrap())
    };
    let chosen = choose(&mut state, &manifest, 0..30);
    let ranges = fetch(&first, &manifest, &chosen).unwrap().1;

    // After a restart, with fewer contacts, with contacts that come back.
    let mut state = SyncState::decode(&state.encode(), &service()).unwrap();
    for range in [0..30, 0..3, 20..20, 0..30] {
        let again = choose(&mut state, &manifest, range);
        assert_eq!(fetch(&first, &manifest, &again).unwrap().1, ranges);
    }
    // The next bases are cut into more shards, and into fewer than there are runs.
    let mut previous = *manifest.hash();
    for (sequence, crowd) in [(2, 600_000), (3, 40_000)] {
        let next = base(&mut world, &members, crowd);
        let manifest = signed(&world.draft(&next, sequence, previous));
        previous = *manifest.hash();
        let _followed = state.follow(&manifest, NOW).unwrap();
        let part = state.choose_part(&manifest, &numbers(0..30), factor(4.0), &mut world.rng);
        let again = runs(part.unwrap());
        assert_eq!(again, chosen);
        let (opened, _) = fetch(&next, &manifest, &again).unwrap();
        let found = state.find(&mut [opened], &numbers(0..30)).unwrap();
        assert_eq!(found.len(), 30);
    }
}

#[test]
fn a_part_of_the_base_and_whole_deltas_are_the_newest_set() {
    let mut world = World::new();
    let members = numbers(0..20);
    let segment = base(&mut world, &members, 300_000);
    let mut delta = SegmentBuilder::new(service().hash(), EPOCH, LABELS).changing(1, 300_020);
    for (tag, sealed) in world.members(&numbers(20..25)) {
        delta.add(tag, &sealed).unwrap();
    }
    for rank in 0..1_000 {
        delta.delete(rank).unwrap();
    }
    let delta = delta.build().unwrap();
    let mut draft = world.draft(&segment, 2, [1; 32]);
    draft.segments = vec![entry(&segment), delta_entry(&delta, 1, 2)];
    let manifest = signed(&draft);
    let contacts = numbers(10..30);
    let mut state = phone(&mut world, &manifest, &contacts);
    let part = state.choose_part(&manifest, &contacts, factor(8.0), &mut world.rng);
    let (mut opened, _) = fetch(&segment, &manifest, &runs(part.unwrap())).unwrap();

    let mut whole = [segment.as_slice(), delta.as_slice()]
        .map(|bytes| Segment::open(bytes, &manifest).unwrap());
    let expected = state.find(&mut whole, &contacts).unwrap();
    assert!(expected.len() >= 14, "{}", expected.len());
    let mut search: Search = state.search(&contacts);
    search.read(&mut opened).unwrap();
    search
        .read_all(&mut Segment::open(delta.as_slice(), &manifest).unwrap())
        .unwrap();
    let found = state.matches(search, &contacts);
    assert_eq!(labels(&found), labels(&expected));
}

/// A mirror that damages one shard and waits who complains must not learn where a contact is.
#[test]
fn damage_is_noticed_wherever_it_is() {
    let mut world = World::new();
    let segment = base(&mut world, &numbers(0..2), 300_000);
    let manifest = signed(&world.draft(&segment, 1, [0; 32]));
    let contacts = numbers(0..1);
    let mut state = phone(&mut world, &manifest, &contacts);
    let part = state.choose_part(&manifest, &contacts, factor(8.0), &mut world.rng);
    let runs = runs(part.unwrap());
    let (_, ranges) = fetch(&segment, &manifest, &runs).unwrap();
    for range in &ranges {
        let mut damaged = segment.clone();
        damaged[(range.start + range.end) as usize / 2] ^= 1;
        assert_eq!(
            fetch(&damaged, &manifest, &runs).unwrap_err(),
            RangesError::Segment(SegmentError::OtherSegment)
        );
        // And the same where all is read.
        let mut search = state.search(&contacts);
        let mut opened = Segment::open(damaged.as_slice(), &manifest).unwrap();
        assert_eq!(
            search.read_all(&mut opened).unwrap_err(),
            SegmentError::OtherSegment
        );
    }
    // A range that doesn't come, or comes short.
    for lost in &ranges {
        let mut held = Ranges::new();
        held.insert(
            0,
            bytes_of(&segment, &(0..manifest.base().outline_length())),
        );
        for range in &ranges {
            let end = if range == lost {
                range.end - 1
            } else {
                range.end
            };
            held.insert(range.start, bytes_of(&segment, &(range.start..end)));
        }
        let mut opened = Segment::open(held, &manifest).unwrap();
        assert_eq!(
            opened.verify_runs(&runs).unwrap_err(),
            RangesError::NotFetched
        );
    }
}

#[test]
fn what_would_break_the_bound_is_refused() {
    let mut world = World::new();
    let segment = base(&mut world, &numbers(0..2), 300_000);
    let manifest = signed(&world.draft(&segment, 1, [0; 32]));
    let contacts = numbers(0..10);
    let mut state = phone(&mut world, &manifest, &contacts);
    let mut choose = |state: &mut SyncState, manifest: &Manifest, greatest: f64| {
        state.choose_part(manifest, &contacts, factor(greatest), &mut world.rng)
    };
    let fresh = state.encode();
    assert_eq!(choose(&mut state, &manifest, 1.9).unwrap(), Part::Whole);
    assert_eq!(*state.encode(), *fresh, "the whole set isn't a choice");

    let chosen = choose(&mut state, &manifest, 8.0).unwrap();
    assert_eq!(
        choose(&mut state, &manifest, 7.9).unwrap_err(),
        PartError::Spent(8.0)
    );
    assert_eq!(choose(&mut state, &manifest, 8.0).unwrap(), chosen);
    assert_eq!(choose(&mut state, &manifest, 99.0).unwrap(), chosen);

    // A manifest that wasn't followed, and one of another epoch.
    let later = signed(&world.draft(&segment, 2, *manifest.hash()));
    let mut choose = |state: &mut SyncState, manifest: &Manifest, greatest: f64| {
        state.choose_part(manifest, &contacts, factor(greatest), &mut world.rng)
    };
    assert_eq!(
        choose(&mut state, &later, 8.0).unwrap_err(),
        PartError::NotFollowed
    );
    let rotated = Evaluator::new(Epoch::new(8), EvaluationKey::random(&mut world.rng));
    let rotated = signed(&ManifestDraft {
        epoch: Epoch::new(8),
        public_key: rotated.public_key().clone(),
        ..world.draft(&segment, 2, *manifest.hash())
    });
    let _followed = state.follow(&rotated, NOW).unwrap();
    let next = state
        .choose_part(&rotated, &contacts, factor(4.0), &mut world.rng)
        .unwrap();
    assert_ne!(runs(next), runs(chosen), "drawn anew, as all tags are new");
}

#[test]
fn a_stored_choice_is_read_whole_or_not_at_all() {
    let mut world = World::new();
    let segment = base(&mut world, &numbers(0..2), 300_000);
    let manifest = signed(&world.draft(&segment, 1, [0; 32]));
    let contacts = numbers(0..3);
    let mut state = phone(&mut world, &manifest, &contacts);
    let _part = state
        .choose_part(&manifest, &contacts, factor(8.0), &mut world.rng)
        .unwrap();
    let bytes = state.encode();
    let again = SyncState::decode(&bytes, &service()).unwrap();
    assert_eq!(*again.encode(), *bytes);
    for length in 0..bytes.len() {
        SyncState::decode(&bytes[..length], &service()).unwrap_err();
    }
    // Bits, fewest runs, count, and the first run are behind the chain.
    let part = 72 + 80;
    for (at, value) in [(part, 31), (part + 4, 17), (part + 8, 0), (part + 9, 1)] {
        let mut damaged = bytes.to_vec();
        damaged[at] = value;
        SyncState::decode(&damaged, &service()).unwrap_err();
    }
}
