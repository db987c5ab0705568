//! The published set: one way to write it, found by tag, and refused when anything is off.

#[path = "support/published.rs"]
mod published;

use std::collections::BTreeMap;

use blindbook::{
    label::LabelLength,
    oprf::{Epoch, PublicKey, Tag},
    snapshot::{
        Advance, BuildError, ChainError, ChainState, ManifestDraft, ManifestError, Segment,
        SegmentBuilder, SegmentError, SignedManifest, SnapshotKey, SnapshotPublicKey,
    },
};
use proptest::prelude::*;
use published::{
    HEADER, NOW, check, draft, entry, key, other_public_key, publish, sealed, service, summary,
};

const LABELS: LabelLength = match LabelLength::new(4) {
    Ok(length) => length,
    Err(_) => panic!(),
};

fn build(tags: &[u64]) -> Vec<u8> {
    let mut builder = SegmentBuilder::new(service().hash(), Epoch::new(7), LABELS);
    for tag in tags {
        builder.add(Tag::new(*tag), &sealed(*tag)).unwrap();
    }
    builder.build().unwrap()
}

/// Tags that look random, always the same.
fn spread(count: u64) -> Vec<u64> {
    (1..=count)
        .map(|index| index.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
        .collect()
}

#[test]
fn a_set_is_found_whole_and_nothing_else_is() {
    for count in [0, 1, 2, 1_023, 1_024, 2_047, 2_048, 5_000, 20_000] {
        let tags = spread(count);
        let bytes = build(&tags);
        let manifest = publish(&bytes, LABELS);
        let mut segment = Segment::open(&bytes, &manifest).unwrap();
        assert_eq!(segment.count(), count);

        let wanted: Vec<Tag> = tags.iter().map(|tag| Tag::new(*tag)).collect();
        let found = segment.find(&wanted).unwrap();
        assert_eq!(found.len(), tags.len(), "{count}");
        assert!(found.is_sorted_by(|a, b| a.tag < b.tag));
        for one in &found {
            assert_eq!(one.sealed_label, sealed(one.tag.get()));
        }
        let absent: Vec<Tag> = tags.iter().map(|tag| Tag::new(tag ^ 1)).collect();
        let absent: Vec<Tag> = absent
            .into_iter()
            .filter(|tag| !tags.contains(&tag.get()))
            .collect();
        assert_eq!(segment.find(&absent).unwrap(), []);
    }
}

#[test]
fn the_ends_of_the_tags_can_be_members() {
    let edges = [0, 1, u64::MAX - 1, u64::MAX, 1 << 63, (1 << 63) - 1];
    for extra in [0, 3_000] {
        let mut tags = spread(extra);
        tags.extend(edges);
        let bytes = build(&tags);
        summary(&bytes).unwrap();
        let manifest = publish(&bytes, LABELS);
        let mut segment = Segment::open(&bytes, &manifest).unwrap();
        assert_eq!(segment.find(&edges.map(Tag::new)).unwrap().len(), 6);
    }
}

#[test]
fn a_tag_costs_less_than_two_bits_more_than_it_must() {
    let count = 100_000;
    let summary = summary(&build(&spread(count))).unwrap();
    let bits = (summary.tags_length * 8) as f64 / count as f64;
    let least = 64.0 - (count as f64).log2() + 1.5;
    assert!(bits < least * 1.02, "{bits} bits a tag, {least} expected");
    assert_eq!(summary.labels_length, count * 20);
    // The hashes of the labels are the labels' expense.
    let directory = summary.directory_length - summary.shards * 32;
    let tags = summary.tags_length;
    assert!(directory * 100 <= tags, "{directory} bytes for {tags}");
}

#[test]
fn a_crowd_in_one_shard_is_still_a_set() {
    // All members begin with the same bits: no gap is what the parameter expects.
    let tags: Vec<u64> = (0..5_000).map(|index| 0xabcd << 48 | index).collect();
    let bytes = build(&tags);
    let manifest = publish(&bytes, LABELS);
    let mut segment = Segment::open(&bytes, &manifest).unwrap();
    let wanted: Vec<Tag> = tags.iter().map(|tag| Tag::new(*tag)).collect();
    assert_eq!(segment.find(&wanted).unwrap().len(), 5_000);
    summary(&bytes).unwrap();
}

#[test]
fn what_is_no_set_is_refused() {
    let mut builder = SegmentBuilder::new(service().hash(), Epoch::new(7), LABELS);
    builder.add(Tag::new(1), &sealed(1)).unwrap();
    assert_eq!(
        builder.add(Tag::new(2), &[0; 19]),
        Err(BuildError::LabelLength)
    );
    assert_eq!(builder.len(), 1);
    builder.add(Tag::new(1), &sealed(2)).unwrap();
    assert_eq!(builder.build().unwrap_err(), BuildError::DuplicateTag);

    // Whoever has to publish keeps one of the two, and the same one in any order.
    let kept = |labels: [u64; 2]| {
        let mut builder = SegmentBuilder::new(service().hash(), Epoch::new(7), LABELS);
        for label in labels {
            builder.add(Tag::new(1), &sealed(label)).unwrap();
        }
        assert_eq!(builder.drop_duplicates(), 1);
        builder.add(Tag::new(3), &sealed(3)).unwrap();
        builder.build().unwrap()
    };
    assert_eq!(kept([1, 2]), kept([2, 1]));
}

#[test]
fn every_truncation_and_every_flipped_bit_is_noticed() {
    let bytes = build(&spread(3_000));
    let manifest = publish(&bytes, LABELS);
    for length in (0..400).chain((400..bytes.len()).step_by(211)) {
        let cut = &bytes[..length];
        assert_eq!(summary(cut).unwrap_err(), SegmentError::Length, "{length}");
        assert_eq!(check(cut, &manifest).unwrap_err(), SegmentError::Length);
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(summary(&longer).unwrap_err(), SegmentError::Length);
    let steps = (0..300 * 8).chain((300 * 8..bytes.len() * 8).step_by(97));
    for bit in steps {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if bit / 8 >= HEADER {
            assert_eq!(
                check(&flipped, &manifest).unwrap_err(),
                SegmentError::OtherSegment
            );
        } else {
            // Whatever its header says now: it isn't the one that was named.
            assert!(Segment::open(&flipped, &manifest).is_err());
        }
        // Service and epoch aren't contradicted by the bytes themselves.
        let free = (16..56).contains(&(bit / 8));
        assert_eq!(summary(&flipped).is_ok(), free, "bit {bit}");
    }
}

#[test]
fn a_signed_segment_that_lies_is_refused_where_it_is_read() {
    // The publisher itself is hostile: the manifest names these very bytes.
    let honest = build(&spread(3_000));
    for at in (72..honest.len()).step_by(7) {
        let mut bytes = honest.clone();
        bytes[at] ^= 0x55;
        let manifest = publish(&bytes, LABELS);
        if let Ok(mut segment) = Segment::open(&bytes, &manifest) {
            let wanted: Vec<Tag> = spread(3_000).into_iter().map(Tag::new).collect();
            let _either = segment.find(&wanted);
        }
    }
}

#[test]
fn the_bytes_of_version_1_stay_readable() {
    let golden = include_bytes!("vectors/segment-v1.bin");
    assert_eq!(build(&spread(100)), golden, "the format has changed");
    let manifest = include_bytes!("vectors/manifest-v1.bin");
    let signed = SignedManifest::decode(manifest).unwrap();
    let verified = signed.verify(&key().public_key()).unwrap();
    assert_eq!(Segment::open(golden, &verified).unwrap().count(), 100);
}

/// Writes the golden files anew, after a change of version: `cargo test -- --ignored golden`.
#[test]
#[ignore = "writes files"]
fn write_golden_files() {
    let segment = build(&spread(100));
    std::fs::write("tests/vectors/segment-v1.bin", &segment).unwrap();
    let manifest = key()
        .sign(&draft(1, [0; 32], entry(&segment), LABELS))
        .unwrap();
    std::fs::write("tests/vectors/manifest-v1.bin", manifest).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_set_is_a_sorted_map(
        members in prop::collection::btree_map(any::<u64>(), any::<[u8; 20]>(), 0..6_000),
        shift in 0_u32..60,
        probes in prop::collection::vec(any::<u64>(), 50),
    ) {
        // Shifted down, the members crowd together.
        let members: BTreeMap<u64, [u8; 20]> =
            members.into_iter().map(|(tag, label)| (tag >> shift, label)).collect();
        let mut forward = SegmentBuilder::new(service().hash(), Epoch::new(7), LABELS);
        let mut backward = SegmentBuilder::new(service().hash(), Epoch::new(7), LABELS);
        for (tag, label) in &members {
            forward.add(Tag::new(*tag), label).unwrap();
        }
        for (tag, label) in members.iter().rev() {
            backward.add(Tag::new(*tag), label).unwrap();
        }
        let bytes = forward.build().unwrap();
        prop_assert_eq!(&bytes, &backward.build().unwrap());
        prop_assert_eq!(summary(&bytes).unwrap().count, members.len() as u64);

        let manifest = publish(&bytes, LABELS);
        let mut segment = Segment::open(&bytes, &manifest).unwrap();
        let wanted: Vec<u64> = probes
            .iter()
            .map(|probe| probe >> shift)
            .chain(members.keys().copied().step_by(3))
            .collect();
        let tags: Vec<Tag> = wanted.iter().map(|tag| Tag::new(*tag)).collect();
        let found: BTreeMap<u64, Vec<u8>> = segment
            .find(&tags)
            .unwrap()
            .iter()
            .map(|found| (found.tag.get(), found.sealed_label.clone()))
            .collect();
        let expected: BTreeMap<u64, Vec<u8>> = wanted
            .iter()
            .filter_map(|tag| Some((*tag, members.get(tag)?.to_vec())))
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let _either = summary(&bytes);
        let _either = SignedManifest::decode(&bytes);
        let honest = build(&spread(50));
        for (at, byte) in honest.iter().take(HEADER + 96).enumerate() {
            if let Some(there) = bytes.get_mut(at)
                && at % 3 != 0
            {
                *there = *byte;
            }
        }
        let _either = summary(&bytes);
    }
}

#[test]
fn a_manifest_says_what_was_signed() {
    let segment = build(&spread(10));
    let draft = draft(1, [0; 32], entry(&segment), LABELS);
    let bytes = key().sign(&draft).unwrap();
    assert!(bytes.len() <= ManifestDraft::MAX_ENCODED);
    let signed = SignedManifest::decode(&bytes).unwrap();
    assert_eq!(signed.unverified_claims(), &draft);
    let manifest = signed.clone().verify(&key().public_key()).unwrap();
    assert_eq!(manifest.claims(), &draft);
    assert_eq!(manifest.base().count, 10);

    let stranger = SnapshotKey::from_seed(&mut [9; 32]).public_key();
    assert!(signed.verify(&stranger).is_err());
    for length in 0..bytes.len() {
        assert!(SignedManifest::decode(&bytes[..length]).is_err());
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let verified = SignedManifest::decode(&flipped)
            .ok()
            .and_then(|signed| signed.verify(&key().public_key()).ok());
        assert!(verified.is_none(), "bit {bit}");
    }
}

#[test]
fn a_draft_that_no_client_would_take_is_not_signed() {
    let segment = build(&spread(10));
    let good = || draft(1, [0; 32], entry(&segment), LABELS);
    let refused = |draft: ManifestDraft, field| {
        assert_eq!(
            key().sign(&draft).unwrap_err(),
            ManifestError::BadField(field)
        );
    };
    refused(
        ManifestDraft {
            sequence: 0,
            ..good()
        },
        "sequence",
    );
    refused(
        ManifestDraft {
            previous: [1; 32],
            ..good()
        },
        "previous",
    );
    refused(
        ManifestDraft {
            sequence: 2,
            ..good()
        },
        "previous",
    );
    refused(
        ManifestDraft {
            not_after: NOW - 200,
            ..good()
        },
        "not_after",
    );
    refused(
        ManifestDraft {
            segments: Vec::new(),
            ..good()
        },
        "segments",
    );
    let two = vec![entry(&segment), entry(&segment)];
    refused(
        ManifestDraft {
            segments: two,
            ..good()
        },
        "segments",
    );
}

#[test]
fn weak_keys_verify_nothing() {
    let mut identity = [0; 32];
    identity[0] = 1;
    assert!(SnapshotPublicKey::decode(&identity).is_err());
    // Half of all strings aren't points.
    let points = (0..=255).filter(|&byte| SnapshotPublicKey::decode(&[byte; 32]).is_ok());
    assert!((64..192).contains(&points.count()));
    let public = key().public_key();
    assert_eq!(SnapshotPublicKey::decode(&public.encode()).unwrap(), public);
}

#[test]
fn each_break_of_the_chain_has_its_error() {
    let segment = build(&spread(10));
    let sign = |draft: &ManifestDraft| {
        let bytes = key().sign(draft).unwrap();
        let signed = SignedManifest::decode(&bytes).unwrap();
        signed.verify(&key().public_key()).unwrap()
    };
    let first = sign(&draft(1, [0; 32], entry(&segment), LABELS));
    let second = draft(2, *first.hash(), entry(&segment), LABELS);
    let start = ChainState::start(&first, NOW).unwrap();
    assert_eq!(
        start.advance(&first, NOW).unwrap(),
        (start.clone(), Advance::Same)
    );
    let (at_two, advance) = start.advance(&sign(&second), NOW).unwrap();
    assert_eq!(advance, Advance::Next);
    assert_eq!(at_two.sequence(), 2);
    assert_eq!(ChainState::decode(&at_two.encode()).unwrap(), at_two);

    let refused = |state: &ChainState, draft: &ManifestDraft, now, error| {
        assert_eq!(state.advance(&sign(draft), now).unwrap_err(), error);
    };
    let fourth = draft(4, [4; 32], entry(&segment), LABELS);
    let (_, advance) = at_two.advance(&sign(&fourth), NOW).unwrap();
    assert_eq!(advance, Advance::Skipped(1));
    // Whoever wants to see each one.
    let watched = start.advance_by_one(&sign(&second), NOW).unwrap();
    assert_eq!(watched, at_two);
    assert_eq!(watched.advance_by_one(&sign(&second), NOW).unwrap(), at_two);
    assert_eq!(
        at_two.advance_by_one(&sign(&fourth), NOW).unwrap_err(),
        ChainError::Skipped(1)
    );
    assert_eq!(
        at_two.advance_by_one(&first, NOW).unwrap_err(),
        ChainError::Rollback
    );

    // To compare with others, whole or read out.
    let (long, short) = (at_two.to_string(), format!("{at_two:#}"));
    assert_eq!((long.len(), short.len()), (2 + 64, 2 + 16));
    assert!(long.starts_with(&short) && short.starts_with("2:"));

    refused(&start, &second, second.not_after + 1, ChainError::Expired);
    refused(
        &start,
        &second,
        second.not_before - 1,
        ChainError::NotYetValid,
    );
    assert_eq!(
        at_two.advance(&first, NOW).unwrap_err(),
        ChainError::Rollback
    );
    let twin = ManifestDraft {
        not_after: second.not_after + 1,
        ..second.clone()
    };
    refused(&at_two, &twin, NOW, ChainError::Fork);
    let stranger = draft(3, [3; 32], entry(&segment), LABELS);
    refused(&at_two, &stranger, NOW, ChainError::Fork);
    let back = ManifestDraft {
        epoch: Epoch::new(6),
        ..second.clone()
    };
    refused(&start, &back, NOW, ChainError::EpochRollback);
    let changed = ManifestDraft {
        public_key: other_public_key(),
        ..second.clone()
    };
    refused(&start, &changed, NOW, ChainError::KeyChanged);
    let rotated = ManifestDraft {
        epoch: Epoch::new(8),
        ..changed
    };
    let (rotated, _) = start.advance(&sign(&rotated), NOW).unwrap();
    assert_eq!(rotated.epoch(), Epoch::new(8));
    assert_eq!(rotated.public_key(), &other_public_key());
    assert_ne!(
        PublicKey::encode(rotated.public_key()),
        start.public_key().encode()
    );

    assert!(ChainState::decode(&[0; ChainState::LENGTH]).is_err());
}
