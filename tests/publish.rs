//! What is published, slot by slot, is the set of those who can be found, whichever way a phone gets there.
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    reason = "modules of one test"
)]

#[path = "publish/failing.rs"]
mod failing;
#[path = "support/roles.rs"]
#[allow(unused, reason = "only its executor is wanted")]
mod roles;
#[path = "publish/world.rs"]
mod world;

use std::{fs, time::Duration};

use blindbook::{
    server::{
        directory::Change,
        publish::{NewBase, PublishPolicy, Step},
    },
    snapshot::{Kind, Search, Segment},
    store::{MemoryStore, Pace, PublishError, Store, StoreError},
};
use proptest::prelude::*;
use world::{Members, Phone, World, hide, join, policy};

#[derive(Debug, Clone)]
enum Day {
    /// Of each: the member, and whether it joins under which label, hides or is deleted.
    Changes(Vec<(u8, u8)>),
    /// Nobody publishes.
    Missed,
}

fn days() -> impl Strategy<Value = Vec<Day>> {
    let changes = prop::collection::vec((0_u8..40, any::<u8>()), 0..12);
    let day = prop_oneof![
        6 => changes.prop_map(Day::Changes),
        1 => Just(Day::Missed),
    ];
    prop::collection::vec(day, 1..24)
}

fn policies() -> impl Strategy<Value = PublishPolicy> {
    (1_u32..8).prop_map(|dailies| PublishPolicy {
        dailies,
        ..PublishPolicy::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_way_to_the_newest_set_leads_to_the_direct_build(
        policy in policies(),
        days in days(),
    ) {
        let world = World::new(MemoryStore::new(), policy.clone());
        let mut members = Members::new();
        let mut phones: Vec<Phone> = Vec::new();
        world.change(&mut members, 0, (0..30).map(|number| join(number, "first")));
        world.publish(0);
        for (day, changes) in (1..).zip(days) {
            let Day::Changes(changes) = changes else { continue };
            world.change(&mut members, day, changes.into_iter().map(|(number, what)| {
                match what % 4 {
                    0 => hide(number),
                    1 => (number, Change::Remove),
                    _ => join(number, &format!("label {}", what % 16)),
                }
            }));
            let published = world.publish(day);
            let manifest = &published.manifest;
            // Bit for bit the set that is built from all members at once.
            prop_assert!(world.base(manifest) == world.direct(&members));
            prop_assert_eq!(manifest.claims().members(), members.len() as u64);
            // Every file that is listed is there, and nothing that isn't or wasn't.
            prop_assert!(world.publisher.is_whole(manifest));
            for phone in &phones {
                phone.check(&world, manifest);
            }
            world.check_clean(&published, &members);
            phones.push(Phone::new(&world, manifest));
        }
    }
}

#[test]
fn two_months_of_a_service() {
    let world = World::new(MemoryStore::new(), PublishPolicy::default());
    let mut members = Members::new();
    world.change(
        &mut members,
        0,
        (0..200).map(|number| join(number, "first")),
    );
    let mut phones: Vec<Phone> = Vec::new();
    for day in 0..65 {
        if day > 0 {
            let leaves = (day * 3 % 200) as u8;
            world.change(&mut members, day, [hide(leaves)]);
            let joins = (day * 7 % 200) as u8;
            world.change(&mut members, day, [join(joins, &format!("day {day}"))]);
        }
        let published = world.publish(day);
        assert!(world.base(&published.manifest) == world.direct(&members));
        for phone in &phones {
            let recent = day + 1 - phone.set() <= 14;
            assert_eq!(phone.check(&world, &published.manifest), recent);
        }
        phones.push(Phone::new(&world, &published.manifest));
        // A base and 14 deltas, of this manifest and the last one.
        assert!(world.segments().len() <= 30, "{:?}", world.segments().len());
    }
}

/// Whoever opts out, is removed or gets another label is gone with the next publication, from every file.
#[test]
fn what_is_published_has_nothing_of_anybody_who_left() {
    let world = World::new(MemoryStore::new(), PublishPolicy::default());
    let mut members = Members::new();
    world.change(&mut members, 0, (0..90).map(|number| join(number, "first")));
    world.publish(0);
    for day in 1..40 {
        let number = (day * 11 % 90) as u8;
        let again = (day * 7 % 90) as u8;
        world.change(
            &mut members,
            day,
            [
                hide(number),
                (number / 2, Change::Remove),
                join(number / 3, &format!("day {}", day % 5)),
                join(again, "first"),
                join(100 + number, "short"),
                hide(100 + (day as u8).wrapping_mul(3) % 90),
            ],
        );
        // A day on which nobody publishes, and one on which nobody changes.
        if day % 6 == 5 {
            continue;
        }
        let published = world.publish(day);
        assert!(world.base(&published.manifest) == world.direct(&members));
        world.check_clean(&published, &members);
        if day % 9 == 8 {
            world.check_clean(&world.try_publish(day, Pace::Now).unwrap(), &members);
        }
    }
}

/// Who is fetching what the last manifest lists may go on for an hour, and not for a slot: it has those who have left since.
#[test]
fn a_file_that_is_not_listed_any_more_is_served_for_an_hour() {
    let world = World::new(MemoryStore::new(), policy());
    let mut members = Members::new();
    world.change(&mut members, 0, (0..30).map(|number| join(number, "first")));
    let first = world.publish(0).manifest.base().id;
    world.change(&mut members, 1, [hide(3)]);
    let second = world.publish(1);
    let made = world.at(1);
    let after = |seconds| made.saturating_add(Duration::from_secs(seconds));
    let newest = second.manifest.base().id;
    for (seconds, served) in [(0, true), (3_599, true), (3_600, false), (1 << 30, false)] {
        assert_eq!(second.serves(&first, after(seconds)), served);
        assert!(second.serves(&newest, after(seconds)));
        assert!(!second.serves(&[9; 32], after(seconds)));
        world.publisher.tidy(&second, after(seconds)).unwrap();
        let path = world.publisher.folder().path(&first);
        assert_eq!(path.exists(), served);
    }
    // The store doesn't tell what the manifest before listed.
    let read = roles::now(world.publisher.last(&world.store))
        .unwrap()
        .unwrap();
    assert!(read.serves(&newest, made) && !read.serves(&first, made));
}

#[test]
fn nothing_new_is_a_manifest_of_the_same_segments() {
    let world = World::new(MemoryStore::new(), policy());
    let mut members = Members::new();
    world.change(&mut members, 0, (0..30).map(|number| join(number, "first")));
    let first = world.publish(0).manifest;
    let second = world.publish(1);
    assert_eq!(second.written, []);
    let (first, second) = (first.claims(), second.manifest.claims());
    assert_eq!(first.segments, second.segments);
    assert_eq!((second.sequence, second.newest()), (2, 1));
    assert!(second.not_after > first.not_after);
    // Somebody who came and went is nothing new either.
    world.change(&mut members, 2, [join(31, "new"), hide(31)]);
    assert_eq!(world.publish(2).written, []);
    assert_eq!(
        roles::now(world.store.progress()).unwrap().settled.changes,
        32
    );
}

#[test]
fn a_slot_has_one_publication() {
    let world = World::new(MemoryStore::new(), policy());
    let mut members = Members::new();
    // An empty set takes no slot.
    world.publish(3);
    world.change(&mut members, 3, (0..30).map(|number| join(number, "first")));
    world.publish(3);
    world.change(&mut members, 3, [join(30, "second")]);
    let refused = world.try_publish(3, Pace::OncePerSlot).unwrap_err();
    let PublishError::Slot(taken) = refused else {
        panic!("{refused}")
    };
    assert_eq!(taken.next, world.at(4).saturating_sub(world::NOON));
    let forced = world.try_publish(3, Pace::Now).unwrap();
    assert_eq!(forced.manifest.claims().sequence, 3);
    assert!(world.base(&forced.manifest) == world.direct(&members));
}

/// By its id a segment is found in a manifest: deltas of different sets have different ones, even if all change the same.
#[test]
fn who_comes_and_goes_every_day_makes_no_manifest_ambiguous() {
    let world = World::new(MemoryStore::new(), policy());
    let mut members = Members::new();
    world.change(&mut members, 0, (0..30).map(|number| join(number, "first")));
    world.publish(0);
    for day in 1..12 {
        let change = if day % 2 == 0 {
            join(3, "first")
        } else {
            hide(3)
        };
        world.change(&mut members, day, [change]);
        let manifest = world.publish(day).manifest;
        let ids = manifest.claims().segments.iter().map(|entry| entry.id);
        let mut ids: Vec<[u8; 32]> = ids.collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        assert!(world.base(&manifest) == world.direct(&members));
    }
}

#[test]
fn who_left_opted_out_or_was_deleted_looks_the_same() {
    let published = |leave: &dyn Fn() -> Vec<(u8, Change)>| {
        let world = World::new(MemoryStore::new(), policy());
        let mut members = Members::new();
        world.change(&mut members, 0, (0..30).map(|number| join(number, "first")));
        world.publish(0);
        world.change(&mut members, 1, leave());
        world.publish(1);
        world.publish(2);
        world.files()
    };
    let removed = published(&|| vec![(3, Change::Remove)]);
    assert!(removed == published(&|| vec![hide(3)]));
    assert!(removed == published(&|| vec![hide(3), (3, Change::Remove)]));
    assert!(removed == published(&|| vec![join(3, "other"), (3, Change::Remove)]));
    assert!(removed != published(&|| vec![hide(4)]));
}

/// A quiet service kept its last deltas for ever, and with them the ranks of those who had left.
#[test]
fn a_quiet_service_lists_no_delta_after_the_time_that_the_policy_says() {
    let world = World::new(MemoryStore::new(), policy());
    let mut members = Members::new();
    world.change(&mut members, 0, (0..30).map(|number| join(number, "first")));
    world.publish(0);
    for (day, change) in (1..).zip([hide(3), join(50, "short"), hide(50)]) {
        world.change(&mut members, day, [change]);
        world.publish(day);
    }
    let mut listed = Vec::new();
    for day in 4..10 {
        let published = world.publish(day);
        assert!(world.base(&published.manifest) == world.direct(&members));
        world.check_clean(&published, &members);
        listed.push(published.manifest.claims().segments.len() - 1);
    }
    assert_eq!(listed, [3, 2, 1, 0, 0, 0]);
}

/// Such a delta is of no use to anybody.
#[test]
fn a_delta_that_is_not_smaller_than_the_base_is_not_listed() {
    let world = World::new(MemoryStore::new(), policy());
    let mut members = Members::new();
    world.change(&mut members, 0, (0..8).map(|number| join(number, "first")));
    world.publish(0);
    world.change(&mut members, 1, (0..4).map(|number| join(number, "second")));
    let second = world.publish(1);
    assert_eq!(second.manifest.claims().segments.len(), 2);
    world.change(
        &mut members,
        2,
        [join(4, "third"), join(5, "third"), hide(6), hide(7)],
    );
    let third = world.publish(2);
    // All of the first set has changed.
    let sets = third
        .manifest
        .claims()
        .segments
        .iter()
        .map(|entry| entry.from);
    assert_eq!(sets.collect::<Vec<_>>(), [0, 2]);
    assert_eq!(third.written.len(), 2);
    world.check_clean(&third, &members);
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_forks_nothing() {
    let world = World::new(failing::Failing::default(), policy());
    let mut members = Members::new();
    world.change(&mut members, 0, (0..30).map(|number| join(number, "first")));
    world.publish(0);
    for day in 1..9 {
        world.change(
            &mut members,
            day,
            [hide(day as u8), join(60 + day as u8, "new")],
        );
        let before = roles::now(world.store.latest_manifest()).unwrap();
        let latest = fs::read(world.publisher.folder().latest()).unwrap();
        match day % 4 {
            // Segments are written, the manifest isn't appended.
            0 => world.store.fail_next_append(),
            // What changed can't be read to the end.
            1 => world.store.fail_next_read(),
            _ => {}
        }
        let attempt = world.try_publish(day, Pace::OncePerSlot);
        if day % 4 < 2 {
            let failed = attempt.unwrap_err();
            assert!(
                matches!(failed, PublishError::Store(StoreError::Io(_))),
                "{failed}"
            );
            assert_eq!(roles::now(world.store.latest_manifest()).unwrap(), before);
            assert_eq!(fs::read(world.publisher.folder().latest()).unwrap(), latest);
            // Somebody leaves meanwhile.
            world.change(&mut members, day, [hide(20 + day as u8)]);
            world.publish(day);
        } else if day % 4 == 2 {
            // The manifest is in the store, and not in the folder.
            fs::write(world.publisher.folder().latest(), latest).unwrap();
            fs::remove_file(world.publisher.folder().manifest(day + 1)).unwrap();
            let again = world.try_publish(day, Pace::OncePerSlot).unwrap_err();
            assert!(matches!(again, PublishError::Slot(_)));
        }
        let newest = roles::now(world.store.latest_manifest()).unwrap().unwrap();
        let manifest = world::verified(&newest.bytes);
        assert!(world.base(&manifest) == world.direct(&members));
        assert_eq!(
            fs::read(world.publisher.folder().latest()).unwrap(),
            newest.bytes
        );
        assert_eq!(
            fs::read(world.publisher.folder().manifest(newest.sequence)).unwrap(),
            newest.bytes
        );
        assert!(!world.publisher.folder().building().exists());
    }
}

#[test]
fn what_is_missing_or_damaged_is_built_anew() {
    let world = World::new(MemoryStore::new(), policy());
    let mut members = Members::new();
    world.change(&mut members, 0, (0..30).map(|number| join(number, "first")));
    let base = world.publish(0).manifest.base().id;
    let plan = |day| roles::now(world.publisher.plan(&world.store, world.at(day))).unwrap();
    fs::remove_file(world.publisher.folder().path(&base)).unwrap();
    assert_eq!(
        (plan(1).step, plan(1).why),
        (Step::Build, Some(NewBase::Missing))
    );
    let rebuilt = world.publish(1);
    assert_eq!(rebuilt.written.len(), 1);
    assert!(world.base(&rebuilt.manifest) == world.direct(&members));

    // A bit that tipped over is seen when it's read.
    let path = world.publisher.folder().path(&rebuilt.manifest.base().id);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(&path, bytes).unwrap();
    world.change(&mut members, 2, (0..4).map(hide));
    assert_eq!(plan(2).step, Step::Merge);
    let rebuilt = world.publish(2);
    assert_eq!(rebuilt.written[0].kind, Kind::Base);
    assert!(world.base(&rebuilt.manifest) == world.direct(&members));
}

#[test]
fn who_joins_is_spread_over_the_window_and_who_leaves_waits_for_nothing() {
    let spread = PublishPolicy {
        join_window: 3,
        ..policy()
    };
    let world = World::new(MemoryStore::new(), spread);
    let mut members = Members::new();
    world.change(
        &mut members,
        0,
        (0..100).map(|number| join(number, "first")),
    );
    assert_eq!(world.publish(0).manifest.claims().members(), 100);
    world.change(
        &mut members,
        1,
        (100..160).map(|number| join(number, "later")),
    );
    world.change(&mut members, 1, [hide(3), join(5, "renamed")]);
    let mut sizes = Vec::new();
    for day in 1..6 {
        let published = world.publish(day);
        sizes.push(published.manifest.claims().members());
        assert_eq!(
            world.find(&published.manifest, &[3, 5]),
            [(5, "renamed".to_owned())]
        );
        // One who joined and left again while waiting never appears.
        if day == 1 {
            world.change(&mut members, 1, [hide(100)]);
        }
        assert_eq!(world.find(&published.manifest, &[100]), []);
    }
    assert_eq!((sizes[0], sizes[4]), (99, 158));
    assert!(
        sizes.is_sorted() && sizes[1] < sizes[2] && sizes[2] < sizes[3],
        "{sizes:?}"
    );
    let newest = roles::now(world.store.latest_manifest()).unwrap().unwrap();
    assert!(world.base(&world::verified(&newest.bytes)) == world.direct(&members));
}

#[test]
fn decoys_fill_every_delta_up_and_hide_nobody() {
    let filled = PublishPolicy {
        decoy_class: 16,
        ..policy()
    };
    let world = World::new(MemoryStore::new(), filled);
    let mut members = Members::new();
    world.change(
        &mut members,
        0,
        (0..100).map(|number| join(number, "first")),
    );
    assert_eq!(world.publish(0).manifest.claims().members(), 116);
    for day in 1..20 {
        let number = day as u8;
        world.change(
            &mut members,
            day,
            (0..number % 5).map(|one| join(100 + number + one, "new")),
        );
        world.change(
            &mut members,
            day,
            (0..number % 7).map(|one| hide(number + one)),
        );
        let published = world.publish(day);
        for daily in published.written.iter().filter(|entry| entry.from == day) {
            assert_eq!((daily.count % 16, daily.deletes % 16), (0, 0));
        }
        let all: Vec<u8> = (0..150).collect();
        assert_eq!(world.find(&published.manifest, &all), members.found());
        let live = roles::now(world.store.progress()).unwrap().settled.decoys;
        assert_eq!(
            published.manifest.claims().members(),
            members.len() as u64 + live.1 - live.0
        );
    }
}

/// Too many for one page: built on the disk, interrupted, and gone on with.
#[test]
fn an_interrupted_building_goes_on_in_the_same_slot() {
    let world = World::new(failing::Failing::default(), policy());
    let everybody = world.fill(40_000);
    let expected = world.direct_of(&everybody);

    world.store.fail_findable_at(3);
    world.try_publish(1, Pace::OncePerSlot).unwrap_err();
    assert_eq!(world.store.pages(), 3);
    assert!(world.publisher.folder().building().join("journal").exists());
    // The next slot begins anew.
    world.store.fail_findable_at(3);
    world.try_publish(2, Pace::OncePerSlot).unwrap_err();
    assert_eq!(world.store.pages(), 3);
    // The same slot reads the first page, as small sets have no other, and goes on behind the checkpoint.
    let published = world.publish(2);
    assert!(world.store.pages() <= 3);
    assert!(world.base(&published.manifest) == expected);
    let bytes = fs::read(world.publisher.folder().path(&published.manifest.base().id)).unwrap();
    assert!(bytes == expected);
    let mut search = Search::new(&[]);
    search
        .read(&mut Segment::open(&bytes, &published.manifest).unwrap())
        .unwrap();
    assert_eq!(search.members(), 40_000);
}
