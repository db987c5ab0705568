//! What a hostile publisher, mirror or disk hands to a client: every format, damaged at every byte.
//!
//! Whatever is refused has the error that its documentation promises, and leaves the client as it was.

#[path = "support/published.rs"]
mod published;

use blindbook::{
    client::{StateError, SyncError, SyncState},
    label::LabelLength,
    oprf::{Epoch, ServiceId, Tag},
    snapshot::{
        ChainError, Manifest, ManifestDraft, ManifestError, Segment, SegmentBuilder, SegmentError,
        SignedManifest,
    },
};
use ed25519_dalek::{Signer, SigningKey};
use published::{
    HEADER, NOW, check, draft, entry, key, other_public_key, publish, sealed, service, summary,
};
use rand::{SeedableRng, rngs::StdRng};

const LABELS: LabelLength = match LabelLength::new(4) {
    Ok(length) => length,
    Err(_) => panic!(),
};
/// Every bit of a byte, and all of them.
const FLIPS: [u8; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 255];
const TAGS: [u64; 3] = [1, 1 << 40, u64::MAX];

fn segment() -> Vec<u8> {
    let mut builder = SegmentBuilder::new(service().hash(), Epoch::new(7), LABELS);
    for tag in TAGS {
        builder.add(Tag::new(tag), &sealed(tag)).unwrap();
    }
    builder.build().unwrap()
}

fn first() -> ManifestDraft {
    draft(1, [0; 32], entry(&segment()), LABELS)
}

fn signed(draft: &ManifestDraft) -> Vec<u8> {
    key().sign(draft).unwrap()
}

fn verified(draft: &ManifestDraft) -> Manifest {
    let signed = SignedManifest::decode(&signed(draft)).unwrap();
    signed.verify(&key().public_key()).unwrap()
}

#[test]
fn a_segment_cut_anywhere_is_refused() {
    let bytes = segment();
    let manifest = publish(&bytes, LABELS);
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        assert_eq!(summary(cut).unwrap_err(), SegmentError::Length, "{length}");
        assert_eq!(check(cut, &manifest).unwrap_err(), SegmentError::Length);
        // Even if it is this cut one that was signed: its header says how long it is.
        let error = check(cut, &publish(cut, LABELS)).unwrap_err();
        let expected = match length {
            0..HEADER => SegmentError::Length,
            _ => SegmentError::OtherSegment,
        };
        assert_eq!(error, expected, "{length}");
    }
}

#[test]
fn a_segment_with_any_other_byte_is_refused() {
    let bytes = segment();
    let manifest = publish(&bytes, LABELS);
    // Whose and of which epoch it is, a segment alone can't know; the manifest tells.
    let told_by_the_manifest = 16..56;
    let wanted: Vec<Tag> = TAGS.map(Tag::new).to_vec();
    for at in 0..bytes.len() {
        for flip in FLIPS {
            let mut forged = bytes.clone();
            forged[at] ^= flip;
            let error = check(&forged, &manifest).unwrap_err();
            if at >= HEADER {
                assert_eq!(error, SegmentError::OtherSegment, "{at} {flip}");
            }
            let read = summary(&forged);
            assert_eq!(
                read.is_ok(),
                told_by_the_manifest.contains(&at),
                "{at} {flip}"
            );
            let expected = match at {
                0..8 => SegmentError::NotASegment,
                8 => SegmentError::Unknown,
                _ => continue,
            };
            assert_eq!(read.unwrap_err(), expected, "{at} {flip}");
        }
        // Signed by the publisher itself: nothing is found that the bytes don't say.
        let mut forged = bytes.clone();
        forged[at] ^= 0x41;
        if let Ok(mut segment) = Segment::open(&forged, &publish(&forged, LABELS)) {
            assert!(!told_by_the_manifest.contains(&at), "{at}");
            if let Ok(found) = segment.find(&wanted) {
                assert!(found.len() <= TAGS.len());
                assert!(
                    found
                        .iter()
                        .all(|one| one.sealed_label.len() == LABELS.sealed())
                );
            }
        }
    }
}

#[test]
fn a_segment_that_counts_wrong_is_refused_before_anything_is_allocated() {
    // Tags, deleted ranks, the set that is changed, and bytes of the ranks and the tags.
    for at in [56, 64, 72, 80, 88] {
        for word in [0, 1, 2, 4, 1_024, 1 << 40, (1 << 40) + 1, u64::MAX] {
            let mut forged = segment();
            let before = forged.clone();
            forged[at..at + 8].copy_from_slice(&u64::to_be_bytes(word));
            if forged == before {
                continue;
            }
            summary(&forged).unwrap_err();
            // With the parameters that belong to the count, and signed.
            if let Some(count) = forged.get(56..64).filter(|_| at == 56 && word <= 1 << 40) {
                let count = u64::from_be_bytes(count.try_into().unwrap());
                forged[10] = (count / 1_024).checked_ilog2().unwrap_or(0) as u8;
                let mean = core::f64::consts::LN_2 * 2_f64.powi(64) / count.max(1) as f64;
                forged[11] = if count == 0 {
                    0
                } else {
                    (mean.log2() as u8).min(63)
                };
            }
            let mut manifest = entry(&forged);
            manifest.size = u64::MAX;
            check(&forged, &verified(&draft(1, [0; 32], manifest, LABELS))).unwrap_err();
            check(&forged, &publish(&forged, LABELS)).unwrap_err();
        }
    }
}

#[test]
fn a_manifest_with_any_other_byte_is_refused() {
    let bytes = signed(&first());
    let public = key().public_key();
    for at in 0..bytes.len() {
        for flip in FLIPS {
            let mut forged = bytes.clone();
            forged[at] ^= flip;
            if let Ok(forged) = SignedManifest::decode(&forged) {
                assert!(forged.verify(&public).is_err(), "{at} {flip}");
            }
        }
    }
}

#[test]
fn each_damage_of_a_manifest_has_its_error() {
    use ManifestError::{BadField, Length, NotAManifest, Unknown};
    let bytes = signed(&first());
    let name = service().as_str().len();
    let epoch = 14 + name;
    let sequence = epoch + 40;
    let segments = sequence + 56;
    let refused = |at: usize, with: &[u8]| {
        let mut forged = bytes.clone();
        forged[at..at + with.len()].copy_from_slice(with);
        SignedManifest::decode(&forged).unwrap_err()
    };
    let mut identity = [0; 32];
    assert_eq!(refused(0, b"BB"), NotAManifest);
    assert_eq!(refused(8, &[2]), Unknown);
    assert_eq!(refused(9, &[2]), Unknown);
    assert_eq!(
        refused(12, &[LabelLength::MAX + 1]),
        BadField("label_length")
    );
    assert_eq!(refused(14, &[0xff]), BadField("service"));
    assert_eq!(refused(14, b"\n"), BadField("service"));
    assert_eq!(refused(13, &[0]), BadField("service"));
    assert_eq!(refused(epoch + 8, &identity), BadField("public_key"));
    identity[0] = 1;
    assert_eq!(refused(epoch + 8, &identity), BadField("public_key"));
    assert_eq!(refused(sequence, &[0; 8]), BadField("sequence"));
    assert_eq!(refused(sequence, &[1]), BadField("previous"));
    assert_eq!(refused(sequence + 8, &[1]), BadField("previous"));
    assert_eq!(refused(sequence + 52, &[0]), BadField("not_after"));
    assert_eq!(refused(segments, &[0]), Length);
    assert_eq!(refused(segments, &[2]), Length);
    assert_eq!(refused(segments, &[255]), BadField("segments"));
    assert_eq!(refused(segments + 1, &[0]), Unknown);
    assert_eq!(refused(segments + 1, &[4]), Unknown);
    // A delta instead of the base; a base that changes something; one from the future; one that leads nowhere.
    for (at, byte) in [(1, 2), (65, 1), (73, 2), (73, 0)] {
        assert_eq!(refused(segments + at, &[byte]), BadField("segments"));
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(SignedManifest::decode(&longer).unwrap_err(), Length);
    // A body without a signature, and none with one.
    let body = &bytes[..bytes.len() - 64];
    assert_eq!(SignedManifest::decode(body).unwrap_err(), Length);
    let none = [b"bbmanfst".as_slice(), &[0; 64]].concat();
    assert_eq!(SignedManifest::decode(&none).unwrap_err(), Length);
}

#[test]
fn only_the_signature_of_this_manifest_verifies() {
    let bytes = signed(&first());
    let body = bytes.len() - 64;
    let other = signed(&ManifestDraft {
        normalisation: 2,
        ..first()
    });
    let same_key = SigningKey::from_bytes(&[7; 32]);
    // The signature scalar plus the order of the group: the same signature for a lenient verifier.
    let mut malleated = bytes[body..].to_vec();
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in malleated[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + add + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    for (what, signature) in [
        ("of another manifest", &other[body..]),
        (
            "without the prefix",
            &same_key.sign(&bytes[..body]).to_bytes(),
        ),
        ("malleated", &malleated),
        ("of zeros", &[0; 64]),
    ] {
        let forged = [&bytes[..body], signature].concat();
        let forged = SignedManifest::decode(&forged).unwrap();
        assert!(forged.verify(&key().public_key()).is_err(), "{what}");
    }
}

#[test]
fn a_manifest_that_is_refused_leaves_the_state_as_it_was() {
    let mut rng = StdRng::from_seed([3; 32]);
    let second = draft(2, *verified(&first()).hash(), entry(&segment()), LABELS);
    let third = draft(3, *verified(&second).hash(), entry(&segment()), LABELS);
    let mut state = SyncState::new(&service(), &mut rng);
    let _followed = state.follow(&verified(&first()), NOW).unwrap();
    let _followed = state.follow(&verified(&second), NOW).unwrap();
    // As an app does it: what is stored is what counts.
    let stored = state.encode();

    let chain = |error| SyncError::Chain(error);
    let of = |change: fn(&mut ManifestDraft)| {
        let mut draft = third.clone();
        change(&mut draft);
        verified(&draft)
    };
    let twin = ManifestDraft {
        normalisation: 2,
        ..second.clone()
    };
    for (manifest, now, error) in [
        (
            verified(&third),
            third.not_before - 1,
            chain(ChainError::NotYetValid),
        ),
        (
            verified(&third),
            third.not_after + 1,
            chain(ChainError::Expired),
        ),
        (
            verified(&second),
            second.not_after + 1,
            chain(ChainError::Expired),
        ),
        (verified(&third), 0, chain(ChainError::NotYetValid)),
        (verified(&third), u64::MAX, chain(ChainError::Expired)),
        (verified(&first()), NOW, chain(ChainError::Rollback)),
        (verified(&twin), NOW, chain(ChainError::Fork)),
        (
            of(|draft| draft.previous = [9; 32]),
            NOW,
            chain(ChainError::Fork),
        ),
        (
            of(|draft| draft.epoch = Epoch::new(6)),
            NOW,
            chain(ChainError::EpochRollback),
        ),
        (
            of(|draft| draft.public_key = other_public_key()),
            NOW,
            chain(ChainError::KeyChanged),
        ),
        (
            of(|draft| draft.service = ServiceId::new("chat.example.").unwrap()),
            NOW,
            SyncError::OtherService,
        ),
    ] {
        let mut state = SyncState::decode(&stored, &service()).unwrap();
        assert_eq!(state.follow(&manifest, now).unwrap_err(), error);
        assert_eq!(*state.encode(), *stored, "{error:?}");
        // The honest one is still followed.
        let _followed = state.follow(&verified(&third), NOW).unwrap();
    }
    // Both ends of its time belong to it.
    for now in [third.not_before, third.not_after] {
        let mut state = SyncState::decode(&stored, &service()).unwrap();
        let _followed = state.follow(&verified(&third), now).unwrap();
    }
}

#[test]
fn a_state_with_any_other_byte_is_refused_or_means_what_it_says() {
    let mut rng = StdRng::from_seed([4; 32]);
    let mut state = SyncState::new(&service(), &mut rng);
    let _followed = state.follow(&verified(&first()), NOW).unwrap();
    let stored = state.encode();
    for at in 0..stored.len() {
        for flip in FLIPS {
            let mut damaged = stored.to_vec();
            damaged[at] ^= flip;
            let expected = match at {
                0..8 => Some(StateError::Damaged),
                8..40 => Some(StateError::OtherService),
                _ => None,
            };
            match (SyncState::decode(&damaged, &service()), expected) {
                // Versions 1 and 2 are read, and of no contacts they say the same in the same bytes.
                (Ok(state), Some(_)) if at == 6 && matches!(flip, 1 | 2) => {
                    assert_eq!(*state.encode(), *stored);
                }
                (Ok(state), None) => assert_eq!(*state.encode(), *damaged, "{at} {flip}"),
                (Err(error), Some(expected)) => assert_eq!(error, expected, "{at} {flip}"),
                (Err(error), None) => assert_eq!(error, StateError::Damaged, "{at} {flip}"),
                (Ok(_), Some(_)) => panic!("{at} {flip} was taken"),
            }
        }
    }
    // A count that no file can hold allocates nothing.
    let mut endless = stored.to_vec();
    let end = endless.len();
    endless[end - 4..].copy_from_slice(&[0xff; 4]);
    let error = SyncState::decode(&endless, &service()).unwrap_err();
    assert_eq!(error, StateError::Damaged);
}
