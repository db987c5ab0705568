//! A base built on disk is, byte for byte, the one built in memory.

#[path = "support/published.rs"]
mod published;

use std::path::Path;

use blindbook::{
    label::LabelLength,
    oprf::{Epoch, Tag},
    snapshot::{BuildError, SegmentBuilder, SegmentSummary},
    store::{BaseBuilder, BaseError, Duplicates, LEAST_MEMORY},
};
use proptest::prelude::*;
use published::service;
use tempfile::TempDir;

const EPOCH: Epoch = Epoch::new(7);

fn labels(length: u8) -> LabelLength {
    LabelLength::new(length).unwrap()
}

/// Bytes that belong to a tag, one more or less.
fn sealed(length: LabelLength, tag: u64, variant: u8) -> Vec<u8> {
    let mut label = vec![variant; length.sealed()];
    label[..8].copy_from_slice(&tag.to_le_bytes());
    label
}

fn on_disk(folder: &Path, length: LabelLength) -> BaseBuilder {
    BaseBuilder::new(folder, service().hash(), EPOCH, length, 0).unwrap()
}

fn resume(folder: &Path, length: LabelLength) -> Option<(BaseBuilder, Vec<u8>)> {
    BaseBuilder::resume(folder, service().hash(), EPOCH, length, LEAST_MEMORY).unwrap()
}

fn in_memory(length: LabelLength, members: &[(u64, u8)]) -> (Vec<u8>, usize) {
    let mut builder = SegmentBuilder::new(service().hash(), EPOCH, length);
    for (tag, variant) in members {
        builder
            .add(Tag::new(*tag), &sealed(length, *tag, *variant))
            .unwrap();
    }
    let collisions = builder.drop_duplicates();
    (builder.build().unwrap(), collisions)
}

/// Adds members, writes the base, and checks that it is the one built in memory and all that is left.
fn check(mut builder: BaseBuilder, length: LabelLength, folder: &Path, members: &[(u64, u8)]) {
    for (tag, variant) in members {
        builder
            .add(Tag::new(*tag), &sealed(length, *tag, *variant))
            .unwrap();
    }
    finish(builder, length, folder, members);
}

fn finish(builder: BaseBuilder, length: LabelLength, folder: &Path, members: &[(u64, u8)]) {
    let (expected, collisions) = in_memory(length, members);
    let mut told = Vec::new();
    let built = builder
        .finish(Duplicates::Drop, |done| told.push(done))
        .unwrap();
    let bytes = std::fs::read(&built.path).unwrap();
    assert!(bytes == expected);
    assert_eq!(built.collisions, collisions as u64);
    let summary = SegmentSummary::read(&bytes, bytes.len() as u64).unwrap();
    assert_eq!(built.entry(3), summary.entry(3));
    assert_eq!(told.last().copied().unwrap_or(0), summary.count);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
}

/// Tags that look random, always the same.
fn spread(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|index| index.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_set_in_any_order(
        members in prop::collection::vec((any::<u64>(), 0_u8..3), 0..4_000),
        shift in 0_u32..60,
        length in 0_u8..=64,
    ) {
        let members: Vec<(u64, u8)> =
            members.into_iter().map(|(tag, variant)| (tag >> shift, variant)).collect();
        let scratch = TempDir::new().unwrap();
        let length = labels(length);
        check(on_disk(scratch.path(), length), length, scratch.path(), &members);
    }
}

#[test]
fn a_partition_that_memory_does_not_hold_is_split_until_it_does() {
    let length = labels(64);
    // All begin with the same sixteen bits, and are three times what may be sorted at once.
    let members: Vec<(u64, u8)> = spread(400_000)
        .map(|tag| (0xabcd << 48 | tag >> 16, 0))
        .collect();
    let scratch = TempDir::new().unwrap();
    check(
        on_disk(scratch.path(), length),
        length,
        scratch.path(),
        &members,
    );
}

#[test]
fn the_same_tag_twice_is_refused_if_that_is_asked_for() {
    let scratch = TempDir::new().unwrap();
    let length = labels(0);
    let mut builder = on_disk(scratch.path(), length);
    builder
        .add(Tag::new(5), &sealed(length, 5, 0)[1..])
        .unwrap_err();
    assert!(builder.is_empty());
    for variant in [0, 1] {
        builder
            .add(Tag::new(5), &sealed(length, 5, variant))
            .unwrap();
    }
    let refused = builder.finish(Duplicates::Refuse, |_| ()).unwrap_err();
    assert!(matches!(
        refused,
        BaseError::Build(BuildError::DuplicateTag)
    ));
}

#[test]
fn an_interrupted_building_goes_on_at_its_last_checkpoint() {
    let length = labels(4);
    let members: Vec<(u64, u8)> = spread(3_000).map(|tag| (tag, 0)).collect();
    let (kept, lost) = members.split_at(1_700);
    let scratch = TempDir::new().unwrap();
    assert!(resume(scratch.path(), length).is_none());

    let mut builder = on_disk(scratch.path(), length);
    assert!(
        resume(scratch.path(), length).is_none(),
        "no checkpoint yet"
    );
    let add = |builder: &mut BaseBuilder, members: &[(u64, u8)]| {
        for (tag, variant) in members {
            builder
                .add(Tag::new(*tag), &sealed(length, *tag, *variant))
                .unwrap();
        }
    };
    add(&mut builder, &kept[..100]);
    builder.checkpoint(b"a hundred").unwrap();
    add(&mut builder, &kept[100..]);
    builder.checkpoint(b"and the others").unwrap();
    add(&mut builder, lost);
    drop(builder);

    assert!(resume(scratch.path(), labels(5)).is_none(), "other terms");
    let (mut builder, note) = resume(scratch.path(), length).unwrap();
    assert_eq!(note, b"and the others");
    assert_eq!(builder.len(), 1_700);
    add(&mut builder, lost);
    finish(builder, length, scratch.path(), &members);
    assert!(resume(scratch.path(), length).is_none(), "it is done");
}

#[test]
fn a_damaged_checkpoint_is_none() {
    let length = labels(4);
    let scratch = TempDir::new().unwrap();
    let mut builder = on_disk(scratch.path(), length);
    builder.add(Tag::new(9), &sealed(length, 9, 0)).unwrap();
    builder.checkpoint(b"here").unwrap();
    let path = scratch.path().join("journal");
    let honest = std::fs::read(&path).unwrap();
    for at in 0..honest.len() {
        let mut damaged = honest.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        assert!(resume(scratch.path(), length).is_none(), "{at}");
        std::fs::write(&path, &honest[..at]).unwrap();
        assert!(resume(scratch.path(), length).is_none(), "{at}");
    }
    // Less on disk than was durable: that isn't ours to mend.
    std::fs::write(&path, &honest).unwrap();
    std::fs::write(scratch.path().join("partition-000"), b"").unwrap();
    let found = BaseBuilder::resume(scratch.path(), service().hash(), EPOCH, length, 0);
    assert_eq!(found.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}
