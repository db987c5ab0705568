//! A service that publishes with a fixed key.

use blindbook::{
    label::LabelLength,
    oprf::{Epoch, PublicKey, ServiceId},
    snapshot::{
        Kind, Manifest, ManifestDraft, SegmentEntry, SegmentSummary, SignedManifest, SnapshotKey,
    },
};

pub const EPOCH: Epoch = Epoch::new(7);

/// The generator (RFC 9496, appendix A.1), the public key of an evaluation key of one.
const GENERATOR: [u8; 32] = [
    0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9, 0x61, 0xc5, 0x00, 0x51, 0x5f,
    0x58, 0xe3, 0x0b, 0x6a, 0xa5, 0x82, 0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d, 0x2d, 0x76,
];

pub fn service() -> ServiceId {
    ServiceId::new("chat.example").expect("a name")
}

pub fn key() -> SnapshotKey {
    SnapshotKey::from_seed(&mut [7; 32])
}

pub fn verified(bytes: &[u8]) -> Option<Manifest> {
    let signed = SignedManifest::decode(bytes).ok()?;
    signed.verify(&key().public_key()).ok()
}

/// The segment; and if it is a delta, a base that it could change.
fn segments(segment: &SegmentSummary) -> Vec<SegmentEntry> {
    if segment.kind == Kind::Base {
        return vec![segment.entry(1)];
    }
    let base = SegmentEntry {
        kind: Kind::Base,
        id: [0; 32],
        size: 0,
        count: segment.changed,
        deletes: 0,
        from: 0,
        to: segment.from,
    };
    vec![base, segment.entry(segment.from + 1)]
}

/// A manifest that names a segment of this service.
pub fn publish(segment: &SegmentSummary, label_length: LabelLength) -> Manifest {
    let draft = ManifestDraft {
        service: service(),
        normalisation: 1,
        label_length,
        epoch: segment.epoch,
        public_key: PublicKey::decode(&GENERATOR).expect("an element"),
        sequence: u64::MAX,
        previous: [1; 32],
        not_before: 0,
        not_after: u64::MAX,
        segments: segments(segment),
    };
    verified(&key().sign(&draft).expect("a valid draft")).expect("its own signature")
}
