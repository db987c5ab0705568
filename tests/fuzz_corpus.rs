//! Replays the corpora of the fuzz targets.

#![cfg(feature = "contacts")]
#![allow(unreachable_pub, missing_docs)]

#[path = "../fuzz/src/changes.rs"]
mod changes;
#[path = "../fuzz/src/enrolment.rs"]
mod enrolment;
#[path = "../fuzz/src/identifier.rs"]
mod identifier;
#[path = "../fuzz/src/manifest.rs"]
mod manifest;
#[path = "../fuzz/src/protocol.rs"]
mod protocol;
#[path = "../fuzz/src/published.rs"]
mod published;
#[path = "../fuzz/src/segment.rs"]
mod segment;
#[path = "../fuzz/src/server.rs"]
mod server;
#[path = "../fuzz/src/sync_state.rs"]
mod sync_state;
#[path = "../fuzz/src/vcard.rs"]
mod vcard;
#[path = "../fuzz/src/wire.rs"]
mod wire;

fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        run(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 3, "{target} has {count} seeds");
}

#[test]
fn corpora_hold() {
    replay("changes", changes::run);
    replay("enrolment", enrolment::run);
    replay("identifier", identifier::run);
    replay("manifest", manifest::run);
    replay("protocol", protocol::run);
    replay("segment", segment::run);
    replay("sync_state", sync_state::run);
    replay("vcard", vcard::run);
    replay("wire", wire::run);
}
