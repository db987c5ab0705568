//! A published set with a fixed key and service.

#![allow(unreachable_pub, dead_code, reason = "shared by several tests")]

use blindbook::{
    label::LabelLength,
    oprf::{Epoch, PublicKey, ServiceId},
    snapshot::{
        Kind, Manifest, ManifestDraft, Segment, SegmentEntry, SegmentError, SegmentSummary,
        SignedManifest, SnapshotKey,
    },
};
use sha2::{Digest, Sha256};

/// Bytes of a segment's header.
pub const HEADER: usize = 232;

pub const NOW: u64 = 1_800_000_000;

/// The generator and its double (RFC 9496, appendix A.1).
const GENERATOR: &str = "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76";
const DOUBLE: &str = "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919";

fn public_key_of(hex: &str) -> PublicKey {
    let bytes: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    PublicKey::decode(&bytes.try_into().unwrap()).unwrap()
}

pub fn other_public_key() -> PublicKey {
    public_key_of(DOUBLE)
}

pub fn key() -> SnapshotKey {
    SnapshotKey::from_seed(&mut [7; 32])
}

pub fn service() -> ServiceId {
    ServiceId::new("chat.example").unwrap()
}

/// Twenty bytes that belong to a tag.
pub fn sealed(tag: u64) -> [u8; 20] {
    let mut label = [0x5a; 20];
    label[..8].copy_from_slice(&tag.to_be_bytes());
    label
}

/// What a manifest says of a base, also of one that isn't canonical.
pub fn entry(segment: &[u8]) -> SegmentEntry {
    SegmentEntry {
        kind: Kind::Base,
        ..delta_entry(segment, 0, 1)
    }
}

/// What a manifest says of a segment that leads from one set to another.
pub fn delta_entry(segment: &[u8], from: u64, to: u64) -> SegmentEntry {
    let header = segment.get(..HEADER).unwrap_or(segment);
    let number = |at: usize| {
        let bytes = segment.get(at..at + 8);
        bytes.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
    };
    SegmentEntry {
        kind: Kind::Delta,
        id: Sha256::digest(header).into(),
        size: segment.len() as u64,
        count: number(56),
        deletes: number(64),
        from,
        to,
    }
}

/// Opens a segment and checks all of it.
pub fn check(segment: &[u8], manifest: &Manifest) -> Result<(), SegmentError> {
    Segment::open(segment, manifest)?.verify()
}

pub fn summary(segment: &[u8]) -> Result<SegmentSummary, SegmentError> {
    SegmentSummary::read(segment, segment.len() as u64)
}

pub fn draft(
    sequence: u64,
    previous: [u8; 32],
    base: SegmentEntry,
    label_length: LabelLength,
) -> ManifestDraft {
    ManifestDraft {
        service: service(),
        normalisation: 1,
        label_length,
        epoch: Epoch::new(7),
        public_key: public_key_of(GENERATOR),
        sequence,
        previous,
        not_before: NOW - 100,
        not_after: NOW + 100,
        segments: vec![base],
    }
}

/// A verified manifest that names this segment.
pub fn publish(segment: &[u8], label_length: LabelLength) -> Manifest {
    let bytes = key()
        .sign(&draft(1, [0; 32], entry(segment), label_length))
        .unwrap();
    let signed = SignedManifest::decode(&bytes).unwrap();
    signed.verify(&key().public_key()).unwrap()
}
